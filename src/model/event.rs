//! Events that a transmitter tells of (CAEP 1.0, RISC 1.0). In: a URI or a short name. Out: an [`EventType`]. Must never take one
//! event for another.

/// What has happened, as far as it means anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A session is over.
    SessionRevoked,
    /// A password or another credential was changed.
    CredentialChange,
    /// What tokens said of a person is not so any more.
    TokenClaimsChange,
    /// Somebody is now signed in more or less strongly.
    AssuranceLevelChange,
    /// A device keeps the rules, or no longer does.
    DeviceComplianceChange,
    /// There is more or less to fear.
    RiskLevelChange,
    /// An account can't be used until further notice.
    AccountDisabled,
    /// It can again.
    AccountEnabled,
    /// An account is gone for good.
    AccountPurged,
    /// Somebody else knows a credential.
    CredentialCompromise,
    /// A person has another address.
    IdentifierChanged,
}

/// The base of the URIs of CAEP, and of RISC.
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

impl EventType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::SessionRevoked,
        Self::CredentialChange,
        Self::TokenClaimsChange,
        Self::AssuranceLevelChange,
        Self::DeviceComplianceChange,
        Self::RiskLevelChange,
        Self::AccountDisabled,
        Self::AccountEnabled,
        Self::AccountPurged,
        Self::CredentialCompromise,
        Self::IdentifierChanged,
    ];

    /// The stable code: the last part of its URI.
    pub const fn code(self) -> &'static str {
        match self {
            Self::SessionRevoked => "session-revoked",
            Self::CredentialChange => "credential-change",
            Self::TokenClaimsChange => "token-claims-change",
            Self::AssuranceLevelChange => "assurance-level-change",
            Self::DeviceComplianceChange => "device-compliance-change",
            Self::RiskLevelChange => "risk-level-change",
            Self::AccountDisabled => "account-disabled",
            Self::AccountEnabled => "account-enabled",
            Self::AccountPurged => "account-purged",
            Self::CredentialCompromise => "credential-compromise",
            Self::IdentifierChanged => "identifier-changed",
        }
    }

    const fn base(self) -> &'static str {
        match self {
            Self::SessionRevoked
            | Self::CredentialChange
            | Self::TokenClaimsChange
            | Self::AssuranceLevelChange
            | Self::DeviceComplianceChange
            | Self::RiskLevelChange => CAEP,
            Self::AccountDisabled
            | Self::AccountEnabled
            | Self::AccountPurged
            | Self::CredentialCompromise
            | Self::IdentifierChanged => RISC,
        }
    }

    /// The event of this code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.code() == code)
    }

    /// The URI that names it.
    pub fn uri(self) -> String {
        format!("{}{}", self.base(), self.code())
    }

    /// The event of this URI. RISC had words of its own for two that CAEP has now.
    pub fn of_uri(uri: &str) -> Option<Self> {
        match uri.strip_prefix(RISC) {
            Some("sessions-revoked") => Some(Self::SessionRevoked),
            Some("account-credential-change-required") => Some(Self::CredentialChange),
            _ => Self::ALL.into_iter().find(|event| uri.strip_prefix(event.base()) == Some(event.code())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_found_by_its_code_and_by_its_uri_and_by_no_other() {
        for event in EventType::ALL {
            assert_eq!((EventType::parse(event.code()), EventType::of_uri(&event.uri())), (Some(event), Some(event)));
            let elsewhere = if event.base() == CAEP { RISC } else { CAEP };
            assert_eq!(EventType::of_uri(&format!("{elsewhere}{}", event.code())), None, "{event:?}");
        }
        for odd in ["", "session-revoked", "https://evil.example/event-type/session-revoked", &format!("{CAEP}session-revoked/")] {
            assert_eq!(EventType::of_uri(odd), None, "{odd}");
        }
    }
}
