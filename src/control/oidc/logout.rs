//! Signing out at the provider (OpenID Connect RP-Initiated Logout 1.0). In: what is left of a sign-in. Out: where to send the
//! browser. Must never be needed for our own logout to count.

use crate::control::{Call, Control};
use crate::store::Ended;
use openidconnect::core::CoreIdToken;
use openidconnect::{ClientId, LogoutRequest, PostLogoutRedirectUrl};

/// The provider's end of the session; `None` where it has none, or is not known.
pub(in crate::control) fn url(control: &Control, call: &Call<'_>, ended: &Ended) -> Option<String> {
    let snapshot = &call.place.snapshot;
    let provider = snapshot.providers.get(&ended.provider)?;
    let metadata = control.directory.find(provider).ok()?.metadata().ok()?;
    let endpoint = metadata.additional_metadata().end_session_endpoint.clone()?;
    let back = PostLogoutRedirectUrl::new(format!("{}/.doorward/logout", snapshot.auth)).ok()?;
    let request =
        LogoutRequest::from(endpoint).set_client_id(ClientId::new(provider.client_id.clone())).set_post_logout_redirect_uri(back);
    // A damaged hint only means that the provider asks whom to sign out.
    let hint: Option<CoreIdToken> = ended.id_token.parse().ok();
    let request = match &hint {
        Some(hint) => request.set_id_token_hint(hint),
        None => request,
    };
    Some(request.http_get_url().into())
}
