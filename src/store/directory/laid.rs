//! Directories laid over claims. In: what a provider's token said of somebody. Out: the identity that counts, for new sign-ins, loaded
//! ones, and those that are held while the directory changes. Must never leave a held identity behind what has been committed.

use super::super::changes::{Change, note};
use super::super::revoke::{Cause, Revoked, Selection};
use super::super::sign_ins::{BY_ID, read_claims};
use super::super::{Error, Store};
use crate::model::directory::{Barred, Entry, Found, Overlay};
use crate::model::{Identity, ProviderName, SignInId};
use arc_swap::ArcSwap;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How each directory is laid over its provider's claims.
#[derive(Default)]
pub(in crate::store) struct Laying {
    pub(super) overlays: ArcSwap<BTreeMap<ProviderName, Overlay>>,
}

/// What became of sign-ins that a change concerns.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) ended: Revoked,
    kept: Vec<SignInId>,
}

/// Whom an entry may belong to.
pub(super) struct Ties {
    pub(super) external_id: Option<String>,
    pub(super) user_mail: Option<String>,
    pub(super) primary_mail: Option<String>,
}

const BY_EXTERNAL_ID: &str = "SELECT id, entry FROM directory WHERE provider = $1 AND external_id = $2 AND kind = 'user' LIMIT 2";
const BY_EMAIL: &str = "SELECT id, entry FROM directory WHERE provider = $1 AND user_mail = $2 AND kind = 'user'
    UNION SELECT id, entry FROM directory WHERE provider = $1 AND primary_mail = $2 AND kind = 'user' LIMIT 2";
const DELETED_EXTERNAL_ID: &str = "SELECT 1 FROM directory_deleted WHERE provider = $1 AND external_id = $2 LIMIT 1";
const DELETED_EMAIL: &str = "SELECT 1 FROM directory_deleted WHERE provider = $1 AND user_mail = $2
    UNION ALL SELECT 1 FROM directory_deleted WHERE provider = $1 AND primary_mail = $2 LIMIT 1";
const GROUPS: &str = "SELECT d.shown FROM directory_members m JOIN directory d ON d.id = m.group_id WHERE m.user_id = $1";
const CONCERNED: &str = "SELECT s.id FROM users u JOIN sign_ins s ON s.user_id = u.id WHERE u.provider = $1 AND u.subject = $2
    UNION SELECT s.id FROM sign_ins s JOIN users u ON u.id = s.user_id WHERE u.provider = $1 AND s.email IN ($3, $4)";

impl Store {
    /// How directories are laid over claims from now on; sign-ins that are held follow.
    pub fn lay_directories(self: &Arc<Self>, overlays: BTreeMap<ProviderName, Overlay>) {
        let before = self.laying.overlays.swap(Arc::new(overlays.clone()));
        if *before == overlays {
            return;
        }
        let differs = |provider: &ProviderName| before.get(provider) != overlays.get(provider);
        // What is being loaded may have been read before.
        self.registry.outdate();
        let held = self.registry.live_sign_ins();
        let concerned = held.into_iter().filter(|held| differs(&held.identity().subject.provider));
        let (store, kept) = (Arc::clone(self), concerned.map(|held| held.id).collect());
        self.runtime.spawn(async move { store.follow_through(Settled { kept, ..Settled::default() }).await });
    }

    /// Who somebody is with the directory laid over their claims.
    pub(in crate::store) async fn laid(
        &self,
        connection: &mut AnyConnection,
        claims: &Arc<Identity>,
    ) -> Result<Result<Arc<Identity>, Barred>, Error> {
        let overlay = self.laying.overlays.load().get(&claims.subject.provider).copied();
        let Some(overlay) = overlay else { return Ok(Ok(Arc::clone(claims))) };
        let found = find(connection, &overlay, claims).await?;
        Ok(overlay.lay(claims, &found).map(Arc::new))
    }

