//! What those are told whom an app's rules refuse. In: what the configuration allows to be said. Out: the same, for the page.

/// What is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denials {
    /// How much.
    pub tell: Tell,
    /// Whom to ask.
    pub contact: Option<Contact>,
}

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tell {
    /// Which conditions failed, of the rules that are for this person, and whom to ask.
    #[default]
    Everything,
    /// Whom to ask.
    Contact,
    /// Nothing beside the reason.
    Nothing,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// As people read it.
    pub text: Box<str>,
    /// What it leads to: `mailto:` or `https:`; a plain text leads nowhere.
    pub link: Option<Box<str>>,
}
