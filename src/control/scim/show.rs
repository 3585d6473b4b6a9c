//! From what is kept to what a client is shown. In: a resource, who is related to it, what was asked for. Out: JSON. Must never show
//! what was not asked for, but for what every answer has.

use super::fault::Fault;
use super::path::{At, Named, resolve};
use super::schema::{self, ENTERPRISE, Returned};
use crate::model::directory::Kind;
use crate::store::directory::{Related, Resource};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What of a resource was asked for.
pub(super) struct Asked {
    only: Option<Vec<Named>>,
    without: Vec<Named>,
}

impl Asked {
    /// `attributes` and `excludedAttributes`; names that lead nowhere are not shown, whatever they are.
    pub(super) fn new<'n>(
        kind: Kind,
        only: Option<impl Iterator<Item = &'n str>>,
        without: Option<impl Iterator<Item = &'n str>>,
    ) -> Self {
        Self { only: only.map(|names| read(kind, names)), without: without.map_or_else(Vec::new, |names| read(kind, names)) }
    }

    /// What every answer has, and no more.
    pub(super) const fn nothing() -> Self {
        Self { only: Some(Vec::new()), without: Vec::new() }
    }

    /// Whether this attribute is shown, so that it has to be found out.
    pub(super) fn wants(&self, name: &str) -> bool {
        let is = |named: &Named| matches!(named, Named::Attribute(at) if at.attribute.name == name);
        let whole = |named: &Named| matches!(named, Named::Attribute(at) if at.attribute.name == name && at.part.is_none());
        self.only.as_ref().is_none_or(|only| only.iter().any(is)) && !self.without.iter().any(whole)
    }

    /// Whether it is said what is to be shown, and not only what is not.
    pub(super) const fn names_attributes(&self) -> bool {
        self.only.is_some()
    }

    /// What of a resource is shown.
    pub(super) fn of(&self, mut all: Map<String, Value>) -> Map<String, Value> {
        for named in &self.without {
            remove(&mut all, *named);
        }
        let Some(only) = &self.only else { return all };
        let mut shown: Map<String, Value> = ["id", "schemas"].iter().filter_map(|name| all.remove_entry(*name)).collect();
        for named in only {
            copy(&all, *named, &mut shown);
        }
        shown
    }
}

/// What names lead to, each once: there are only so many, however often they are named.
fn read<'n>(kind: Kind, names: impl Iterator<Item = &'n str>) -> Vec<Named> {
    let mut seen = BTreeSet::new();
    let key = |named: &Named| match named {
        Named::Extension => None,
        Named::Attribute(at) => Some((at.extended, at.attribute.name, at.part.map(|part| part.name))),
    };
    names.filter_map(|name| resolve(kind, name.trim())).filter(|named| seen.insert(key(named))).collect()
}

/// A resource as a whole; its groups or members where they are given.
pub(super) fn whole(kind: Kind, resource: &Resource, related: Option<&[Related]>, base: &str) -> Result<Map<String, Value>, Fault> {
    let mut all: Map<String, Value> =
        serde_json::from_str(&resource.body).map_err(|_| crate::store::Error::Damaged("directory"))?;
    all.retain(|_, value| !value.is_null());
    let mut schemas = vec![schema::core(kind).id];
    schemas.extend(all.contains_key(ENTERPRISE.id).then_some(ENTERPRISE.id));
    all.insert("schemas".to_owned(), schemas.into());
    all.insert("id".to_owned(), resource.id.clone().into());
    all.insert("meta".to_owned(), meta(kind, resource, base));
    if let Some(related) = related.filter(|related| !related.is_empty()) {
        let (key, items) = related_json(kind, related, base);
        all.insert(key.to_owned(), items);
    }
    Ok(all)
}

fn meta(kind: Kind, resource: &Resource, base: &str) -> Value {
    json!({
        "resourceType": schema::core(kind).name,
        "created": resource.created.to_string(),
        "lastModified": resource.modified.to_string(),
        "location": location(kind, &resource.id, base),
        "version": tag(resource),
    })
}

/// Where a resource is.
pub(super) fn location(kind: Kind, id: &str, base: &str) -> String {
    format!("{base}{}/{id}", endpoint(kind))
}

/// Where resources of a kind are.
pub(super) const fn endpoint(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "/Users",
        Kind::Group => "/Groups",
    }
}

/// The entity tag of a resource.
pub(super) fn tag(resource: &Resource) -> String {
    format!("W/\"{}\"", resource.version)
}

fn related_json(kind: Kind, related: &[Related], base: &str) -> (&'static str, Value) {
    let group = |group: &Related| {
        let place = location(Kind::Group, &group.id, base);
        json!({ "value": group.id, "$ref": place, "display": group.shown, "type": "direct" })
    };
    let member = |user: &Related| json!({ "value": user.id, "$ref": location(Kind::User, &user.id, base), "type": "User" });
    match kind {
        Kind::User => ("groups", related.iter().map(group).collect()),
        Kind::Group => ("members", related.iter().map(member).collect()),
    }
}

fn home(of: &mut Map<String, Value>, extended: bool) -> Option<&mut Map<String, Value>> {
    if extended { of.get_mut(ENTERPRISE.id)?.as_object_mut() } else { Some(of) }
}

fn remove(all: &mut Map<String, Value>, named: Named) {
    match named {
        Named::Extension => drop(all.remove(ENTERPRISE.id)),
        Named::Attribute(At { attribute, .. }) if attribute.returned == Returned::Always => {}
        Named::Attribute(At { extended, attribute, part }) => {
            let Some(home) = home(all, extended) else { return };
            match part {
                None => drop(home.remove(attribute.name)),
                Some(part) => each(home.get_mut(attribute.name), |parts| drop(parts.remove(part.name))),
            }
        }
    }
}

fn each(value: Option<&mut Value>, change: impl Fn(&mut Map<String, Value>)) {
    match value {
        Some(Value::Object(parts)) => change(parts),
        Some(Value::Array(items)) => items.iter_mut().filter_map(Value::as_object_mut).for_each(change),
        _ => {}
    }
}

fn copy(all: &Map<String, Value>, named: Named, shown: &mut Map<String, Value>) {
    let Named::Attribute(At { extended, attribute, part }) = named else {
        shown.extend(all.get(ENTERPRISE.id).map(|value| (ENTERPRISE.id.to_owned(), value.clone())));
        return;
    };
    let from = if extended { all.get(ENTERPRISE.id).and_then(Value::as_object) } else { Some(all) };
    let Some(value) = from.and_then(|from| from.get(attribute.name)) else { return };
    if extended {
        shown.entry(ENTERPRISE.id).or_insert_with(|| Value::Object(Map::new()));
    }
    let Some(to) = home(shown, extended) else { return };
    match part {
        None => drop(to.insert(attribute.name.to_owned(), value.clone())),
        Some(part) => merge(to.entry(attribute.name).or_insert(Value::Null), value, part.name),
    }
}

/// One more part of a value that is shown in parts.
fn merge(shown: &mut Value, value: &Value, part: &str) {
    match value {
        Value::Array(items) => {
            let mut merged = shown.as_array().cloned().unwrap_or_default();
            merged.resize(items.len(), Value::Null);
            merged.iter_mut().zip(items).for_each(|(shown, item)| merge(shown, item, part));
            *shown = Value::Array(merged);
        }
        Value::Object(parts) => {
            let mut merged = shown.as_object().cloned().unwrap_or_default();
            merged.extend(parts.get(part).map(|value| (part.to_owned(), value.clone())));
            *shown = Value::Object(merged);
        }
        _ => {}
    }
}
