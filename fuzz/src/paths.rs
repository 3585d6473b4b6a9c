//! Path patterns: the tree finds what reading all patterns one by one finds.

use doorward::model::route::{Pattern, Segment};
use doorward::snapshot::paths::Paths;
use std::cmp::Reverse;

/// Checks one input; panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let Some(path) = lines.next().filter(|path| path.starts_with('/')) else { return };
    let mut paths = Paths::new(0_usize);
    let mut patterns = vec![Pattern::parse("/**").unwrap()];
    for pattern in lines.filter_map(|line| Pattern::parse(line).ok()) {
        assert_eq!(Pattern::parse(&pattern.to_string()).as_ref(), Ok(&pattern));
        if paths.insert(&pattern, patterns.len()).is_ok() {
            patterns.push(pattern);
        }
    }
    let path_segments: Vec<&str> = segments(path);
    let fitting = patterns.iter().enumerate().filter(|(_, pattern)| fits(pattern.segments(), &path_segments));
    let best = fitting.max_by_key(|(_, pattern)| Reverse(rank(pattern.segments()))).map(|(index, _)| index);
    assert_eq!(paths.find(path), best, "{path} in {patterns:?}");
}

/// A slash at the end makes no difference.
fn segments(path: &str) -> Vec<&str> {
    let inner = &path[1..];
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() { Vec::new() } else { inner.split('/').collect() }
}

fn fits(pattern: &[Segment], path: &[&str]) -> bool {
    match (pattern, path) {
        ([Segment::Rest], _) | ([], []) => true,
        // A slash at the end of a pattern makes no difference either.
        ([Segment::Literal(text)], path) if text.is_empty() => path.is_empty(),
        ([Segment::One, pattern @ ..], [_, path @ ..]) => fits(pattern, path),
        ([Segment::Literal(text), pattern @ ..], [first, path @ ..]) => **text == **first && fits(pattern, path),
        _ => false,
    }
}

/// From the left: a literal before `*` before `**`.
fn rank(pattern: &[Segment]) -> Vec<u8> {
    let rank = |segment: &Segment| match segment {
        Segment::Literal(text) if text.is_empty() => None,
        Segment::Literal(_) => Some(0),
        Segment::One => Some(1),
        Segment::Rest => Some(2),
    };
    pattern.iter().filter_map(rank).collect()
}
