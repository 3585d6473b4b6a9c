//! From what a client sends to what is kept. In: JSON. Out: the same by the definitions: names spelled as those do, types checked,
//! nothing that is read-only or unknown. Must never keep a password, nor what could pass for something else in a rule or a header.

use super::fault::Fault;
use super::schema::{self, Attribute, Mutability, Schema, Type, named};
use crate::model::Email;
use crate::model::directory::{ATTRIBUTES, Entry, Kind};
use crate::store::directory::Draft;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The longest resource, in bytes.
pub(super) const LONGEST: usize = 256 << 10;
/// The most values of an attribute; members of groups are counted by nobody.
const MOST_VALUES: usize = 1000;
/// The longest text of all, in bytes.
const LONGEST_TEXT: usize = 64 << 10;
/// The longest name, and anything else that rules see, in bytes.
const LONGEST_NAME: usize = 256;

/// A resource as it is sent: an object that says what it is.
pub(super) fn sent(kind: Kind, value: Value) -> Result<Map<String, Value>, Fault> {
    let core = schema::core(kind).id;
    let says = |schemas: &Value| schemas.as_array().is_some_and(|all| all.iter().any(|urn| is_urn(urn, core)));
    match value {
        Value::Object(resource) if resource.get("schemas").is_some_and(says) => Ok(resource),
        Value::Object(_) => Err(Fault::value(format!("`schemas` does not name `{core}`"))),
        _ => Err(Fault::InvalidSyntax("a resource is an object".to_owned())),
    }
}

fn is_urn(value: &Value, urn: &str) -> bool {
    value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(urn))
}

/// What is kept of a resource.
pub(super) fn accept(kind: Kind, resource: Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    let mut kept = Map::new();
    for (key, value) in resource {
        let extension = schema::extension(kind).filter(|schema| schema.id.eq_ignore_ascii_case(&key));
        match (extension, schema::attribute(kind, &key)) {
            (Some(schema), _) => keep(&mut kept, schema.id, extended(schema, value)?)?,
            (None, Some(attribute)) if attribute.name != "schemas" => keep(&mut kept, attribute.name, normal(attribute, value)?)?,
            _ => {}
        }
    }
    let missing = schema::core(kind).attributes.iter().find(|attribute| attribute.required && !kept.contains_key(attribute.name));
    missing.map_or(Ok(kept), |missing| Err(Fault::value(format!("`{}` is required", missing.name))))
}

fn extended(schema: &'static Schema, value: Value) -> Result<Option<Value>, Fault> {
    let Value::Object(parts) = value else {
        return if value.is_null() { Ok(None) } else { Err(Fault::value(format!("`{}` is an object", schema.id))) };
    };
    let mut kept = Map::new();
    for (key, value) in parts {
        if let Some(attribute) = named(schema.attributes, &key) {
            keep(&mut kept, attribute.name, normal(attribute, value)?)?;
        }
    }
    Ok((!kept.is_empty()).then_some(Value::Object(kept)))
}

fn keep(kept: &mut Map<String, Value>, name: &str, value: Option<Value>) -> Result<(), Fault> {
    let Some(value) = value else { return Ok(()) };
    let twice = kept.insert(name.to_owned(), value).is_some();
    if twice { Err(Fault::InvalidSyntax(format!("`{name}` is there twice"))) } else { Ok(()) }
}

/// A value of an attribute as it is kept; `None` where that is no value at all.
pub(super) fn normal(attribute: &Attribute, value: Value) -> Result<Option<Value>, Fault> {
    if value.is_null() || attribute.mutability == Mutability::ReadOnly {
        return Ok(None);
    }
    if !attribute.many {
        return one(attribute, value);
    }
    let (mut items, mut seen) = (Vec::new(), HashSet::new());
    for value in listed(value) {
        bounded(attribute, items.len())?;
        if let Some(item) = one(attribute, value)?
            && seen.insert(item.to_string())
        {
            items.push(item);
        }
    }
    bounded(attribute, items.len())?;
    if items.iter().filter(|item| is_primary(item)).count() > 1 {
        return Err(Fault::value(format!("more than one of `{}` is primary", attribute.name)));
    }
    Ok((!items.is_empty()).then_some(Value::Array(items)))
}

/// Whether an attribute may have so many values.
pub(super) fn bounded(attribute: &Attribute, count: usize) -> Result<(), Fault> {
    if count <= MOST_VALUES || attribute.name == "members" {
        return Ok(());
    }
    Err(Fault::value(format!("`{}` has at most {MOST_VALUES} values", attribute.name)))
}

/// About how long a value is as JSON.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum(),
        Value::Object(parts) => parts.iter().map(|(name, part)| name.len() + weight(part) + 4).sum(),
    }
}

/// One value stands for a list of one.
pub(super) fn listed(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        value => vec![value],
    }
}

pub(super) fn is_primary(item: &Value) -> bool {
    item.get("primary") == Some(&Value::Bool(true))
}

