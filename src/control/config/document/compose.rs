//! YAML to the tree. In: text. Out: a [`Node`], and faults: keys that are there twice, and the one place where the text
//! stops being YAML. Must never grow beyond [`MOST_NODES`], whatever the aliases say.

use super::Fault;
use super::node::{Entry, Kind, Node, Span};
use crate::control::config::place::Place;
use granit_parser::{Event, Marker, Parser, ScalarStyle, Span as Range, Tag};
use std::collections::HashMap;

/// How many values a file may have, aliases written out.
const MOST_NODES: usize = 1_000_000;
/// How deeply values may be nested.
const DEEPEST: usize = 32;

/// Reads one document. No tree when the text is not YAML.
pub(super) fn compose(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut composer = Composer::default();
    for event in Parser::new_from_str(text) {
        let taken = match event {
            Ok((event, range)) => composer.take(event, range),
            Err(error) => Err(fault(mark(error.marker()), format!("not YAML: {}", error.info()))),
        };
        if let Err(fault) = taken {
            composer.faults.push(fault);
            return (None, composer.faults);
        }
    }
    if composer.root.is_none() {
        composer.faults.push(fault(Span::START, "the file is empty".to_owned()));
    }
    (composer.root, composer.faults)
}

#[derive(Default)]
struct Composer {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    faults: Vec<Fault>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    place: Place,
    kind: Kind,
    key: Option<(String, Span)>,
    /// The lines of the keys so far.
    keys: HashMap<String, usize>,
}

impl Composer {
    fn take(&mut self, event: Event<'_>, range: Range) -> Result<(), Fault> {
        let here = span(range);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), here);
                self.count(1, here)?;
                let plain = style == ScalarStyle::Plain;
                let kind = Kind::Scalar { text: text.into_owned(), plain };
                self.add(Node { span: here, size: 1, kind }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(Kind::List(Vec::new()), here, anchor, tag.as_deref()),
            Event::MappingStart(_, anchor, tag) => self.open(Kind::Mapping(Vec::new()), here, anchor, tag.as_deref()),
            Event::SequenceEnd | Event::MappingEnd => self.close(range),
            Event::Alias(anchor) => self.alias(anchor, here),
            Event::DocumentStart(..) if self.root.is_some() => Err(fault(here, "a second document begins here".to_owned())),
            _ => Ok(()),
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, here: Span) {
        if tag.is_some() {
            self.faults.push(fault(here, "tags (`!…`) are not used in this file".to_owned()));
        }
    }

    fn open(&mut self, kind: Kind, span: Span, anchor: usize, tag: Option<&Tag>) -> Result<(), Fault> {
        self.check_tag(tag, span);
        if self.open.len() >= DEEPEST {
            return Err(fault(span, format!("nested more than {DEEPEST} deep")));
        }
        self.count(1, span)?;
        let place = self.next_place();
        self.open.push(Open { span, anchor, place, kind, key: None, keys: HashMap::new() });
        Ok(())
    }

    /// Where the next value goes.
    fn next_place(&self) -> Place {
        let Some(open) = self.open.last() else { return Place::root() };
        match (&open.kind, &open.key) {
            (Kind::List(items), _) => open.place.index(items.len()),
            (_, Some((key, _))) => open.place.key(key),
            _ => open.place.clone(),
        }
    }

    fn close(&mut self, range: Range) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let size = match &open.kind {
            Kind::List(items) => items.iter().map(|item| item.size).sum(),
            Kind::Mapping(entries) => entries.iter().map(|entry| entry.value.size).sum(),
            Kind::Scalar { .. } => 0,
        };
        let end = range.end;
        let length = if end.line() == open.span.line { (end.col() + 1).saturating_sub(open.span.column) } else { usize::MAX };
        let span = Span { length, ..open.span };
        let node = Node { span, size: size + 1, kind: open.kind };
        self.add(node, open.anchor)
    }

    fn alias(&mut self, anchor: usize, here: Span) -> Result<(), Fault> {
        let unknown = || fault(here, "nothing has this name yet".to_owned());
        let size = self.anchors.get(&anchor).ok_or_else(unknown)?.size;
        // Before the copy is made: that is what bombs are about.
        self.count(size, here)?;
        let node = self.anchors.get(&anchor).ok_or_else(unknown)?.clone();
        self.add(node, 0)
    }

    fn count(&mut self, nodes: usize, here: Span) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MOST_NODES {
            return Err(fault(here, format!("the file has more than {MOST_NODES} values, aliases written out")));
        }
        Ok(())
    }

    /// Puts a value where it belongs; an anchor keeps a copy of it.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.count(node.size, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.kind, open.key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Mapping(_), None) => open.key = Some(key(node)?),
            (Kind::Mapping(entries), Some((key, span))) => match open.keys.insert(key.clone(), span.line) {
                None => entries.push(Entry { key, span, value: node }),
                Some(first) => self.faults.push(twice(open.place.key(&key), span, &key, first)),
            },
            (Kind::Scalar { .. }, _) => {}
        }
        Ok(())
    }
}

fn twice(place: Place, span: Span, key: &str, first: usize) -> Fault {
    Fault { place, span, message: format!("`{key}` is here twice"), help: Some(format!("the first is in line {first}")) }
}

fn key(node: Node) -> Result<(String, Span), Fault> {
    match node.kind {
        Kind::Scalar { text, .. } => Ok((text, node.span)),
        _ => Err(fault(node.span, "a key must be a single value".to_owned())),
    }
}

fn fault(span: Span, message: String) -> Fault {
    Fault { place: Place::root(), span, message, help: None }
}

fn mark(marker: &Marker) -> Span {
    Span { line: marker.line(), column: marker.col() + 1, length: 1 }
}

fn span(range: Range) -> Span {
    let one_line = range.start.line() == range.end.line();
    let length = if one_line { range.end.col().saturating_sub(range.start.col()) } else { usize::MAX };
    Span { length, ..mark(&range.start) }
}
