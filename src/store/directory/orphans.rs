//! People who have signed in once and whom no provider mentions any more. In: where to go on. Out: some of them, in the order in which
//! they came. Must never take long: there may be millions.

use super::super::{Error, Store};
use super::ties::{self, find};
use crate::model::directory::Found;
use crate::model::identity::{Profile, Subject};
use crate::model::{Email, Identity, ProviderName, Timestamp};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::BTreeSet;

/// How many people are looked at in one go.
const AT_ONCE: i64 = 2000;
const PEOPLE: &str = "SELECT id, provider, subject, profile, last_sign_in FROM users WHERE id > $1 ORDER BY id LIMIT $2";

/// Somebody whom no provider mentions any more.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// Who.
    pub subject: Subject,
    /// Their address, as it was last vouched for.
    pub email: Option<Email>,
    /// When they last signed in.
    pub last_sign_in: Timestamp,
    /// Why.
    pub why: Lost,
}

/// Why somebody is an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The provider is not configured any more.
    Provider,
    /// The provider's directory has deleted them.
    Deleted,
    /// The provider's directory does not have them, or has several that they could be.
    Unlisted,
}

impl Lost {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Provider => "provider_gone",
            Self::Deleted => "deleted",
            Self::Unlisted => "not_in_directory",
        }
    }
}

impl Store {
    /// The orphans among the next people behind `after`; from where to go on, where there is more. `providers` are those that are
    /// configured.
    pub async fn orphans(&self, providers: &BTreeSet<ProviderName>, after: i64) -> Result<(Vec<Orphan>, Option<i64>), Error> {
        let rows = sqlx::query(PEOPLE).bind(after).bind(AT_ONCE).fetch_all(&self.readers()).await?;
        let people = rows.iter().map(person).collect::<Result<Vec<_>, _>>()?;
        let mut orphans = Vec::new();
        for some in people.chunks(ties::AT_ONCE) {
            for (identity, why) in some.iter().zip(self.lost(providers, some).await?) {
                let Identity { subject, profile, authenticated_at } = identity.clone();
                orphans.extend(why.map(|why| Orphan { subject, email: profile.email, last_sign_in: authenticated_at, why }));
            }
        }
        let last = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(AT_ONCE)).map(|row| row.try_get("id")).transpose()?;
        Ok((orphans, last))
    }

    /// Why each of these people is lost, if they are; in their order.
    async fn lost(&self, providers: &BTreeSet<ProviderName>, people: &[Identity]) -> Result<Vec<Option<Lost>>, Error> {
        let is_gone = |person: &Identity| !providers.contains(&person.subject.provider);
        let mut lost: Vec<_> = people.iter().map(|person| is_gone(person).then_some(Lost::Provider)).collect();
        let overlays = self.laying.overlays.load_full();
        let mut connection = self.readers().acquire().await?;
        for (provider, overlay) in overlays.iter().filter(|(provider, _)| providers.contains(*provider)) {
            let of = lost.iter_mut().zip(people).filter(|(_, person)| person.subject.provider == *provider);
            let (places, of): (Vec<_>, Vec<_>) = of.unzip();
            if of.is_empty() {
                continue;
            }
            let tied = find(&mut connection, provider, overlay, &of).await?;
            places.into_iter().zip(tied).for_each(|(place, tied)| *place = why(&tied.found));
        }
        Ok(lost)
    }
}

const fn why(found: &Found) -> Option<Lost> {
    match found {
        Found::One(_) => None,
        Found::Deleted => Some(Lost::Deleted),
        Found::Nobody | Found::Several(_) => Some(Lost::Unlisted),
    }
}

/// Somebody as they were when they last signed in.
fn person(row: &AnyRow) -> Result<Identity, Error> {
    let text: String = row.try_get("profile")?;
    let profile: Profile = serde_json::from_str(&text).map_err(|_| Error::Damaged("users"))?;
    let provider = ProviderName::parse(row.try_get("provider")?).ok_or(Error::Damaged("users"))?;
    let subject = Subject { provider, subject: row.try_get("subject")? };
    let last = super::super::sign_ins::time(row, "last_sign_in")?;
    Ok(Identity { subject, profile, authenticated_at: last })
}
