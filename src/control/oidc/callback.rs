//! The auth host's `callback`: the provider's answer (OpenID Connect Core 1.0, section 3.1.2.5, RFC 9207). In: code and state.
//! Out: a sign-in, and the way on. Must never go by a code that this browser did not ask for, nor let an old cookie name the
//! new sign-in.

use super::client::client;
use super::discovery::Metadata;
use super::exchange::{self, Checked};
use super::flow::{Flow, FlowId};
use super::id_token::ExpectedNonce;
use super::{Error, provider_unavailable};
use crate::clock;
use crate::control::answer::{self, Answer};
use crate::control::login::Destination;
use crate::control::session::MOST_SIGN_INS;
use crate::control::{Call, Control, unavailable};
use crate::cookies;
use crate::model::identity::{Act, Subject};
use crate::model::{Reason, Refusal, Token};
use crate::snapshot::{Provider, Snapshot};
use crate::store::{Barred, Cause, Client, NewSignIn, SignIn};
use http::header::USER_AGENT;
use openidconnect::{AuthorizationCode, Nonce, PkceCodeVerifier};
use std::sync::Arc;

/// How many characters of what a browser calls itself are kept.
const LONGEST_AGENT: usize = 256;

/// `GET /.doorward/callback` on the auth host.
pub(in crate::control) async fn answer(control: &Control, call: &Call<'_>) -> Result<Answer, Refusal> {
    let snapshot = &call.place.snapshot;
    let held = control.sign_ins(call).await?;
    let flow = call.query.find("state").and_then(|state| Flow::of_state(control.store.ring(), call, state));
    let (id, flow) = match flow {
        Some((id, flow)) if !flow.is_over(clock::now()) => (id, flow),
        _ if held.is_empty() => return Err(Reason::SignInExpired.into()),
        late => return go_on_late(snapshot, late),
    };
    let provider = snapshot.providers.values().find(|provider| provider.name.as_str() == flow.provider);
    let provider = provider.ok_or(Reason::SignInExpired)?;
    let destination = destination(snapshot, &flow)?;
    let enough = |held: &SignIn| destination.lack(provider, &held.identity(), clock::now()).is_none();
    if held.iter().any(|(_, held)| is_from_another_tab(held, &flow) && enough(held)) {
        return go_on(Some(&id), &destination, None);
    }
    let signed_in = sign_in(control, call, provider, &flow, &held).await;
    let outcome = signed_in.as_ref().err().map_or("success", |refusal| refusal.reason.code());
    control.metrics.login(provider.name.as_str(), outcome);
    let (cookie, sign_in) = signed_in?;
    Ok(answer::acted(go_on(Some(&id), &destination, Some(cookie))?, &sign_in.identity(), Act::SignedIn))
}

/// Whether another tab has signed in at the same provider since this login began.
fn is_from_another_tab(held: &SignIn, flow: &Flow) -> bool {
    held.created > flow.started() && held.identity().subject.provider.as_str() == flow.provider
}

/// The login is over or unknown, but the browser is signed in: to where the login was going, as far as that is known.
fn go_on_late(snapshot: &Snapshot, late: Option<(FlowId, Flow)>) -> Result<Answer, Refusal> {
    let Some((id, flow)) = late else {
        return go_on(None, &Destination::default(), None);
    };
    let destination = destination(snapshot, &flow)?;
    if destination.step_up.is_none() {
        return go_on(Some(&id), &destination, None);
    }
    // What came too late was not looked at: it is asked for anew.
    let answer = answer::redirect(&destination.login_path(None))?;
    Ok(answer::with_cookies(answer, [cookies::expire(&id.cookie())]))
}

/// Where a login leads; a stronger sign-in is the provider's that it was begun at.
fn destination(snapshot: &Snapshot, flow: &Flow) -> Result<Destination, Refusal> {
    let step_up = flow.step_up.as_deref().map(|step_up| (step_up, &*flow.provider));
    Destination::read(snapshot, flow.to.as_deref(), flow.binding.as_deref(), step_up)
}

/// To `login`, which hands over from whichever sign-in the browser holds by then.
fn go_on(id: Option<&FlowId>, destination: &Destination, cookie: Option<String>) -> Result<Answer, Refusal> {
    let mut lines: Vec<_> = id.map(|id| cookies::expire(&id.cookie())).into_iter().collect();
    lines.extend(cookie.map(|cookie| cookies::set(cookies::SSO, &cookie, None)));
    let answer = answer::redirect(&destination.login_path(Some(("signed_in", "1"))))?;
    Ok(answer::with_cookies(answer, lines))
}

