//! What users and groups are made of (RFC 7643, sections 4, 7 and 8.7). In: a name, in any case. Out: its definition, which
//! everything else goes by: what is taken, how it is compared, what is shown.

mod tables;

pub(super) use tables::{ENTERPRISE, GROUP, USER};

use crate::model::directory::Kind;
use serde_json::{Value, json};

/// A schema.
pub(super) struct Schema {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) attributes: &'static [Attribute],
}

/// An attribute, or a part of one.
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: Type,
    pub(super) many: bool,
    pub(super) required: bool,
    pub(super) exact: bool,
    pub(super) mutability: Mutability,
    pub(super) returned: Returned,
    pub(super) unique: bool,
    pub(super) canonical: &'static [&'static str],
    pub(super) refers_to: &'static [&'static str],
    pub(super) parts: &'static [Self],
}

/// What its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Truth,
    Time,
    Reference,
    Binary,
    Complex,
}

/// Who changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutability {
    ReadWrite,
    ReadOnly,
    Immutable,
}

/// When it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    Always,
    Default,
}

impl Attribute {
    pub(super) const fn new(name: &'static str, kind: Type, about: &'static str) -> Self {
        Self {
            name,
            about,
            kind,
            many: false,
            required: false,
            exact: matches!(kind, Type::Reference | Type::Binary),
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            unique: false,
            canonical: &[],
            refers_to: &[],
            parts: &[],
        }
    }

    pub(super) const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) const fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    pub(super) const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    pub(super) const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    pub(super) const fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    pub(super) const fn always(self) -> Self {
        Self { returned: Returned::Always, ..self }
    }

    pub(super) const fn one_of(self, canonical: &'static [&'static str]) -> Self {
        Self { canonical, ..self }
    }

    pub(super) const fn to(self, refers_to: &'static [&'static str]) -> Self {
        Self { refers_to, ..self }
    }

    pub(super) const fn of(self, parts: &'static [Self]) -> Self {
        Self { parts, ..self }
    }

    /// A part of it.
    pub(super) fn part(&self, name: &str) -> Option<&'static Self> {
        named(self.parts, name)
    }

    fn json(&self) -> Value {
        let mut said = json!({
            "name": self.name,
            "type": self.kind.code(),
            "multiValued": self.many,
            "description": self.about,
            "required": self.required,
            "mutability": self.mutability.code(),
            "returned": if self.returned == Returned::Always { "always" } else { "default" },
        });
        let mut add = |key: &str, value: Value| drop(said.as_object_mut().map(|said| said.insert(key.to_owned(), value)));
        match self.kind {
            Type::Complex => add("subAttributes", self.parts.iter().map(Self::json).collect()),
            Type::Text | Type::Reference | Type::Binary => {
                add("caseExact", self.exact.into());
                add("uniqueness", if self.unique { "server" } else { "none" }.into());
            }
            Type::Truth | Type::Time => {}
        }
        if !self.canonical.is_empty() {
            add("canonicalValues", self.canonical.into());
        }
        if !self.refers_to.is_empty() {
            add("referenceTypes", self.refers_to.into());
        }
        said
    }
}

impl Type {
    const fn code(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Truth => "boolean",
            Self::Time => "dateTime",
            Self::Reference => "reference",
            Self::Binary => "binary",
            Self::Complex => "complex",
        }
    }
}

impl Mutability {
    const fn code(self) -> &'static str {
        match self {
            Self::ReadWrite => "readWrite",
            Self::ReadOnly => "readOnly",
            Self::Immutable => "immutable",
        }
    }
}

impl Schema {
    pub(super) fn json(&self) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": self.id,
            "name": self.name,
            "description": self.about,
            "attributes": self.attributes.iter().map(Attribute::json).collect::<Vec<_>>(),
        })
    }
}

/// The definition of a name among others; names don't tell upper case from lower (RFC 7643, section 2.1).
pub(super) fn named(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// What resources of a kind are made of.
pub(super) const fn core(kind: Kind) -> &'static Schema {
    match kind {
        Kind::User => &USER,
        Kind::Group => &GROUP,
    }
}

/// What they may have beside it.
pub(super) const fn extension(kind: Kind) -> Option<&'static Schema> {
    match kind {
        Kind::User => Some(&ENTERPRISE),
        Kind::Group => None,
    }
}

/// An attribute of a kind, or one that every resource has (RFC 7643, section 3.1).
pub(super) fn attribute(kind: Kind, name: &str) -> Option<&'static Attribute> {
    named(tables::COMMON, name).or_else(|| named(core(kind).attributes, name))
}
