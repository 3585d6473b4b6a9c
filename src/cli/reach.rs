//! `doorward who-can` and `doorward what-can`. In: a configuration, and an app or a person. Out: who could reach it, or what they
//! could, by which rules and under which conditions. From the rules, not from any log; the store only says who is known.

use super::check::Verdict;
use crate::control::config::{Loaded, load};
use crate::control::reach::{Asked, By, Reachable, what_can, who_can};
use crate::model::identity::{Profile, Subject};
use crate::model::{Email, Identity, ProviderName, Timestamp};
use crate::policy::remains::{Reach, Way, When, Who};
use crate::policy::rules::User;
use crate::store::{self, Location};
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Who could reach an app?
#[derive(Args)]
pub struct WhoCan {
    /// The configuration file.
    #[arg(short, long, default_value = "config/doorward.yaml")]
    config: PathBuf,
    /// The app's key under `apps`.
    #[arg(long)]
    app: String,
    /// A path, with the app's prefix; all of its routes by default.
    #[arg(long)]
    path: Option<String>,
    /// The method; any by default.
    #[arg(long)]
    method: Option<Method>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What could somebody reach?
#[derive(Args)]
pub struct WhatCan {
    /// The configuration file.
    #[arg(short, long, default_value = "config/doorward.yaml")]
    config: PathBuf,
    /// The person: a verified e-mail address, or provider:subject.
    #[arg(long, required_unless_present_any = ["group", "claim"])]
    user: Option<String>,
    /// A group, of whoever is in it or of the person; in place of what the store knows of them; can be repeated.
    #[arg(long)]
    group: Vec<String>,
    /// A mapped claim, likewise, as name=value; can be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
    /// The method; any by default.
    #[arg(long)]
    method: Option<Method>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Answers `doorward who-can`.
pub fn who(arguments: &WhoCan) -> Verdict {
    let loaded = match load(&arguments.config, 1) {
        Ok(loaded) => loaded,
        Err(problems) => return Verdict::failed(1, &problems.to_string()),
    };
    let (people, problems) = people(&loaded);
    let asked = Asked { app: Some(&arguments.app), path: arguments.path.as_deref(), method: arguments.method.as_ref() };
    match who_can(&loaded.snapshot, &people, asked) {
        Ok(found) => said(&found, arguments.json, problems),
        Err(error) => Verdict::failed(2, &format!("doorward: {error}")),
    }
}

/// Answers `doorward what-can`.
pub fn what(arguments: &WhatCan) -> Verdict {
    let loaded = match load(&arguments.config, 1) {
        Ok(loaded) => loaded,
        Err(problems) => return Verdict::failed(1, &problems.to_string()),
    };
    let (people, problems) = people(&loaded);
    let asked = Asked { method: arguments.method.as_ref(), ..Asked::default() };
    let found = asker(arguments, people).and_then(|who| what_can(&loaded.snapshot, &who, asked).map_err(|error| error.to_string()));
    match found {
        Ok(found) => said(&found, arguments.json, problems),
        Err(error) => Verdict::failed(2, &format!("doorward: {error}")),
    }
}

/// Everybody whom the store knows; without it, the rules alone say who there is.
fn people(loaded: &Loaded) -> (Vec<Identity>, String) {
    match known(&loaded.store) {
        Ok(people) => (people, String::new()),
        Err(error) => (Vec::new(), format!("the store can't be read, so that only those are known whom rules name: {error}\n")),
    }
}

/// Everybody whom a store knows.
pub(super) fn known(location: &Location) -> Result<Vec<Identity>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(store::people(location)).map_err(|error| error.to_string())
}

fn asker(arguments: &WhatCan, people: Vec<Identity>) -> Result<Who, String> {
    let user = arguments.user.as_deref().map(user).transpose()?;
    let mut claims = BTreeMap::<String, Vec<String>>::new();
    for text in &arguments.claim {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form name=value"))?;
        claims.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    let given = !arguments.group.is_empty() || !claims.is_empty();
    match (user, &*arguments.group) {
        (None, [group]) if claims.is_empty() => Ok(Who::Member(group.clone())),
        (user, groups) if given => Ok(Who::Person(Box::new(described(user, groups.to_vec(), claims)?))),
        (Some(user), _) => {
            let known = people.into_iter().find(|person| is(person, &user));
            Ok(known.map_or_else(|| Who::Named(user), |person| Who::Person(Box::new(person))))
        }
        (None, _) => Err("say whom: `--user`, `--group` or `--claim`".to_owned()),
    }
}

fn user(text: &str) -> Result<User, String> {
    match text.split_once(':').filter(|(name, _)| ProviderName::parse(name).is_some()) {
        Some(_) => Ok(User::Subject(text.to_owned())),
        None => {
            Email::parse(text).map(User::Email).map_err(|_| format!("`{text}` is neither an e-mail address nor `provider:subject`"))
        }
    }
}

fn is(person: &Identity, user: &User) -> bool {
    match user {
        User::Email(email) => person.profile.email.as_ref() == Some(email),
        User::Subject(subject) => person.subject.to_string() == *subject,
    }
}

/// Of whom everything is said.
fn described(user: Option<User>, groups: Vec<String>, claims: BTreeMap<String, Vec<String>>) -> Result<Identity, String> {
    let (email, subject) = match user {
        Some(User::Email(email)) => (Some(email), None),
        Some(User::Subject(subject)) => (None, Some(subject)),
        None => (None, None),
    };
    let (provider, subject) = subject.as_deref().and_then(|subject| subject.split_once(':')).unwrap_or(("anybody", ""));
    let provider = ProviderName::parse(provider).ok_or_else(|| format!("`{provider}` is not the name of a provider"))?;
    Ok(Identity {
        subject: Subject { provider, subject: subject.to_owned() },
        profile: Profile { email, groups, claims, ..Profile::default() },
        authenticated_at: Timestamp::default(),
    })
}

fn said(found: &[Reachable], as_json: bool, problems: String) -> Verdict {
    let output = if as_json {
        format!("{:#}\n", found.iter().map(route_value).collect::<Value>())
    } else {
        found.iter().map(route_text).collect::<Vec<_>>().join("\n")
    };
    let nobody = found.iter().all(|route| matches!(&route.by, By::Rules(by) if by.is_empty()));
    Verdict { code: u8::from(nobody), output, problems }
}

// Writing to a String can't fail.
fn route_text(reachable: &Reachable) -> String {
    let mut text = format!("{}\n", reachable.route);
    match &reachable.by {
        By::Public(None) => text.push_str("  everybody: it is public\n"),
        By::Public(Some(methods)) => {
            let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let _ = writeln!(text, "  everybody, by {}: it is public", methods.join(", "));
        }
        By::Rules(by) if by.is_empty() => text.push_str("  nobody\n"),
        By::Rules(by) => by.iter().for_each(|(who, reach)| person_text(&mut text, who, reach)),
    }
    text
}

fn person_text(text: &mut String, who: &Who, reach: &Reach) {
    let _ = writeln!(text, "  {who}");
    reach.ways.iter().for_each(|way| way_text(text, "by", way));
    reach.unless.iter().for_each(|way| way_text(text, "unless denied by", way));
}

fn way_text(text: &mut String, word: &str, way: &Way) {
    let _ = match &way.when {
        When::Always => writeln!(text, "    {word} {} ({})", way.rule.0, way.place),
        When::If(rest) => writeln!(text, "    {word} {} ({}), where {rest}", way.rule.0, way.place),
        When::Cedar => writeln!(text, "    {word} {} ({}), where the policy matches", way.rule.0, way.place),
    };
}

fn route_value(reachable: &Reachable) -> Value {
    match &reachable.by {
        By::Public(methods) => {
            let methods = methods.as_ref().map(|methods| methods.iter().map(Method::as_str).collect::<Vec<_>>());
            json!({ "route": &*reachable.route, "public": true, "methods": methods, "who": [] })
        }
        By::Rules(by) => json!({
            "route": &*reachable.route,
            "public": false,
            "who": by.iter().map(|(who, reach)| person_value(who, reach)).collect::<Vec<_>>(),
        }),
    }
}

fn person_value(who: &Who, reach: &Reach) -> Value {
    let (kind, name) = match who {
        Who::Person(person) => ("person", person.subject.to_string()),
        Who::Named(user) => ("user", user.to_string()),
        Who::Member(group) => ("group", group.clone()),
        Who::Domain(domain) => ("domain", domain.clone()),
        Who::Claim(name, value) => ("claim", format!("{name}={value}")),
        Who::Anybody => ("anybody", String::new()),
    };
    let email = match who {
        Who::Person(person) => person.profile.email.as_ref().map(Email::as_str),
        _ => None,
    };
    let ways = |ways: &[Way]| ways.iter().map(way_value).collect::<Vec<_>>();
    json!({ "kind": kind, "name": name, "email": email, "by": ways(&reach.ways), "unless": ways(&reach.unless) })
}

/// `where` is `null` where it always is so.
fn way_value(way: &Way) -> Value {
    let condition = match &way.when {
        When::Always => None,
        When::If(rest) => Some(rest.to_string()),
        When::Cedar => Some("the policy matches".to_owned()),
    };
    json!({ "rule": &*way.rule.0, "place": &*way.place, "where": condition })
}
