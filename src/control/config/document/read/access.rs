//! The elements of lists, the entries of mappings, the fields of structs, one after the other. In: nodes. Out: readers
//! for serde's visitors; faults for fields that do not exist.

use super::{From, Impossible, Reader};
use crate::control::config::document::Fault;
use crate::control::config::document::mask::SECRET;
use crate::control::config::document::node::{Entry, Kind, Node};
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess};
use std::cell::RefCell;

pub(super) struct Elements<'d> {
    items: std::iter::Enumerate<std::slice::Iter<'d, Node>>,
    place: Place,
    sink: &'d RefCell<Vec<Fault>>,
}

impl<'d> Elements<'d> {
    pub(super) fn new(items: &'d [Node], place: Place, sink: &'d RefCell<Vec<Fault>>) -> Self {
        let items = items.iter().enumerate();
        Self { items, place, sink }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Impossible;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Impossible> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let reader = Reader { from: From::Node(node), place: self.place.index(index), span: node.span, sink: self.sink };
        seed.deserialize(reader).map(Some)
    }
}

/// Whatever keys the file has.
pub(super) struct Entries<'d> {
    entries: std::slice::Iter<'d, Entry>,
    current: Option<&'d Entry>,
    place: Place,
    sink: &'d RefCell<Vec<Fault>>,
}

impl<'d> Entries<'d> {
    pub(super) fn of(reader: Reader<'d>) -> Self {
        let entries = entries_of(&reader).unwrap_or_default().iter();
        Self { entries, current: None, place: reader.place, sink: reader.sink }
    }
}

/// What is in the mapping; a fault when there is something else.
fn entries_of<'d>(reader: &Reader<'d>) -> Option<&'d [Entry]> {
    let From::Node(node) = reader.from else { return None };
    if let Kind::Mapping(entries) = &node.kind {
        return Some(entries);
    }
    reader.expected("a mapping (`key: value`)");
    None
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Impossible;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Impossible> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(&entry.key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Impossible> {
        let entry = self.current.ok_or_else(|| Impossible("a value without a key".to_owned()))?;
        seed.deserialize(value_of(entry, &self.place, self.sink))
    }
}

fn value_of<'d>(entry: &'d Entry, place: &Place, sink: &'d RefCell<Vec<Fault>>) -> Reader<'d> {
    let simple = matches!(entry.value.kind, Kind::Scalar { .. }) && !entry.value.is_nothing();
    Reader {
        from: From::Node(&entry.value),
        place: place.key(&entry.key),
        span: if simple { entry.value.span } else { entry.span },
        sink,
    }
}

/// The fields of a struct: each of them, whether the file has it or not.
pub(super) struct Fields<'d> {
    reader: Reader<'d>,
    entries: Option<&'d [Entry]>,
    fields: std::slice::Iter<'static, &'static str>,
    current: &'static str,
    /// The field that the text here stands for.
    short: Option<&'static str>,
}

impl<'d> Fields<'d> {
    /// A text in place of a struct that has it for its first field and nothing else.
    pub(super) fn first(reader: Reader<'d>, fields: &'static [&'static str]) -> Self {
        Self { reader, entries: Some(&[]), short: fields.first().copied(), fields: fields.iter(), current: "" }
    }

    pub(super) fn of(reader: Reader<'d>, fields: &'static [&'static str]) -> Self {
        let entries = entries_of(&reader);
        for entry in entries.unwrap_or_default() {
            if !fields.contains(&&*entry.key) {
                unknown(&reader, entry, fields);
            }
        }
        Self { reader, entries, short: None, fields: fields.iter(), current: "" }
    }
}

fn unknown(reader: &Reader<'_>, entry: &Entry, fields: &[&str]) {
    // In place of a source, somebody may have written the secret itself.
    let secret = SECRET.iter().any(|key| reader.place.ends_with(key));
    let key = if secret { "" } else { &*entry.key };
    let message = match reader.place.to_string() {
        place if secret => format!("unknown key in `{place}`"),
        top if top.is_empty() => format!("unknown key `{key}`"),
        place => format!("unknown key `{key}` in `{place}`"),
    };
    let all = || format!("there are: {}", fields.join(", "));
    let help = did_you_mean(key, fields.iter().copied()).unwrap_or_else(all);
    reader.sink.borrow_mut().push(Fault { place: reader.place.key(key), span: entry.span, message, help: Some(help) });
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Impossible;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Impossible> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        self.current = field;
        seed.deserialize(StrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Impossible> {
        let (reader, field) = (&self.reader, self.current);
        if self.short == Some(field) {
            return seed.deserialize(Reader { place: reader.place.clone(), ..*reader });
        }
        let found = self.entries.and_then(|entries| entries.iter().find(|entry| entry.key == field));
        if let Some(entry) = found {
            return seed.deserialize(value_of(entry, &reader.place, reader.sink));
        }
        let absent = self.entries.is_some() || matches!(reader.from, From::Absent);
        seed.deserialize(Reader {
            from: if absent { From::Absent } else { From::Broken },
            place: reader.place.key(field),
            span: reader.span,
            sink: reader.sink,
        })
    }
}
