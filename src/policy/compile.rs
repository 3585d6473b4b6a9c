//! Rules to something that decides. In: the rules of one route. Out: a [`Ruleset`], validated against the schema. Must
//! never skip a rule that it can't express.

use super::context::context;
use super::files::Files;
use super::principal::entity_uid;
use super::reads::{MOST_ASKED, Reads};
use super::schema::schema;
use super::{Decision, Effect, Facts, Principal, Rule, Verdict, cedar};
use crate::model::RuleId;
use cedar_policy::{Authorizer, EntityUid, Policy, PolicyId, PolicySet, Request, ValidationMode, Validator};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, OnceLock};

/// The rules of one route, compiled. A decision costs as much as the rules of this route that could match the person: a
/// rule for groups that the person has none of is passed over.
pub struct Ruleset {
    rules: Vec<Compiled>,
    files: Arc<Files>,
    action: EntityUid,
    app: EntityUid,
    reads: Reads,
}

/// One rule. Each is a policy set of its own, so that those that can't match cost nothing.
struct Compiled {
    rule: Rule,
    /// Made when it is first asked: of ten thousand rules, few are asked before the next reload.
    policy: OnceLock<Result<PolicySet, String>>,
}

/// Where a rule stands in its [`Ruleset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleIndex(u32);

/// Why rules can't be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Cedar does not take what the short form was turned into.
    #[error("the rule can't be compiled: {0}")]
    Policy(String),
    /// The rules do not fit the schema.
    #[error("the rule does not fit the schema: {0}")]
    Schema(String),
    /// Two rules have one name.
    #[error("two rules are called `{}`", .0.0)]
    Twice(RuleId),
    /// What is stale or absent could let somebody in.
    #[error("a permit takes `{0}` also where it is stale or absent: write `context.{0}.state == \"fresh\" &&` before it")]
    Unasked(&'static str),
    /// A policy does not say whether it counts.
    #[error("`@shadow(\"{0}\")` is neither yes nor no: write `@shadow(\"true\")` or leave it out")]
    Shadow(String),
    /// There is more to compare than a decision can be remembered by.
    #[error("the rules of one route can ask for {MOST_ASKED} headers, values of headers and paths at most")]
    TooMuch,
}

/// Compiles the rules of a whole configuration. Rules that differ in nothing but their values are checked once.
#[derive(Default)]
pub struct Compiler {
    files: Arc<Files>,
    shapes: HashSet<String>,
}

impl Compiler {
    /// With these policies beside the rules of every route.
    pub fn beside(files: Files) -> Self {
        Self { files: Arc::new(files), shapes: HashSet::new() }
    }

    /// Whether the rule can be expressed, and fits the schema.
    fn check(&mut self, rule: &Rule) -> Result<(), CompileError> {
        let shape = cedar::shape(&cedar::policy(rule));
        if !self.shapes.contains(&shape) {
            validate(&parse(&shape)?)?;
            self.shapes.insert(shape);
        }
        Ok(())
    }
}

/// One policy of our own making.
pub(super) fn parse(text: &str) -> Result<PolicySet, CompileError> {
    let wrong = |error: &dyn std::fmt::Display| CompileError::Policy(error.to_string());
    let policy = Policy::parse(Some(PolicyId::new("rule")), text).map_err(|e| wrong(&e))?;
    PolicySet::from_policies([policy]).map_err(|e| wrong(&e))
}

static VALIDATOR: LazyLock<Result<Validator, String>> = LazyLock::new(|| schema().map(Validator::new));

/// Whether every attribute that the policies read is there, and of the kind that they take it for.
pub(super) fn validate(policies: &PolicySet) -> Result<(), CompileError> {
    let validator = VALIDATOR.as_ref().map_err(|error| CompileError::Schema(error.clone()))?;
    let result = validator.validate(policies, ValidationMode::Strict);
    match result.validation_errors().next() {
        Some(error) => Err(CompileError::Schema(error.to_string())),
        None => Ok(()),
    }
}

/// What matched so far.
#[derive(Default)]
struct Tally<'a> {
    allowed: Option<&'a RuleId>,
    denied: Option<&'a RuleId>,
    failed: Option<String>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, rule: &'a RuleId, effect: Effect, matched: &Result<bool, String>) {
        match (matched, effect) {
            (Ok(true), Effect::Allow) => drop(self.allowed.get_or_insert(rule)),
            (Ok(true), Effect::Deny) => drop(self.denied.get_or_insert(rule)),
            (Ok(false), _) => {}
            (Err(error), _) => drop(self.failed.get_or_insert_with(|| error.clone())),
        }
    }

    fn decision(self) -> Decision {
        match self {
            Self { failed: Some(error), .. } => Decision::Error(error),
            Self { denied: Some(rule), .. } => Decision::Deny(rule.clone()),
            Self { allowed: Some(rule), .. } => Decision::Allow(rule.clone()),
            _ => Decision::NoRule,
        }
    }
}

