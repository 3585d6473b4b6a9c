//! Who could reach what, by the rules and not by any log. In: a configuration, and the people that are known beside those whom it
//! names. Out: routes, whoever could be let through there, and under which conditions. Decides nothing: conditions that exclude one
//! another are listed like any others.

use super::explain::{Error, app, route};
use crate::model::{Identity, ProviderName};
use crate::policy::condition::Test;
use crate::policy::remains::{Known, Reach, Way, When, Who};
use crate::policy::rules::User;
use crate::policy::{Rule, Ruleset};
use crate::snapshot::{Access, App, Route, Snapshot};
use http::Method;
use std::sync::Arc;

/// What is asked of a route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The app's key; every app where there is none.
    pub app: Option<&'a str>,
    /// A path with the app's prefix; every route where there is none.
    pub path: Option<&'a str>,
    /// How; any method where there is none.
    pub method: Option<&'a Method>,
}

/// Who could be let through on one route.
pub struct Reachable {
    /// `payroll` or `payroll /admin/**`.
    pub route: Arc<str>,
    /// Who, and how.
    pub by: By,
}

/// By what somebody is let through.
pub enum By {
    /// The route is public: everybody, by these methods (every method when `None`).
    Public(Option<Vec<Method>>),
    /// Rules: those who could match one.
    Rules(Vec<(Who, Reach)>),
}

/// Who could reach an app: everybody whom its rules name, and all of these people.
pub fn who_can(snapshot: &Snapshot, people: &[Identity], asked: Asked<'_>) -> Result<Vec<Reachable>, Error> {
    let whole: Vec<Who> = people.iter().map(|person| Who::Person(Box::new(person.clone()))).collect();
    let by_rules = |app: &App, rules: &Ruleset| {
        let everybody = rules.reach(known(&Who::Anybody, asked));
        let hypothetical = std::iter::once(Who::Anybody).chain(named(rules, people)).filter(|who| accepted(app, who));
        let mut all: Vec<(Who, Reach)> = hypothetical
            .map(|who| {
                let reach = differing(rules.reach(known(&who, asked)), &everybody, &who);
                (who, reach)
            })
            .collect();
        let persons = whole.iter().filter(|who| accepted(app, who));
        all.extend(persons.map(|who| (who.clone(), rules.reach(known(who, asked)))));
        all.retain(|(_, reach)| !reach.ways.is_empty());
        all
    };
    reachable(snapshot, asked, by_rules)
}

/// What somebody could reach. Routes that they can't are left out.
pub fn what_can(snapshot: &Snapshot, who: &Who, asked: Asked<'_>) -> Result<Vec<Reachable>, Error> {
    let by_rules = |app: &App, rules: &Ruleset| {
        let reach = rules.reach(known(who, asked));
        if reach.ways.is_empty() || !accepted(app, who) { Vec::new() } else { vec![(who.clone(), reach)] }
    };
    let mut all = reachable(snapshot, asked, by_rules)?;
    all.retain(|reachable| !matches!(&reachable.by, By::Rules(by) if by.is_empty()));
    Ok(all)
}

const fn known<'a>(who: &'a Who, asked: Asked<'a>) -> Known<'a> {
    Known { who, method: asked.method, path: asked.path }
}

fn reachable(
    snapshot: &Snapshot,
    asked: Asked<'_>,
    by_rules: impl Fn(&App, &Ruleset) -> Vec<(Who, Reach)>,
) -> Result<Vec<Reachable>, Error> {
    let routes = routes(snapshot, asked)?;
    let by = |route: &Route| match &route.access {
        Access::Public(methods) => Some(By::Public(methods.clone())),
        Access::Rules(rules) => Some(By::Rules(by_rules(snapshot.app(route.app)?, rules))),
    };
    Ok(routes.into_iter().filter_map(|route| Some(Reachable { route: Arc::clone(&route.label), by: by(route)? })).collect())
}

fn routes<'a>(snapshot: &'a Snapshot, asked: Asked<'_>) -> Result<Vec<&'a Route>, Error> {
    let Some(name) = asked.app else { return Ok(snapshot.routes.iter().collect()) };
    let app = app(snapshot, name)?;
    if let Some(path) = asked.path {
        return Ok(vec![route(snapshot, app, path)?]);
    }
    let of_app = |route: &&Route| snapshot.app(route.app).is_some_and(|other| std::ptr::eq(other, app));
    Ok(snapshot.routes.iter().filter(of_app).collect())
}

/// Whether the app takes sign-ins of the provider that vouches for them.
fn accepted(app: &App, who: &Who) -> bool {
    match who {
        Who::Person(identity) => identity.subject.subject.is_empty() || app.providers.contains(&identity.subject.provider),
        Who::Named(User::Subject(subject)) => {
            let provider = subject.split_once(':').and_then(|(name, _)| ProviderName::parse(name));
            provider.is_some_and(|provider| app.providers.contains(&provider))
        }
        _ => true,
    }
}

/// Everybody whom the rules name, in their order; but those who are known as people anyway.
fn named(rules: &Ruleset, people: &[Identity]) -> Vec<Who> {
    let mut all = Vec::new();
    let parts: Vec<_> = rules.rules().filter(|rule| !rule.shadow).flat_map(Rule::parts).collect();
    for test in parts.iter().flat_map(|part| part.tests()) {
        let of_test: Vec<Who> = match test {
            Test::Users(users) => users.iter().filter(|user| !is_among(user, people)).cloned().map(Who::Named).collect(),
            Test::Groups(groups) => groups.iter().cloned().map(Who::Member).collect(),
            Test::Domains(domains) => domains.iter().cloned().map(Who::Domain).collect(),
            Test::Claim(name, values) => values.iter().map(|value| Who::Claim(name.clone(), value.clone())).collect(),
            _ => Vec::new(),
        };
        let new: Vec<Who> = of_test.into_iter().filter(|who| !all.contains(who)).collect();
        all.extend(new);
    }
    all
}

fn is_among(user: &User, people: &[Identity]) -> bool {
    people.iter().any(|person| match user {
        User::Email(email) => person.profile.email.as_ref() == Some(email),
        User::Subject(subject) => person.subject.to_string() == *subject,
    })
}

/// The ways that are theirs: what anybody has is said of anybody, and what is still open of a person is said of whoever it names.
fn differing(reach: Reach, everybody: &Reach, who: &Who) -> Reach {
    let theirs = |way: &Way| match (&way.when, who) {
        (When::If(rest), Who::Anybody) => !rest.is_for_some(),
        (_, Who::Anybody) => true,
        _ => !everybody.ways.contains(way),
    };
    Reach { ways: reach.ways.into_iter().filter(theirs).collect(), ..reach }
}
