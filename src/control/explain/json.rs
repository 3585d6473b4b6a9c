//! An explanation as JSON, for programs. In: an [`Answer`]. Out: the same, whole.

use super::{Answer, Locked};
use crate::policy::explain::{Explained, Part};
use crate::policy::{Decision, Effect};
use serde_json::{Value, json};

/// The whole answer.
pub fn value(answer: &Answer) -> Value {
    let decision = answer.outcome().word();
    let (route, lock) = (&*answer.route, answer.locked.as_ref().map(lock_value));
    let Ok(explanation) = &answer.explained else {
        return json!({ "decision": decision, "route": route, "public": true, "lock": lock });
    };
    // What the rules say is said all the same; none of them decides.
    let rule = answer.rule();
    json!({
        "decision": decision,
        "route": route,
        "public": false,
        "lock": lock,
        "rule": rule.map(|rule| &*rule.0),
        "place": explanation.rules.iter().find(|other| Some(&other.id) == rule).map(|rule| &*rule.place),
        "error": if let Decision::Error(error) = &explanation.decision { Some(error) } else { None },
        "shadow": explanation.shadow.as_ref().map(|shadow| if shadow.allows() { "allow" } else { "deny" }),
        "step_up": explanation.step_up.as_ref().map(|step_up| json!({
            "mfa": step_up.mfa,
            "phishing_resistant": step_up.phishing_resistant,
            "acr_values": step_up.acr_values,
            "max_age": step_up.max_age.map(|age| age.as_secs()),
        })),
        "rules": explanation.rules.iter().map(rule_value).collect::<Vec<_>>(),
    })
}

fn lock_value(locked: &Locked) -> Value {
    json!({
        "kind": locked.whose.kind(),
        "name": locked.whose.to_string(),
        "source": locked.source.code(),
        "reason": locked.reason,
        "expires_at": locked.until.map(|until| until.to_string()),
    })
}

fn rule_value(rule: &Explained) -> Value {
    json!({
        "rule": &*rule.id.0,
        "place": &*rule.place,
        "effect": if rule.effect == Effect::Allow { "allow" } else { "deny" },
        "shadow": rule.shadow,
        "matches": rule.matches.as_ref().ok(),
        "error": rule.matches.as_ref().err(),
        "conditions": rule.parts.iter().map(part_value).collect::<Vec<_>>(),
    })
}

fn part_value(part: &Part) -> Value {
    json!({
        "condition": part.text,
        "holds": part.holds,
        "state": part.seen.as_ref().map(|seen| seen.state),
        "value": part.seen.as_ref().and_then(|seen| seen.value.as_deref()),
        "source": part.seen.as_ref().and_then(|seen| seen.source.as_ref()).map(|source| source.code()),
        "age": part.seen.as_ref().and_then(|seen| seen.age).map(|age| age.as_secs()),
        "help": part.help,
        "conditions": part.parts.iter().map(part_value).collect::<Vec<_>>(),
    })
}
