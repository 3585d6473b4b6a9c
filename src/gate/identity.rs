//! Who asks. In: a session and the app. Out: an [`Identity`]. Must never take a sign-in of a provider that the app does not.

use super::route::Routed;
use super::session::{Recognized, Session};
use super::visit::Visit;
use crate::model::Reason;
use std::rc::Rc;

/// Who asks.
pub enum Identity {
    /// Nobody that this app knows, and why.
    Unknown(Reason),
    /// Somebody, signed in.
    Known(Rc<Recognized>),
}

/// Resolves the session.
pub fn resolve(visit: &mut Visit, place: &Routed<'_>, session: Session) -> Identity {
    let session = match session {
        Session::Absent => return Identity::Unknown(Reason::NotSignedIn),
        Session::Invalid(reason) => return Identity::Unknown(reason),
        Session::Valid(session) => session,
    };
    let provider_is_fine = place.app.providers.contains(&session.sign_in().identity().subject.provider);
    visit.trail.session = Some(Rc::clone(&session));
    if provider_is_fine { Identity::Known(session) } else { Identity::Unknown(Reason::ProviderNotAccepted) }
}
