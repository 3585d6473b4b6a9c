//! What a provider's directory (SCIM) says of people, laid over what their tokens say. In: an identity, what was found for it, and
//! how the two go together. Out: the identity that counts, or why there is none. Must never make one out of an entry that is not
//! active, nor choose between two entries.

use super::identity::MOST_GROUPS;
use super::{Identity, Reason, Refusal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an entry can say of a person beside the groups, by the names that rules know (RFC 7643, sections 4.1 and 4.3).
pub const ATTRIBUTES: [&str; 10] = [
    "costCenter",
    "department",
    "division",
    "employeeNumber",
    "entitlements",
    "manager",
    "organization",
    "roles",
    "title",
    "userType",
];

/// What kinds of things a directory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person.
    User,
    /// A group of people.
    Group,
}

impl Kind {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

/// A directory user, as far as decisions are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whether the person may sign in at all.
    pub active: bool,
    /// What it says of the person, by the names of [`ATTRIBUTES`]; what it does not say is not here.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The names of the groups that the person is in; kept apart from the entry.
    #[serde(skip)]
    pub groups: Vec<String>,
}

/// What the directory has for somebody who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nobody,
    /// Several entries, any of which it could be.
    Several(Vec<Entry>),
    /// An entry that was deleted.
    Deleted,
    /// One.
    One(Entry),
}

/// How groups of the directory go together with those of the claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// They stand in place of those of the claims.
    Replace,
    /// They come beside them.
    Add,
    /// They don't count.
    Ignore,
}

/// How the directory of a provider is laid over its claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// What becomes of groups.
    pub groups: Groups,
    /// An entry belongs to the person whose `sub` is its `externalId`.
    pub by_external_id: bool,
    /// Else to the one whose verified address is its `userName` or its primary address.
    pub by_email: bool,
    /// Whoever has no entry is refused.
    pub required: bool,
}

/// Why the directory lets somebody have no sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// The entry is not active, or was deleted.
    Deactivated,
    /// There is no entry, and there has to be one.
    Unlisted,
    /// There are more groups than rules can be sure of.
    TooManyGroups,
}

impl From<Barred> for Refusal {
    fn from(barred: Barred) -> Self {
        match barred {
            Barred::Deactivated => Reason::AccountDeactivated.into(),
            Barred::Unlisted => Reason::NotInDirectory.into(),
            Barred::TooManyGroups => Self::with_detail(
                Reason::SignInFailed,
                format!("There are more than {MOST_GROUPS} groups, those of the directory among them."),
            ),
        }
    }
}

impl Overlay {
    /// The identity that counts. What an entry does not say stays as the claims have it.
    pub fn lay(&self, claims: &Identity, found: &Found) -> Result<Identity, Barred> {
        let entry = match found {
            Found::Deleted => return Err(Barred::Deactivated),
            // Whoever it is of them: one is out.
            Found::Several(entries) if entries.iter().any(|entry| !entry.active) => return Err(Barred::Deactivated),
            Found::Nobody | Found::Several(_) if self.required => return Err(Barred::Unlisted),
            Found::Nobody => return Ok(claims.clone()),
            Found::Several(_) => return Ok(self.of_several(claims)),
            Found::One(entry) if !entry.active => return Err(Barred::Deactivated),
            Found::One(entry) => entry,
        };
        let mut identity = claims.clone();
        let groups = &mut identity.profile.groups;
        match self.groups {
            Groups::Replace => groups.clone_from(&entry.groups),
            Groups::Add => groups.extend(entry.groups.iter().cloned()),
            Groups::Ignore => {}
        }
        groups.sort_unstable();
        groups.dedup();
        // Which one is left out a deny rule might name.
        if groups.len() > MOST_GROUPS {
            return Err(Barred::TooManyGroups);
        }
        identity.profile.claims.extend(entry.attributes.clone());
        Ok(identity)
    }

