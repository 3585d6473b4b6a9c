//! The tree. In: nothing. Out: nodes with the places in the text where they stand.

use crate::control::config::place::{Place, Step};

/// A stretch of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
    /// In characters; `usize::MAX` for all that is left of the line.
    pub(super) length: usize,
}

impl Span {
    /// The beginning of the file.
    pub(super) const START: Self = Self { line: 1, column: 1, length: 1 };
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    /// How many nodes it is made of, itself included.
    pub(super) size: usize,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// `plain` when it is not quoted, so that `true` and nothing at all can mean what they say.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) span: Span,
    pub(super) value: Node,
}

impl Node {
    /// What to call it in a message.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            _ if self.is_nothing() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    /// Whether this is YAML's null.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Where the value of this place stands; for a mapping or a list its key; for what is not there, what it is missing in.
    /// `in_key`: where the key stands in any case.
    pub(super) fn span_of(&self, place: &Place, in_key: bool) -> Span {
        let (mut node, mut best) = (self, self.span);
        for step in place.steps() {
            let next = match (step, &node.kind) {
                (Step::Key(key), Kind::Mapping(entries)) => entries.iter().find(|entry| *entry.key == **key).map(|entry| {
                    let scalar = !in_key && matches!(entry.value.kind, Kind::Scalar { .. });
                    (&entry.value, if scalar { entry.value.span } else { entry.span })
                }),
                (Step::Index(index), Kind::List(items)) => items.get(*index).map(|item| (item, item.span)),
                // A single value stands for a list of one.
                (Step::Index(0), Kind::Scalar { .. } | Kind::Mapping(_)) => Some((node, best)),
                _ => None,
            };
            match next {
                Some(next) => (node, best) = next,
                None => break,
            }
        }
        best
    }
}
