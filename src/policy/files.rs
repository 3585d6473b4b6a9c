//! Policies in Cedar's own syntax, beside the short form. In: the texts of files. Out: [`Files`], validated against the same
//! schema. Must never take a policy for less than it reads.

use super::Effect;
use super::compile::{CompileError, validate};
use super::condition::Labelled;
use super::reads::{Kind, Reads};
use crate::model::RuleId;
use cedar_policy::{Policy, PolicySet};
use ipnet::IpNet;
use serde_json::Value;
use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

/// The policies of every file.
#[derive(Default)]
pub struct Files {
    policies: Vec<Extra>,
    reads: Reads,
}

/// One policy of a file.
pub struct Extra {
    /// Its `@id`, or the name of the file and where it stands there.
    pub id: RuleId,
    /// What it does.
    pub effect: Effect,
    /// Only looked at, never enforced.
    pub shadow: bool,
    /// File and line.
    pub place: Arc<str>,
    pub(super) policy: PolicySet,
}

/// A policy that denies by a signal without asking for its state: what is stale or absent may keep it from denying.
pub struct Unasked {
    /// Which policy.
    pub id: RuleId,
    /// Which signal.
    pub signal: &'static str,
}

/// What has a state.
const SIGNALS: [&str; 8] = ["country", "asn", "mfa", "phishing_resistant", "acr", "auth_age", "device", "risk"];
/// The word that says that a policy reads something, and what.
const WORDS: [(&str, Kind); 15] = [
    ("method", Kind::Method),
    ("path", Kind::Path),
    ("address", Kind::Address),
    ("networks", Kind::Address),
    ("country", Kind::Country),
    ("asn", Kind::Asn),
    ("mfa", Kind::Authentication),
    ("phishing_resistant", Kind::Authentication),
    ("acr", Kind::Authentication),
    ("auth_age", Kind::Authentication),
    ("device", Kind::Device),
    ("risk", Kind::Risk),
    ("auth_age", Kind::Second),
    ("now", Kind::Second),
    ("minute", Kind::Minute),
];
/// The age of a sign-in that stands for a new one, where a policy can't be asked which it wants.
const NEW: Duration = Duration::from_secs(60);

impl Files {
    /// Adds the policies of a file, all of them in the shadow where it is; `lists` are the networks that they can name. What is
    /// to be warned of comes back.
    pub fn add(&mut self, name: &str, text: &str, shadow: bool, lists: &[Labelled<IpNet>]) -> Result<Vec<Unasked>, CompileError> {
        let policies = PolicySet::from_str(text).map_err(|error| CompileError::Policy(error.to_string()))?;
        if policies.templates().next().is_some() {
            return Err(CompileError::Policy("a template says nothing by itself".to_owned()));
        }
        let mut policies: Vec<&Policy> = policies.policies().collect();
        policies.sort_by_key(|policy| text.find(&policy.to_string()));
        let mut warnings = Vec::new();
        for (index, policy) in policies.into_iter().enumerate() {
            let written = policy.to_string();
            let shadow = shadow || in_the_shadow(policy)?;
            self.read(&written, shadow, lists);
            let before = text.find(&written).and_then(|at| text.get(..at)).unwrap_or("");
            let id = policy.annotation("id").map_or_else(|| format!("{name}[{index}]"), str::to_owned);
            let alone = PolicySet::from_policies([policy.clone()]).map_err(|error| CompileError::Policy(error.to_string()))?;
            validate(&alone)?;
            let id = RuleId(id.into());
            let effect = if policy.effect() == cedar_policy::Effect::Permit { Effect::Allow } else { Effect::Deny };
            match (effect, unasked(policy)?) {
                (Effect::Allow, signals) => signals.first().map_or(Ok(()), |signal| Err(CompileError::Unasked(signal)))?,
                (Effect::Deny, signals) => warnings.extend(signals.into_iter().map(|signal| Unasked { id: id.clone(), signal })),
            }
            self.push(Extra {
                id,
                effect,
                shadow,
                place: format!("{name}:{}", before.matches('\n').count() + 1).into(),
                policy: alone,
            })?;
        }
        Ok(warnings)
    }

    fn push(&mut self, extra: Extra) -> Result<(), CompileError> {
        if self.policies.iter().any(|other| other.id == extra.id) {
            return Err(CompileError::Twice(extra.id));
        }
        self.policies.push(extra);
        Ok(())
    }

    /// An attribute is read only where its name stands, so that a name that does not stand anywhere is not read. What is escaped
    /// could be any name.
    fn read(&mut self, policy: &str, shadow: bool, lists: &[Labelled<IpNet>]) {
        let says = |word: &str| policy.contains(word) || policy.contains('\\');
        WORDS.into_iter().filter(|(word, _)| says(word)).for_each(|(_, kind)| self.reads.add_kind(kind));
        if says("weekday") {
            self.reads.add_kind(Kind::Minute);
        }
        if says("networks") {
            lists.iter().for_each(|list| self.reads.add_network(list));
        }
        if says("paths") && !shadow {
            self.reads.enforce_all();
        }
        if says("user_agent") {
            self.reads.add_browser();
        }
        if says("auth_age") {
            self.reads.add_age(NEW);
        }
    }

    /// The policies, in the order of the files.
    pub fn policies(&self) -> &[Extra] {
        &self.policies
    }

    pub(super) const fn reads(&self) -> &Reads {
        &self.reads
    }
}

/// Whether a policy is only looked at. What it does not clearly say is refused: taken for a yes, it would switch a deny off.
fn in_the_shadow(policy: &Policy) -> Result<bool, CompileError> {
    match policy.annotation("shadow") {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err(CompileError::Shadow(other.to_owned())),
    }
}

/// The signals whose value a policy reads without asking for their state.
fn unasked(policy: &Policy) -> Result<Vec<&'static str>, CompileError> {
    let policy = policy.to_json().map_err(|error| CompileError::Policy(error.to_string()))?;
    let mut read = BTreeSet::new();
    attributes(&policy, &mut read);
    let lacks = |signal: &&str| read.contains(*signal) && !read.contains(&format!("{signal}.state"));
    Ok(SIGNALS.into_iter().filter(lacks).collect())
}

/// Every attribute of the context that is named below this node: `country`, `country.value`.
fn attributes(node: &Value, to: &mut BTreeSet<String>) {
    to.extend(attribute(node));
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| attributes(node, to)),
        Value::Object(nodes) => nodes.values().for_each(|node| attributes(node, to)),
        _ => {}
    }
}

fn attribute(node: &Value) -> Option<String> {
    let access = node.get(".")?;
    let (left, name) = (access.get("left")?, access.get("attr")?.as_str()?);
    match left.get("Var") {
        Some(variable) => (variable.as_str() == Some("context")).then(|| name.to_owned()),
        None => Some(format!("{}.{name}", attribute(left)?)),
    }
}
