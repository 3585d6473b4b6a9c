//! People who have signed in once and whom no provider mentions any more. In: where to go on. Out: some of them, in the order in which
//! they came. Must never take long: there may be millions.

use super::super::{Error, Store};
use super::ties::find;
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
        let mut orphans = Vec::new();
        for row in &rows {
            let (identity, last_sign_in) = person(row)?;
            if let Some(why) = self.lost(providers, &identity).await? {
                orphans.push(Orphan { subject: identity.subject, email: identity.profile.email, last_sign_in, why });
            }
        }
        let last = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(AT_ONCE)).map(|row| row.try_get("id")).transpose()?;
        Ok((orphans, last))
    }

    async fn lost(&self, providers: &BTreeSet<ProviderName>, identity: &Identity) -> Result<Option<Lost>, Error> {
        if !providers.contains(&identity.subject.provider) {
            return Ok(Some(Lost::Provider));
        }
        let overlay = self.laying.overlays.load().get(&identity.subject.provider).copied();
        let Some(overlay) = overlay else { return Ok(None) };
        let mut connection = self.readers().acquire().await?;
        let tied = find(&mut connection, &identity.subject.provider, &overlay, &[identity]).await?;
        Ok(tied.into_iter().next().and_then(|tied| match tied.found {
            Found::One(_) => None,
            Found::Deleted => Some(Lost::Deleted),
            Found::Nobody | Found::Several(_) => Some(Lost::Unlisted),
        }))
    }
}

fn person(row: &AnyRow) -> Result<(Identity, Timestamp), Error> {
    let text: String = row.try_get("profile")?;
    let profile: Profile = serde_json::from_str(&text).map_err(|_| Error::Damaged("users"))?;
    let provider = ProviderName::parse(row.try_get("provider")?).ok_or(Error::Damaged("users"))?;
    let subject = Subject { provider, subject: row.try_get("subject")? };
    let last = super::super::sign_ins::time(row, "last_sign_in")?;
    Ok((Identity { subject, profile, authenticated_at: last }, last))
}
