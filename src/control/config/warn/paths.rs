//! Entries that change nothing, and rules that no path is left for. In: an app. Out: warnings.

use crate::control::config::compile::{Access, Drafted};
use crate::control::config::findings::{Findings, Wrong};

/// Looks at the entries of one app.
pub(super) fn warn(app: &Drafted, apps: &[Drafted], findings: &mut Findings) {
    taken_by_others(app, apps, findings);
    let mut changes = false;
    for entry in &app.entries {
        let Access::Rules { allow: None, deny } = &entry.access else {
            continue;
        };
        changes |= !deny.is_empty() || entry.methods.is_some();
        if app.allow.is_empty() {
            let wrong = Wrong::plain("nobody can use this: neither the entry nor the app allows anything");
            findings.warning(&entry.place, wrong);
        } else if deny.is_empty() && entry.methods.is_none() && app.entries.len() == 1 {
            findings.warning(&entry.place, Wrong::plain("this changes nothing: the rules of the app apply here anyway"));
        }
    }
    own_rules_unreachable(app, changes, findings);
}

/// An entry for the whole app leaves no path to the app's own `allow`, unless another entry inherits it.
fn own_rules_unreachable(app: &Drafted, inherited: bool, findings: &mut Findings) {
    let prefix = app.address.as_ref().map_or("", |address| &*address.prefix);
    let whole = format!("{prefix}/**");
    let everything = app.entries.iter().find(|entry| entry.patterns.iter().any(|pattern| pattern.to_string() == whole));
    let Some(everything) = everything.filter(|_| !inherited && !app.allow.is_empty()) else {
        return;
    };
    if !matches!(everything.access, Access::Rules { allow: None, .. }) {
        let message = format!("no path is left for these rules: `{}` is the whole app", everything.place);
        findings.warning(&app.place.key("allow"), Wrong::plain(message));
    }
}

/// On one host the longest prefix decides, before any pattern is looked at.
fn taken_by_others(app: &Drafted, apps: &[Drafted], findings: &mut Findings) {
    let Some(address) = &app.address else { return };
    let below = format!("{}/", address.prefix);
    let nested = apps.iter().filter_map(|other| Some((other, other.address.as_ref()?)));
    for (other, at) in nested.filter(|(_, at)| at.origin == address.origin && at.prefix.starts_with(&below)) {
        let patterns = app.entries.iter().flat_map(|entry| entry.patterns.iter().map(move |pattern| (entry, pattern)));
        for (entry, pattern) in patterns {
            let rest = pattern.to_string().strip_prefix(&at.prefix).map(str::to_owned);
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                let message = format!("`{pattern}` is never reached: paths below `{}` belong to `{}`", at.prefix, other.name);
                findings.warning(&entry.place.key("match"), Wrong::plain(message));
            }
        }
    }
}
