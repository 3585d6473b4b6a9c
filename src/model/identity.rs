//! Who somebody is, as a provider said it and we checked it. In: claims. Out: an [`Identity`]. Must never hold an
//! e-mail address that the provider did not vouch for.

use super::{ProviderName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A verified e-mail address, parsed: one `@`, a host name behind it, all lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email {
    text: String,
    at: usize,
}

/// The text is not one plain address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address of the form name@example.com")]
pub struct NotAnEmail;

impl Email {
    /// Takes plain addresses (RFC 5321 dot-string local parts and host names); refuses quoting, comments, a second
    /// `@`, white space and everything outside ASCII.
    pub fn parse(text: &str) -> Result<Self, NotAnEmail> {
        let (local, domain) = text.split_once('@').ok_or(NotAnEmail)?;
        let fine = local.len() <= 64 && text.len() <= 254 && local_part_is_plain(local) && is_domain(domain);
        fine.then(|| Self { text: text.to_ascii_lowercase(), at: local.len() }).ok_or(NotAnEmail)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is behind the `@`.
    pub fn domain(&self) -> &str {
        self.text.get(self.at.saturating_add(1)..).unwrap_or("")
    }
}

fn local_part_is_plain(local: &str) -> bool {
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
}

/// Whether this is a host name of at least two labels (RFC 1123).
pub fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fine) && !label.starts_with('-') && !label.ends_with('-')
    };
    domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label)
}

impl TryFrom<String> for Email {
    type Error = NotAnEmail;
    fn try_from(text: String) -> Result<Self, NotAnEmail> {
        Self::parse(&text)
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.text
    }
}

/// The subject of one provider: unique and stable for ever (OpenID Connect Core, section 2, `sub`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Who vouches.
    pub provider: ProviderName,
    /// The provider's own name for the person; 255 ASCII characters at most.
    pub subject: String,
}

impl Subject {
    /// Whether this is how it is written: `provider:subject`.
    pub fn is_written(&self, text: &str) -> bool {
        text.split_once(':').is_some_and(|(provider, subject)| provider == self.provider.as_str() && subject == self.subject)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.subject)
    }
}

/// What is known of a signed-in person; changes when claims are refreshed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Provider and subject; shown to apps as `provider:subject`.
    pub subject: Subject,
    /// What the provider said of the person.
    pub profile: Profile,
    /// When the person last proved who they are to the provider; 1970 where it does not say.
    pub authenticated_at: Timestamp,
}

/// The most groups of one person: of more, rules could not be sure that they see the one that they deny.
pub const MOST_GROUPS: usize = 2000;

/// The claims that we keep, in our own words; stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Only when the provider says that it is verified.
    pub email: Option<Email>,
    /// What to call the person.
    pub name: Option<String>,
    /// Sorted, without duplicates.
    pub groups: Vec<String>,
    /// Every other mapped claim, each a list of texts.
    pub claims: BTreeMap<String, Vec<String>>,
    /// How the person authenticated (RFC 8176).
    pub amr: Vec<String>,
    /// The authentication context class.
    pub acr: Option<String>,
}

/// Who did something under `/.doorward/`: an extension of control's response, for the audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// Who.
    pub subject: Subject,
    /// Their address, where it is known.
    pub email: Option<Email>,
    /// What they did.
    pub act: Act,
    /// What their provider said of them, as JSON, where they come with it: what later records of theirs rest on.
    pub profile: Option<Box<str>>,
}

/// What [`Acted`] says of a profile.
#[derive(Serialize)]
struct Recorded<'a> {
    groups: &'a [String],
    claims: &'a BTreeMap<String, Vec<String>>,
    amr: &'a [String],
    acr: Option<&'a str>,
    /// In seconds since 1970.
    auth_time: u64,
}

/// What somebody did under `/.doorward/`. The code ([`Act::code`]) never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Asked who they are.
    Asked,
    /// Came to an app with a sign-in.
    Landed,
    /// Signed in at a provider.
    SignedIn,
    /// Signed out of one app's host.
    SignedOut,
    /// Signed out at the provider, which said so.
    SignedOutByProvider,
    /// Signed out of everything.
    SignedOutOfEverything,
}

impl Acted {
    /// This person did this.
    pub fn new(identity: &Identity, act: Act) -> Self {
        let comes = matches!(act, Act::Landed | Act::SignedIn);
        Self {
            subject: identity.subject.clone(),
            email: identity.profile.email.clone(),
            act,
            profile: comes.then(|| recorded(identity)).flatten(),
        }
    }
}

fn recorded(identity: &Identity) -> Option<Box<str>> {
    let Profile { groups, claims, amr, acr, .. } = &identity.profile;
    let auth_time = identity.authenticated_at.seconds();
    serde_json::to_string(&Recorded { groups, claims, amr, acr: acr.as_deref(), auth_time }).ok().map(Into::into)
}

impl Act {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Landed => "landed",
            Self::SignedIn => "signed_in",
            Self::SignedOut => "signed_out",
            Self::SignedOutByProvider => "signed_out_by_provider",
            Self::SignedOutOfEverything => "signed_out_of_everything",
        }
    }
}
