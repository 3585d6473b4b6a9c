//! Changes of a directory. In: what a provider's directory tells. Out: rows, and the end of the sign-ins that they end, in one
//! transaction. Must never change what was changed by another since it was read, nor make a member of what is not the provider's.

use super::super::revoke::complete;
use super::super::sign_ins::to_sql;
use super::super::{Error, Store};
use super::laid::Settled;
use super::ties::{AT_ONCE, concerned, places, remember};
use super::{Resource, fold};
use crate::clock;
use crate::model::directory::{Entry, Kind};
use crate::model::identity::Subject;
use crate::model::secret::random;
use crate::model::{Email, ProviderName, SignInId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use std::collections::BTreeSet;

/// A user or a group as it is to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// `userName` or `displayName`: no two of a kind have the same, whatever the case.
    pub name: String,
    /// The id that the client gave it.
    pub external_id: Option<String>,
    /// `userName`, where it is an address.
    pub user_mail: Option<Email>,
    /// The primary address.
    pub primary_mail: Option<Email>,
    /// What decisions read of a user.
    pub entry: Entry,
    /// All that was told, as JSON.
    pub body: String,
}

/// What becomes of the members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Members {
    /// They stay.
    #[default]
    Keep,
    /// These come, then those go.
    Change {
        /// Who comes.
        add: BTreeSet<String>,
        /// Who goes.
        remove: BTreeSet<String>,
    },
    /// These it is, and nobody else.
    Set(BTreeSet<String>),
}

/// What came of a change.
#[derive(Debug)]
pub struct Done {
    /// As it is now; as it was, where it is gone.
    pub resource: Resource,
    /// Whose sign-ins have ended, one entry each.
    pub ended: Vec<Subject>,
    /// What was to be a member, and is no user of the directory: it was left out.
    pub strangers: Vec<String>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// Another was faster, or it is gone.
    Stale,
    /// Another has the name.
    Taken,
}

const OF: &str = "SELECT shown, external_id, user_mail, primary_mail FROM directory WHERE id = $1 AND provider = $2 AND kind = $3 AND version = $4";
const MAKE: &str = "INSERT INTO directory
    (id, provider, kind, name, shown, external_id, user_mail, primary_mail, entry, body, version, created_at, modified_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)";
const CHANGE: &str = "UPDATE directory SET name = $4, shown = $5, external_id = $6, user_mail = $7, primary_mail = $8, entry = $9,
    body = $10, version = version + 1, modified_at = $11 WHERE id = $1 AND provider = $2 AND kind = $3";
const TAKEN: &str = "SELECT 1 FROM directory WHERE provider = $1 AND kind = $2 AND name = $3 AND id <> $4";
/// A namesake is somebody else where the client says who was who.
pub(super) const REVIVED: &str = "DELETE FROM directory_deleted WHERE id IN (
    SELECT id FROM directory_deleted WHERE provider = $1 AND name = $2 AND external_id IS NULL
    UNION SELECT id FROM directory_deleted WHERE provider = $1 AND external_id = $3) RETURNING id";
const BURY: &str = "INSERT INTO directory_deleted (id, provider, name, external_id, user_mail, primary_mail, deleted_at)
    SELECT id, provider, name, external_id, user_mail, primary_mail, CAST($2 AS BIGINT)
    FROM directory WHERE id = $1";
/// A group without a member that it had is another version.
pub(super) const LEFT: &str =
    "UPDATE directory SET version = version + 1 WHERE id IN (SELECT group_id FROM directory_members WHERE user_id = $1)";
const MEMBERS: &str = "SELECT user_id FROM directory_members WHERE group_id = $1";

/// A change under way.
struct Change<'a> {
    provider: &'a ProviderName,
    kind: Kind,
    connection: &'a mut AnyConnection,
    concerned: BTreeSet<SignInId>,
    strangers: Vec<String>,
}

impl Store {
    /// Makes a resource.
    pub async fn create_resource(
        &self,
        provider: &ProviderName,
        kind: Kind,
        draft: &Draft,
        members: &Members,
    ) -> Result<Result<Done, Unwritten>, Error> {
        let id: String = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut transaction = self.write().await?;
        complete(&mut transaction).await?;
        let mut change = Change::of(provider, kind, &mut transaction);
        if let Err(unwritten) = change.make(&id, draft, members).await? {
            return Ok(Err(unwritten));
        }
        let (concerned, strangers) = (change.concerned, change.strangers);
        let settled = self.settle(&mut transaction, concerned).await?;
        let resource = read(&mut transaction, &id).await?;
        transaction.commit().await?;
        Ok(Ok(self.done(resource, strangers, settled).await))
    }

    /// Puts another in the place of this one, if it is still as it was read.
    pub async fn change_resource(
        &self,
        provider: &ProviderName,
        kind: Kind,
        before: &Resource,
        draft: &Draft,
        members: &Members,
    ) -> Result<Result<Done, Unwritten>, Error> {
        let mut transaction = self.write().await?;
        complete(&mut transaction).await?;
        let mut change = Change::of(provider, kind, &mut transaction);
        if let Err(unwritten) = change.replace(before, draft, members).await? {
            return Ok(Err(unwritten));
        }
        let (concerned, strangers) = (change.concerned, change.strangers);
        let settled = self.settle(&mut transaction, concerned).await?;
        let resource = read(&mut transaction, &before.id).await?;
        transaction.commit().await?;
        Ok(Ok(self.done(resource, strangers, settled).await))
    }

