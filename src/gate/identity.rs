//! Who asks. In: a session and the app. Out: an [`Identity`]. Must never take a sign-in of a provider that the app does not.

use super::route::Routed;
use super::session::{Known, Session};
use super::visit::Visit;
use crate::model::Reason;
use std::sync::Arc;

/// Who asks.
pub enum Identity {
    /// Nobody that this app knows, and why.
    Unknown(Reason),
    /// Somebody, signed in.
    Known(Arc<Known>),
}

/// Resolves the session.
pub fn resolve(visit: &mut Visit, place: &Routed<'_>, session: Session) -> Identity {
    let known = match session {
        Session::Absent => return Identity::Unknown(Reason::NotSignedIn),
        Session::Invalid(reason) => return Identity::Unknown(reason),
        Session::Valid(known) => known,
    };
    let provider_is_fine = place.app.providers.contains(&known.session.sign_in.identity().subject.provider);
    visit.trail.session = Some(Arc::clone(&known));
    if provider_is_fine { Identity::Known(known) } else { Identity::Unknown(Reason::ProviderNotAccepted) }
}
