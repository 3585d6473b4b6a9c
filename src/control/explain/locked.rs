//! Whether a made-up request meets a lock before any rule. In: what is known, and who asks with which device. Out: the lock. Must
//! never find one that the gate, or the sign-in, would not look at.

use super::{Question, Shown};
use crate::model::identity::Subject;
use crate::model::locks::Lock;
use crate::model::risks::Whose;
use crate::model::{Identity, Source, Timestamp};

/// A lock that keeps somebody out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// What is locked.
    pub whose: Whose,
    /// By whom.
    pub source: Source,
    /// Why, for administrators.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

impl Locked {
    fn new(whose: Whose, source: Source, lock: &Lock) -> Self {
        Self { whose, source, reason: lock.reason.clone(), until: lock.until }
    }
}

/// The lock on the device, which is refused everywhere.
pub(super) fn device(question: &Question) -> Option<Locked> {
    let Some(Shown::Known(device)) = &question.device else { return None };
    let (name, lock) = question.known.locks.on_device(&device.id, device.fingerprint, question.now)?;
    Some(Locked::new(Whose::Device(name.to_owned()), Source::Administration, lock))
}

/// The lock on the person, who has no sign-in and gets none.
pub(super) fn person(question: &Question, identity: &Identity) -> Option<Locked> {
    let subject = Whose::Subject(identity.subject.clone());
    let names = identity.profile.email.clone().map(Whose::Email).into_iter().chain([subject]);
    let known = &question.known;
    let administered = names.filter_map(|whose| Some((known.locks.find(&whose, question.now)?, whose)));
    let administered = administered.map(|(lock, whose)| Locked::new(whose, Source::Administration, lock)).next();
    administered.or_else(|| transmitted(question, &identity.subject))
}

fn transmitted(question: &Question, subject: &Subject) -> Option<Locked> {
    let one = question.known.kept_out.iter().find(|one| one.subject == *subject)?;
    Some(Locked::new(Whose::Subject(one.subject.clone()), one.source.clone(), &one.lock))
}
