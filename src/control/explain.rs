//! Why somebody would be let in or not. In: a configuration, and a question of a made-up request. Out: an [`Answer`]. Decides
//! nothing: it asks the policy as the gate does.

mod asked;
mod json;
mod locked;

pub use asked::Asked;
pub(super) use asked::{level, standing, time};
pub use json::value;
pub use locked::Locked;

use crate::model::identity::{Profile, Subject};
use crate::model::inventory::Inventories;
use crate::model::{
    Device, DeviceFacts, Email, Identity, Observed, ProviderName, Risk, RiskLevel, RuleId, Source, Strength, Timestamp,
    device::Standing,
};
use crate::policy::explain::Explanation;
use crate::policy::{Authentication, Facts, Principal, Ruleset};
use crate::snapshot::hosts::Host;
use crate::snapshot::{Access, App, Route, Snapshot};
use crate::store::Known;
use http::{HeaderMap, Method};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A made-up request.
#[derive(Clone, Debug)]
pub struct Question {
    /// The app's key.
    pub app: String,
    /// The path, with the app's prefix.
    pub path: String,
    /// How it asks.
    pub method: Method,
    /// A verified address, or `provider:subject`.
    pub user: Option<String>,
    /// Where they signed in; the first provider of the app where nothing else says it.
    pub provider: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their mapped claims.
    pub claims: BTreeMap<String, Vec<String>>,
    /// How they authenticated.
    pub amr: Vec<String>,
    /// The context class.
    pub acr: Option<String>,
    /// When they signed in.
    pub authenticated_at: Timestamp,
    /// Where they are.
    pub address: Option<IpAddr>,
    /// In place of what the database says of that.
    pub country: Option<String>,
    /// The same.
    pub asn: Option<u32>,
    /// Which device they show.
    pub device: Option<Shown>,
    /// How much there is to fear; what is known of that by default.
    pub risk: Option<RiskLevel>,
    /// The headers that they send.
    pub headers: HeaderMap,
    /// What a store knows: locks, risks, and who is asked about.
    pub known: Known,
    /// When it is.
    pub now: Timestamp,
}

/// The device of a made-up request.
#[derive(Clone, Debug)]
pub enum Shown {
    /// One of which nothing else is known than what it is to the person.
    Standing(Standing),
    /// One of the inventory, as if its certificate had been shown.
    Known(Arc<Device>),
}

/// The decision, and why.
pub struct Answer {
    /// `payroll` or `payroll /admin/**`.
    pub route: Arc<str>,
    /// What keeps them out before any rule is asked.
    pub locked: Option<Locked>,
    /// `None` where everybody may, by this method or not at all.
    pub explained: Result<Explanation, Public>,
}

/// The path is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public {
    /// Whether this method is let through.
    pub allows: bool,
}

/// What a request would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is let through.
    Allow,
    /// It is refused.
    Deny,
    /// Another sign-in is asked for.
    Challenge,
}

impl Outcome {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Challenge => "challenge",
        }
    }
}

impl Answer {
    /// What it comes to.
    pub const fn outcome(&self) -> Outcome {
        match &self.explained {
            _ if self.locked.is_some() => Outcome::Deny,
            Err(Public { allows: true }) => Outcome::Allow,
            Err(Public { allows: false }) => Outcome::Deny,
            Ok(explanation) if explanation.decision.allows() => Outcome::Allow,
            Ok(explanation) if explanation.step_up.is_some() => Outcome::Challenge,
            Ok(_) => Outcome::Deny,
        }
    }

