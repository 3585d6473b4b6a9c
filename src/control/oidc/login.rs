//! The start of a login at a provider. In: a provider and where to go afterwards. Out: the way there. Must never go without
//! state, nonce and PKCE.

use super::client::client;
use super::flow::{self, Flow, FlowId};
use super::provider_unavailable;
use crate::clock;
use crate::control::answer::{self, Answer};
use crate::control::login::Destination;
use crate::control::{Call, Control};
use crate::model::{Refusal, StepUp, Strength};
use crate::snapshot::Provider;
use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{AuthenticationContextClass, CsrfToken, Nonce, PkceCodeChallenge, Scope};
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
    let (url, mut flow) = authorization(
        control,
        call,
        provider,
        state,
        to.step_up.as_ref().map(|(step_up, _)| step_up.at(&provider.strength)).as_ref(),
    )?;
    let ring = control.store.ring();
    let sealed = flow.seal(ring, &id, &to)?;
    let mut lines = flow::make_room(ring, call, id.cookie().len() + sealed.len(), flow.started());
    lines.push(flow::cookie(&id, &sealed));
    Ok(answer::with_cookies(answer::redirect(url.as_str())?, lines))
}

/// The authorization request (OpenID Connect Core 1.0, section 3.1.2.1) and what its answer will be checked by.
fn authorization(
    control: &Control,
    call: &Call<'_>,
    provider: &Provider,
    state: String,
    step_up: Option<&StepUp>,
) -> Result<(Url, Flow), Refusal> {
    let metadata = control.directory.find(provider).and_then(|issuer| issuer.metadata());
    let metadata = metadata.map_err(|_| provider_unavailable(provider))?;
    let client = client(&metadata, provider, &call.place.snapshot.auth).map_err(|error| error.refusal(provider))?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let scopes = provider.scopes.iter().filter(|scope| *scope != "openid");
    let sent = CsrfToken::new(state.clone());
    let mut request = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || sent, Nonce::new_random)
        .add_scopes(scopes.map(|scope| Scope::new(scope.clone())))
        .set_pkce_challenge(challenge);
    let classes: Vec<&String> = step_up.iter().flat_map(|step_up| classes(step_up, &provider.strength)).collect();
    if metadata.claims_parameter_supported() == Some(true) && !classes.is_empty() {
        request = request.add_extra_param("claims", essential(&classes));
    } else {
        let asked = classes.iter().map(|class| AuthenticationContextClass::new((*class).clone()));
        request = asked.fold(request, |request, class| request.add_auth_context_value(class));
    }
    if let Some(age) = step_up.and_then(|step_up| step_up.max_age) {
        request = request.set_max_age(age);
    }
    let (url, _, nonce) = request.url();
    let flow = Flow {
        provider: provider.name.to_string(),
        state,
        nonce: nonce.secret().clone(),
        verifier: verifier.into_secret(),
        to: None,
        binding: None,
        step_up: None,
        started: clock::now().millis(),
    };
    Ok((url, flow))
}

/// A demand, for providers that tell one from a wish (OpenID Connect Core 1.0, section 5.5.1.1). It stands alone: beside it, some
/// take `acr_values` for the whole of it.
fn essential(classes: &[&String]) -> String {
    serde_json::json!({ "id_token": { "acr": { "essential": true, "values": classes } } }).to_string()
}

/// What to ask the provider for (OpenID Connect Core 1.0, section 3.1.2.1, `acr_values`): what the rule names, else what the
/// strength that is wanted is called at this provider.
fn classes<'a>(step_up: &'a StepUp, strength: &'a Strength) -> impl Iterator<Item = &'a String> {
    let named = step_up.acr_values.iter();
    let strongest = step_up.phishing_resistant.then_some(&strength.phishing_resistant.acr);
    let means = strongest.or_else(|| step_up.mfa.then_some(&strength.mfa.acr)).filter(|_| step_up.acr_values.is_empty());
    named.chain(means.into_iter().flatten())
}
