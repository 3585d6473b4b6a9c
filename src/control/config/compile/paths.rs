//! `paths:` of an app. In: entries as they are written. Out: entries with patterns and rules.

use super::rules::{self, Written};
use super::{Context, fixed};
use crate::control::config::file;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::model::route::{Pattern, Segment};
use crate::policy::Effect;
use crate::snapshot::fixed::Fixed;
use http::Method;
use std::collections::HashMap;
use std::sync::Arc;

/// One entry.
pub(in crate::control::config) struct Entry {
    pub(in crate::control::config) place: Place,
    pub(in crate::control::config) patterns: Vec<Pattern>,
    pub(in crate::control::config) methods: Option<Vec<Method>>,
    pub(in crate::control::config) access: Access,
    /// What it answers by itself.
    pub(in crate::control::config) fixed: Option<Arc<Fixed>>,
}

/// Who may use the paths of an entry.
pub(in crate::control::config) enum Access {
    /// Everybody.
    Public,
    /// Whom `allow` lets in (the app's, when there is none here) and neither `deny` nor the app's deny refuses.
    Rules { allow: Option<Vec<Written>>, deny: Vec<Written> },
}

/// The entries of an app; without a known prefix, where their patterns lie is not checked.
pub(super) fn compile(name: &str, app: &file::App, place: &Place, prefix: Option<&str>, context: &mut Context<'_>) -> Vec<Entry> {
    let place = place.key("paths");
    let written = app.paths.as_deref().inspect(|entries| context.refuse_empty(entries, &place)).unwrap_or_default();
    let mut seen = HashMap::new();
    let each = written.iter().enumerate().map(|(index, entry)| {
        let place = place.index(index);
        Entry {
            patterns: patterns(entry, &place.key("match"), prefix, &mut seen, context),
            methods: entry.methods.as_ref().map(|methods| rules::methods(methods, &place.key("methods"), context)),
            access: access(entry, &place, &format!("{name}.paths[{index}]"), context),
            fixed: fixed::compile(entry.redirect.as_ref(), entry.respond.as_ref(), &place, context),
            place,
        }
    });
    each.collect()
}

fn access(entry: &file::PathEntry, place: &Place, id: &str, context: &mut Context<'_>) -> Access {
    let mut list = |key: &str, rules: &Option<Vec<file::Rule>>, effect| {
        rules::list(rules.as_deref(), &place.key(key), &format!("{id}.{key}"), effect, context)
    };
    let allow = entry.allow.is_some().then(|| list("allow", &entry.allow, Effect::Allow));
    let deny = list("deny", &entry.deny, Effect::Deny);
    if !entry.public {
        return Access::Rules { allow, deny };
    }
    if allow.is_some() || !deny.is_empty() {
        let wrong = Wrong::new("`public` opens this to everybody, so that no rule counts", "keep either `public` or the rules");
        context.findings.error(&place.key("public"), wrong);
    }
    Access::Public
}

fn patterns(
    entry: &file::PathEntry,
    place: &Place,
    prefix: Option<&str>,
    seen: &mut HashMap<Pattern, Place>,
    context: &mut Context<'_>,
) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for (place, text) in context.texts(&entry.matches, place) {
        let parsed = Pattern::parse(text).map_err(|error| Wrong::plain(error.to_string()));
        let parsed = parsed.and_then(|pattern| lies_below(&pattern, prefix).map(|()| pattern));
        let Some(pattern) = context.findings.take(&place, parsed) else {
            continue;
        };
        match seen.get(&without_slash(&pattern)) {
            Some(first) => {
                let wrong = Wrong::plain(format!("`{first}` has the same pattern"));
                context.findings.error(&place, wrong);
            }
            None => {
                seen.insert(without_slash(&pattern), place);
                patterns.push(pattern);
            }
        }
    }
    patterns
}

/// A pattern means the same with and without a trailing slash.
fn without_slash(pattern: &Pattern) -> Pattern {
    let text = pattern.to_string();
    text.strip_suffix('/').and_then(|text| Pattern::parse(text).ok()).unwrap_or_else(|| pattern.clone())
}

/// Patterns are whole paths, the app's prefix included.
fn lies_below(pattern: &Pattern, prefix: Option<&str>) -> Result<(), Wrong> {
    if matches!(pattern.segments().first(), Some(Segment::Literal(first)) if &**first == ".doorward") {
        return Err(Wrong::plain("`/.doorward/` belongs to Doorward on every host"));
    }
    let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
        return Ok(());
    };
    let needed = prefix.trim_start_matches('/').split('/');
    let mut segments = pattern.segments().iter();
    let below = needed.into_iter().all(|part| matches!(segments.next(), Some(Segment::Literal(text)) if **text == *part));
    if below {
        return Ok(());
    }
    let help = format!("write the whole path, as in `{prefix}{pattern}`");
    Err(Wrong::new(format!("the app lives below `{prefix}`, so that this never matches"), help))
}
