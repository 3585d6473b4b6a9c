//! The start of a login at a provider. In: a provider and where to go afterwards. Out: the way there. Must never go without
//! state, nonce and PKCE.

use super::client::client;
use super::flow::{self, Flow, FlowId};
use super::provider_unavailable;
use crate::clock;
use crate::control::answer::{self, Answer};
use crate::control::login::Destination;
use crate::control::{Call, Control};
use crate::model::Refusal;
use crate::snapshot::Provider;
use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{CsrfToken, Nonce, PkceCodeChallenge, Scope};
use url::Url;

/// Sends the browser to the provider.
pub(in crate::control) async fn begin(
    control: &Control,
    call: &Call<'_>,
    provider: &Provider,
    to: Destination,
) -> Result<Answer, Refusal> {
    control.directory.tried(provider).await;
    let (id, state) = FlowId::random()?;
    let (url, mut flow) = authorization(control, call, provider, state)?;
    let ring = control.store.ring();
    let sealed = flow.seal(ring, &id, &to)?;
    let mut lines = flow::make_room(ring, call, id.cookie().len() + sealed.len(), flow.started());
    lines.push(flow::cookie(&id, &sealed));
    Ok(answer::with_cookies(answer::redirect(url.as_str())?, lines))
}

/// The authorization request (OpenID Connect Core 1.0, section 3.1.2.1) and what its answer will be checked by.
fn authorization(control: &Control, call: &Call<'_>, provider: &Provider, state: String) -> Result<(Url, Flow), Refusal> {
    let metadata = control.directory.find(provider).and_then(|issuer| issuer.metadata());
    let metadata = metadata.map_err(|_| provider_unavailable(provider))?;
    let client = client(&metadata, provider, &call.place.snapshot.auth).map_err(|error| error.refusal(provider))?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let scopes = provider.scopes.iter().filter(|scope| *scope != "openid");
    let sent = CsrfToken::new(state.clone());
    let (url, _, nonce) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || sent, Nonce::new_random)
        .add_scopes(scopes.map(|scope| Scope::new(scope.clone())))
        .set_pkce_challenge(challenge)
        .url();
    let flow = Flow {
        provider: provider.name.to_string(),
        state,
        nonce: nonce.secret().clone(),
        verifier: verifier.into_secret(),
        to: None,
        binding: None,
        started: clock::now().millis(),
    };
    Ok((url, flow))
}
