//! What a file means. In: [`super::file`]. Out: a [`Draft`] that can become a snapshot, and everything that is wrong with
//! it: no check stops the next. Must never leave a rule out.

mod apps;
mod audit;
mod calendar;
mod denials;
mod devices;
mod entrance;
mod fixed;
mod geo;
mod headers;
mod hosts;
mod limits;
mod listen;
mod lists;
mod paths;
mod policies;
mod providers;
mod rewriting;
mod rules;
mod scim;
mod secret;
mod servers;
mod snapshot;
mod store;
mod transmitters;
mod upstream;
mod values;
mod webhooks;
mod when;

pub(super) use apps::Drafted;
pub use audit::AuditTrail;
pub(super) use listen::administration;
pub(super) use paths::Access;
pub(super) use rules::Written;
pub(super) use snapshot::assemble;
pub(super) use values::duration;

use super::file::{File, Texts};
use super::findings::{Findings, Wrong};
use super::place::Place;
use super::sources::Sources;
use super::{Listen, tls};
use crate::model::{Inventory, Lifetimes, ProviderName, TokenHash};
use crate::policy::Files;
use crate::snapshot::Provider;
use crate::snapshot::entrance::Entrance;
use crate::snapshot::geo::Geo;
use crate::snapshot::limits::Reserved;
use crate::snapshot::transmitters::Transmitter;
use crate::snapshot::webhooks::Webhook;
use crate::store::Location;
use ipnet::IpNet;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What checks share.
struct Context<'a> {
    findings: &'a mut Findings,
    sources: &'a mut Sources,
    /// Every provider of the file, sound or not.
    provider_keys: BTreeSet<&'a str>,
    /// What rules can name.
    lists: lists::Lists,
    named: rules::Named<'a>,
    /// The tokens of directories so far.
    scim_tokens: Vec<TokenHash>,
    /// Verifies servers by the system's authorities, once an app needs that.
    shared_client: Option<upstream::Client>,
}

/// A checked configuration, complete when there are no errors.
pub(super) struct Draft {
    pub(super) listen: Option<Listen>,
    pub(super) admin_token: Option<SecretString>,
    pub(super) store: Option<Location>,
    pub(super) store_grace: Duration,
    pub(super) audit: AuditTrail,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) entrance: Entrance,
    pub(super) reserved: Reserved,
    pub(super) auth: Option<values::Address>,
    pub(super) lifetimes: Lifetimes,
    pub(super) providers: BTreeMap<ProviderName, Provider>,
    pub(super) transmitters: BTreeMap<Arc<str>, Arc<Transmitter>>,
    pub(super) apps: Vec<Drafted>,
    pub(super) tls: Option<crate::snapshot::tls::Tls>,
    pub(super) devices: Inventory,
    pub(super) policies: Files,
    pub(super) geo: Geo,
    pub(super) webhooks: Vec<Webhook>,
}

/// Checks everything.
pub(super) fn compile(file: &File, sources: &mut Sources, findings: &mut Findings) -> Draft {
    let provider_keys = file.identity_providers.keys().map(String::as_str).collect();
    let lists = lists::compile(file, sources, findings);
    let named = rules::Named::of(&file.rules);
    let context = &mut Context { findings, sources, provider_keys, lists, named, scim_tokens: Vec::new(), shared_client: None };
    rules::named(context);
    let providers = providers::compile(file, context);
    let transmitters = transmitters::compile(file, &providers, context);
    let apps = apps::compile(file, context);
    let auth = hosts::auth(file, context);
    hosts::check(auth.as_ref(), &apps, context.findings);
    let tls = tls::compile(file, context.sources, context.findings);
    if let Some(tls) = &tls {
        hosts::check_certificates(tls, auth.as_ref(), &apps, context.findings);
    }
    Draft {
        listen: listen::listen(file, context),
        admin_token: listen::admin_token(file, context),
        store: store::location(file, context),
        store_grace: store::grace(file, context),
        audit: audit::compile(file, context),
        trusted_proxies: listen::trusted_proxies(file, context),
        entrance: entrance::compile(file, context),
        reserved: limits::reserved(file, context),
        devices: devices::compile(file, context),
        lifetimes: listen::lifetimes(file, context),
        policies: policies::compile(file, context),
        geo: geo::compile(file, context),
        webhooks: webhooks::compile(file, context),
        auth,
        providers,
        transmitters,
        apps,
        tls,
    }
}

impl<'a> Context<'a> {
    /// A list that is there must say something.
    fn refuse_empty<T>(&mut self, list: &[T], place: &Place) {
        if list.is_empty() {
            self.findings.error(place, Wrong::new("an empty list", "list something, or take the key away"));
        }
    }

    /// The texts of a list with their places.
    fn texts<'t>(&mut self, list: &'t Texts, place: &Place) -> Vec<(Place, &'t str)> {
        self.refuse_empty(&list.0, place);
        list.0.iter().enumerate().map(|(index, text)| (place.index(index), &**text)).collect()
    }

    /// The same where `$name` stands for the entries of a list.
    fn each_listed<T: PartialEq>(&mut self, list: &Texts, place: &Place, read: impl Fn(&str, &Self) -> Result<T, Wrong>) -> Vec<T> {
        let mut values = Vec::with_capacity(list.0.len());
        for (place, text) in self.texts(list, place) {
            let expanded = self.lists.expand(text);
            let Some(entries) = self.findings.take(&place, expanded) else { continue };
            for entry in entries.iter() {
                let value = read(entry, self).map_err(|wrong| if text.starts_with('$') { wrong.about(entry) } else { wrong });
                match self.findings.take(&place, value) {
                    Some(value) if !values.contains(&value) => values.push(value),
                    Some(_) if !text.starts_with('$') => {
                        self.findings.warning(&place, Wrong::plain(format!("`{text}` is here twice")));
                    }
                    _ => {}
                }
            }
        }
        values
    }

    /// Reads each text of a list, and finds what can't be read and what is there twice.
    fn each<T: PartialEq>(&mut self, list: &Texts, place: &Place, read: impl Fn(&str, &Self) -> Result<T, Wrong>) -> Vec<T> {
        let mut values = Vec::with_capacity(list.0.len());
        for (place, text) in self.texts(list, place) {
            let value = read(text, self);
            match self.findings.take(&place, value) {
                Some(value) if values.contains(&value) => {
                    self.findings.warning(&place, Wrong::plain(format!("`{text}` is here twice")));
                }
                Some(value) => values.push(value),
                None => {}
            }
        }
        values
    }
}
