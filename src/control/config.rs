//! The configuration: a file to a snapshot. In: a path. Out: a [`Loaded`], or every problem at once. Must never print a
//! secret, and never hand out half a configuration.
//!
//! [`document`] reads YAML into [`file`], [`compile`] checks what it means, [`warn`] looks for what can't have been meant,
//! [`reload`] does it again whenever a file changes.

mod compile;
mod document;
pub mod file;
mod findings;
mod near;
mod place;
pub mod problem;
pub mod reload;
mod sources;
mod tls;
mod warn;

pub use compile::AuditTrail;
pub use problem::{Problem, Problems, Severity};
pub use sources::Watched;

use crate::snapshot::Snapshot;
use crate::store::Location;
use document::Document;
use findings::{Findings, Wrong};
use place::Place;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use sources::Sources;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A configuration without errors.
pub struct Loaded {
    /// What requests are judged by.
    pub snapshot: Snapshot,
    /// Where to listen.
    pub listen: Listen,
    /// The bearer token of the administration API.
    pub admin_token: Option<SecretString>,
    /// Where the state is kept; paths in it are absolute.
    pub store: Location,
    /// Where the audit trail goes.
    pub audit: AuditTrail,
    /// How many rules the file has.
    pub rules: usize,
    /// Every file that this was made from.
    pub watched: Watched,
    /// What can hardly have been meant.
    pub warnings: Vec<Problem>,
}

/// The addresses to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For browsers, over TLS.
    pub https: SocketAddr,
    /// For redirects to https.
    pub http: Option<SocketAddr>,
    /// For health, metrics and administration.
    pub admin: Option<SocketAddr>,
}

/// `90s`, `30m`, `12h`, `7d`, as the file writes durations.
pub fn duration(text: &str) -> Option<Duration> {
    compile::duration(text).ok()
}

/// Reads a configuration, with all that it names. Blocks on files.
pub fn load(path: &Path, epoch: u64) -> Result<Loaded, Problems> {
    let mut sources = Sources::beside(path).map_err(|error| unreadable(path, &error.to_string()))?;
    let loaded = read(path, epoch, &mut sources);
    let watched = sources.into_watched();
    match loaded {
        Ok(loaded) => Ok(Loaded { watched, ..loaded }),
        Err(problems) => Err(Problems { watched, ..problems }),
    }
}

/// Where the administration API of a configuration is, and the token for it. Nothing else of the file has to be right where this is
/// asked: its other secrets may be the service's alone.
pub fn administration(path: &Path) -> Result<(SocketAddr, SecretString), Problems> {
    let mut sources = Sources::beside(path).map_err(|error| unreadable(path, &error.to_string()))?;
    let (document, file) = parse(path, &mut sources)?;
    let mut findings = Findings::default();
    let found = file.and_then(|file| compile::administration(&file, &mut sources, &mut findings));
    found.ok_or_else(|| document.errors(findings))
}

fn parse(path: &Path, sources: &mut Sources) -> Result<(Document, Option<file::File>), Problems> {
    let name = path.file_name().ok_or_else(|| unreadable(path, "not the name of a file"))?;
    let bytes = sources.read(name).map_err(|error| unreadable(path, &error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(path, "not UTF-8"))?;
    Ok(Document::parse(path.to_owned(), &text))
}

fn read(path: &Path, epoch: u64, sources: &mut Sources) -> Result<Loaded, Problems> {
    let (document, file) = parse(path, sources)?;
    let mut findings = Findings::default();
    let Some(file) = file else {
        return Err(document.errors(findings));
    };
    let draft = compile::compile(&file, sources, &mut findings);
    if !document.is_sound() || !findings.errors.is_empty() {
        return Err(document.errors(findings));
    }
    warn::warn(&file, &draft, &mut findings);
    finish(draft, epoch, &document, &mut findings).ok_or_else(|| document.errors(findings))
}

fn finish(draft: compile::Draft, epoch: u64, document: &Document, findings: &mut Findings) -> Option<Loaded> {
    let (listen, store) = (draft.listen?, draft.store.clone()?);
    let (admin_token, audit) = (draft.admin_token.clone(), draft.audit.clone());
    let rules = draft.apps.iter().map(compile::Drafted::rules).sum();
    let Some(snapshot) = compile::assemble(draft, epoch, &|place| document.line(place), findings) else {
        if findings.errors.is_empty() {
            findings.error(&Place::root(), Wrong::plain("the configuration is too large"));
        }
        return None;
    };
    Some(Loaded {
        snapshot,
        listen,
        admin_token,
        store,
        audit,
        rules,
        watched: Watched::default(),
        warnings: document.warnings(std::mem::take(&mut findings.warnings)),
    })
}

/// Where things stand in a file.
pub struct Lines(Document);

impl Lines {
    /// `policy-tests.yaml:12`, where the entry of a list at the top of the file stands.
    pub fn of(&self, list: &str, index: usize) -> String {
        self.0.line(&Place::root().key(list).index(index))
    }
}

/// Reads YAML (or JSON) that is not the configuration, with the same care: every fault of its shape, and where it is.
pub fn read_as<T: DeserializeOwned>(file: PathBuf, text: &str) -> Result<(T, Lines), Problems> {
    let (document, value) = Document::parse(file, text);
    match value.filter(|_| document.is_sound()) {
        Some(value) => Ok((value, Lines(document))),
        None => Err(document.errors(Findings::default())),
    }
}

fn unreadable(path: &Path, why: &str) -> Problems {
    let problem = Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        line: 0,
        column: 0,
        place: String::new(),
        message: format!("can't read the configuration: {why}"),
        help: None,
        snippet: None,
    };
    Problems { errors: vec![problem], ..Problems::default() }
}
