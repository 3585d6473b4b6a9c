//! Rules to something that decides. In: the rules of one route. Out: a [`Ruleset`], validated against the schema. Must
//! never skip a rule that it can't express.

use super::principal::entity_uid;
use super::rules::User;
use super::schema::schema;
use super::{Decision, Effect, Principal, Rule};
use crate::model::RuleId;
use cedar_policy::{
    Authorizer, Context, EntityUid, Policy, PolicyId, PolicySet, Request, RestrictedExpression, ValidationMode, Validator,
};
use http::Method;
use std::fmt::Write as _;

/// The rules of one route, compiled. A decision costs as much as the rules of this route that could match the person: a
/// rule for groups that the person has none of is passed over.
pub struct Ruleset {
    rules: Vec<Compiled>,
    action: EntityUid,
    app: EntityUid,
    reads_method: bool,
}

/// One rule. Each is a policy set of its own, so that those that can't match cost nothing.
struct Compiled {
    id: RuleId,
    effect: Effect,
    /// The rule matches members of these alone.
    groups: Option<Vec<String>>,
    policy: PolicySet,
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
}

impl Ruleset {
    /// Compiles the rules of one route of `app`.
    pub fn compile(app: &str, rules: &[Rule]) -> Result<Self, CompileError> {
        let policy_error = |error: &dyn std::fmt::Display| CompileError::Policy(error.to_string());
        let policies: Vec<Policy> = rules.iter().map(policy).collect::<Result<_, _>>()?;
        validate(&PolicySet::from_policies(policies.iter().cloned()).map_err(|e| policy_error(&e))?)?;
        let alone = |(rule, policy): (&Rule, Policy)| {
            let policy = PolicySet::from_policies([policy]).map_err(|e| policy_error(&e))?;
            Ok(Compiled { id: rule.id.clone(), effect: rule.effect, groups: rule.groups.clone(), policy })
        };
        let uid = |kind, id| entity_uid(kind, id).map_err(|e| policy_error(&e));
        Ok(Self {
            rules: rules.iter().zip(policies).map(alone).collect::<Result<_, _>>()?,
            action: uid("Action", "request")?,
            app: uid("App", app)?,
            reads_method: rules.iter().any(|rule| rule.methods.is_some()),
        })
    }

    /// What stands at this place.
    pub fn rule(&self, index: RuleIndex) -> Option<&RuleId> {
        self.rules.get(usize::try_from(index.0).ok()?).map(|rule| &rule.id)
    }

    /// Where this rule stands.
    pub fn position(&self, id: &RuleId) -> Option<RuleIndex> {
        let position = self.rules.iter().position(|rule| rule.id == *id)?;
        u32::try_from(position).ok().map(RuleIndex)
    }

    /// Whether the method makes a difference, so that a cached decision must remember it.
    pub const fn reads_method(&self) -> bool {
        self.reads_method
    }

    /// Whether this person may, by this method.
    pub fn evaluate(&self, principal: &Principal, method: &Method) -> Decision {
        match self.request(principal, method) {
            Ok(request) => self.decide(&request, principal),
            Err(error) => Decision::Error(error),
        }
    }

    fn request(&self, principal: &Principal, method: &Method) -> Result<Request, String> {
        let method = RestrictedExpression::new_string(method.as_str().to_owned());
        let context = Context::from_pairs([("method".to_owned(), method)]).map_err(|error| error.to_string())?;
        Request::new(principal.uid.clone(), self.action.clone(), self.app.clone(), context, None).map_err(|error| error.to_string())
    }

