//! `devices`: the file that lists them. In: CSV or YAML. Out: an inventory, or every line that is wrong. Must never leave a device
//! out.

mod csv;

use super::Context;
use crate::clock;
use crate::control::config::document::Document;
use crate::control::config::file::File;
use crate::control::config::findings::{Findings, Wrong};
use crate::control::config::place::Place;
use crate::model::Inventory;
use crate::model::device::entry::Entry;
use csv::At;
use serde::Deserialize;
use std::path::PathBuf;

/// A YAML file of devices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    devices: Vec<Entry>,
}

/// The listed devices; none where no file is named, and at least one error where it is broken.
pub(super) fn compile(file: &File, context: &mut Context<'_>) -> Inventory {
    let Some(devices) = &file.devices else { return Inventory::default() };
    let (name, place) = (&devices.file, Place::root().key("devices").key("file"));
    let text = read(name, context);
    let Some(text) = context.findings.take(&place, text) else { return Inventory::default() };
    let mut inventory = Inventory::default();
    let wrong = match name.rsplit_once('.') {
        Some((_, "csv")) => from_csv(&text, &mut inventory),
        Some((_, "yaml" | "yml")) => from_yaml(context.sources.resolve(name), &text, &mut inventory),
        _ => vec![(0, Wrong::new("neither CSV nor YAML", "name it `….csv` or `….yaml`"))],
    };
    for (line, Wrong { message, help }) in wrong {
        let message = if line == 0 { format!("`{name}`: {message}") } else { format!("`{name}`, line {line}: {message}") };
        context.findings.error(&place, Wrong { message, help });
    }
    inventory
}

fn read(name: &str, context: &mut Context<'_>) -> Result<String, Wrong> {
    let bytes = context.sources.read(name).map_err(|error| Wrong::plain(format!("can't read `{name}`: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Wrong::plain(format!("`{name}` is not UTF-8")))
}

fn from_csv(text: &str, inventory: &mut Inventory) -> Vec<At<Wrong>> {
    let (entries, mut wrong) = csv::entries(text);
    for (line, entry) in entries {
        add(entry, inventory, |_, one| wrong.push((line, one)));
    }
    wrong.sort_by_key(|(line, _)| *line);
    wrong
}

fn from_yaml(path: PathBuf, text: &str, inventory: &mut Inventory) -> Vec<At<Wrong>> {
    let (document, listed) = Document::parse::<Listed>(path, text);
    let (top, mut findings) = (Place::root().key("devices"), Findings::default());
    for (index, entry) in listed.map_or(Vec::new(), |listed| listed.devices).into_iter().enumerate() {
        let place = top.index(index);
        add(entry, inventory, |key, wrong| findings.error(&place.key(key), wrong));
    }
    let problems = document.errors(findings).errors.into_iter();
    problems.map(|problem| (problem.line, Wrong { message: problem.message, help: problem.help })).collect()
}

/// Takes a device in, or says with the key what is wrong with it.
fn add(entry: Entry, inventory: &mut Inventory, mut report: impl FnMut(&str, Wrong)) {
    let device = match entry.check(clock::now()) {
        Ok(device) => device,
        Err(flaws) => {
            return flaws
                .into_iter()
                .for_each(|flaw| report(flaw.key, Wrong::new(format!("{}: {}", flaw.key, flaw.message), flaw.cure)));
        }
    };
    if inventory.by_id(&device.id).is_some() {
        return report("id", Wrong::new(format!("there are two devices `{}`", device.id), "take one of them out"));
    }
    if let Err(taken) = inventory.put(device) {
        report("fingerprint", Wrong::new(format!("fingerprint: {taken}"), "a certificate is one device's"));
    }
}
