//! The configuration: no text makes it panic, and whatever is wrong has a place in the text.

use crate::gate::write_certificate;
use doorward::control::config::{self, Problem};
use tempfile::TempDir;

thread_local!(static FOLDER: TempDir = folder());

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    std::fs::write(folder.path().join("secret"), "a-secret-that-nobody-may-see").unwrap();
    folder
}

/// Checks one input; panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A path out of the folder could name a device that never ends.
    if text.contains("/dev") || text.contains("/proc") || text.contains("..") {
        return;
    }
    let file = FOLDER.with(|folder| folder.path().join("doorward.yaml"));
    std::fs::write(&file, text).unwrap();
    match config::load(&file, 1) {
        Ok(loaded) => loaded.warnings.iter().for_each(|warning| check_place(warning, text)),
        Err(problems) => {
            assert!(!problems.errors.is_empty());
            problems.errors.iter().for_each(|error| check_place(error, text));
            assert!(!problems.to_string().contains("a-secret-that-nobody-may-see"));
        }
    }
}

fn check_place(problem: &Problem, text: &str) {
    let shown = problem.to_string();
    assert!(!problem.message.is_empty() && shown.contains("doorward.yaml"), "{shown}");
    let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
    assert!(problem.line >= 1 && problem.line <= lines + 1, "line {} of {lines}: {shown}", problem.line);
    assert!(problem.column >= 1, "{shown}");
    assert!(!shown.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')), "{shown:?}");
}
