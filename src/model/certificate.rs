//! What a client's certificate turned out to be. In: a judgement. Out: facts, or what is wrong. Must never hold facts of a
//! certificate that nobody vouches for.

use super::{Fingerprint, Timestamp};

/// A certificate that an authority for devices vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// Which one.
    pub fingerprint: Fingerprint,
    /// Whom or what it is for, as RFC 4514 writes it.
    pub subject: String,
    /// From when on it is good.
    pub begins: Timestamp,
    /// From when on it is good no more.
    pub ends: Timestamp,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Its time is over, or that of whoever vouches for it.
    Expired,
    /// It, or whoever vouches for it, is not what a certificate has to be.
    Malformed,
    /// Its time has not begun.
    NotYetValid,
    /// The list of revoked certificates is too old to tell.
    RevocationListExpired,
    /// There is no list of revoked certificates by its issuer.
    RevocationUnknown,
    /// Its issuer has revoked it.
    Revoked,
    /// No authority for devices vouches for it.
    UnknownIssuer,
    /// It is for something else than to say who a client is.
    WrongUsage,
}

impl Fault {
    /// The stable code, as explanations and audit say it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::NotYetValid => "not_yet_valid",
            Self::RevocationListExpired => "revocation_list_expired",
            Self::RevocationUnknown => "revocation_unknown",
            Self::Revoked => "revoked",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongUsage => "wrong_usage",
        }
    }

    /// One plain sentence for the person in front of the device.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Expired => "Its time is over: it has to be renewed.",
            Self::Malformed => "It can’t be read.",
            Self::NotYetValid => "Its time has not begun: look at the device’s clock.",
            Self::RevocationListExpired => "Whether it was revoked can’t be told now: the list of revoked certificates is too old.",
            Self::RevocationUnknown => "Whether it was revoked can’t be told: there is no list of revoked certificates for it.",
            Self::Revoked => "It was revoked.",
            Self::UnknownIssuer => {
                "It was not issued by your organisation. If your browser asks for a certificate, choose another one."
            }
            Self::WrongUsage => "It is not meant for signing in.",
        }
    }
}

/// What a certificate is, and until when that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The facts, or what is wrong.
    pub verdict: Result<Certified, Fault>,
    /// From when on it has to be judged anew.
    pub until: Timestamp,
}
