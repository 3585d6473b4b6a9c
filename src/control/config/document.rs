//! The text of a configuration file: a tree in which everything knows where it stands. In: YAML. Out: values of
//! [`super::file`] and located problems, all of them in one go. Must never show a secret in a snippet.
//!
//! The tree is made once ([`compose`]), read into the structs without ever stopping at an error ([`read`]), and kept to
//! find the lines of what the later checks find.

mod compose;
mod mask;
mod node;
mod read;

pub(super) use read::{ONE_OR_MANY, SERVERS};

use super::findings::{Finding, Findings};
use super::place::Place;
use super::problem::{Problem, Problems, Severity, Snippet};
use node::{Node, Span};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::path::PathBuf;

/// A file, read.
#[derive(Debug)]
pub(super) struct Document {
    file: PathBuf,
    lines: Vec<String>,
    root: Option<Node>,
    problems: Vec<Problem>,
    broken: HashSet<Place>,
}

/// The lines as the parser counts them: a carriage return alone ends one too (YAML 1.2, section 5.4).
fn lines(text: &str) -> Vec<String> {
    text.replace("\r\n", "\n").split(['\n', '\r']).map(str::to_owned).collect()
}

/// Something wrong with the shape of the file.
#[derive(Clone, Debug)]
struct Fault {
    place: Place,
    span: Span,
    message: String,
    help: Option<String>,
}

impl Document {
    /// Reads the text into `T`; what is wrong is kept in the document, and stands as an empty value in `T`. No `T` when
    /// the text is not YAML.
    pub(super) fn parse<T: DeserializeOwned>(file: PathBuf, text: &str) -> (Self, Option<T>) {
        let mut document = Self { file, lines: lines(text), root: None, problems: Vec::new(), broken: HashSet::new() };
        let (root, mut faults) = compose::compose(text);
        document.lines = match &root {
            Some(root) => mask::tree(document.lines, root),
            None => mask::text(document.lines),
        };
        let value = root.as_ref().and_then(|root| read::read(root, &mut faults));
        document.root = root;
        faults.into_iter().for_each(|fault| document.keep(fault));
        (document, value)
    }

    fn keep(&mut self, fault: Fault) {
        let problem = self.problem(Severity::Error, &fault.place, fault.span, fault.message, fault.help);
        self.problems.push(problem);
        self.broken.insert(fault.place);
    }

    /// All errors, in the order of the file: those of the shape and those that the checks found, except what only
    /// follows from a broken shape.
    pub(super) fn errors(mut self, findings: Findings) -> Problems {
        let located: Vec<_> = findings
            .errors
            .into_iter()
            .filter(|finding| !self.is_broken(&finding.place))
            .map(|finding| self.locate(Severity::Error, finding))
            .collect();
        let mut errors = std::mem::take(&mut self.problems);
        errors.extend(located);
        Problems { errors: in_order(errors), ..Problems::default() }
    }

    /// Whether the shape is sound.
    pub(super) fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// All warnings, in the order of the file.
    pub(super) fn warnings(&self, findings: Vec<Finding>) -> Vec<Problem> {
        let located = findings.into_iter().map(|finding| self.locate(Severity::Warning, finding));
        in_order(located.collect())
    }

    /// `doorward.yaml:12`, where the value of this place stands.
    pub(super) fn line(&self, place: &Place) -> String {
        let span = self.root.as_ref().map_or(Span::START, |root| root.span_of(place, false));
        let name = self.file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        format!("{name}:{}", span.line)
    }

    fn is_broken(&self, place: &Place) -> bool {
        !self.broken.is_empty() && (self.broken.contains(place) || place.parent().is_some_and(|parent| self.is_broken(&parent)))
    }

    fn locate(&self, severity: Severity, finding: Finding) -> Problem {
        let span = self.root.as_ref().map_or(Span::START, |root| root.span_of(&finding.place, finding.in_key));
        self.problem(severity, &finding.place, span, finding.message, finding.help)
    }

    fn problem(&self, severity: Severity, place: &Place, span: Span, message: String, help: Option<String>) -> Problem {
        let snippet = self.lines.get(span.line.saturating_sub(1)).map(|line| {
            let rest = line.trim_end().chars().count().saturating_sub(span.column.saturating_sub(1));
            Snippet { text: line.clone(), length: span.length.min(rest).max(1) }
        });
        Problem {
            severity,
            file: self.file.clone(),
            line: span.line,
            column: span.column,
            place: place.to_string(),
            message,
            help,
            snippet,
        }
    }
}

fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    problems
}
