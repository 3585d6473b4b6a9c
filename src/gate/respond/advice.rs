//! What a refused person is told beside the reason. In: a visit that was refused. Out: what failed and what would help, and whom to ask,
//! as far as the app lets it be said. Must never say anything of it to somebody who is not signed in, nor be worked out for an answer
//! that no person sees.

use crate::gate::visit::Visit;
use crate::model::{Advice, Reason, Refusal};
use crate::policy::Principal;
use crate::snapshot::Access;
use crate::snapshot::denials::{Contact, Tell};

/// What is told.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) advice: Vec<Advice>,
    pub(super) contact: Option<&'a Contact>,
}

/// Works it out.
pub(super) fn told<'a>(visit: &'a Visit, refusal: &Refusal) -> Told<'a> {
    let Some(app) = visit.app().filter(|_| visit.trail.session.is_some() && is_of_rules(refusal.reason)) else {
        return Told::default();
    };
    let advice = if app.denials.tell == Tell::Everything { advice(visit).unwrap_or_default() } else { Vec::new() };
    let contact = app.denials.contact.as_ref().filter(|_| app.denials.tell != Tell::Nothing);
    Told { advice, contact }
}

const fn is_of_rules(reason: Reason) -> bool {
    matches!(reason, Reason::DeniedByRule | Reason::NotAllowed | Reason::PolicyError | Reason::StepUpFailed)
}

fn advice(visit: &Visit) -> Option<Vec<Advice>> {
    let (session, signals) = (visit.trail.session.as_ref()?, visit.trail.refused.as_ref()?);
    let Access::Rules(rules) = &visit.snapshot.route(visit.trail.route?)?.access else { return None };
    let identity = session.sign_in().identity();
    let principal = Principal::new(&identity).ok()?;
    Some(rules.advice(&principal, &identity, &signals.facts(visit.circumstances(), rules, &identity)))
}
