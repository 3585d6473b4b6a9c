//! What directories have told of people and groups (SCIM). In: the provider whose directory it is, always. Out: rows. Must never
//! show or change what belongs to another provider.

mod laid;
mod orphans;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
mod ties;
mod writes;

pub use orphans::{Lost, Orphan};
pub use writes::{Done, Draft, Members, Unwritten};

use super::{Error, Store, sign_ins};
use crate::model::directory::Kind;
use crate::model::{ProviderName, Timestamp};
pub(super) use laid::Laying;
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// A user or a group, as it was told.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Ours, and never another's.
    pub id: String,
    /// All that was told, as JSON.
    pub body: String,
    /// Counts its changes, from 1.
    pub version: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
}

/// The other end of a membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The user or the group.
    pub id: String,
    /// The `displayName` of a group; nothing of a user, of whom a group shows the id alone.
    pub shown: String,
}

/// What a resource can be found by without looking at all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Our id.
    Id(String),
    /// `userName` or `displayName`, in any case.
    Name(String),
    /// The id that the client gave it.
    ExternalId(String),
}

/// How names are compared.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

const COLUMNS: &str = "id, body, version, created_at, modified_at";

impl Store {
    /// One resource.
    pub async fn resource(&self, provider: &ProviderName, kind: Kind, id: &str) -> Result<Option<Resource>, Error> {
        Ok(self.resources_by(provider, kind, &Key::Id(id.to_owned())).await?.pop())
    }

    /// Those that have this key; `externalId` is the client's, who may give it twice.
    pub async fn resources_by(&self, provider: &ProviderName, kind: Kind, key: &Key) -> Result<Vec<Resource>, Error> {
        let (column, value) = match key {
            Key::Id(id) => ("id", id.clone()),
            Key::Name(name) => ("name", fold(name)),
            Key::ExternalId(id) => ("external_id", id.clone()),
        };
        let query = sqlx::query(sqlx::AssertSqlSafe(by(column))).bind(provider.as_str()).bind(kind.code()).bind(value);
        query.fetch_all(&self.readers()).await?.iter().map(resource).collect()
    }

    /// Some of all, in the order of their ids, which is no order that means anything.
    pub async fn resources(&self, provider: &ProviderName, kind: Kind, skip: i64, most: i64) -> Result<Vec<Resource>, Error> {
        let text = format!("SELECT {COLUMNS} FROM directory WHERE provider = $1 AND kind = $2 ORDER BY id LIMIT $3 OFFSET $4");
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(provider.as_str()).bind(kind.code()).bind(most).bind(skip);
        query.fetch_all(&self.readers()).await?.iter().map(resource).collect()
    }

    /// Those behind this id, in the same order.
    pub async fn resources_after(
        &self,
        provider: &ProviderName,
        kind: Kind,
        after: &str,
        most: i64,
    ) -> Result<Vec<Resource>, Error> {
        let text = format!("SELECT {COLUMNS} FROM directory WHERE provider = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4");
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(provider.as_str()).bind(kind.code()).bind(after).bind(most);
        query.fetch_all(&self.readers()).await?.iter().map(resource).collect()
    }

    /// How many there are.
    pub async fn count_resources(&self, provider: &ProviderName, kind: Kind) -> Result<i64, Error> {
        let query = sqlx::query_scalar("SELECT COUNT(*) FROM directory WHERE provider = $1 AND kind = $2");
        Ok(query.bind(provider.as_str()).bind(kind.code()).fetch_one(&self.readers()).await?)
    }

    /// The members of a group, or the groups of a user, this many at most. Only of what was read for the provider.
    pub async fn related(&self, kind: Kind, of: &Resource, most: usize) -> Result<Vec<Related>, Error> {
        let text = match kind {
            Kind::User => {
                "SELECT d.id, d.shown FROM directory_members m JOIN directory d ON d.id = m.group_id
                 WHERE m.user_id = $1 ORDER BY d.id LIMIT $2"
            }
            Kind::Group => "SELECT user_id AS id, '' AS shown FROM directory_members WHERE group_id = $1 ORDER BY user_id LIMIT $2",
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = sqlx::query(text).bind(&of.id).bind(most).fetch_all(&self.readers()).await?;
        rows.iter().map(|row| Ok(Related { id: row.try_get("id")?, shown: row.try_get("shown")? })).collect()
    }

    /// This one alone of them, if it is one; its name is not looked up.
    pub async fn related_to(&self, kind: Kind, of: &Resource, id: &str) -> Result<Vec<Related>, Error> {
        let (group, user) = match kind {
            Kind::User => (id, &*of.id),
            Kind::Group => (&*of.id, id),
        };
        let query = sqlx::query("SELECT 1 FROM directory_members WHERE group_id = $1 AND user_id = $2").bind(group).bind(user);
        let found = query.fetch_optional(&self.readers()).await?;
        Ok(found.map(|_| Related { id: id.to_owned(), shown: String::new() }).into_iter().collect())
    }
}

fn by(column: &str) -> String {
    format!("SELECT {COLUMNS} FROM directory WHERE provider = $1 AND kind = $2 AND {column} = $3 ORDER BY id")
}

fn resource(row: &AnyRow) -> Result<Resource, Error> {
    Ok(Resource {
        id: row.try_get("id")?,
        body: row.try_get("body")?,
        version: row.try_get("version")?,
        created: sign_ins::time(row, "created_at")?,
        modified: sign_ins::time(row, "modified_at")?,
    })
}
