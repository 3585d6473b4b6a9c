//! `doorward check`. In: the path of a configuration. Out: what is wrong with it, or that it is fine.

use crate::control::config::{Loaded, load};
use std::fmt::Write as _;
use std::path::Path;

/// What the command says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// 0: it can be used; 1: it can't.
    pub code: u8,
    /// For standard output.
    pub output: String,
    /// For standard error: errors or warnings.
    pub problems: String,
}

impl Verdict {
    /// There is no answer.
    pub(super) fn failed(code: u8, problem: &str) -> Self {
        Self { code, output: String::new(), problems: format!("{problem}\n") }
    }
}

/// Reads the configuration and everything that it names, and changes nothing.
pub fn check(path: &Path) -> Verdict {
    match load(path, 1) {
        Ok(loaded) => fine(path, &loaded),
        Err(problems) => Verdict { code: 1, output: String::new(), problems: format!("{problems}\n") },
    }
}

fn fine(path: &Path, loaded: &Loaded) -> Verdict {
    let mut problems = String::new();
    for warning in &loaded.warnings {
        // Writing to a String can't fail.
        let _ = writeln!(problems, "{warning}");
    }
    let [apps, routes] = [loaded.snapshot.apps.len(), loaded.snapshot.routes.len()];
    let counts = [count(apps, "app"), count(routes, "route"), count(loaded.rules, "rule")].join(", ");
    Verdict { code: 0, output: format!("{} is fine: {counts}\n", path.display()), problems }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