    /// Deletes it, if it is still as it was read.
    pub async fn delete_resource(
        &self,
        provider: &ProviderName,
        kind: Kind,
        before: &Resource,
    ) -> Result<Result<Done, Unwritten>, Error> {
        let mut transaction = self.write().await?;
        complete(&mut transaction).await?;
        let mut change = Change::of(provider, kind, &mut transaction);
        if let Err(unwritten) = change.delete(before).await? {
            return Ok(Err(unwritten));
        }
        let (concerned, strangers) = (change.concerned, change.strangers);
        let settled = self.settle(&mut transaction, concerned).await?;
        transaction.commit().await?;
        Ok(Ok(self.done(before.clone(), strangers, settled).await))
    }

    async fn done(&self, resource: Resource, strangers: Vec<String>, settled: Settled) -> Done {
        let ended = settled.ended.found.iter().map(|found| found.subject.clone()).collect();
        self.follow_through(settled).await;
        Done { resource, ended, strangers }
    }
}

type Outcome = Result<Result<(), Unwritten>, Error>;

impl<'a> Change<'a> {
    const fn of(provider: &'a ProviderName, kind: Kind, connection: &'a mut AnyConnection) -> Self {
        Self { provider, kind, connection, concerned: BTreeSet::new(), strangers: Vec::new() }
    }

    async fn make(&mut self, id: &str, draft: &Draft, members: &Members) -> Outcome {
        if self.is_taken(&draft.name, id).await? {
            return Ok(Err(Unwritten::Taken));
        }
        self.write(MAKE, id, draft).await?;
        if self.kind == Kind::User {
            self.revive(draft).await?;
            self.concerns(&[id.to_owned()]).await?;
        }
        self.set_members(id, members).await.map(Ok)
    }

    async fn replace(&mut self, before: &Resource, draft: &Draft, members: &Members) -> Outcome {
        let Some(row) = self.find(before).await? else { return Ok(Err(Unwritten::Stale)) };
        if self.is_taken(&draft.name, &before.id).await? {
            return Ok(Err(Unwritten::Taken));
        }
        self.write(CHANGE, &before.id, draft).await?;
        match self.kind {
            Kind::User => {
                let lost = ties(&of_row(&row)?, &of_draft(draft), &before.id);
                remember(self.connection, self.provider, &lost).await?;
                self.concerns(std::slice::from_ref(&before.id)).await?;
            }
            Kind::Group if row.try_get::<String, _>("shown")? != draft.name => self.concerns_members(&before.id).await?,
            Kind::Group => {}
        }
        self.set_members(&before.id, members).await.map(Ok)
    }

    async fn delete(&mut self, before: &Resource) -> Outcome {
        if self.find(before).await?.is_none() {
            return Ok(Err(Unwritten::Stale));
        }
        match self.kind {
            Kind::User => {
                self.concerns(std::slice::from_ref(&before.id)).await?;
                sqlx::query(LEFT).bind(&before.id).execute(&mut *self.connection).await?;
                let bury = sqlx::query(BURY).bind(&before.id).bind(to_sql(clock::now()));
                bury.execute(&mut *self.connection).await?;
            }
            Kind::Group => self.concerns_members(&before.id).await?,
        }
        sqlx::query("DELETE FROM directory WHERE id = $1").bind(&before.id).execute(&mut *self.connection).await?;
        Ok(Ok(()))
    }

    async fn find(&mut self, before: &Resource) -> Result<Option<AnyRow>, Error> {
        let query = sqlx::query(OF).bind(&before.id).bind(self.provider.as_str()).bind(self.kind.code()).bind(before.version);
        Ok(query.fetch_optional(&mut *self.connection).await?)
    }

    async fn is_taken(&mut self, name: &str, id: &str) -> Result<bool, Error> {
        let query = sqlx::query(TAKEN).bind(self.provider.as_str()).bind(self.kind.code()).bind(fold(name)).bind(id);
        Ok(query.fetch_optional(&mut *self.connection).await?.is_some())
    }

