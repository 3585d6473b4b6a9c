//! Lines that may be shown. In: the lines of the file. Out: the same with secrets blotted out, column for column.

use super::node::{Kind, Node, Span};

/// Keys whose values are secret, except for what names where the secret is.
pub(super) const SECRET: [&str; 3] = ["client_secret", "store_password", "token"];
const NAMES_A_SOURCE: [&str; 2] = ["env", "file"];

/// Blots out what stands below a secret key.
pub(super) fn tree(lines: Vec<String>, root: &Node) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().map(userinfo).collect();
    let mut spans = Vec::new();
    collect(root, false, &mut spans);
    for span in spans {
        if let Some(line) = lines.get_mut(span.line.saturating_sub(1)) {
            *line = blot(line, span.column.saturating_sub(1), span.length);
        }
    }
    lines
}

/// Where there is no tree: blots out whatever follows a key that sounds secret.
pub(super) fn text(lines: Vec<String>) -> Vec<String> {
    let mask = |line: String| {
        let secret = ["secret", "token", "password"].iter().any(|word| line.to_lowercase().contains(word));
        match line.split_once(':') {
            Some((key, _)) if secret => blot(&line, key.chars().count() + 1, usize::MAX),
            _ => userinfo(line),
        }
    };
    lines.into_iter().map(mask).collect()
}

fn collect(node: &Node, secret: bool, spans: &mut Vec<Span>) {
    match &node.kind {
        Kind::Scalar { .. } if secret => spans.push(node.span),
        Kind::Scalar { .. } => {}
        Kind::List(items) => items.iter().for_each(|item| collect(item, secret, spans)),
        Kind::Mapping(entries) => {
            for entry in entries {
                let names_a_source = NAMES_A_SOURCE.contains(&&*entry.key) && matches!(entry.value.kind, Kind::Scalar { .. });
                let below = SECRET.contains(&&*entry.key) || secret && !names_a_source;
                // `{ hunter2 }` is a mapping with that key.
                if secret && !NAMES_A_SOURCE.contains(&&*entry.key) {
                    spans.push(entry.span);
                }
                collect(&entry.value, below, spans);
            }
        }
    }
}

fn blot(line: &str, from: usize, length: usize) -> String {
    let blotted = |(column, c): (usize, char)| {
        let inside = column >= from && column - from < length && c != ' ';
        if inside { '*' } else { c }
    };
    line.chars().enumerate().map(blotted).collect()
}

/// `https://user:password@host`, and whatever else of a line may be a password.
fn userinfo(line: String) -> String {
    let lower = line.to_ascii_lowercase();
    let line = lower.find("password=").map_or_else(|| line.clone(), |at| blot_bytes(&line, at + "password=".len(), usize::MAX));
    let scheme = |scheme: &&str| Some(lower.find(*scheme)? + scheme.len());
    if let Some(begin) = ["postgres:", "postgresql:"].iter().find_map(scheme) {
        return location(&line, begin);
    }
    let begin = line.find("://").map(|at| at + 3);
    let rest = line.get(begin.unwrap_or(0)..).unwrap_or_default();
    let authority = begin.map_or(rest, |_| rest.split(['/', ' ', '"', '\'']).next().unwrap_or_default());
    let Some(end) = authority.rfind('@').map(|at| at + begin.unwrap_or(0)) else { return line };
    match begin {
        Some(begin) => blot_bytes(&line, begin, end),
        None => nameless(&line, end),
    }
}

/// The location of a database, however a password is written into it: all before the last `@`, and all parameters behind that. Where there
/// is no `@`, nobody knows where a password ends.
fn location(line: &str, begin: usize) -> String {
    let rest = line.get(begin..).unwrap_or_default();
    let Some(at) = rest.rfind('@') else { return blot_bytes(line, begin, usize::MAX) };
    let parameters = rest.get(at..).and_then(|rest| rest.find(['?', '#']));
    let line = blot_bytes(line, begin, begin + at);
    parameters.map_or_else(|| line.clone(), |from| blot_bytes(&line, begin + at + from + 1, usize::MAX))
}

/// `user:password@host`, without a scheme.
fn nameless(line: &str, end: usize) -> String {
    let before = line.get(..end).unwrap_or_default();
    let begin = before.rfind([' ', '"', '\'', '[', ',']).map_or(0, |at| at + 1);
    let is_pair = before.get(begin..).is_some_and(|word| word.contains(':'));
    if is_pair { blot_bytes(line, begin, end) } else { line.to_owned() }
}

/// The same as [`blot`], between two indices of bytes.
fn blot_bytes(line: &str, from: usize, to: usize) -> String {
    let column = |index: usize| line.get(..index).map_or(usize::MAX, |before| before.chars().count());
    blot(line, column(from), column(to).saturating_sub(column(from)))
}
