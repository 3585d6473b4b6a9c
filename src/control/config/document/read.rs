//! The tree to the structs, with every fault of the shape. In: a [`Node`]. Out: a value, with empty texts, lists and
//! mappings where the file has something else; faults. Must never stop at a fault.
//!
//! serde stops at the first error. This deserializer therefore never makes one: it writes the fault down and hands over
//! something empty of the kind that was asked for. That works because the structs hold nothing but texts, truth values,
//! lists, mappings and plain enums; what the texts mean is checked later.

mod access;

use super::Fault;
use super::node::{Kind, Node, Span};
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use access::{Elements, Entries, Fields};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer as _, Visitor};
use std::cell::RefCell;
use std::fmt;

/// The name of the newtype that takes one text in place of a list of texts.
pub(in crate::control::config) const ONE_OR_MANY: &str = "Texts";
/// The name of the newtype that takes one server in place of a list of servers; it can't be left out.
pub(in crate::control::config) const SERVERS: &str = "Servers";
/// The names of the structs that a text can stand for: that is their first field.
const TEXT_OR_MAPPING: [&str; 2] = ["Server", "DeviceRule"];

/// Reads a value from the tree.
pub(super) fn read<T: DeserializeOwned>(root: &Node, faults: &mut Vec<Fault>) -> Option<T> {
    let sink = RefCell::new(std::mem::take(faults));
    let reader = Reader { from: From::Node(root), place: Place::root(), span: root.span, sink: &sink };
    let value = T::deserialize(reader);
    *faults = sink.into_inner();
    value
        .map_err(|Impossible(message)| {
            faults.push(Fault { place: Place::root(), span: root.span, message, help: None });
        })
        .ok()
}

/// What a value is read from.
#[derive(Clone, Copy)]
enum From<'d> {
    /// What is there.
    Node(&'d Node),
    /// Nothing, which is fine where nothing is needed.
    Absent,
    /// Something wrong that was written down already.
    Broken,
}

/// What a list is of, and so what stands for a list of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// Nothing does.
    Plain,
    /// A text.
    Texts,
    /// A text or a mapping.
    Servers,
}

impl List {
    fn items(self, node: &Node) -> Option<&[Node]> {
        match (&node.kind, self) {
            (Kind::List(items), _) => Some(items),
            _ if node.is_nothing() => None,
            (Kind::Scalar { .. }, Self::Texts | Self::Servers) | (Kind::Mapping(_), Self::Servers) => {
                Some(std::slice::from_ref(node))
            }
            _ => None,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Plain => "a list",
            Self::Texts => "a text or a list of texts",
            Self::Servers => "a server or a list of servers",
        }
    }
}

struct Reader<'d> {
    from: From<'d>,
    place: Place,
    span: Span,
    sink: &'d RefCell<Vec<Fault>>,
}

/// A shape that the structs of the file must not have.
#[derive(Debug)]
struct Impossible(String);

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

impl de::Error for Impossible {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl<'d> Reader<'d> {
    fn fault(&self, message: String, help: Option<String>) {
        self.sink.borrow_mut().push(Fault { place: self.place.clone(), span: self.span, message, help });
    }

    /// Writes down that something else is expected here.
    fn expected(&self, what: &str) {
        match self.from {
            From::Node(node) => {
                let message = format!("`{}` must be {what}, and this is {}", self.place, node.describe());
                self.fault(message, None);
            }
            From::Absent => self.fault(format!("`{}` is missing", self.place), Some(format!("it must be {what}"))),
            From::Broken => {}
        }
    }

    /// The text that is here; empty with a fault when there is none.
    fn text(&self, what: &str) -> &'d str {
        match self.from {
            From::Node(node) if !node.is_nothing() => match &node.kind {
                Kind::Scalar { text, .. } => return text,
                _ => self.expected(what),
            },
            _ => self.expected(what),
        }
        ""
    }

    fn truth(&self) -> bool {
        let text = match self.from {
            From::Node(Node { kind: Kind::Scalar { text, plain: true }, .. }) => &**text,
            From::Absent => "false",
            _ => "",
        };
        if !matches!(text, "true" | "false") {
            self.expected("`true` or `false`");
        }
        text == "true"
    }

    fn elements(self, list: List) -> Elements<'d> {
        let items = match self.from {
            From::Node(node) => list.items(node).unwrap_or_else(|| {
                self.expected(list.what());
                &[]
            }),
            From::Absent if list == List::Servers => {
                self.expected(list.what());
                &[]
            }
            From::Absent | From::Broken => &[],
        };
        Elements::new(items, self.place, self.sink)
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Impossible;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Impossible> {
        Err(Impossible("a value of any kind can't be read".to_owned()))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Impossible> {
        visitor.visit_bool(self.truth())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Impossible> {
        visitor.visit_str(self.text("a text"))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Impossible> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Impossible> {
        match self.from {
            From::Node(_) => visitor.visit_some(self),
            From::Absent | From::Broken => visitor.visit_none(),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Impossible> {
        match name {
            ONE_OR_MANY => visitor.visit_seq(self.elements(List::Texts)),
            SERVERS => visitor.visit_seq(self.elements(List::Servers)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Impossible> {
        visitor.visit_seq(self.elements(List::Plain))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Impossible> {
        visitor.visit_map(Entries::of(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Impossible> {
        let short = TEXT_OR_MAPPING.contains(&name) && matches!(self.from, From::Node(Node { kind: Kind::Scalar { .. }, .. }));
        visitor.visit_map(if short { Fields::first(self, fields) } else { Fields::of(self, fields) })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Impossible> {
        let what = format!("one of `{}`", variants.join("`, `"));
        let text = self.text(&what);
        let first = variants.first().copied().unwrap_or_default();
        let known = variants.iter().copied().find(|variant| *variant == text);
        if known.is_none() && !text.is_empty() {
            let help = did_you_mean(text, variants.iter().copied());
            self.fault(format!("`{}` must be {what}", self.place), help);
        }
        visitor.visit_enum(known.unwrap_or(first).into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}