    async fn write(&mut self, text: &'static str, id: &str, draft: &Draft) -> Result<(), Error> {
        let entry = serde_json::to_string(&draft.entry).map_err(|_| Error::Damaged("memory"))?;
        let email = |email: &Option<Email>| email.as_ref().map(|email| email.as_str().to_owned());
        let query = sqlx::query(text).bind(id).bind(self.provider.as_str()).bind(self.kind.code());
        let query = query.bind(fold(&draft.name)).bind(&draft.name).bind(&draft.external_id);
        let query = query.bind(email(&draft.user_mail)).bind(email(&draft.primary_mail));
        query.bind(entry).bind(&draft.body).bind(to_sql(clock::now())).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn set_members(&mut self, group: &str, members: &Members) -> Result<(), Error> {
        let (add, remove) = match members {
            Members::Keep => return Ok(()),
            Members::Change { add, remove } => (add.clone(), remove.clone()),
            Members::Set(all) => {
                let there: Vec<String> = sqlx::query_scalar(MEMBERS).bind(group).fetch_all(&mut *self.connection).await?;
                let there: BTreeSet<String> = there.into_iter().collect();
                (all.difference(&there).cloned().collect(), there.difference(all).cloned().collect())
            }
        };
        let add = self.known(add).await?;
        for some in add.chunks(AT_ONCE) {
            let row = |number: usize| format!("($1, ${})", number + 2);
            let rows: Vec<String> = (0..some.len()).map(row).collect();
            let rows = rows.join(", ");
            let text =
                format!("INSERT INTO directory_members (group_id, user_id) VALUES {rows} ON CONFLICT DO NOTHING RETURNING user_id");
            self.move_members(text, group, some).await?;
        }
        let remove: Vec<String> = remove.into_iter().collect();
        for some in remove.chunks(AT_ONCE) {
            let ids = places(2, some.len());
            let text = format!("DELETE FROM directory_members WHERE group_id = $1 AND user_id IN ({ids}) RETURNING user_id");
            self.move_members(text, group, some).await?;
        }
        Ok(())
    }

    /// Those that are users of the directory; the others are strangers.
    async fn known(&mut self, ids: BTreeSet<String>) -> Result<Vec<String>, Error> {
        let all: Vec<String> = ids.into_iter().collect();
        let mut known = BTreeSet::new();
        for some in all.chunks(AT_ONCE) {
            let ids = places(2, some.len());
            let text = format!("SELECT id FROM directory WHERE provider = $1 AND kind = 'user' AND id IN ({ids})");
            let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).bind(self.provider.as_str());
            known.extend(some.iter().fold(query, |query, id| query.bind(id)).fetch_all(&mut *self.connection).await?);
        }
        let (known, strangers) = all.into_iter().partition(|id| known.contains(id));
        self.strangers.extend::<Vec<String>>(strangers);
        Ok(known)
    }

    async fn move_members(&mut self, text: String, group: &str, users: &[String]) -> Result<(), Error> {
        let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).bind(group);
        let moved = users.iter().fold(query, |query, id| query.bind(id)).fetch_all(&mut *self.connection).await?;
        self.regrouped(&moved).await
    }

    async fn concerns_members(&mut self, group: &str) -> Result<(), Error> {
        let members: Vec<String> = sqlx::query_scalar(MEMBERS).bind(group).fetch_all(&mut *self.connection).await?;
        self.regrouped(&members).await
    }

    /// Users whose groups are others now: what is shown of them is another version.
    async fn regrouped(&mut self, users: &[String]) -> Result<(), Error> {
        for some in users.chunks(AT_ONCE) {
            let text = format!("UPDATE directory SET version = version + 1 WHERE id IN ({})", places(1, some.len()));
            some.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, id| query.bind(id)).execute(&mut *self.connection).await?;
        }
        self.concerns(users).await
    }

    async fn concerns(&mut self, users: &[String]) -> Result<(), Error> {
        self.concerned.extend(concerned(self.connection, users).await?);
        Ok(())
    }

    /// Whoever is made anew is not deleted any more, nor kept out by what they were found by.
    async fn revive(&mut self, draft: &Draft) -> Result<(), Error> {
        let query = sqlx::query_scalar(REVIVED).bind(self.provider.as_str()).bind(fold(&draft.name)).bind(&draft.external_id);
        let revived: Vec<String> = query.fetch_all(&mut *self.connection).await?;
        for id in revived {
            sqlx::query("DELETE FROM directory_ties WHERE entry = $1").bind(id).execute(&mut *self.connection).await?;
        }
        Ok(())
    }
}

/// What a user is found by.
type Ties = [(&'static str, Option<String>); 3];

fn of_draft(draft: &Draft) -> Ties {
    let text = |email: &Option<Email>| email.as_ref().map(|email| email.as_str().to_owned());
    [("external_id", draft.external_id.clone()), ("email", text(&draft.user_mail)), ("email", text(&draft.primary_mail))]
}

fn of_row(row: &AnyRow) -> Result<Ties, Error> {
    Ok([
        ("external_id", row.try_get("external_id")?),
        ("email", row.try_get("user_mail")?),
        ("email", row.try_get("primary_mail")?),
    ])
}

/// Those that are lost with a change.
fn ties(before: &Ties, after: &Ties, entry: &str) -> Vec<(String, &'static str, String)> {
    let lost = before.iter().filter(|tie| !after.contains(tie));
    lost.filter_map(|(kind, value)| Some((entry.to_owned(), *kind, value.clone()?))).collect()
}

async fn read(connection: &mut AnyConnection, id: &str) -> Result<Resource, Error> {
    let row = sqlx::query("SELECT id, body, version, created_at, modified_at FROM directory WHERE id = $1").bind(id);
    super::resource(&row.fetch_one(connection).await?)
}
