//! `lists:`. In: entries, some of them in files. Out: the entries that `$name` stands for.

use super::values::{is_key, network};
use crate::control::config::file::File;
use crate::control::config::findings::{Findings, Wrong};
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use crate::control::config::sources::Sources;
use crate::policy::condition::Labelled;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an entry begins with that stands for the lines of a file.
const FILE: &str = "file:";

/// Every list, by name.
#[derive(Debug, Default)]
pub(super) struct Lists(BTreeMap<String, Arc<[String]>>);

/// Reads the lists.
pub(super) fn compile(file: &File, sources: &mut Sources, findings: &mut Findings) -> Lists {
    let mut lists = BTreeMap::new();
    for (name, written) in &file.lists {
        let place = Place::root().key("lists").key(name);
        if !is_key(name) {
            findings.error(&place, Wrong::plain("the name of a list has letters, digits, `-` and `_` only"));
        }
        let mut entries = Vec::new();
        for (index, text) in written.0.iter().enumerate() {
            match text.strip_prefix(FILE) {
                Some(name) => entries.extend(findings.take(&place.index(index), lines(name, sources)).unwrap_or_default()),
                None => entries.push(text.clone()),
            }
        }
        // An empty file is fine, and matches nobody.
        if written.0.is_empty() {
            findings.error(&place, Wrong::new("an empty list", "list something, or take the key away"));
        }
        lists.insert(name.clone(), entries.into());
    }
    Lists(lists)
}

/// One entry a line; empty lines and what stands behind `#` do not count.
fn lines(name: &str, sources: &mut Sources) -> Result<Vec<String>, Wrong> {
    let bytes = sources.read(name).map_err(|error| Wrong::plain(format!("can't read `{name}`: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Wrong::plain(format!("`{name}` is not UTF-8")))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

impl Lists {
    /// What an entry of a rule stands for: itself, or a list; `$$` stands for a `$`.
    pub(super) fn expand(&self, text: &str) -> Result<Arc<[String]>, Wrong> {
        let Some(name) = text.strip_prefix('$') else { return Ok([text.to_owned()].into()) };
        if name.starts_with('$') {
            return Ok([name.to_owned()].into());
        }
        self.0.get(name).cloned().ok_or_else(|| {
            let help = did_you_mean(name, self.0.keys().map(String::as_str));
            Wrong { message: format!("no list is called `{name}`"), help }
        })
    }

    /// The lists that hold nothing but networks.
    pub(super) fn networks(&self) -> Vec<Labelled<IpNet>> {
        let networks = |entries: &[String]| entries.iter().map(|entry| network(entry).ok()).collect::<Option<Arc<[IpNet]>>>();
        let labelled =
            |(name, entries): (&String, &Arc<[String]>)| Some(Labelled { label: name.as_str().into(), values: networks(entries)? });
        self.0.iter().filter_map(labelled).collect()
    }
}
