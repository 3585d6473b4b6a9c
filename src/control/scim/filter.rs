//! Filters (RFC 7644, section 3.4.2.2), held against resources. In: a parsed filter, a resource as it is shown. Out: yes or no. Must
//! never be evaluated by anything but the definitions of attributes: a filter has no way to a query of the store.

pub(super) mod parse;

use super::path::At;
use super::schema::{Attribute, ENTERPRISE, Type};
use crate::model::directory::Kind;
use crate::store::directory::Key;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// A condition.
pub(super) enum Filter {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// One value of this attribute matches all of it.
    Within(At, Box<Self>),
    Test(Option<Operand>, Test),
}

/// What is looked at.
#[derive(Clone, Copy)]
pub(super) enum Operand {
    /// An attribute of the resource.
    Of(At),
    /// A part of the value that is looked at.
    Part(&'static Attribute),
}

/// How it is looked at.
pub(super) enum Test {
    Present,
    Compare(Compare, Wanted),
}

/// The operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Contains,
    Starts,
    Ends,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What it is compared with, of the attribute's type.
pub(super) enum Wanted {
    Nothing,
    Text { said: String, compared: String, exact: bool },
    Truth(bool),
    Time(i64),
}

impl Filter {
    /// Whether a resource, or a value of one, matches.
    pub(super) fn matches(&self, of: &Map<String, Value>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(of)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(of)),
            Self::Not(part) => !part.matches(of),
            Self::Within(at, part) => {
                values(of, at.extended, at.attribute).filter_map(Value::as_object).any(|value| part.matches(value))
            }
            Self::Test(None, test) => test.matches_nothing(),
            Self::Test(Some(Operand::Part(part)), test) => test.matches(of.get(part.name).into_iter()),
            Self::Test(Some(Operand::Of(at)), test) => at.test(of, test),
        }
    }

    /// What every match has, where that makes it easy to find.
    pub(super) fn key(&self, kind: Kind) -> Option<Key> {
        match self {
            Self::All(parts) => parts.iter().find_map(|part| part.key(kind)),
            Self::Test(Some(Operand::Of(At { extended: false, attribute, part: None })), test) => {
                let Test::Compare(Compare::Equal, Wanted::Text { said, .. }) = test else { return None };
                match (attribute.name, kind) {
                    ("id", _) => Some(Key::Id(said.clone())),
                    ("externalId", _) => Some(Key::ExternalId(said.clone())),
                    ("userName", Kind::User) | ("displayName", Kind::Group) => Some(Key::Name(said.clone())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether it looks at an attribute of the resource.
    pub(super) fn asks_for(&self, name: &str) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.asks_for(name)),
            Self::Not(part) => part.asks_for(name),
            Self::Within(at, _) | Self::Test(Some(Operand::Of(at)), _) => at.attribute.name == name,
            Self::Test(..) => false,
        }
    }

    /// The one resource of which alone it matters whether it is among those of this attribute.
    pub(super) fn sole(&self, name: &str) -> Option<String> {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let mut asking = parts.iter().filter(|part| part.asks_for(name));
                asking.next().filter(|_| asking.next().is_none())?.sole(name)
            }
            Self::Not(part) => part.sole(name),
            Self::Within(at, part) if at.attribute.name == name => match part.equalities()?.as_slice() {
                [("value", Value::String(id))] => Some(id.clone()),
                _ => None,
            },
            Self::Test(Some(Operand::Of(at)), Test::Compare(Compare::Equal, Wanted::Text { said, .. })) => {
                let is_id = at.attribute.name == name && at.part.is_none_or(|part| part.name == "value");
                is_id.then(|| said.clone())
            }
            Self::Within(..) | Self::Test(..) => None,
        }
    }

    /// The parts that a value must have to match, where it says so plainly.
    pub(super) fn equalities(&self) -> Option<Vec<(&'static str, Value)>> {
        match self {
            Self::All(parts) => parts.iter().map(Self::equalities).collect::<Option<Vec<_>>>().map(|parts| parts.concat()),
            Self::Test(Some(Operand::Part(part)), Test::Compare(Compare::Equal, wanted)) => {
                let value = match wanted {
                    Wanted::Text { said, .. } => said.clone().into(),
                    Wanted::Truth(truth) => (*truth).into(),
                    Wanted::Nothing | Wanted::Time(_) => return None,
                };
                Some(vec![(part.name, value)])
            }
            _ => None,
        }
    }
}

impl At {
    fn test(&self, of: &Map<String, Value>, test: &Test) -> bool {
        let values = values(of, self.extended, self.attribute);
        match (self.part, test) {
            (Some(part), _) => test.matches(values.filter_map(|value| value.get(part.name))),
            (None, Test::Compare(..)) if self.attribute.kind == Type::Complex => {
                test.matches(values.filter_map(|value| value.get("value")))
            }
            (None, _) => test.matches(values),
        }
    }
}

/// The values of an attribute of a resource: one, several or none.
pub(super) fn values<'r>(
    of: &'r Map<String, Value>,
    extended: bool,
    attribute: &Attribute,
) -> impl Iterator<Item = &'r Value> + use<'r> {
    let of = if extended { of.get(ENTERPRISE.id).and_then(Value::as_object) } else { Some(of) };
    let value = of.and_then(|of| of.get(attribute.name));
    value.map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)).unwrap_or_default().iter()
}

impl Test {
    fn matches<'v>(&self, mut values: impl Iterator<Item = &'v Value>) -> bool {
        match self {
            Self::Present => values.any(is_there),
            Self::Compare(compare, wanted) => {
                let mut values = values.filter(|value| is_there(value)).peekable();
                if values.peek().is_none() { self.matches_nothing() } else { values.any(|value| wanted.fits(*compare, value)) }
            }
        }
    }

    /// Whether an attribute without a value matches.
    const fn matches_nothing(&self) -> bool {
        match self {
            Self::Present => false,
            Self::Compare(Compare::Equal, Wanted::Nothing) => true,
            Self::Compare(Compare::NotEqual, wanted) => !matches!(wanted, Wanted::Nothing),
            Self::Compare(..) => false,
        }
    }
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(parts) => !parts.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

impl Wanted {
    fn fits(&self, compare: Compare, value: &Value) -> bool {
        match (self, value) {
            (Self::Nothing, _) => compare == Compare::NotEqual,
            (Self::Text { compared, exact, .. }, Value::String(text)) => {
                let folded = if *exact { None } else { Some(text.to_lowercase()) };
                compare.fits(folded.as_deref().unwrap_or(text), compared)
            }
            (Self::Truth(wanted), Value::Bool(value)) => (compare == Compare::Equal) == (wanted == value),
            (Self::Time(wanted), Value::String(text)) => {
                text.parse::<jiff::Timestamp>().is_ok_and(|time| compare.orders(time.as_millisecond().cmp(wanted)))
            }
            _ => false,
        }
    }
}

impl Compare {
    fn fits(self, text: &str, wanted: &str) -> bool {
        match self {
            Self::Contains => text.contains(wanted),
            Self::Starts => text.starts_with(wanted),
            Self::Ends => text.ends_with(wanted),
            _ => self.orders(text.cmp(wanted)),
        }
    }

    const fn orders(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Contains | Self::Starts | Self::Ends => false,
        }
    }
}
