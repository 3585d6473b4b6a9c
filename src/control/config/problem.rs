//! What is wrong with a configuration, and how it is shown. In: a message and where it applies. Out: text with line,
//! column and snippet. Must never show a secret: what it is given as a snippet is masked already.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// Whether the configuration can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It can't.
    Error,
    /// It can, but it hardly does what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The configuration file.
    pub file: PathBuf,
    /// From 1; 0 when the file could not be read at all.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Where it stands: `apps.payroll.allow[0].groups`; empty for the whole file.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    pub(super) snippet: Option<Snippet>,
}

/// The line that a problem is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    /// Without the line break, secrets masked.
    pub(super) text: String,
    /// How many characters to underline.
    pub(super) length: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{word}: {}", Plain(&self.message))?;
        let margin = " ".repeat(self.line.to_string().len());
        match &self.snippet {
            Some(snippet) => self.draw(f, snippet, &margin)?,
            None => writeln!(f, "{margin}--> {}", self.file.display())?,
        }
        match &self.help {
            Some(help) => writeln!(f, "{margin} = help: {}", Plain(help)),
            None => Ok(()),
        }
    }
}

/// A text without what a terminal would act on.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
        self.0.chars().try_for_each(|c| f.write_char(plain(c)))
    }
}

impl Problem {
    fn draw(&self, f: &mut fmt::Formatter<'_>, snippet: &Snippet, margin: &str) -> fmt::Result {
        let (line, column) = (self.line, self.column);
        let before = snippet.text.chars().take(column.saturating_sub(1));
        // Tabs stay tabs, so that the caret stands below what it points at.
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{margin}--> {}:{line}:{column}", self.file.display())?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{line} | {}", Plain(&snippet.text))?;
        writeln!(f, "{margin} | {indent}{}", "^".repeat(snippet.length.max(1)))
    }
}

/// Every error of a configuration; its warnings are left for when it has none.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// In the order of the file; never empty.
    pub errors: Vec<Problem>,
    /// Every file that was looked at: when one changes, trying again makes sense.
    pub(super) watched: super::sources::Watched,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.errors {
            writeln!(f, "{problem}")?;
        }
        match self.errors.len() {
            1 => write!(f, "1 error"),
            count => write!(f, "{count} errors"),
        }
    }
}

impl std::error::Error for Problems {}
