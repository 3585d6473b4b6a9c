//! The auth host's `login`: from wherever somebody is to an app, signed in. In: where to go, the cookie of the single
//! sign-on. Out: a handoff to the app, the chooser, or a login at a provider. Must never send anybody but to a
//! [`ReturnTarget`], nor make a handoff that another browser could take.

use super::answer::{self, Answer};
use super::query::{self, Query};
use super::target::ReturnTarget;
use super::{Call, Control, oidc, unavailable};
use crate::clock;
use crate::model::strength::Lack;
use crate::model::{Identity, ProviderName, Reason, Refusal, StepUp, Timestamp, Token, TokenHash};
use crate::pages;
use crate::snapshot::{Provider, Snapshot};
use crate::store::{Handoff, SignIn};
use std::sync::Arc;
use std::time::Duration;

/// How long a handoff code holds.
const HANDOFF: Duration = Duration::from_secs(60);

/// Where a sign-in leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Destination {
    /// The app's URL; the auth host's own page where there is none.
    pub(super) target: Option<ReturnTarget>,
    /// The hash of the flow cookie on the app's host.
    pub(super) binding: Option<TokenHash>,
    /// How strong or fresh the sign-in must be, and at which provider: one at another may be another person's.
    pub(super) step_up: Option<(StepUp, ProviderName)>,
}

impl Destination {
    /// Reads `to`, `binding`, and `step_up` with its `provider`.
    pub(super) fn parse(snapshot: &Snapshot, query: &Query) -> Result<Self, Refusal> {
        if !query.has("to") {
            return Ok(Self::default());
        }
        let to = query.find("to").ok_or(Reason::BadReturnTarget)?;
        Self::read(snapshot, Some(to), query.find("binding"), query.find("step_up").zip(query.find("provider")))
    }

    /// Reads the texts of all three.
    pub(super) fn read(
        snapshot: &Snapshot,
        to: Option<&str>,
        binding: Option<&str>,
        step_up: Option<(&str, &str)>,
    ) -> Result<Self, Refusal> {
        let target = to.map(|to| ReturnTarget::parse(snapshot, to)).transpose();
        let target = target.map_err(|_| Reason::BadReturnTarget)?;
        let step_up = step_up.and_then(|(text, provider)| Some((StepUp::parse(text)?, ProviderName::parse(provider)?)));
        Ok(Self { target, binding: binding.and_then(TokenHash::decode), step_up })
    }

    /// This destination, then without the query, then the root of the same host.
    pub(super) fn ever_shorter(&self) -> impl Iterator<Item = Self> {
        let shorter =
            |shorten: fn(&ReturnTarget) -> ReturnTarget| Self { target: self.target.as_ref().map(shorten), ..self.clone() };
        [self.clone(), shorter(ReturnTarget::without_query), shorter(ReturnTarget::root)].into_iter()
    }

    /// `/.doorward/login` with this destination, and perhaps one more parameter.
    pub(super) fn login_path(&self, more: Option<(&str, &str)>) -> String {
        let to = self.target.as_ref().map(ToString::to_string);
        let binding = self.binding.as_ref().map(TokenHash::encode);
        let mut parameters: Vec<_> = more.into_iter().collect();
        parameters.extend(to.as_deref().map(|to| ("to", to)));
        parameters.extend(binding.as_deref().map(|binding| ("binding", binding)));
        let step_up = self.step_up.as_ref().map(|(step_up, _)| step_up.to_string());
        parameters.extend(step_up.as_deref().map(|step_up| ("step_up", step_up)));
        parameters.extend(self.step_up.as_ref().map(|(_, provider)| ("provider", provider.as_str())));
        format!("/.doorward/login?{}", query::write(&parameters))
    }

    /// The providers whose sign-ins do; in the order of the app.
    fn accepted<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Provider> {
        let app = self.target.as_ref().and_then(|target| target.app(snapshot));
        let named = app.map_or(&[][..], |app| &app.providers);
        let mut accepted: Vec<&Provider> = match named {
            [] => snapshot.providers.values().collect(),
            named => named.iter().filter_map(|name| snapshot.providers.get(name)).collect(),
        };
        if let Some((_, only)) = &self.step_up {
            accepted.retain(|provider| provider.name == *only);
        }
        accepted
    }

    /// What a sign-in lacks.
    pub(super) fn lack(&self, provider: &Provider, identity: &Identity, now: Timestamp) -> Option<Lack> {
        let (step_up, _) = self.step_up.as_ref()?;
        step_up.at(&provider.strength).lack(&provider.strength, identity, now)
    }

    /// The first of these sign-ins that does, with what it lacks; one that lacks nothing where there is one.
    fn best<'a>(
        &self,
        held: &'a [(Token, Arc<SignIn>)],
        accepted: &[&'a Provider],
    ) -> Option<(&'a SignIn, &'a Provider, Option<Lack>)> {
        let now = clock::now();
        let fit = held.iter().filter_map(|(_, held)| {
            let identity = held.identity();
            let provider = accepted.iter().find(|provider| provider.name == identity.subject.provider)?;
            Some((&**held, *provider, self.lack(provider, &identity, now)))
        });
        let fit: Vec<_> = fit.collect();
        fit.iter().find(|(_, _, lack)| lack.is_none()).or(fit.first()).copied()
    }

