//! Directories laid over claims. In: what a provider's token said of somebody. Out: the identity that counts, for new sign-ins, loaded
//! ones, and those that are held while the directory changes. Must never leave a held identity behind what has been committed.

use super::super::changes::{Change, note};
use super::super::follow::does_not_read;
use super::super::revoke::{Cause, Revoked, Selection};
use super::super::sign_ins::{read_claims, sign_ins};
use super::super::{Error, Store};
use super::ties::{self, AT_ONCE, Tied, find, places};
use crate::model::directory::{Barred, Overlay};
use crate::model::{Identity, ProviderName, SignInId};
use arc_swap::ArcSwap;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long to wait before trying again what the database did not answer.
const AGAIN: Duration = Duration::from_secs(5);
const BEHIND: &str = "SELECT id FROM sign_ins WHERE id > $1 ORDER BY id LIMIT $2";

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

/// Somebody, before and after the directory is laid over their claims.
struct Person {
    claims: Arc<Identity>,
    entry: Option<String>,
    laid: Result<Arc<Identity>, Barred>,
}

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
        self.runtime.spawn(async move {
            store.follow_through(Settled { kept, ..Settled::default() }).await;
            let store = Arc::downgrade(&store);
            settle_rows(store).await;
        });
    }

    /// Ends every sign-in, held or not, that the directories as they are laid now let nobody have: what is refused once must not be
    /// good again when that is taken back. Piece by piece, so that others can write in between.
    async fn settle_all(&self) -> Result<(), Error> {
        let (mut last, most) = (-1, i64::try_from(AT_ONCE).unwrap_or(i64::MAX));
        loop {
            let mut transaction = self.write().await?;
            let ids: Vec<i64> = sqlx::query_scalar(BEHIND).bind(last).bind(most).fetch_all(&mut *transaction).await?;
            let Some(end) = ids.last() else { return Ok(()) };
            last = *end;
            let ids: Vec<_> = ids.into_iter().map(SignInId).collect();
            let barred = match self.judge(&mut transaction, &ids).await {
                Err(Error::Damaged(_)) => self.judge_each(&mut transaction, &ids).await?,
                judged => judged?.0,
            };
            let ended = self.end_barred(&mut transaction, barred).await?;
            transaction.commit().await?;
            self.apply_here(&ended, Cause::Directory);
        }
    }

    /// Who somebody is with the directory laid over their claims; what ties them to it is remembered in this transaction.
    pub(in crate::store) async fn laid(
        &self,
        connection: &mut AnyConnection,
        claims: &Arc<Identity>,
    ) -> Result<Result<Arc<Identity>, Barred>, Error> {
        let tied = self.tied(connection, std::slice::from_ref(claims)).await?;
        remember(connection, &tied).await?;
        Ok(tied.into_iter().next().map_or_else(|| Err(Barred::Unlisted), |tied| tied.laid))
    }

    /// The same for several, where there is no transaction, and in their order.
    pub(in crate::store) async fn laid_now(&self, people: &[Arc<Identity>]) -> Result<Vec<Result<Arc<Identity>, Barred>>, Error> {
        if self.laying.overlays.load().is_empty() {
            return Ok(people.iter().cloned().map(Ok).collect());
        }
        let mut connection = self.readers().acquire().await?;
        Ok(self.tied(&mut connection, people).await?.into_iter().map(|tied| tied.laid).collect())
    }

    /// What each of these people is tied to, and who they are with it; in their order.
    async fn tied(&self, connection: &mut AnyConnection, people: &[Arc<Identity>]) -> Result<Vec<Person>, Error> {
        let overlays = self.laying.overlays.load_full();
        let mut all: Vec<Person> = people.iter().map(Person::untied).collect();
        for (provider, overlay) in overlays.iter() {
            let mut of: Vec<&mut Person> = all.iter_mut().filter(|person| person.claims.subject.provider == *provider).collect();
            for some in of.chunks_mut(AT_ONCE) {
                let claims: Vec<Arc<Identity>> = some.iter().map(|person| Arc::clone(&person.claims)).collect();
                let claims: Vec<&Identity> = claims.iter().map(|claims| &**claims).collect();
                let tied = find(&mut *connection, provider, overlay, &claims).await?;
                some.iter_mut().zip(tied).for_each(|(person, tied)| person.tie(overlay, tied));
            }
        }
        Ok(all)
    }

    /// Ends those of these sign-ins that the directory, as it is now in the transaction, lets nobody have.
    pub(super) async fn settle(&self, connection: &mut AnyConnection, concerned: BTreeSet<SignInId>) -> Result<Settled, Error> {
        let concerned: Vec<SignInId> = concerned.into_iter().collect();
        let (barred, kept) = self.judge(connection, &concerned).await?;
        let changes: Vec<_> = kept.iter().copied().map(Change::Renewed).collect();
        note(connection, &changes).await?;
        Ok(Settled { ended: self.end_barred(connection, barred).await?, kept })
    }

    /// Which of these sign-ins nobody may have, and the others; what ties people is remembered.
    async fn judge(&self, connection: &mut AnyConnection, ids: &[SignInId]) -> Result<(Vec<SignInId>, Vec<SignInId>), Error> {
        let (mut barred, mut kept) = (Vec::new(), Vec::new());
        for some in ids.chunks(AT_ONCE) {
            let text = format!(concat!(sign_ins!("WHERE s.id IN"), " ({})"), places(1, some.len()));
            let query = some.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, id| query.bind(id.0));
            let rows = query.fetch_all(&mut *connection).await?;
            let claims = rows.iter().map(|row| read_claims(row).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
            let tied = self.tied(connection, &claims).await?;
            remember(connection, &tied).await?;
            for (row, tied) in rows.iter().zip(tied) {
                let ids = if tied.laid.is_ok() { &mut kept } else { &mut barred };
                ids.push(SignInId(row.try_get("id")?));
            }
        }
        Ok((barred, kept))
    }

    /// Which of these nobody may have: one that does not read must not spare the others.
    async fn judge_each(&self, connection: &mut AnyConnection, ids: &[SignInId]) -> Result<Vec<SignInId>, Error> {
        let mut barred = Vec::new();
        for id in ids {
            match self.judge(&mut *connection, std::slice::from_ref(id)).await {
                Err(Error::Damaged(table)) => does_not_read(table),
                judged => barred.extend(judged?.0),
            }
        }
        Ok(barred)
    }

    async fn end_barred(&self, connection: &mut AnyConnection, barred: Vec<SignInId>) -> Result<Revoked, Error> {
        match barred.as_slice() {
            [] => Ok(Revoked::default()),
            _ => self.end(connection, &Selection::SignIns(barred), Cause::Directory.into()).await,
        }
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

/// Settles every row, until it has succeeded once.
async fn settle_rows(store: Weak<Store>) {
    while let Some(following) = store.upgrade() {
        let Err(error) = following.settle_all().await else { return };
        drop(following);
        tracing::error!(%error, "which sign-ins the directory lets nobody have can't be found out yet");
        tokio::time::sleep(AGAIN).await;
    }
}

impl Person {
    fn untied(claims: &Arc<Identity>) -> Self {
        Self { claims: Arc::clone(claims), entry: None, laid: Ok(Arc::clone(claims)) }
    }

    fn tie(&mut self, overlay: &Overlay, tied: Tied) {
        self.laid = overlay.lay(&self.claims, &tied.found).map(Arc::new);
        self.entry = tied.entry;
    }
}

/// Whoever has been found to be an entry is kept out with it from now on, whatever either is called later.
async fn remember(connection: &mut AnyConnection, people: &[Person]) -> Result<(), Error> {
    let mut ties: BTreeMap<&ProviderName, Vec<(String, &str, String)>> = BTreeMap::new();
    for person in people {
        let Some(entry) = &person.entry else { continue };
        let subject = &person.claims.subject;
        ties.entry(&subject.provider).or_default().push((entry.clone(), "subject", subject.subject.to_string()));
    }
    for (provider, ties) in ties {
        ties::remember(connection, provider, &ties).await?;
    }
    Ok(())
}
