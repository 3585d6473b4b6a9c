//! What transmitters of security events end, and what they say that counts from then on. In: a checked event. Out: what came of it.
//! Must never take an event twice, act on people of another provider, nor say that it was taken before its effect is committed.

mod facts;
mod find;
mod streams;

pub(super) use facts::{ALL, forget_device, forget_risk, is_locked, take_in_all, unlock};
pub use facts::{COMPLIANT, LOCKED, NOTHING, UNLOCKED};
pub use find::{About, Person};
pub use streams::{Status, Stream};

use super::changes::{self, Change};
use super::revoke::{Cause, Grounds, Revoked, Selection};
use super::sign_ins::to_sql;
use super::{Error, Store};
use crate::clock;
use crate::model::identity::Subject;
use crate::model::{ProviderName, SignInId, Timestamp, TokenHash};
use find::{Found, Held};
use sqlx::AnyConnection;
use std::sync::Arc;
use std::time::Duration;

/// An event that passed every check.
#[derive(Clone, Debug)]
pub struct SecurityEvent {
    /// Who says so.
    pub transmitter: Arc<str>,
    /// Whose people it may be about.
    pub provider: ProviderName,
    /// Names its token.
    pub token: TokenHash,
    /// Until when the token would count.
    pub until: Timestamp,
    /// Whom or what it is about.
    pub about: About,
    /// What it does.
    pub act: Act,
    /// Why, in the transmitter's words.
    pub why: Option<String>,
    /// How long what the transmitter said counts when it says nothing; nothing where it is no transmitter that could fall silent.
    pub silent_after: Option<Duration>,
}

/// What an event does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Nothing that anybody here would notice.
    Nothing,
    /// Ends sign-ins: those whose person proved who they are no later than this, or all.
    End {
        /// The latest of them.
        before: Option<Timestamp>,
    },
    /// Has claims renewed before they are used again; ends sign-ins whose claims can't be.
    Renew,
    /// Keeps people out until [`Act::Unlock`], and ends their sign-ins.
    Lock(Fact),
    /// Takes back what this transmitter has locked before.
    Unlock(Fact),
    /// Ends sign-ins, and forgets the people.
    Erase,
    /// Something is known of people.
    OfPeople(Fact),
    /// Others know a credential of people: their sign-ins end, and they are a risk until they have proved anew who they are.
    Compromised(Fact),
    /// Something is known of a device.
    OfDevice(Fact),
    /// The stream works: it brought this state, where one was asked for.
    Verified(Option<TokenHash>),
    /// The stream has this status since then.
    Stream(Status, Timestamp),
}

/// What is known from now on.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Of what kind.
    pub kind: Kind,
    /// A level of risk, or whether it is so.
    pub value: String,
    /// For people who look into it.
    pub reasons: Vec<String>,
    /// When that was so.
    pub at: Timestamp,
}

/// The kinds of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How much there is to fear of a person.
    UserRisk,
    /// How much there is to fear of a device.
    DeviceRisk,
    /// That others know a credential of a person.
    Compromise,
    /// Whether a device keeps the rules.
    Compliance,
    /// That a person is kept out.
    Lock,
}

/// What came of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken before.
    Again,
    /// It is about nobody who is known here.
    Unmatched,
    /// Nobody had asked for this verification.
    Unexpected,
    /// It was done.
    Done(Effect),
}

/// What an event has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Of whom.
    pub people: Vec<Subject>,
    /// How many sign-ins it has ended.
    pub ended: usize,
    /// Of how many the claims are renewed.
    pub renewed: usize,
    /// Something newer is known already, so that what it says does not count.
    pub is_older: bool,
    /// It is committed, and not yet known in memory: the same event, taken again, sees to that.
    pub is_unread: bool,
}

/// What is to be told to whoever holds sign-ins, once it is committed.
#[derive(Default)]
struct Changed {
    ended: Revoked,
    outdated: Vec<SignInId>,
}

const OUTDATE: &str = "UPDATE sign_ins SET outdated_at = CASE WHEN outdated_at < $1 THEN $1 ELSE outdated_at + 1 END WHERE id = $2";

impl Kind {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::UserRisk => "user",
            Self::DeviceRisk => "device",
            Self::Compromise => "compromise",
            Self::Compliance => "compliance",
            Self::Lock => "lock",
        }
    }
}

impl Store {
    /// Does what an event says, in the transaction that notes its token.
    pub async fn take_event(&self, event: &SecurityEvent) -> Result<Taken, Error> {
        let mut transaction = self.write().await?;
        if !note(&mut transaction, event).await? {
            // It may be here again because what follows the commit failed.
            let outdated = match event.act {
                Act::Renew => find::find(&mut transaction, &event.provider, &event.about, false).await?.sign_ins,
                _ => Vec::new(),
            };
            drop(transaction);
            self.look_again(&outdated.iter().map(|held| held.id).collect::<Vec<_>>()).await?;
            self.read_signals().await?;
            return Ok(Taken::Again);
        }
        let (mut taken, changed) = self.act(&mut transaction, event).await?;
        if taken == Taken::Unexpected {
            return Ok(taken);
        }
        // Facts that are stale come to life again with their stream.
        let revived = streams::hear(&mut transaction, event).await?;
        let is_known = revived || event.act.is_remembered();
        if is_known {
            changes::note(&mut transaction, &[Change::Signals]).await?;
        }
        transaction.commit().await?;
        match (self.tell(&changed, is_known).await, &mut taken) {
            (Err(error), Taken::Done(effect)) => {
                tracing::error!(%error, "an event is committed, and not yet known in memory");
                effect.is_unread = true;
            }
            (told, _) => told?,
        }
        Ok(taken)
    }

