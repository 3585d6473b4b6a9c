//! What others can be told of. In: words of the configuration. Out: a closed list.

/// What has happened. The code ([`Kind::code`]) never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A lock was lifted.
    LockLifted,
    /// Somebody or something was locked out.
    LockSet,
    /// Somebody else than the person has ended sessions.
    SessionsRevoked,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LockLifted, Self::LockSet, Self::SessionsRevoked];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::LockLifted => "lock.lifted",
            Self::LockSet => "lock.set",
            Self::SessionsRevoked => "sessions.revoked",
        }
    }

    /// The one of this code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}