    /// Every rule that could match is asked, also behind one that does: an error anywhere denies.
    fn decide(&self, request: &Request, principal: &Principal) -> Decision {
        let (mut allowed, mut denied) = (None, None);
        for rule in self.rules.iter().filter(|rule| rule.could_match(principal)) {
            let response = Authorizer::new().is_authorized(request, &rule.policy, &principal.entities);
            // Cedar passes over a rule that fails, which for a deny would open the door.
            if let Some(error) = response.diagnostics().errors().next() {
                return Decision::Error(error.to_string());
            }
            if response.diagnostics().reason().next().is_some() {
                match rule.effect {
                    Effect::Allow => allowed.get_or_insert(rule),
                    Effect::Deny => denied.get_or_insert(rule),
                };
            }
        }
        match (denied, allowed) {
            (Some(rule), _) => Decision::Deny(rule.id.clone()),
            (None, Some(rule)) => Decision::Allow(rule.id.clone()),
            (None, None) => Decision::NoRule,
        }
    }
}

impl Compiled {
    fn could_match(&self, principal: &Principal) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups.iter().any(|group| principal.groups.contains(group)))
    }
}

fn policy(rule: &Rule) -> Result<Policy, CompileError> {
    Policy::parse(Some(PolicyId::new(&*rule.id.0)), cedar(rule)).map_err(|error| CompileError::Policy(error.to_string()))
}

fn validate(policies: &PolicySet) -> Result<(), CompileError> {
    let schema = schema().map_err(CompileError::Schema)?;
    let result = Validator::new(schema).validate(policies, ValidationMode::Strict);
    match result.validation_errors().next() {
        Some(error) => Err(CompileError::Schema(error.to_string())),
        None => Ok(()),
    }
}

/// The rule in Cedar's syntax.
fn cedar(rule: &Rule) -> String {
    let effect = match rule.effect {
        Effect::Allow => "permit",
        Effect::Deny => "forbid",
    };
    let mut text = format!("{effect} (principal, action, resource)");
    for condition in conditions(rule) {
        // Writing to a String can't fail.
        let _ = write!(text, " when {{ {condition} }}");
    }
    text.push(';');
    text
}

fn conditions(rule: &Rule) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(rule.users.as_deref().map(users));
    all.extend(
        rule.groups
            .as_deref()
            .map(|groups| one_of(groups, |group| format!("Group::{}", quote(group)), |set| format!("principal in {set}"))),
    );
    all.extend(
        rule.domains
            .as_deref()
            .map(|domains| one_of(domains, |domain| quote(domain), |set| format!("{set}.contains(principal.domain)"))),
    );
    all.extend(rule.claims.iter().map(|(name, values)| claim(name, values)));
    all.extend(
        rule.methods
            .as_deref()
            .map(|methods| one_of(methods, |method| quote(method.as_str()), |set| format!("{set}.contains(context.method)"))),
    );
    all
}

fn users(users: &[User]) -> String {
    let emails = users.iter().filter_map(|user| if let User::Email(email) = user { Some(email) } else { None }).collect::<Vec<_>>();
    let subjects =
        users.iter().filter_map(|user| if let User::Subject(subject) = user { Some(subject) } else { None }).collect::<Vec<_>>();
    let by_email = one_of(&emails, |email| quote(email.as_str()), |set| format!("{set}.contains(principal.email)"));
    let by_subject = one_of(&subjects, |subject| quote(subject), |set| format!("{set}.contains(principal.id)"));
    format!("{by_email} || {by_subject}")
}

fn claim(name: &str, values: &[String]) -> String {
    let name = quote(name);
    one_of(values, |value| quote(value), |set| format!("(principal.hasTag({name}) && principal.getTag({name}).containsAny({set}))"))
}

/// A condition on a set; an empty list matches nobody. A set, and not a chain of `||`: its depth does not grow with the list.
fn one_of<T>(values: &[T], element: impl Fn(&T) -> String, condition: impl Fn(String) -> String) -> String {
    let elements: Vec<String> = values.iter().map(element).collect();
    if elements.is_empty() { "false".to_owned() } else { condition(format!("[{}]", elements.join(", "))) }
}

/// A Cedar string literal: whatever the text holds, it stays inside.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '.' | '@' | ':' | '/' => quoted.push(c),
            _ => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}
