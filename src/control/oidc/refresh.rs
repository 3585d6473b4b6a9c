//! Renewal of claims with refresh tokens (RFC 6749, section 6; OpenID Connect Core 1.0, section 12). In: sign-ins that the gate
//! asks for. Out: new claims, or the end of the sign-in. Must never end a sign-in because a provider is down, nor keep one that
//! the provider has ended.

use super::client::client;
use super::exchange;
use super::{Error, id_token};
use crate::clock;
use crate::control::Control;
use crate::model::Identity;
use crate::snapshot::Provider;
use crate::store::{self, Cause, Lease, SignIn, Tokens};
use openidconnect::RefreshToken;
use openidconnect::core::CoreTokenResponse;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many renewals go on at once.
const AT_ONCE: usize = 16;
/// After how long a renewal that failed is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// For how long one process alone renews the claims of a sign-in: longer than a provider may take.
const TAKEN_ON: Duration = Duration::from_secs(20);
/// How often to look whether another process has renewed them.
const ELSEWHERE: u8 = 10;
/// How long another process may take to write down what it got.
const WRITTEN_DOWN: Duration = Duration::from_millis(500);

/// Says that a renewal is over, however it ends.
struct UnderWay(Arc<SignIn>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.renewal_ends();
    }
}

/// What came of a renewal that can't be had.
enum Failure {
    /// The sign-in has ended at the provider, or what it says can't be believed any more.
    Over(Error),
    /// Not now.
    Later(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(code) if code == "invalid_grant" => Self::Over(Error::Refused(code)),
            Error::IdToken(id_token::Invalid::UnknownKey) => Self::Later(error.to_string()),
            // Claims that can't be read whole would refuse a sign-in; the old ones would give what may have been taken away.
            Error::IdToken(_) | Error::Claims(_) => Self::Over(error),
            Error::Undiscovered | Error::Http(_) | Error::Refused(_) | Error::Unreadable(_) => Self::Later(error.to_string()),
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Later(error.to_string())
    }
}

/// Renews whatever is asked for, for ever.
pub(in crate::control) async fn work(control: &Arc<Control>) {
    let Some(mut asked) = control.store.renewals() else { return };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(sign_in) = asked.recv().await {
        let under_way = UnderWay(sign_in);
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let control = Arc::clone(control);
        tokio::spawn(async move {
            renew(&control, &under_way.0).await;
            drop(place);
        });
    }
}

async fn renew(control: &Control, sign_in: &SignIn) {
    let failure = match try_renewal(control, sign_in).await {
        Ok(()) => return,
        Err(failure) => failure,
    };
    let postponed = match failure {
        Failure::Over(error) => {
            tracing::info!(sign_in = sign_in.id.0, %error, "a sign-in ends: its claims can't be renewed");
            control.store.end_sign_in(sign_in.id, Cause::RenewalRefused).await.err().map(|error| error.to_string())
        }
        Failure::Later(cause) => Some(cause),
    };
    if let Some(cause) = postponed {
        tracing::warn!(sign_in = sign_in.id.0, %cause, "claims can't be renewed now; trying again");
        // Where another process has renewed them, there is nothing to put off.
        let now = clock::now();
        if sign_in.renewal_is_due(now) {
            sign_in.postpone_renewal(now.plus(PAUSE));
        }
    }
}

async fn try_renewal(control: &Control, sign_in: &SignIn) -> Result<(), Failure> {
    let snapshot = control.snapshot.load_full();
    let name = sign_in.identity().subject.provider.clone();
    let provider = snapshot.providers.get(&name).ok_or(Error::Undiscovered)?;
    let was_due = sign_in.renewal_is_due(clock::now());
    let Some(lease) = control.store.take_on_renewal(sign_in.id, TAKEN_ON).await? else {
        return renewed_elsewhere(sign_in).await;
    };
    let done_meanwhile = was_due && !sign_in.renewal_is_due(clock::now());
    let outcome = if done_meanwhile { Ok(()) } else { renew_alone(control, sign_in, provider, lease).await };
    // Else the next one waits for a while.
    control.store.give_back_renewal(sign_in.id, lease).await?;
    outcome
}

/// Waits for what another process gets, rather than to use a refresh token twice.
async fn renewed_elsewhere(sign_in: &SignIn) -> Result<(), Failure> {
    for _ in 0..ELSEWHERE {
        tokio::time::sleep(WRITTEN_DOWN).await;
        if !sign_in.renewal_is_due(clock::now()) {
            return Ok(());
        }
    }
    Err(Failure::Later("another process has taken it on".to_owned()))
}

async fn renew_alone(control: &Control, sign_in: &SignIn, provider: &Provider, lease: Lease) -> Result<(), Failure> {
    let Some(held) = control.store.tokens(sign_in.id).await? else {
        return end(control, sign_in).await;
    };
    // Nothing to ask with.
    let Some(token) = held.refresh_token.clone() else {
        return Ok(());
    };
    // This process may have been stopped since it took it on.
    if lease.is_over() {
        return Err(store::Error::Overtaken.into());
    }
    let response = match redeem(control, provider, RefreshToken::new(token.clone())).await {
        Err(Error::Refused(code)) if code == "invalid_grant" && was_spent_elsewhere(control, sign_in, &token).await? => {
            return Err(Failure::Later("another process was faster".to_owned()));
        }
        response => response?,
    };
    let before = sign_in.claims();
    let issuer = control.directory.find(provider)?;
    let checked = exchange::check_refresh(&issuer, provider, &response, &before, &held).await;
    match checked.map_err(Failure::from) {
        Ok(checked) => keep(control, sign_in, checked.identity, checked.tokens, lease).await,
        Err(Failure::Later(cause)) => {
            // The old refresh token may be spent: keep the new one for the next try.
            let refresh_token = exchange::refresh_token(&response).or(held.refresh_token);
            control.store.keep_tokens(sign_in.id, &Tokens { refresh_token, ..held }, lease).await?;
            Err(Failure::Later(cause))
        }
        Err(over) => Err(over),
    }
}

/// Whether another process has used this token, and has written down what it got for it. While one process takes over from the
/// other, both may be about to renew the same claims.
async fn was_spent_elsewhere(control: &Control, sign_in: &SignIn, token: &str) -> Result<bool, store::Error> {
    tokio::time::sleep(WRITTEN_DOWN).await;
    let held = control.store.tokens(sign_in.id).await?;
    Ok(held.is_some_and(|held| held.refresh_token.is_some_and(|held| held != token)))
}

async fn keep(control: &Control, sign_in: &SignIn, identity: Identity, tokens: Tokens, lease: Lease) -> Result<(), Failure> {
    if control.store.renew_sign_in(sign_in, identity, tokens, lease).await? { Ok(()) } else { end(control, sign_in).await }
}

/// Its row is gone: whoever still holds it learns so, or would ask for a renewal for ever.
async fn end(control: &Control, sign_in: &SignIn) -> Result<(), Failure> {
    control.store.end_sign_in(sign_in.id, Cause::RenewalRefused).await?;
    Ok(())
}

async fn redeem(control: &Control, provider: &Provider, token: RefreshToken) -> Result<CoreTokenResponse, Error> {
    let issuer = control.directory.find(provider)?;
    let client = client(&*issuer.metadata()?, provider, &control.snapshot.load().auth)?;
    let request = client.exchange_refresh_token(&token).map_err(|_| Error::Undiscovered)?;
    request.request_async(&issuer.http).await.map_err(exchange::token_error)
}
