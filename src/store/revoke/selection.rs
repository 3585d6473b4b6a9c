//! What is meant. In: checked names. Out: the condition by which rows are found. Must never mean everything because a name is empty.

use super::find::Part;
use crate::model::identity::Subject;
use crate::model::{Email, Fingerprint, ProviderName, SignInId};

/// What is to end, or to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One session at one app, by the name that the audit trail has for it.
    Session(String),
    /// These sign-ins, with every session made from them.
    SignIns(Vec<SignInId>),
    /// Every sign-in of a person.
    Subject(Subject),
    /// Every sign-in of whoever has this verified address.
    Email(Email),
    /// Every sign-in that was used with a device.
    Device {
        /// Its name in the inventory.
        id: Option<String>,
        /// Its certificate.
        fingerprint: Option<Fingerprint>,
    },
    /// The sessions at these hosts; the sign-ins go on.
    Hosts(Vec<String>),
    /// Every sign-in at a provider.
    Provider(ProviderName),
    /// The sign-ins of one session of the provider's own.
    ProviderSession {
        /// The provider.
        provider: ProviderName,
        /// Only where it is this person's.
        subject: Option<String>,
        /// The session.
        sid: String,
    },
    /// Every sign-in of everybody.
    Everything,
}

/// A condition on a sign-in `s` and its user `u`, or on a session, and the values of its placeholders.
pub(super) type Condition = (String, Vec<String>);

impl Selection {
    /// Of sign-ins.
    pub(super) fn condition(&self) -> Condition {
        let (text, values) = match self {
            Self::Session(name) => ("s.id IN (SELECT sign_in FROM app_sessions WHERE name = $1)", vec![name.clone()]),
            Self::SignIns(ids) => {
                let ids: Vec<_> = ids.iter().map(|id| id.0.to_string()).collect();
                return (none_or(&ids, |ids| format!("s.id IN ({ids})")), Vec::new());
            }
            Self::Subject(of) => ("u.provider = $1 AND u.subject = $2", vec![of.provider.as_str().to_owned(), of.subject.clone()]),
            Self::Email(email) => ("s.email = $1 AND s.email <> ''", vec![email.as_str().to_owned()]),
            Self::Device { id, fingerprint } => {
                let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_string());
                let values = vec![id.clone().unwrap_or_default(), fingerprint.unwrap_or_default()];
                ("s.id IN (SELECT sign_in FROM sign_in_devices WHERE device = $1 OR fingerprint = $2)", values)
            }
            Self::Hosts(hosts) => {
                return (format!("s.id IN (SELECT sign_in FROM app_sessions WHERE {})", at_hosts(hosts)), hosts.clone());
            }
            Self::Provider(provider) => ("u.provider = $1", vec![provider.as_str().to_owned()]),
            Self::ProviderSession { provider, subject: None, sid } => {
                ("u.provider = $1 AND s.provider_sid = $2", vec![provider.as_str().to_owned(), sid.clone()])
            }
            Self::ProviderSession { provider, subject: Some(subject), sid } => {
                let values = vec![provider.as_str().to_owned(), sid.clone(), subject.clone()];
                ("u.provider = $1 AND s.provider_sid = $2 AND u.subject = $3", values)
            }
            Self::Everything => ("1 = 1", Vec::new()),
        };
        (text.to_owned(), values)
    }

    /// Of sessions, where sign-ins are to go on.
    pub(super) fn of_sessions(&self) -> Option<Condition> {
        match self {
            Self::Session(name) => Some(("name = $1".to_owned(), vec![name.clone()])),
            Self::Hosts(hosts) => Some((at_hosts(hosts), hosts.clone())),
            _ => None,
        }
    }

    /// Whether this session is meant.
    pub(super) fn means(&self, part: &Part) -> bool {
        match self {
            Self::Session(name) => part.name == *name,
            Self::Hosts(hosts) => hosts.contains(&part.host),
            _ => true,
        }
    }
}

fn at_hosts(hosts: &[String]) -> String {
    let places: Vec<_> = (1..=hosts.len()).map(|number| format!("${number}")).collect();
    none_or(&places, |places| format!("host IN ({places})"))
}

/// Nothing is not everything.
fn none_or(list: &[String], condition: impl FnOnce(String) -> String) -> String {
    if list.is_empty() { "1 = 0".to_owned() } else { condition(list.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_host_is_not_every_host() {
        assert_eq!(Selection::Hosts(Vec::new()).of_sessions(), Some(("1 = 0".to_owned(), Vec::new())));
    }

    #[test]
    fn only_everything_means_everything() {
        let empty = [
            Selection::Session(String::new()),
            Selection::SignIns(Vec::new()),
            Selection::Device { id: None, fingerprint: None },
            Selection::Hosts(Vec::new()),
        ];
        for selection in empty {
            assert!(!selection.condition().0.contains("1 = 1"), "{selection:?}");
        }
    }
}
