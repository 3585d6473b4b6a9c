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

/// `https://user:password@host`.
fn userinfo(line: String) -> String {
    if line.contains("postgres://") || line.contains("postgresql://") {
        return location(&line);
    }
    let Some(at) = line.find("://").map(|at| at + 3) else {
        return line;
    };
    let rest = line.get(at..).unwrap_or_default();
    let authority = rest.split(['/', ' ', '"', '\'']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(length) => {
            let from = line.get(..at).unwrap_or_default().chars().count();
            let length = authority.get(..length).unwrap_or_default().chars().count();
            blot(&line, from, length)
        }
        None => line,
    }
}

/// A location of a database, however its password is written into it: everything before the last `@`, as that may have a `/` in it, and
/// everything behind `password=`.
fn location(line: &str) -> String {
    let columns = |end: usize| line.get(..end).unwrap_or_default().chars().count();
    let begin = line.find("://").map_or(0, |at| columns(at + 3));
    let end = line.rfind('@').map_or(0, columns);
    let line = blot(line, begin, end.saturating_sub(begin));
    match line.to_ascii_lowercase().find("password=") {
        Some(at) => blot(&line, line.get(..at).unwrap_or_default().chars().count() + "password=".len(), usize::MAX),
        None => line,
    }
}
