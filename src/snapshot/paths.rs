//! Which entry a path belongs to, by the most specific pattern. In: patterns once, then paths. Out: the entry. The cost
//! of a look-up grows with the segments of the path, not with the number of patterns.
//!
//! More specific, segment by segment from the left: a literal, then `*`, then `**`. A trailing slash makes no difference.

use crate::model::route::{Pattern, Segment};
use foldhash::HashMap;

/// A tree of patterns, each with a value.
#[derive(Debug)]
pub struct Paths<T> {
    exact: Node<T>,
    folded: Option<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    literals: HashMap<Box<str>, Node<T>>,
    one: Option<Box<Node<T>>>,
    rest: Option<T>,
    here: Option<T>,
}

/// Two entries have the same pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another entry has the same pattern")]
pub struct Duplicate;

impl<T: Copy + PartialEq> Paths<T> {
    /// A tree in which every path finds `everything`.
    pub fn new(everything: T) -> Self {
        Self {
            exact: Node { rest: Some(everything), ..Node::empty() },
            folded: Some(Node { rest: Some(everything), ..Node::empty() }),
        }
    }

    /// A tree in which no path finds anything.
    pub fn empty() -> Self {
        Self { exact: Node::empty(), folded: Some(Node::empty()) }
    }

    /// Adds a pattern.
    pub fn insert(&mut self, pattern: &Pattern, value: T) -> Result<(), Duplicate> {
        self.exact.insert(pattern.segments(), value, false)?;
        // Patterns that differ in nothing but case say that the app tells them apart: no folding for it.
        self.folded = self.folded.take().and_then(|mut node| node.insert(pattern.segments(), value, true).is_ok().then_some(node));
        Ok(())
    }

    /// The value of the most specific pattern that matches this decoded path, which starts with `/`.
    pub fn find(&self, path: &str) -> Option<T> {
        self.exact.find(inner(path))
    }

    /// The same for an app that takes upper and lower case for the same: `path` must be lower case.
    pub fn find_folded(&self, path: &str) -> Option<T> {
        self.folded.as_ref().unwrap_or(&self.exact).find(inner(path))
    }

    /// Whether an app that takes upper and lower case for the same would find another value.
    pub fn folds_elsewhere(&self, path: &str) -> bool {
        if self.is_uniform() || self.is_case_sensitive() || !path.chars().any(char::is_uppercase) {
            return false;
        }
        self.find_folded(&path.to_lowercase()) != self.find(path)
    }

    /// One of the values.
    pub fn any(&self) -> Option<T> {
        self.exact.any()
    }

    /// Whether two patterns differ in nothing but case.
    pub fn is_case_sensitive(&self) -> bool {
        self.folded.is_none()
    }

    /// Whether every path finds the same value.
    pub fn is_uniform(&self) -> bool {
        self.exact.literals.is_empty() && self.exact.one.is_none() && self.exact.here.is_none()
    }
}

fn inner(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    (!path.is_empty()).then_some(path)
}

impl<T: Copy + PartialEq> Node<T> {
    fn empty() -> Self {
        Self { literals: HashMap::default(), one: None, rest: None, here: None }
    }

    fn insert(&mut self, segments: &[Segment], value: T, fold: bool) -> Result<(), Duplicate> {
        let Some((first, others)) = segments.split_first() else {
            return set(&mut self.here, value);
        };
        match first {
            Segment::Rest => set(&mut self.rest, value),
            Segment::One => self.one.get_or_insert_with(|| Box::new(Self::empty())).insert(others, value, fold),
            Segment::Literal(text) if text.is_empty() && others.is_empty() => set(&mut self.here, value),
            Segment::Literal(text) => {
                let text = if fold { text.to_lowercase().into() } else { text.clone() };
                self.literals.entry(text).or_insert_with(Self::empty).insert(others, value, fold)
            }
        }
    }

    fn any(&self) -> Option<T> {
        let below = || self.literals.values().chain(self.one.as_deref()).find_map(Self::any);
        self.here.or(self.rest).or_else(below)
    }

    fn find(&self, path: Option<&str>) -> Option<T> {
        let Some(path) = path else { return self.here.or(self.rest) };
        let (segment, others) = match path.split_once('/') {
            Some((segment, others)) => (segment, Some(others)),
            None => (path, None),
        };
        let literal = if self.literals.is_empty() { None } else { self.literals.get(segment) };
        literal.and_then(|node| node.find(others)).or_else(|| self.one.as_ref().and_then(|node| node.find(others))).or(self.rest)
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), Duplicate> {
    if place.is_some() {
        return Err(Duplicate);
    }
    *place = Some(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn paths() -> Paths<u32> {
        let mut paths = Paths::new(0);
        for (value, pattern) in (1..).zip(["/health", "/admin/**", "/users/*/keys", "/users/me/**", "/", "/a/*/c/**"]) {
            paths.insert(&Pattern::parse(pattern).unwrap(), value).unwrap();
        }
        paths
    }

    #[test]
    fn the_most_specific_pattern_decides() {
        let cases = [
            ("/", 5),
            ("/health", 1),
            ("/health/", 1),
            ("/health/x", 0),
            ("/healthy", 0),
            ("/admin", 2),
            ("/admin/", 2),
            ("/admin/a/b", 2),
            ("/users/eve/keys", 3),
            ("/users/me/keys", 4),
            ("/users/eve", 0),
            ("/a/b/c", 6),
            ("/a/b/c/d", 6),
            ("/a/b/d", 0),
        ];
        let paths = paths();
        for (path, expected) in cases {
            assert_eq!(paths.find(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_case_insensitive_app_reads_other_spellings_as_the_same_entry() {
        assert_eq!(paths().find("/ADMIN"), Some(0));
        assert_eq!(paths().find_folded("/admin"), Some(2));
    }

    #[test]
    fn patterns_that_differ_in_case_alone_turn_folding_off() {
        let mut paths = paths();
        paths.insert(&Pattern::parse("/Admin/**").unwrap(), 9).unwrap();
        assert!(paths.is_case_sensitive());
        assert_eq!(paths.insert(&Pattern::parse("/admin/**").unwrap(), 9), Err(Duplicate));
    }
}
