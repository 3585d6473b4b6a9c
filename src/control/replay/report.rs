//! What became of recorded requests. In: each with what was decided then and would be now. Out: counts, and by person and route who
//! would gain or lose access, each with an example.

use super::Decided;
use super::record::Record;
use crate::control::explain::Outcome;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

/// What a configuration changes for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Was let through, and would be refused.
    Loses,
    /// Was let through, and would be asked for another sign-in.
    Asked,
    /// Was not let through, and would be.
    Gains,
}

/// One request out of many.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its name.
    pub request_id: String,
    /// When it was.
    pub time: String,
    /// How.
    pub method: String,
    /// Where.
    pub url: String,
    /// What was decided then.
    pub then: String,
    /// Why it would be otherwise now.
    pub now: Rc<str>,
}

/// The same change for the same person, for the same reason.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub change: Change,
    /// Whose; nobody's where nobody was signed in.
    pub user: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// How often.
    pub count: u64,
    /// The first of them.
    pub example: Example,
}

/// What became of them all.
#[derive(Debug, Default)]
pub struct Report {
    /// All records.
    pub requests: u64,
    /// Lines that are no records.
    pub unreadable: u64,
    /// Those that rules had no part in.
    pub others: u64,
    /// Those that are decided as they were.
    pub same: u64,
    /// Those of people of whom nothing is known.
    pub unknown: u64,
    /// Who these are.
    pub strangers: HashSet<String>,
    /// Those decided by what the store knows of people now.
    pub by_store: u64,
    /// What rules look at that was not recorded, and was taken for absent; how often.
    pub lacks: BTreeMap<&'static str, u64>,
    rows: HashMap<(Change, String, Rc<str>), Row>,
}

impl Report {
    pub(super) fn add(&mut self, record: &Record<'_>, before: Outcome, now: &Decided) {
        for what in now.lacks.into_iter().flatten() {
            *self.lacks.entry(what).or_default() += 1;
        }
        let change = match (before, now.outcome) {
            (Outcome::Allow, Outcome::Deny) => Change::Loses,
            (Outcome::Allow, Outcome::Challenge) => Change::Asked,
            (Outcome::Deny | Outcome::Challenge, Outcome::Allow) => Change::Gains,
            _ => {
                self.same += 1;
                return;
            }
        };
        let key = (change, format!("{} {}", record.user().unwrap_or(""), record.host()), Rc::clone(&now.why));
        self.rows.entry(key).or_insert_with(|| row(record, change, now)).count += 1;
    }

    pub(super) fn unknown(&mut self, user: Option<&str>) {
        self.unknown += 1;
        let user = user.unwrap_or("");
        if !self.strangers.contains(user) {
            self.strangers.insert(user.to_owned());
        }
    }

    /// Every change of this kind, the most frequent first.
    pub fn rows(&self, change: Change) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.values().filter(|row| row.change == change).collect();
        rows.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.user.cmp(&other.user)));
        rows
    }

    /// Whether anything changes for anybody.
    pub fn changes(&self) -> bool {
        !self.rows.is_empty()
    }
}

fn row(record: &Record<'_>, change: Change, now: &Decided) -> Row {
    Row {
        change,
        user: record.user().map(str::to_owned),
        email: record.email().map(str::to_owned),
        count: 0,
        example: Example {
            request_id: record.request_id().to_owned(),
            time: record.time_text().to_owned(),
            method: record.method().to_string(),
            url: record.url(),
            then: record.said(),
            now: Rc::clone(&now.why),
        },
    }
}
