//! Where checks put what they find. In: messages with their places. Out: lists for [`super::document`] to locate. Nothing
//! stops at the first one.

use super::place::Place;

/// Something that is wrong with the value at a place.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) place: Place,
    /// The key is wrong, not its value.
    pub(super) in_key: bool,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// Why a text is not what it should be, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Wrong {
    /// What is wrong, and what would be right.
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }

    /// What is wrong, where that says what would be right.
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// The same of one of several texts.
    pub(super) fn about(self, text: &str) -> Self {
        Self { message: format!("`{text}`: {}", self.message), ..self }
    }

    fn at(self, place: &Place) -> Finding {
        Finding { place: place.clone(), in_key: false, message: self.message, help: self.help }
    }
}

impl Findings {
    /// The configuration can't be used.
    pub(super) fn error(&mut self, place: &Place, wrong: Wrong) {
        self.errors.push(wrong.at(place));
    }

    /// The configuration can't be used, because of the key at this place.
    pub(super) fn error_in_key(&mut self, place: &Place, wrong: Wrong) {
        let in_key = true;
        self.errors.push(Finding { in_key, ..wrong.at(place) });
    }

    /// The configuration hardly does what was meant.
    pub(super) fn warning(&mut self, place: &Place, wrong: Wrong) {
        self.warnings.push(wrong.at(place));
    }

    /// The value, or nothing and an error.
    pub(super) fn take<T>(&mut self, place: &Place, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.error(place, wrong)).ok()
    }
}
