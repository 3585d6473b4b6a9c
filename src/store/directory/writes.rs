//! Changes of a directory. In: what a provider's directory tells. Out: rows, and the end of the sign-ins that they end, in one
//! transaction. Must never change what was changed by another since it was read, nor make a member of what is not the provider's.

use super::super::revoke::complete;
use super::super::sign_ins::to_sql;
use super::super::{Error, Store};
use super::laid::{Settled, Ties, concerned};
use super::{Resource, fold};
use crate::clock;
use crate::model::directory::{Entry, Kind};
use crate::model::identity::Subject;
use crate::model::secret::random;
use crate::model::{Email, ProviderName, SignInId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
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
const REVIVED: &str = "DELETE FROM directory_deleted WHERE provider = $1 AND (name = $2 OR external_id = $3)";
const BURY: &str = "INSERT INTO directory_deleted (id, provider, name, external_id, user_mail, primary_mail, deleted_at)
    SELECT id, provider, name, external_id, user_mail, primary_mail, CAST($2 AS BIGINT)
    FROM directory WHERE id = $1";
const IS_USER: &str = "SELECT 1 FROM directory WHERE id = $1 AND provider = $2 AND kind = 'user'";
const JOIN: &str = "INSERT INTO directory_members (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const LEAVE: &str = "DELETE FROM directory_members WHERE group_id = $1 AND user_id = $2";
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
        let revived = sqlx::query(REVIVED).bind(self.provider.as_str()).bind(fold(&draft.name)).bind(&draft.external_id);
        if self.kind == Kind::User {
            revived.execute(&mut *self.connection).await?;
            self.concerns(&Ties::of_draft(draft)).await?;
        }
        self.set_members(id, members).await.map(Ok)
    }

    async fn replace(&mut self, before: &Resource, draft: &Draft, members: &Members) -> Outcome {
        let Some(row) = self.find(before).await? else { return Ok(Err(Unwritten::Stale)) };
        if self.is_taken(&draft.name, &before.id).await? {
            return Ok(Err(Unwritten::Taken));
        }
        match self.kind {
            Kind::User => {
                self.concerns(&Ties::of_row(&row)?).await?;
                self.concerns(&Ties::of_draft(draft)).await?;
            }
            Kind::Group if row.try_get::<String, _>("shown")? != draft.name => self.concerns_members(&before.id).await?,
            Kind::Group => {}
        }
        self.write(CHANGE, &before.id, draft).await?;
        self.set_members(&before.id, members).await.map(Ok)
    }

    async fn delete(&mut self, before: &Resource) -> Outcome {
        let Some(row) = self.find(before).await? else { return Ok(Err(Unwritten::Stale)) };
        match self.kind {
            Kind::User => {
                self.concerns(&Ties::of_row(&row)?).await?;
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
        for user in &add {
            let known = sqlx::query(IS_USER).bind(user).bind(self.provider.as_str());
            if known.fetch_optional(&mut *self.connection).await?.is_none() {
                self.strangers.push(user.clone());
                continue;
            }
            self.move_member(JOIN, group, user).await?;
        }
        for user in &remove {
            self.move_member(LEAVE, group, user).await?;
        }
        Ok(())
    }

    async fn move_member(&mut self, text: &'static str, group: &str, user: &str) -> Result<(), Error> {
        let moved = sqlx::query(text).bind(group).bind(user).execute(&mut *self.connection).await?;
        if moved.rows_affected() > 0 {
            self.concerns_user(user).await?;
        }
        Ok(())
    }

    async fn concerns_members(&mut self, group: &str) -> Result<(), Error> {
        let members: Vec<String> = sqlx::query_scalar(MEMBERS).bind(group).fetch_all(&mut *self.connection).await?;
        for user in members {
            self.concerns_user(&user).await?;
        }
        Ok(())
    }

    async fn concerns_user(&mut self, user: &str) -> Result<(), Error> {
        let query = sqlx::query("SELECT external_id, user_mail, primary_mail FROM directory WHERE id = $1").bind(user);
        if let Some(row) = query.fetch_optional(&mut *self.connection).await? {
            self.concerns(&Ties::of_row(&row)?).await?;
        }
        Ok(())
    }

    async fn concerns(&mut self, ties: &Ties) -> Result<(), Error> {
        self.concerned.extend(concerned(self.connection, self.provider, ties).await?);
        Ok(())
    }
}

impl Ties {
    fn of_draft(draft: &Draft) -> Self {
        let text = |email: &Option<Email>| email.as_ref().map(|email| email.as_str().to_owned());
        Self { external_id: draft.external_id.clone(), user_mail: text(&draft.user_mail), primary_mail: text(&draft.primary_mail) }
    }

    fn of_row(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            external_id: row.try_get("external_id")?,
            user_mail: row.try_get("user_mail")?,
            primary_mail: row.try_get("primary_mail")?,
        })
    }
}

async fn read(connection: &mut AnyConnection, id: &str) -> Result<Resource, Error> {
    let row = sqlx::query("SELECT id, body, version, created_at, modified_at FROM directory WHERE id = $1").bind(id);
    super::resource(&row.fetch_one(connection).await?)
}