    fn app_title<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a str> {
        Some(&*self.target.as_ref()?.app(snapshot)?.title)
    }
}

impl Control {
    /// `GET /.doorward/login` on the auth host.
    pub(super) async fn login(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let destination = Destination::parse(&call.place.snapshot, &call.query)?;
        let accepted = destination.accepted(&call.place.snapshot);
        let held = self.sign_ins(call).await?;
        match destination.best(&held, &accepted) {
            Some((sign_in, _, None)) => self.arrive(call, &destination, sign_in).await,
            Some((_, provider, Some(lack))) if call.query.has("signed_in") => Err(not_delivered(provider, lack)),
            Some((_, provider, Some(_))) => oidc::login::begin(self, call, provider, destination.clone()).await,
            None if held.is_empty() && call.query.has("signed_in") => Err(Refusal::with_detail(
                Reason::SignInLoop,
                format!("The browser did not keep the cookie of {}.", call.place.host),
            )),
            None => self.choose(call, &destination, &accepted).await,
        }
    }

    /// Hands a sign-in over to the app, or shows it where there is no app to go to.
    async fn arrive(&self, call: &Call<'_>, destination: &Destination, sign_in: &SignIn) -> Result<Answer, Refusal> {
        sign_in.seen(clock::now());
        match (&destination.target, destination.binding) {
            (None, _) => Ok(account(&call.place.snapshot, sign_in)),
            // Not from the gate, but a link: the gate sends the browser here again, with its binding.
            (Some(target), None) => answer::redirect(&target.to_string()),
            (Some(target), Some(binding)) => {
                let asked = destination.step_up.is_some();
                self.hand_over(target, binding, sign_in, asked).await
            }
        }
    }

    /// `asked`: for a stronger sign-in, so that who comes again and again goes round in circles.
    async fn hand_over(&self, target: &ReturnTarget, binding: TokenHash, sign_in: &SignIn, asked: bool) -> Result<Answer, Refusal> {
        let code = Token::random().map_err(unavailable)?;
        let handoff = Handoff {
            code: code.hash(),
            sign_in: sign_in.id,
            host: target.host().to_owned(),
            binding,
            expires: clock::now().plus(HANDOFF),
        };
        if !self.store.create_handoff(&handoff).await.map_err(unavailable)? {
            return Err(Reason::SessionExpired.into());
        }
        let flow: String = binding.encode().chars().take(8).collect();
        let mut parameters = vec![("code", code.reveal()), ("flow", &*flow), ("to", target.path_and_query())];
        parameters.extend(asked.then_some(("step_up", "1")));
        answer::redirect(&target.sibling(&format!("/.doorward/callback?{}", query::write(&parameters))))
    }

    async fn choose(&self, call: &Call<'_>, destination: &Destination, accepted: &[&Provider]) -> Result<Answer, Refusal> {
        let provider = match (call.query.find("provider"), accepted) {
            (Some(name), _) => accepted.iter().find(|provider| provider.name.as_str() == name),
            (None, [only]) => Some(only),
            (None, _) => return Ok(chooser(&call.place.snapshot, destination, accepted)),
        };
        oidc::login::begin(self, call, provider.ok_or(Reason::ProviderNotAccepted)?, destination.clone()).await
    }
}

/// The person has been to the provider, and what came back is still not enough: to go there again would be a loop.
fn not_delivered(provider: &Provider, lack: Lack) -> Refusal {
    let missing = match lack {
        Lack::Mfa => "a second factor",
        Lack::PhishingResistant => "a security key or passkey",
        Lack::Class => "the kind of sign-in that was asked for",
        Lack::Fresh => "a sign-in that is recent enough",
    };
    Refusal::with_detail(Reason::StepUpFailed, format!("What is missing is {missing}: {} did not vouch for it.", provider.title))
}

fn chooser(snapshot: &Snapshot, destination: &Destination, accepted: &[&Provider]) -> Answer {
    let link = |provider: &&Provider| {
        let path = destination.login_path(Some(("provider", provider.name.as_str())));
        (provider.title.to_string(), path)
    };
    let providers: Vec<_> = accepted.iter().map(link).collect();
    let app = destination.app_title(snapshot);
    answer::page(pages::chooser(&pages::ChooserPage { app, providers: &providers }))
}

fn account(snapshot: &Snapshot, sign_in: &SignIn) -> Answer {
    let identity = sign_in.identity();
    let profile = &identity.profile;
    let email = profile.email.as_ref().map(|email| email.as_str());
    let name = profile.name.as_deref().or(email).unwrap_or(&identity.subject.subject);
    let provider = &identity.subject.provider;
    let title = snapshot.providers.get(provider).map_or(provider.as_str(), |provider| &provider.title);
    let sign_out = "/.doorward/logout";
    answer::page(pages::account(&pages::AccountPage { name, provider: title, sign_out }))
}
