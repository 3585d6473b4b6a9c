//! PATCH (RFC 7644, section 3.5.2), also as Entra ID and Okta send it. In: a resource as it is kept, operations. Out: the resource as
//! it is to be, and what becomes of its members. Must never change what clients can't change.

mod apply;

use super::body::{listed, members};
use super::fault::Fault;
use super::filter::Filter;
use super::path::{At, Named, Target, resolve, target};
use super::schema::{self, Mutability};
use super::show::location;
use crate::model::directory::Kind;
use crate::store::directory::{Members, Related};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations of one request, and the most values that they have together, members aside.
const MOST: usize = 1000;
const MOST_VALUES: usize = 10_000;

/// Operations, each with one place.
pub(super) struct Patch(Vec<Operation>);

struct Operation {
    action: Action,
    target: Target,
    value: Value,
    /// As it was written, for messages.
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add,
    Replace,
    Remove,
}

impl Patch {
    /// Reads what is sent for the resource of this id.
    pub(super) fn read(kind: Kind, id: &str, sent: &Value) -> Result<Self, Fault> {
        let schemas = sent.get("schemas").and_then(Value::as_array);
        if !schemas.is_some_and(|all| all.iter().any(|urn| urn == SCHEMA)) {
            return Err(Fault::InvalidSyntax(format!("`schemas` does not name `{SCHEMA}`")));
        }
        let all = member(sent, "Operations").and_then(Value::as_array);
        let all = all.ok_or_else(|| Fault::InvalidSyntax("`Operations` is a list".to_owned()))?;
        if all.is_empty() || all.len() > MOST {
            return Err(Fault::value(format!("a patch has from 1 to {MOST} operations")));
        }
        let mut operations = Vec::new();
        for sent in all {
            read(kind, id, sent, &mut operations)?;
        }
        Ok(Self(operations))
    }

    /// Whether it can't be carried out without knowing the members.
    pub(super) fn asks_for_members(&self) -> bool {
        self.0.iter().any(|operation| match &operation.target {
            Target::Some { at, filter } => at.attribute.name == "members" && named_members(filter).is_none(),
            _ => false,
        })
    }

    /// Carries it out. `current` are the members, where it asks for them; `base` is what their places start with.
    pub(super) async fn apply(self, kept: &mut Map<String, Value>, current: &[Related], base: &str) -> Result<Members, Fault> {
        let (mut change, mut values) = (Members::Keep, 0);
        for operation in self.0 {
            match &operation.target {
                Target::Attribute(at) | Target::Some { at, .. } if at.attribute.name == "members" => {
                    move_members(&mut change, operation, current, base)?;
                }
                _ => {
                    values += operation.value.as_array().map_or(1, Vec::len);
                    if values > MOST_VALUES {
                        return Err(Fault::value(format!("a patch has at most {MOST_VALUES} values")));
                    }
                    apply::apply(kept, operation)?;
                }
            }
            // Others want to get on too.
            tokio::task::yield_now().await;
        }
        Ok(change)
    }
}

/// A member of an object, whatever the case of its name.
fn member<'v>(of: &'v Value, name: &str) -> Option<&'v Value> {
    of.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn read(kind: Kind, id: &str, sent: &Value, operations: &mut Vec<Operation>) -> Result<(), Fault> {
    let action = match member(sent, "op").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
        Some("add") => Action::Add,
        Some("replace") => Action::Replace,
        Some("remove") => Action::Remove,
        _ => return Err(Fault::InvalidSyntax("`op` is `add`, `replace` or `remove`".to_owned())),
    };
    let value = member(sent, "value");
    let path = match member(sent, "path") {
        None | Some(Value::Null) => "",
        Some(path) => path.as_str().ok_or_else(|| Fault::InvalidPath("a path is a text".to_owned()))?,
    };
    if path.is_empty() {
        return spread(kind, id, action, value, operations);
    }
    let target = target(kind, path)?;
    if action != Action::Remove && value.is_none() {
        return Err(Fault::value("there is no `value`"));
    }
    let value = value.cloned().unwrap_or_default();
    match (target, schema::extension(kind)) {
        (Target::Extension, Some(extension)) if action != Action::Remove => {
            let Value::Object(parts) = value else { return Err(Fault::value(format!("`{path}` is an object"))) };
            parts.into_iter().for_each(|(name, value)| extended(kind, extension.id, &name, action, value, operations));
            Ok(())
        }
        (target, _) => {
            target.check_mutability()?;
            operations.push(Operation { action, target, value, path: path.to_owned() });
            Ok(())
        }
    }
}