/// One of the values of an attribute.
pub(super) fn one(attribute: &Attribute, value: Value) -> Result<Option<Value>, Fault> {
    let wrong = || Fault::value(format!("`{}` is not of the type that it should be", attribute.name));
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        (_, Value::String(text)) if text.len() > LONGEST_TEXT => Err(Fault::TooLarge("a text")),
        (Type::Text | Type::Reference | Type::Binary, Value::String(text)) => Ok((!text.is_empty()).then_some(Value::String(text))),
        (Type::Truth, value) => truth(&value).map(|truth| Some(Value::Bool(truth))).ok_or_else(wrong),
        (Type::Time, Value::String(text)) if text.parse::<jiff::Timestamp>().is_ok() => Ok(Some(Value::String(text))),
        (Type::Complex, Value::Object(parts)) => complex(attribute, parts),
        // Entra ID says a manager so.
        (Type::Complex, Value::String(text)) if attribute.part("value").is_some() => {
            complex(attribute, Map::from_iter([("value".to_owned(), Value::String(text))]))
        }
        _ => Err(wrong()),
    }
}

fn complex(attribute: &Attribute, parts: Map<String, Value>) -> Result<Option<Value>, Fault> {
    let mut kept = Map::new();
    for (key, value) in parts {
        if let Some(part) = attribute.part(&key) {
            keep(&mut kept, part.name, normal(part, value)?)?;
        }
    }
    Ok((!kept.is_empty()).then_some(Value::Object(kept)))
}

/// A truth value, also where it is written as a text, as Entra ID does.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The users that a list of members names.
pub(super) fn members(items: Vec<Value>) -> Result<BTreeSet<String>, Fault> {
    items.iter().map(member).collect()
}

fn member(item: &Value) -> Result<String, Fault> {
    let is_user = item.get("type").and_then(Value::as_str).is_none_or(|kind| kind.eq_ignore_ascii_case("User"));
    let at = |key: &str| item.get(key).and_then(Value::as_str);
    let id = item.as_str().or_else(|| at("value")).or_else(|| at("$ref")?.rsplit('/').next());
    match id.filter(|id| is_user && !id.is_empty()) {
        Some(id) => Ok(id.to_owned()),
        None => Err(Fault::value("a member is a user, by its id in `value`")),
    }
}

/// What the store is to keep. A group's members are not in it.
pub(super) fn draft(kind: Kind, kept: &Map<String, Value>) -> Result<Draft, Fault> {
    let name = match kind {
        Kind::User => "userName",
        Kind::Group => "displayName",
    };
    let text = |name: &str| kept.get(name).and_then(Value::as_str);
    let plain = |name: &str| text(name).map(|value| fit_for_rules(name, value)).transpose();
    let body = serde_json::to_string(kept).map_err(|_| Fault::value("not to be written as JSON"))?;
    if body.len() > LONGEST {
        return Err(Fault::TooLarge("the resource"));
    }
    Ok(Draft {
        name: plain(name)?.unwrap_or_default(),
        external_id: plain("externalId")?,
        user_mail: text("userName").and_then(|name| Email::parse(name).ok()),
        primary_mail: primary_mail(kept).and_then(|email| Email::parse(email).ok()),
        entry: entry(kept)?,
        body,
    })
}

/// The address that is marked as primary, or the only one.
fn primary_mail(kept: &Map<String, Value>) -> Option<&str> {
    let emails = kept.get("emails")?.as_array()?;
    let chosen = emails.iter().find(|email| is_primary(email)).or(if let [only] = emails.as_slice() { Some(only) } else { None });
    chosen?.get("value")?.as_str()
}

fn entry(kept: &Map<String, Value>) -> Result<Entry, Fault> {
    let enterprise = kept.get(schema::ENTERPRISE.id).and_then(Value::as_object);
    let mut attributes = BTreeMap::new();
    for name in ATTRIBUTES {
        let Some(value) = enterprise.and_then(|parts| parts.get(name)).or_else(|| kept.get(name)) else { continue };
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let texts = items.iter().filter_map(|item| item.as_str().or_else(|| item.get("value")?.as_str()));
        let values = texts.map(|text| fit_for_rules(name, text)).collect::<Result<Vec<_>, _>>()?;
        if !values.is_empty() {
            attributes.insert(name.to_owned(), values);
        }
    }
    // Where nothing is said of it, a person may sign in; a null is what is left of a no.
    let active = kept.get("active").is_none_or(|active| active == &Value::Bool(true));
    Ok(Entry { active, attributes, groups: Vec::new() })
}

fn fit_for_rules(name: &str, text: &str) -> Result<String, Fault> {
    let fits = text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
    let wrong = || Fault::value(format!("`{name}` is not a plain text of at most {LONGEST_NAME} bytes"));
    fits.then(|| text.to_owned()).ok_or_else(wrong)
}