/// From the provider's answer to a new sign-in, in place of the one at the same provider; with the value of the cookie.
async fn sign_in(
    control: &Control,
    call: &Call<'_>,
    provider: &Provider,
    flow: &Flow,
    held: &[(Token, Arc<SignIn>)],
) -> Result<(String, Arc<SignIn>), Refusal> {
    let checked = redeem(control, call, provider, flow).await?;
    let token = Token::random().map_err(unavailable)?;
    let subject = checked.identity.subject.clone();
    let (same, others): (Vec<_>, Vec<_>) = held.iter().partition(|(_, held)| held.identity().subject.provider == provider.name);
    let new = NewSignIn {
        cookie: token.hash(),
        identity: checked.identity,
        provider_sid: checked.provider_sid,
        tokens: checked.tokens,
        ends: clock::now().plus(call.place.snapshot.lifetimes.lifetime),
        replaces: same.first().map(|(_, same)| same.id),
        client: Client { address: Some(call.place.client), agent: agent(call) },
    };
    let sign_in = control.store.create_sign_in(new).await.map_err(unavailable)?;
    let sign_in = sign_in.map_err(|barred| refused(barred, &subject))?;
    let (kept, dropped) = others.split_at(others.len().min(MOST_SIGN_INS - 1));
    // What no cookie names any more could not be signed out of.
    for (_, dropped) in dropped.iter().chain(same.get(1..).unwrap_or_default()) {
        control.store.end_sign_in(dropped.id, Cause::Replaced).await.map_err(unavailable)?;
    }
    let tokens = std::iter::once(&token).chain(kept.iter().map(|(token, _)| token));
    Ok((tokens.map(Token::reveal).collect::<Vec<_>>().join("."), sign_in))
}

fn refused(barred: Barred, subject: &Subject) -> Refusal {
    tracing::info!(user = %subject, ?barred, "a sign-in was refused");
    match barred {
        Barred::Ended => Reason::SignInExpired.into(),
        Barred::Locked => Reason::UserLocked.into(),
        Barred::Directory(barred) => barred.into(),
    }
}

/// What the browser calls itself, as far as that can be shown.
fn agent(call: &Call<'_>) -> Option<String> {
    let agent = call.headers.get(USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(LONGEST_AGENT).collect())
}

/// Trades the code for tokens, and the tokens for a checked identity.
async fn redeem(control: &Control, call: &Call<'_>, provider: &Provider, flow: &Flow) -> Result<Checked, Refusal> {
    let refusal = |error: Error| error.refusal(provider);
    let issuer = control.directory.find(provider).map_err(refusal)?;
    let metadata = issuer.metadata().map_err(refusal)?;
    check_issuer(call, &metadata)?;
    let code = code(call, provider)?;
    let client = client(&metadata, provider, &call.place.snapshot.auth).map_err(refusal)?;
    let request = client.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(|_| provider_unavailable(provider))?;
    let request = request.set_pkce_verifier(PkceCodeVerifier::new(flow.verifier.clone()));
    let response = request.request_async(&issuer.http).await;
    let response = response.map_err(|error| refusal(exchange::token_error(error)))?;
    let nonce = Nonce::new(flow.nonce.clone());
    exchange::check_login(&issuer, provider, &response, ExpectedNonce::Exactly(&nonce)).await.map_err(refusal)
}

/// Whose answer it is (RFC 9207, section 2.4).
fn check_issuer(call: &Call<'_>, metadata: &Metadata) -> Result<(), Refusal> {
    let required = metadata.additional_metadata().additional_metadata.authorization_response_iss_parameter_supported;
    let fine = match call.query.find("iss") {
        Some(said) => said == metadata.issuer().as_str(),
        None => !required && !call.query.has("iss"),
    };
    let detail = "The answer is not from the service that was asked.";
    fine.then_some(()).ok_or_else(|| Refusal::with_detail(Reason::SignInFailed, detail))
}

/// The code, or what the provider says in place of one (RFC 6749, section 4.1.2.1).
fn code<'a>(call: &'a Call<'_>, provider: &Provider) -> Result<&'a str, Refusal> {
    let Some(error) = call.query.find("error") else {
        return call.query.find("code").ok_or_else(|| Reason::SignInFailed.into());
    };
    match error {
        "access_denied" => Err(Reason::SignInRefused.into()),
        "temporarily_unavailable" | "server_error" => Err(provider_unavailable(provider)),
        code if code.len() <= 64 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            Err(Refusal::with_detail(Reason::SignInFailed, format!("{} answered: {code}.", provider.title)))
        }
        _ => Err(Reason::SignInFailed.into()),
    }
}