/// An operation without a path is one for each member of its value.
fn spread(kind: Kind, id: &str, action: Action, value: Option<&Value>, operations: &mut Vec<Operation>) -> Result<(), Fault> {
    if action == Action::Remove {
        return Err(Fault::NoTarget(String::new()));
    }
    let Some(Value::Object(parts)) = value else {
        return Err(Fault::value("without a path, the value is an object"));
    };
    for (key, value) in parts {
        match (resolve(kind, key), schema::extension(kind)) {
            (Some(Named::Extension), Some(extension)) => {
                let parts = value.as_object().ok_or_else(|| Fault::value(format!("`{key}` is an object")))?;
                parts.iter().for_each(|(name, value)| extended(kind, extension.id, name, action, value.clone(), operations));
            }
            (Some(Named::Attribute(at)), _) if at.attribute.name == "id" && value != id => {
                return Err(Fault::Mutability("id".to_owned()));
            }
            (Some(Named::Attribute(at)), _) => push(operations, action, Target::Attribute(at), value.clone(), key),
            _ if key.eq_ignore_ascii_case(schema::core(kind).id) => spread(kind, id, action, Some(value), operations)?,
            _ if key.contains('[') => push(operations, action, target(kind, key)?, value.clone(), key),
            // As in a resource that is sent whole.
            _ => {}
        }
    }
    Ok(())
}

fn extended(kind: Kind, urn: &str, name: &str, action: Action, value: Value, operations: &mut Vec<Operation>) {
    let path = format!("{urn}:{name}");
    if let Some(Named::Attribute(at)) = resolve(kind, &path) {
        push(operations, action, Target::Attribute(at), value, &path);
    }
}

/// What clients can't change is left out where it only comes along.
fn push(operations: &mut Vec<Operation>, action: Action, target: Target, value: Value, path: &str) {
    if target.check_mutability().is_ok() {
        operations.push(Operation { action, target, value, path: path.to_owned() });
    }
}

impl Target {
    fn check_mutability(&self) -> Result<(), Fault> {
        let (Self::Attribute(at) | Self::Some { at, .. }) = self else { return Ok(()) };
        let locked = |of: &schema::Attribute| of.mutability != Mutability::ReadWrite;
        let attribute = Some(at.attribute).filter(|attribute| locked(attribute) || attribute.name == "schemas");
        match attribute.or(at.part.filter(|part| locked(part))) {
            Some(locked) => Err(Fault::Mutability(locked.name.to_owned())),
            None => Ok(()),
        }
    }
}

fn move_members(change: &mut Members, operation: Operation, current: &[Related], base: &str) -> Result<(), Fault> {
    let Operation { action, target, value, path } = operation;
    match (action, target) {
        (Action::Remove, Target::Some { filter, at: At { part: None, .. } }) => {
            leave(change, matching(&filter, change, current, base))
        }
        (Action::Remove, _) if value.is_null() => *change = Members::Set(BTreeSet::new()),
        (Action::Remove, _) => leave(change, members(listed(value))?),
        (Action::Add, Target::Attribute(_)) => join(change, members(listed(value))?),
        (Action::Replace, Target::Attribute(_)) if value.is_null() => *change = Members::Set(BTreeSet::new()),
        (Action::Replace, Target::Attribute(_)) => *change = Members::Set(members(listed(value))?),
        _ => return Err(Fault::Mutability(path)),
    }
    Ok(())
}

/// The members that a filter names by their ids.
fn named_members(filter: &Filter) -> Option<BTreeSet<String>> {
    if let Filter::Any(parts) = filter {
        let named = parts.iter().map(named_members).collect::<Option<Vec<_>>>()?;
        return Some(named.into_iter().flatten().collect());
    }
    match filter.equalities()?.as_slice() {
        [("value", Value::String(id))] => Some(BTreeSet::from([id.clone()])),
        _ => None,
    }
}

fn matching(filter: &Filter, change: &Members, current: &[Related], base: &str) -> BTreeSet<String> {
    if let Some(ids) = named_members(filter) {
        return ids;
    }
    let added: BTreeSet<&str> = match change {
        Members::Keep => BTreeSet::new(),
        Members::Change { add: ids, .. } | Members::Set(ids) => ids.iter().map(String::as_str).collect(),
    };
    let all = current.iter().map(|member| &*member.id).chain(added);
    let shown = |id: &str| {
        let parts = [("value", id.to_owned()), ("type", "User".to_owned()), ("$ref", location(Kind::User, id, base))];
        parts.into_iter().map(|(name, part)| (name.to_owned(), part.into())).collect()
    };
    all.filter(|id| filter.matches(&shown(id))).map(str::to_owned).collect()
}

fn join(change: &mut Members, who: BTreeSet<String>) {
    match change {
        Members::Keep => *change = Members::Change { add: who, remove: BTreeSet::new() },
        Members::Change { add, remove } => {
            remove.retain(|id| !who.contains(id));
            add.extend(who);
        }
        Members::Set(all) => all.extend(who),
    }
}

fn leave(change: &mut Members, who: BTreeSet<String>) {
    match change {
        Members::Keep => *change = Members::Change { add: BTreeSet::new(), remove: who },
        Members::Change { add, remove } => {
            add.retain(|id| !who.contains(id));
            remove.extend(who);
        }
        Members::Set(all) => all.retain(|id| !who.contains(id)),
    }
}