    async fn act(&self, connection: &mut AnyConnection, event: &SecurityEvent) -> Result<(Taken, Changed), Error> {
        let none = Changed::default();
        match &event.act {
            Act::Verified(state) if !streams::verified(connection, event, *state).await? => return Ok((Taken::Unexpected, none)),
            Act::Verified(_) | Act::Stream(..) | Act::Nothing => return Ok((Taken::Done(Effect::default()), none)),
            Act::OfDevice(fact) => {
                let Some(id) = &event.about.device else { return Ok((Taken::Unmatched, none)) };
                let is_older = !facts::put(connection, &event.transmitter, id, fact).await?;
                return Ok((Taken::Done(Effect { is_older, ..Effect::default() }), none));
            }
            _ => {}
        }
        let found = find::find(connection, &event.provider, &event.about, event.act.is_about_people()).await?;
        let mut people: Vec<_> = found.people.values().cloned().collect();
        let mut is_older = event.act.of_people().is_some();
        if let Some(fact) = event.act.of_people() {
            // It counts also for whoever has not signed in yet.
            people.extend(event.named().filter(|named| !found.people.values().any(|known| known == named)));
            for subject in &people {
                is_older &= !facts::put(connection, &event.transmitter, &subject.to_string(), fact).await?;
            }
        }
        if people.is_empty() {
            return Ok((Taken::Unmatched, none));
        }
        let changed = self.act_on(connection, event, &found).await?;
        let (ended, renewed) = (changed.ended.sign_ins(), changed.outdated.len());
        Ok((Taken::Done(Effect { people, ended, renewed, is_older, is_unread: false }), changed))
    }

    async fn act_on(&self, connection: &mut AnyConnection, event: &SecurityEvent, found: &Found) -> Result<Changed, Error> {
        let (mut ended, mut outdated) = (Vec::new(), Vec::new());
        for held in &found.sign_ins {
            match &event.act {
                Act::Renew if self.outdate(connection, held).await? => outdated.push(held.id),
                Act::End { before } if before.is_some_and(|before| held.authenticated_at > before) => {}
                Act::Unlock(_) | Act::OfPeople(_) => {}
                _ => ended.push(held.id),
            }
        }
        let grounds = Grounds { cause: Cause::Signal, by: Some(&event.transmitter), why: event.why.as_deref() };
        let ended = self.end(connection, &Selection::SignIns(ended), grounds).await?;
        for (id, subject) in found.people.iter().filter(|_| matches!(event.act, Act::Erase)) {
            facts::take_back_risk(connection, &event.transmitter, &subject.to_string()).await?;
            sqlx::query("DELETE FROM users WHERE id = $1").bind(*id).execute(&mut *connection).await?;
        }
        Ok(Changed { ended, outdated })
    }

    /// Has the claims of this sign-in count as stale from now on, until a renewal that begins later; false where they can't be renewed.
    /// What says so in the row is another number with each event, whatever the clocks of replicas say: renewals compare it.
    async fn outdate(&self, connection: &mut AnyConnection, held: &Held) -> Result<bool, Error> {
        if self.unsealed(held.id, &held.tokens).is_none_or(|tokens| tokens.refresh_token.is_none()) {
            return Ok(false);
        }
        sqlx::query(OUTDATE).bind(to_sql(clock::now())).bind(held.id.0).execute(&mut *connection).await?;
        changes::note(connection, &[Change::Renewed(held.id)]).await?;
        Ok(true)
    }

    /// Ends and outdates what is held of the rows, and reads facts where there are others.
    async fn tell(&self, changed: &Changed, is_known: bool) -> Result<(), Error> {
        self.apply_here(&changed.ended, Cause::Signal);
        self.look_again(&changed.outdated).await?;
        for held in changed.outdated.iter().filter_map(|id| self.registry.held(*id)) {
            self.ask_renewal(&held);
        }
        if is_known { self.read_signals().await } else { Ok(()) }
    }
}

impl Act {
    /// Whether it is about people as a whole, even where one of their sessions names them.
    const fn is_about_people(&self) -> bool {
        matches!(self, Self::Lock(_) | Self::Compromised(_) | Self::Erase)
    }

    /// Whether something in memory rests on what it writes.
    const fn is_remembered(&self) -> bool {
        matches!(self, Self::OfPeople(_) | Self::Compromised(_) | Self::OfDevice(_) | Self::Erase | Self::Stream(..))
    }

    /// What is known of people from then on.
    const fn of_people(&self) -> Option<&Fact> {
        match self {
            Self::Lock(fact) | Self::Unlock(fact) | Self::OfPeople(fact) | Self::Compromised(fact) => Some(fact),
            _ => None,
        }
    }
}

impl SecurityEvent {
    /// Those whom it names by the subject of their tokens, which is theirs before they have signed in.
    fn named(&self) -> impl Iterator<Item = Subject> {
        self.about.people.iter().filter_map(|person| match person {
            Person::Subject(subject) => Some(Subject { provider: self.provider.clone(), subject: subject.clone() }),
            Person::SubjectOrSession(_) | Person::Email(_) | Person::Claim(..) => None,
        })
    }
}

/// Notes the token; false where it is there already.
async fn note(connection: &mut AnyConnection, event: &SecurityEvent) -> Result<bool, Error> {
    let over = sqlx::query("DELETE FROM logout_tokens WHERE expires_at <= $1").bind(to_sql(clock::now()));
    over.execute(&mut *connection).await?;
    let note = "INSERT INTO logout_tokens (token, expires_at) VALUES ($1, $2) ON CONFLICT (token) DO NOTHING";
    let note = sqlx::query(note).bind(event.token.as_bytes().to_vec()).bind(to_sql(event.until));
    Ok(note.execute(connection).await?.rows_affected() > 0)
}