    /// Nobody is chosen; where groups are the directory's to give, it has given none.
    fn of_several(&self, claims: &Identity) -> Identity {
        let mut identity = claims.clone();
        if self.groups == Groups::Replace {
            identity.profile.groups.clear();
        }
        identity
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::model::identity::{Profile, Subject};
    use crate::model::{ProviderName, Timestamp};
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    fn names() -> impl Strategy<Value = Vec<String>> {
        btree_set("[a-e]", 0..5).prop_map(|names| names.into_iter().collect())
    }

    fn said() -> impl Strategy<Value = BTreeMap<String, Vec<String>>> {
        proptest::collection::btree_map(
            prop_oneof![Just("department".to_owned()), Just("title".to_owned())],
            vec("[x-z]", 1..3),
            0..3,
        )
    }

    fn identity() -> impl Strategy<Value = Identity> {
        (names(), said()).prop_map(|(groups, claims)| Identity {
            subject: Subject { provider: ProviderName::parse("staff").unwrap(), subject: "s".into() },
            profile: Profile { groups, claims, ..Profile::default() },
            authenticated_at: Timestamp::default(),
        })
    }

    fn entry(active: bool) -> impl Strategy<Value = Entry> {
        (names(), said()).prop_map(move |(groups, attributes)| Entry { active, attributes, groups })
    }

    fn overlay() -> impl Strategy<Value = Overlay> {
        let groups = prop_oneof![Just(Groups::Replace), Just(Groups::Add), Just(Groups::Ignore)];
        (groups, any::<bool>()).prop_map(|(groups, required)| Overlay { groups, by_external_id: true, by_email: true, required })
    }

    proptest! {
        #[test]
        fn who_is_not_active_or_was_deleted_has_no_identity(claims in identity(), entry in entry(false), overlay in overlay()) {
            prop_assert_eq!(overlay.lay(&claims, &Found::One(entry)), Err(Barred::Deactivated));
            prop_assert_eq!(overlay.lay(&claims, &Found::Deleted), Err(Barred::Deactivated));
        }

        #[test]
        fn what_is_not_tied_changes_nothing(claims in identity(), overlay in overlay()) {
            let expected = if overlay.required { Err(Barred::Unlisted) } else { Ok(claims.clone()) };
            prop_assert_eq!(overlay.lay(&claims, &Found::Nobody), expected);
        }

        #[test]
        fn one_of_several_who_is_out_keeps_out_whoever_it_could_be(
            claims in identity(), out in entry(false), others in vec(entry(true), 1..3), overlay in overlay()
        ) {
            let all = others.into_iter().chain([out]).collect();
            prop_assert_eq!(overlay.lay(&claims, &Found::Several(all)), Err(Barred::Deactivated));
        }

        #[test]
        fn several_who_are_active_give_nothing_and_leave_no_groups_that_are_to_be_replaced(
            claims in identity(), entries in vec(entry(true), 2..4), overlay in overlay()
        ) {
            let laid = overlay.lay(&claims, &Found::Several(entries));
            if overlay.required {
                prop_assert_eq!(laid, Err(Barred::Unlisted));
            } else {
                let groups = if overlay.groups == Groups::Replace { Vec::new() } else { claims.profile.groups.clone() };
                let profile = Profile { groups, ..claims.profile.clone() };
                prop_assert_eq!(laid, Ok(Identity { profile, ..claims }));
            }
        }

        #[test]
        fn a_group_less_in_the_directory_is_never_a_group_more(
            claims in identity(), entry in entry(true), overlay in overlay(), left in any::<prop::sample::Index>()
        ) {
            let before = overlay.lay(&claims, &Found::One(entry.clone())).unwrap().profile.groups;
            let mut smaller = entry;
            if !smaller.groups.is_empty() {
                let index = left.index(smaller.groups.len());
                smaller.groups.remove(index);
            }
            let after = overlay.lay(&claims, &Found::One(smaller)).unwrap().profile.groups;
            prop_assert!(after.iter().all(|group| before.contains(group)), "{:?} grew to {:?}", before, after);
        }

        #[test]
        fn groups_come_from_where_the_configuration_says(claims in identity(), entry in entry(true), overlay in overlay()) {
            let laid = overlay.lay(&claims, &Found::One(entry.clone())).unwrap().profile.groups;
            let (own, theirs) = (&claims.profile.groups, &entry.groups);
            for group in &laid {
                let fine = match overlay.groups {
                    Groups::Replace => theirs.contains(group),
                    Groups::Add => theirs.contains(group) || own.contains(group),
                    Groups::Ignore => own.contains(group),
                };
                prop_assert!(fine, "{}", group);
            }
            prop_assert!(laid.is_sorted());
            prop_assert!(overlay.groups != Groups::Replace || laid == *theirs);
        }

        #[test]
        fn more_groups_than_rules_can_be_sure_of_are_no_identity(
            claims in identity(), entry in entry(true), overlay in overlay(), more in 0_usize..3
        ) {
            let groups: Vec<String> = (0..MOST_GROUPS - 1 + more).map(|number| format!("g{number}")).collect();
            let count = match overlay.groups {
                Groups::Replace => groups.len(),
                Groups::Add => groups.len() + claims.profile.groups.len(),
                Groups::Ignore => 0,
            };
            let laid = overlay.lay(&claims, &Found::One(Entry { groups, ..entry }));
            prop_assert_eq!(laid == Err(Barred::TooManyGroups), count > MOST_GROUPS);
        }

        #[test]
        fn what_the_directory_says_of_a_person_wins(claims in identity(), entry in entry(true), overlay in overlay()) {
            let laid = overlay.lay(&claims, &Found::One(entry.clone())).unwrap();
            for (word, values) in &laid.profile.claims {
                let expected = entry.attributes.get(word).or(claims.profile.claims.get(word));
                prop_assert_eq!(Some(values), expected);
            }
            prop_assert_eq!(laid.subject, claims.subject);
            prop_assert_eq!(laid.profile.email, claims.profile.email);
        }
    }
}
