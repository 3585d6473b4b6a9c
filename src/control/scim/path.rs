//! Paths of attributes (RFC 7644, section 3.10). In: text of a client. Out: what it leads to, by the definitions. Must never lead to
//! something that is not defined.

use super::fault::Fault;
use super::filter::{Filter, parse};
use super::schema::{self, Attribute, Type};
use crate::model::directory::Kind;

/// An attribute, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// Whether it is in the extension.
    pub(super) extended: bool,
    /// The attribute.
    pub(super) attribute: &'static Attribute,
    /// The part.
    pub(super) part: Option<&'static Attribute>,
}

/// What a path leads to.
#[derive(Clone, Copy)]
pub(super) enum Named {
    /// The whole extension.
    Extension,
    /// Something in a resource.
    Attribute(At),
}

/// Where an operation of a patch takes place.
pub(super) enum Target {
    /// In the whole extension.
    Extension,
    /// At an attribute.
    Attribute(At),
    /// At those values of an attribute that match, or at a part of them.
    Some { at: At, filter: Filter },
}

/// What a name with dots and a URN in front leads to.
pub(super) fn resolve(kind: Kind, text: &str) -> Option<Named> {
    if let Some(extension) = schema::extension(kind) {
        match behind(text, extension.id) {
            Some("") => return Some(Named::Extension),
            Some(rest) => return within(rest, |name| schema::named(extension.attributes, name), true),
            None => {}
        }
    }
    let rest = behind(text, schema::core(kind).id).filter(|rest| !rest.is_empty()).unwrap_or(text);
    within(rest, |name| schema::attribute(kind, name), false)
}

/// What follows a URN and a colon; nothing where the URN is all there is.
fn behind<'t>(text: &'t str, urn: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(urn.len())?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(':').filter(|rest| !rest.is_empty())? };
    start.eq_ignore_ascii_case(urn).then_some(rest)
}

fn within(text: &str, find: impl Fn(&str) -> Option<&'static Attribute>, extended: bool) -> Option<Named> {
    let (name, part) = text.split_once('.').map_or((text, None), |(name, part)| (name, Some(part)));
    let attribute = find(name)?;
    let part = match part {
        Some(part) => Some(attribute.part(part)?),
        None => None,
    };
    Some(Named::Attribute(At { extended, attribute, part }))
}

/// The path of an operation: `attribute`, `attribute.part`, `attribute[filter]`, `attribute[filter].part`, each with a URN or not.
pub(super) fn target(kind: Kind, text: &str) -> Result<Target, Fault> {
    let unknown = || Fault::InvalidPath(format!("`{text}` leads nowhere"));
    let Some((name, rest)) = text.split_once('[') else {
        return match resolve(kind, text).ok_or_else(unknown)? {
            Named::Extension => Ok(Target::Extension),
            Named::Attribute(at) => Ok(Target::Attribute(at)),
        };
    };
    let (inner, part) = rest.rsplit_once(']').ok_or_else(unknown)?;
    let Some(Named::Attribute(at @ At { attribute, part: None, .. })) = resolve(kind, name) else { return Err(unknown()) };
    if !attribute.many || attribute.kind != Type::Complex {
        return Err(Fault::InvalidPath(format!("`{name}` has no values to choose from")));
    }
    let filter = parse::of_values(attribute, inner).map_err(|wrong| Fault::InvalidPath(wrong.to_string()))?;
    let part = match part {
        "" => None,
        part => Some(part.strip_prefix('.').and_then(|part| attribute.part(part)).ok_or_else(unknown)?),
    };
    Ok(Target::Some { at: At { part, ..at }, filter })
}