    /// The rule that decided, where one did.
    pub fn rule(&self) -> Option<&RuleId> {
        let explained = self.explained.as_ref().ok().filter(|_| self.locked.is_none());
        explained?.decision.rule()
    }
}

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The app is not configured.
    #[error("no app is called `{0}`")]
    App(String),
    /// The path belongs to another app, or to none.
    #[error("`{0}` is not a path of this app")]
    Path(String),
    /// The gate would refuse it, or decode it first.
    #[error("`{0}` can be read in more than one way: write it decoded, and in upper and lower case as the rules do")]
    Ambiguous(String),
    /// Neither an address nor `provider:subject`.
    #[error("`{0}` is neither an e-mail address nor `provider:subject`")]
    User(String),
    /// Not a provider of this app.
    #[error("the app takes no sign-ins of `{0}`")]
    Provider(String),
    /// The inventory does not have it.
    #[error("no device of the inventory is called `{0}`")]
    Device(String),
    /// Two answers to one question.
    #[error("say which device it is or what it is to the person, not both")]
    TwoDevices,
    /// A text that can't be read.
    #[error("`{name}`: `{text}` is not {what}")]
    Value {
        /// Of what.
        name: &'static str,
        /// The text.
        text: String,
        /// What it should be.
        what: &'static str,
    },
    /// The person can't be evaluated.
    #[error("{0}")]
    Principal(#[from] crate::policy::principal::PrincipalError),
}

/// Answers it.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Answer, Error> {
    let app = app(snapshot, &question.app)?;
    let (route, locked) = (route(snapshot, app, &question.path)?, locked::device(question));
    let rules = match &route.access {
        Access::Public(methods) => {
            let allows = methods.as_ref().is_none_or(|methods| methods.contains(&question.method));
            return Ok(Answer { route: Arc::clone(&route.label), locked, explained: Err(Public { allows }) });
        }
        Access::Rules(rules) => rules,
    };
    let identity = identity(app, question)?;
    let meant = meant(app, question, &identity);
    let locked = locked.or_else(|| meant.iter().find_map(|identity| locked::person(question, identity)));
    let provider = snapshot.providers.get(&identity.subject.provider);
    let strength = provider.map_or_else(Strength::nothing, |provider| provider.strength.clone());
    let facts = facts(snapshot, rules, question, (&identity, &meant, Authentication::of(&identity, &strength)))?;
    let explained = rules.explain(&Principal::new(&identity)?, &identity, &facts, &strength);
    Ok(Answer { route: Arc::clone(&route.label), locked, explained: Ok(explained) })
}

/// The app of this key.
pub(super) fn app<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a App, Error> {
    snapshot.apps.iter().find(|app| *app.name == *name).ok_or_else(|| Error::App(name.to_owned()))
}

/// The route of the app that a path belongs to.
pub(super) fn route<'a>(snapshot: &'a Snapshot, app: &'a App, path: &str) -> Result<&'a Route, Error> {
    let here = match snapshot.hosts.find(app.origin.host()) {
        Some(Host::Apps(apps)) if path.starts_with('/') => apps.find(path).and_then(|index| snapshot.app(index)),
        _ => None,
    };
    let index = app.paths.find(path).filter(|_| here.is_some_and(|here| std::ptr::eq(here, app)));
    let route = index.and_then(|index| snapshot.route(index)).ok_or_else(|| Error::Path(path.to_owned()))?;
    let plain = !path.contains('%') && !app.paths.folds_elsewhere(path);
    plain.then_some(route).ok_or_else(|| Error::Ambiguous(path.to_owned()))
}

fn identity(app: &App, question: &Question) -> Result<Identity, Error> {
    let user = question.user.as_deref().unwrap_or("");
    let subject = user.split_once(':').and_then(|(name, subject)| Some((ProviderName::parse(name)?, subject)));
    let email = if subject.is_none() && !user.is_empty() {
        Some(Email::parse(user).map_err(|_| Error::User(user.to_owned()))?)
    } else {
        None
    };
    let named = subject.as_ref().map(|(name, _)| name.as_str()).or(question.provider.as_deref());
    let provider = app.providers.iter().find(|name| named.is_none_or(|named| name.as_str() == named));
    let provider = provider.ok_or_else(|| Error::Provider(named.unwrap_or("anybody").to_owned()))?.clone();
    let subject = subject.map(|(_, subject)| subject).or_else(|| namesake(question, &provider)).unwrap_or("").to_owned();
    let subject = Subject { provider, subject };
    let known = question.known.people.iter().find(|one| one.subject == subject);
    Ok(Identity {
        subject,
        profile: Profile {
            // The gate knows the address of whoever is asked about by their subject.
            email: email.or_else(|| known?.profile.email.clone()),
            groups: question.groups.clone(),
            claims: question.claims.clone(),
            amr: question.amr.clone(),
            acr: question.acr.clone(),
            ..Profile::default()
        },
        authenticated_at: question.authenticated_at,
    })
}