impl Ruleset {
    /// Compiles the rules of one route of `app`.
    pub fn compile(app: &str, rules: Vec<Rule>, compiler: &mut Compiler) -> Result<Self, CompileError> {
        let mut names = HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !names.insert(&rule.id)) {
            return Err(CompileError::Twice(twice.id.clone()));
        }
        let files = Arc::clone(&compiler.files);
        let mut reads = files.reads().clone();
        reads.add_rules(&rules);
        if reads.is_too_much() {
            return Err(CompileError::TooMuch);
        }
        rules.iter().try_for_each(|rule| compiler.check(rule))?;
        let rules = rules.into_iter().map(|rule| Compiled { rule, policy: OnceLock::new() }).collect();
        let uid = |kind, id| entity_uid(kind, id).map_err(CompileError::Policy);
        Ok(Self { rules, files, action: uid("Action", "request")?, app: uid("App", app)?, reads })
    }

    /// What stands at this place.
    pub fn rule(&self, index: RuleIndex) -> Option<&RuleId> {
        let index = usize::try_from(index.0).ok()?;
        let of_files = || self.files.policies().get(index.checked_sub(self.rules.len())?).map(|policy| &policy.id);
        self.rules.get(index).map(|compiled| &compiled.rule.id).or_else(of_files)
    }

    /// Where this rule stands.
    pub fn position(&self, id: &RuleId) -> Option<RuleIndex> {
        let position = self.ids().position(|rule| rule == id)?;
        u32::try_from(position).ok().map(RuleIndex)
    }

    fn ids(&self) -> impl Iterator<Item = &RuleId> {
        self.rules.iter().map(|compiled| &compiled.rule.id).chain(self.files.policies().iter().map(|policy| &policy.id))
    }

    /// The rules of the short form.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    /// The policies that stand beside them.
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub(super) const fn app(&self) -> &EntityUid {
        &self.app
    }

    /// What they look at.
    pub const fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Whether this person may, in these circumstances.
    pub fn evaluate(&self, principal: &Principal, facts: &Facts) -> Verdict {
        match self.request(principal, facts) {
            Ok(request) => self.decide(&request, principal),
            Err(error) => Verdict { decision: Decision::Error(error), shadow: None },
        }
    }

    pub(super) fn request(&self, principal: &Principal, facts: &Facts) -> Result<Request, String> {
        let context = context(facts, &self.reads)?;
        Request::new(principal.uid.clone(), self.action.clone(), self.app.clone(), context, None).map_err(|error| error.to_string())
    }

    /// Every rule that could match is asked, also behind one that does: an error anywhere denies.
    fn decide(&self, request: &Request, principal: &Principal) -> Verdict {
        let (mut enforced, mut all, mut shadows) = (Tally::default(), Tally::default(), false);
        let own = self.rules.iter().filter(|compiled| compiled.could_match(principal));
        let own = own.map(|compiled| (&compiled.rule.id, compiled.rule.effect, compiled.rule.shadow, compiled.policy()));
        let of_files = self.files.policies().iter().map(|extra| (&extra.id, extra.effect, extra.shadow, Ok(&extra.policy)));
        for (id, effect, shadow, policy) in own.chain(of_files) {
            let matched = policy.and_then(|policy| matches(request, policy, principal));
            all.add(id, effect, &matched);
            if shadow {
                shadows = true;
            } else {
                enforced.add(id, effect, &matched);
            }
        }
        let decision = enforced.decision();
        let shadow = shadows.then(|| all.decision()).filter(|shadow| shadow.allows() != decision.allows());
        Verdict { decision, shadow }
    }
}

/// Whether a policy says something of a request. Cedar passes over a policy that fails, which for a deny would open the door.
pub(super) fn matches(request: &Request, policy: &PolicySet, principal: &Principal) -> Result<bool, String> {
    let response = Authorizer::new().is_authorized(request, policy, &principal.entities);
    match response.diagnostics().errors().next() {
        Some(error) => Err(error.to_string()),
        None => Ok(response.diagnostics().reason().next().is_some()),
    }
}

impl Compiled {
    fn policy(&self) -> Result<&PolicySet, String> {
        let made = self.policy.get_or_init(|| parse(&cedar::policy(&self.rule)).map_err(|error| error.to_string()));
        made.as_ref().map_err(Clone::clone)
    }

    fn could_match(&self, principal: &Principal) -> bool {
        self.rule.groups.as_ref().is_none_or(|groups| groups.iter().any(|group| principal.groups.contains(group)))
    }
}
