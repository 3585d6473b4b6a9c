//! One operation on what is kept of a resource. In: where, and what. Out: the change. Must never leave two primary values where it
//! made one of them.

use super::super::body::{is_primary, listed, normal, one};
use super::super::fault::Fault;
use super::super::filter::Filter;
use super::super::path::{At, Target};
use super::super::schema::{Attribute, ENTERPRISE, Type};
use super::{Action, Operation};
use serde_json::{Map, Value};

/// The most values of one operation, each of which is held against those that are there.
const MOST: usize = 2000;

pub(super) fn apply(kept: &mut Map<String, Value>, operation: Operation) -> Result<(), Fault> {
    let Operation { action, target, value, path } = operation;
    // A value that is null is none (RFC 7643, section 2.5).
    let action = if value.is_null() { Action::Remove } else { action };
    if value.as_array().is_some_and(|values| values.len() > MOST) {
        return Err(Fault::value(format!("one operation has at most {MOST} values")));
    }
    match target {
        Target::Extension => drop(kept.remove(ENTERPRISE.id)),
        Target::Attribute(At { extended, attribute, part }) => {
            let Some(home) = home(kept, extended) else { return Err(Fault::value(format!("`{path}` has no place"))) };
            match part {
                None => whole(home, attribute, action, value)?,
                Some(part) => in_part(home, attribute, part, action, value)?,
            }
        }
        Target::Some { at, filter } => {
            let Some(home) = home(kept, at.extended) else { return Err(Fault::NoTarget(path)) };
            let mut items = home.remove(at.attribute.name).map(listed).unwrap_or_default();
            selected(&mut items, at, &filter, action, value, &path)?;
            put(home, at.attribute, items);
        }
    }
    Ok(())
}

fn home(kept: &mut Map<String, Value>, extended: bool) -> Option<&mut Map<String, Value>> {
    if extended { kept.entry(ENTERPRISE.id).or_insert_with(|| Map::new().into()).as_object_mut() } else { Some(kept) }
}

fn put(home: &mut Map<String, Value>, attribute: &Attribute, items: Vec<Value>) {
    if !items.is_empty() {
        home.insert(attribute.name.to_owned(), Value::Array(items));
    }
}

fn whole(home: &mut Map<String, Value>, attribute: &Attribute, action: Action, value: Value) -> Result<(), Fault> {
    match action {
        Action::Remove if attribute.many && !value.is_null() => {
            let mut items = home.remove(attribute.name).map(listed).unwrap_or_default();
            for gone in listed(value).into_iter().filter_map(|gone| one(attribute, gone).transpose()) {
                let gone = gone?;
                items.retain(|item| !is_same(item, &gone));
            }
            put(home, attribute, items);
        }
        Action::Remove => drop(home.remove(attribute.name)),
        Action::Add if attribute.many => {
            let mut items = home.remove(attribute.name).map(listed).unwrap_or_default();
            let old = items.len();
            for new in listed(value).into_iter().filter_map(|new| one(attribute, new).transpose()) {
                let new = new?;
                if !items.contains(&new) {
                    items.push(new);
                }
            }
            let touched: Vec<usize> = (old..items.len()).collect();
            one_primary(&mut items, &touched);
            put(home, attribute, items);
        }
        Action::Add | Action::Replace if attribute.kind == Type::Complex && !attribute.many && value.is_object() => {
            let mut parts = home.remove(attribute.name).and_then(|value| value.as_object().cloned()).unwrap_or_default();
            merge(&mut parts, attribute, value)?;
            home.insert(attribute.name.to_owned(), Value::Object(parts));
        }
        Action::Add | Action::Replace => {
            home.remove(attribute.name);
            home.extend(normal(attribute, value)?.map(|value| (attribute.name.to_owned(), value)));
        }
    }
    Ok(())
}

/// Whether a value is meant: by its `value`, where it has one.
fn is_same(item: &Value, meant: &Value) -> bool {
    match meant.get("value") {
        Some(value) => item.get("value") == Some(value),
        None => item == meant,
    }
}

/// The parts that are given replace those that are there; a part that is null is taken away.
fn merge(parts: &mut Map<String, Value>, attribute: &Attribute, value: Value) -> Result<(), Fault> {
    let Value::Object(given) = value else { return Err(Fault::value(format!("`{}` is an object", attribute.name))) };
    for (key, value) in given {
        if let Some(part) = attribute.part(&key) {
            set(parts, part, value)?;
        }
    }
    Ok(())
}

fn set(parts: &mut Map<String, Value>, part: &Attribute, value: Value) -> Result<(), Fault> {
    parts.remove(part.name);
    parts.extend(one(part, value)?.map(|value| (part.name.to_owned(), value)));
    Ok(())
}

fn in_part(
    home: &mut Map<String, Value>,
    attribute: &Attribute,
    part: &Attribute,
    action: Action,
    value: Value,
) -> Result<(), Fault> {
    let value = if action == Action::Remove { Value::Null } else { value };
    if attribute.many {
        let mut items = home.remove(attribute.name).map(listed).unwrap_or_default();
        if items.is_empty() && !value.is_null() {
            items.push(Value::Object(Map::new()));
        }
        // Where the part is given as a list, it goes with the values one by one.
        let mut given = if let Value::Array(given) = value { given } else { vec![value; items.len()] }.into_iter();
        for parts in items.iter_mut().filter_map(Value::as_object_mut) {
            set(parts, part, given.next().unwrap_or_default())?;
        }
        put(home, attribute, items);
        return Ok(());
    }
    let mut parts = home.remove(attribute.name).and_then(|value| value.as_object().cloned()).unwrap_or_default();
    set(&mut parts, part, value)?;
    if !parts.is_empty() {
        home.insert(attribute.name.to_owned(), Value::Object(parts));
    }
    Ok(())
}

fn selected(items: &mut Vec<Value>, at: At, filter: &Filter, action: Action, value: Value, path: &str) -> Result<(), Fault> {
    let matches = |item: &Value| item.as_object().is_some_and(|item| filter.matches(item));
    let mut touched: Vec<usize> = items.iter().enumerate().filter(|(_, item)| matches(item)).map(|(index, _)| index).collect();
    match (action, at.part) {
        (Action::Remove, None) => {
            items.retain(|item| !matches(item));
            return Ok(());
        }
        (Action::Replace, _) if touched.is_empty() => return Err(Fault::NoTarget(path.to_owned())),
        // Entra ID expects that this makes the value that it names.
        (Action::Add, _) if touched.is_empty() => {
            let parts = filter.equalities().ok_or_else(|| Fault::NoTarget(path.to_owned()))?;
            touched.push(items.len());
            items.push(parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        }
        _ => {}
    }
    for index in &touched {
        let Some(parts) = items.get_mut(*index).and_then(Value::as_object_mut) else { continue };
        match at.part {
            Some(part) => set(parts, part, if action == Action::Remove { Value::Null } else { value.clone() })?,
            None => {
                if action == Action::Replace {
                    parts.clear();
                }
                merge(parts, at.attribute, value.clone())?;
            }
        }
    }
    one_primary(items, &touched);
    Ok(())
}

/// What has been made primary takes that from what was.
fn one_primary(items: &mut [Value], touched: &[usize]) {
    let makes_one = |index: &usize| items.get(*index).is_some_and(is_primary);
    if !touched.iter().any(makes_one) {
        return;
    }
    for (index, item) in items.iter_mut().enumerate() {
        if let Some(parts) = item.as_object_mut().filter(|_| !touched.contains(&index))
            && parts.get("primary") == Some(&Value::Bool(true))
        {
            parts.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}