    /// The same, where there is no transaction.
    pub(in crate::store) async fn laid_now(&self, claims: &Arc<Identity>) -> Result<Result<Arc<Identity>, Barred>, Error> {
        if self.laying.overlays.load().is_empty() {
            return Ok(Ok(Arc::clone(claims)));
        }
        let mut connection = self.readers().acquire().await?;
        self.laid(&mut connection, claims).await
    }

    /// Ends those of these sign-ins that the directory, as it is now in the transaction, lets nobody have.
    pub(super) async fn settle(&self, connection: &mut AnyConnection, concerned: BTreeSet<SignInId>) -> Result<Settled, Error> {
        let (mut barred, mut kept) = (Vec::new(), Vec::new());
        for id in concerned {
            let Some(row) = sqlx::query(BY_ID).bind(id.0).fetch_optional(&mut *connection).await? else { continue };
            let laid = self.laid(connection, &Arc::new(read_claims(&row)?)).await?;
            if laid.is_ok() { kept.push(id) } else { barred.push(id) }
        }
        let changes: Vec<_> = kept.iter().copied().map(Change::Renewed).collect();
        note(connection, &changes).await?;
        let ended = match barred.as_slice() {
            [] => Revoked::default(),
            _ => self.end(connection, &Selection::SignIns(barred), Cause::Directory.into()).await?,
        };
        Ok(Settled { ended, kept })
    }

    /// After the transaction: what has ended ends in memory too, what is held is who it has become.
    pub(super) async fn follow_through(&self, settled: Settled) {
        self.apply_here(&settled.ended, Cause::Directory);
        if let Err(error) = self.look_again(&settled.kept).await {
            tracing::error!(%error, "who some sign-ins are now can't be found out: they are looked up again when they are used");
            self.registry.end(&settled.kept, &[]);
        }
    }
}

/// The sign-ins that an entry with these ties may concern.
pub(super) async fn concerned(
    connection: &mut AnyConnection,
    provider: &ProviderName,
    ties: &Ties,
) -> Result<BTreeSet<SignInId>, Error> {
    let query = sqlx::query_scalar(CONCERNED).bind(provider.as_str()).bind(&ties.external_id);
    let ids: Vec<i64> = query.bind(&ties.user_mail).bind(&ties.primary_mail).fetch_all(connection).await?;
    Ok(ids.into_iter().map(SignInId).collect())
}

/// What the directory has for somebody: by what the configuration says, one after the other, and never one of several.
pub(super) async fn find(connection: &mut AnyConnection, overlay: &Overlay, claims: &Identity) -> Result<Found, Error> {
    let provider = claims.subject.provider.as_str();
    let by_id = overlay.by_external_id.then_some(&*claims.subject.subject);
    let by_email = claims.profile.email.as_ref().filter(|_| overlay.by_email).map(|email| email.as_str());
    for (query, value) in [(BY_EXTERNAL_ID, by_id), (BY_EMAIL, by_email)] {
        let Some(value) = value else { continue };
        let rows = sqlx::query(query).bind(provider).bind(value).fetch_all(&mut *connection).await?;
        match rows.as_slice() {
            [] => {}
            [row] => return entry(connection, row).await.map(Found::One),
            _ => return Ok(Found::Several),
        }
    }
    for (query, value) in [(DELETED_EXTERNAL_ID, by_id), (DELETED_EMAIL, by_email)] {
        let Some(value) = value else { continue };
        if sqlx::query(query).bind(provider).bind(value).fetch_optional(&mut *connection).await?.is_some() {
            return Ok(Found::Deleted);
        }
    }
    Ok(Found::Nobody)
}

async fn entry(connection: &mut AnyConnection, row: &AnyRow) -> Result<Entry, Error> {
    let text: String = row.try_get("entry")?;
    let entry: Entry = serde_json::from_str(&text).map_err(|_| Error::Damaged("directory"))?;
    let groups = sqlx::query_scalar(GROUPS).bind(row.try_get::<String, _>("id")?).fetch_all(connection).await?;
    Ok(Entry { groups, ..entry })
}