/// The one person of this provider who has the address that is asked about.
fn namesake<'q>(question: &'q Question, provider: &ProviderName) -> Option<&'q str> {
    let mut namesakes = question.known.people.iter().map(|one| &one.subject).filter(|subject| subject.provider == *provider);
    match (namesakes.next(), namesakes.next()) {
        (Some(one), None) => Some(&one.subject),
        _ => None,
    }
}

/// Everybody who may be meant: an address can be several people's, at all the providers that the app takes where none is named.
fn meant(app: &App, question: &Question, identity: &Identity) -> Vec<Identity> {
    let is_asked = |name: &ProviderName| question.provider.as_ref().is_none_or(|asked| *asked == name.as_str());
    let is_taken = |one: &Subject| app.providers.contains(&one.provider) && is_asked(&one.provider) && *one != identity.subject;
    let others = question.known.people.iter().map(|one| &one.subject).filter(|one| is_taken(one));
    let others = others.map(|one| Identity { subject: one.clone(), ..identity.clone() });
    std::iter::once(identity.clone()).chain(others).collect()
}

fn facts(
    snapshot: &Snapshot,
    rules: &Ruleset,
    question: &Question,
    (identity, meant, authentication): (&Identity, &[Identity], Authentication),
) -> Result<Facts, Error> {
    let asked = rules.reads().ask(&question.headers, || std::iter::once(&*question.path));
    let country = question.country.as_deref().map(|country| assumed(question, Arc::from(country)));
    let risk = |level| assumed(question, Arc::new(Risk { level, reasons: Vec::new() }));
    Ok(Facts {
        path: question.path.as_str().into(),
        address: question.address,
        country: country.or_else(|| snapshot.geo.country(question.address?)),
        asn: question.asn.map(|asn| assumed(question, asn)).or_else(|| snapshot.geo.asn(question.address?)),
        authentication,
        device: question.device.as_ref().map(|shown| device(question, shown, identity)),
        risk: question.risk.map(risk).or_else(|| told(snapshot, question, meant)),
        asked: asked.map_err(|_| Error::Ambiguous(question.path.clone()))?,
        ..Facts::bare(question.now, question.method.clone())
    })
}

/// The worst that is said of whoever may be meant and of their devices, as the gate looks for it.
fn told(snapshot: &Snapshot, question: &Question, meant: &[Identity]) -> Option<Observed<Arc<Risk>>> {
    let both = Inventories { administered: &question.known.devices, listed: &snapshot.devices };
    let shown = match &question.device {
        Some(Shown::Known(device)) => Some(&*device.id),
        Some(Shown::Standing(_)) | None => None,
    };
    let of = |identity| question.known.risks.worst(identity, shown, both.owned_by(identity).map(|device| &*device.id));
    meant.iter().filter_map(of).max_by_key(|risk| risk.value.level)
}

/// What the device is to this person, as the gate would have it of a good certificate.
fn device(question: &Question, shown: &Shown, identity: &Identity) -> Observed<Arc<DeviceFacts>> {
    match shown {
        Shown::Standing(standing) => assumed(question, Arc::new(DeviceFacts { standing: *standing, device: None })),
        Shown::Known(device) => Observed {
            value: Arc::new(DeviceFacts { standing: device.standing(identity), device: Some(Arc::clone(device)) }),
            source: Source::Inventory,
            observed_at: device.reported_at,
            expires_at: device.expires_at,
        },
    }
}

/// Said by whoever asks.
const fn assumed<T>(question: &Question, value: T) -> Observed<T> {
    Observed { value, source: Source::Administration, observed_at: question.now, expires_at: None }
}
