//! Newtypes for the things that have names. In: checked text or numbers. Out: types that can't be mixed up.

use http::HeaderValue;
use std::fmt;
use std::sync::Arc;

/// Where an app stands in its snapshot's list. Only valid with the snapshot that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppIndex(pub u32);

/// The key of a provider under `identity_providers:`; letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderName(Arc<str>);

impl ProviderName {
    /// The name, when it has only the characters that a name may have (so that `provider:subject` is unambiguous).
    pub fn parse(text: &str) -> Option<Self> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (!text.is_empty() && text.len() <= 64 && text.bytes().all(fine)).then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which rule of the configuration decided: `payroll.allow[0]`, `payroll.paths[1].deny[0]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(pub Arc<str>);

/// One sign-in at a provider: the row that every app session of that sign-in hangs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignInId(pub i64);

/// 128 random-looking bits that name one visit in answers, pages, logs and audit; 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub u128);

impl RequestId {
    /// The digits as a header's value.
    pub fn header(self) -> HeaderValue {
        let digit = |nibble: u8| b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut digits = [b'0'; 32];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(self.0.to_be_bytes()) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        let mut value = HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static(""));
        // No secret, but another one every time: HTTP/2 is not to remember it, in the place of what comes again (RFC 7541, section 6.2.3).
        value.set_sensitive(true);
        value
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
