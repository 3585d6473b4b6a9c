//! A made-up request as people write one: on the command line, in a file of tests, in the body of a call to the API. In: texts. Out:
//! a [`Question`], or what is wrong with a text.

use super::{Error, Question, Shown, app};
use crate::control::config::{self, file::Texts};
use crate::model::device::Standing;
use crate::model::inventory::Inventories;
use crate::model::risks::Whose;
use crate::model::{Inventory, RiskLevel, Timestamp};
use crate::snapshot::Snapshot;
use crate::store::Known;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// A made-up request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The app's key.
    pub app: String,
    /// The path, with the app's prefix; the start of the app by default.
    pub path: Option<String>,
    /// `GET` by default.
    pub method: Option<String>,
    /// A verified address, or `provider:subject`.
    pub user: Option<String>,
    /// Where they signed in; the first provider of the app by default.
    pub provider: Option<String>,
    /// Their groups.
    #[serde(default)]
    pub groups: Texts,
    /// Their mapped claims.
    #[serde(default)]
    pub claims: BTreeMap<String, Texts>,
    /// How they signed in (RFC 8176).
    #[serde(default)]
    pub amr: Texts,
    /// The context class of the sign-in.
    pub acr: Option<String>,
    /// How long ago they signed in; `1s` by default.
    pub auth_age: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
    /// In place of what the database says of that.
    pub country: Option<String>,
    /// The same.
    pub asn: Option<String>,
    /// What the device is to the person: `managed`, `known` or `certified`.
    pub device: Option<String>,
    /// In place of that, a device of the inventory.
    pub device_id: Option<String>,
    /// `low`, `medium` or `high`; what is known of the person and their devices by default.
    pub risk: Option<String>,
    /// The headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Texts>,
    /// When it is; now by default.
    pub at: Option<String>,
}

impl Asked {
    /// What is meant, of what is known of devices, risks, locks and people.
    pub fn question(&self, snapshot: &Snapshot, known: &Known, now: Timestamp) -> Result<Question, Error> {
        let now = optional("at", self.at.as_deref(), "a time: 2026-11-22T02:00:00Z", time)?.unwrap_or(now);
        let age = optional("auth_age", self.auth_age.as_deref(), "a number and a unit: 90s, 30m, 12h or 7d", config::duration)?;
        let age = age.unwrap_or(Duration::from_secs(1));
        let method = optional("method", self.method.as_deref(), "a method", parsed::<Method>)?;
        let path = || app(snapshot, &self.app).map(|app| format!("{}/", app.prefix));
        Ok(Question {
            path: self.path.clone().map_or_else(path, Ok)?,
            app: self.app.clone(),
            method: method.unwrap_or_default(),
            user: self.user.clone(),
            provider: self.provider.clone(),
            groups: self.groups.0.clone(),
            claims: self.claims.iter().map(|(name, values)| (name.clone(), values.0.clone())).collect(),
            amr: self.amr.0.clone(),
            acr: self.acr.clone(),
            authenticated_at: Timestamp::from_millis(now.millis().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(0))),
            address: optional("ip", self.ip.as_deref(), "an address", parsed)?,
            country: self.country.clone(),
            asn: optional("asn", self.asn.as_deref(), "a number", parsed)?,
            device: self.shown(Inventories { administered: &known.devices, listed: &snapshot.devices })?,
            risk: optional("risk", self.risk.as_deref(), "`low`, `medium` or `high`", level)?,
            headers: self.headers()?,
            known: known.clone(),
            now,
        })
    }

    /// Who is asked about, by their address or as `provider:subject`.
    pub fn person(&self) -> Option<Whose> {
        Whose::parse("user", self.user.as_deref()?)
    }

    fn shown(&self, inventories: Inventories<'_>) -> Result<Option<Shown>, Error> {
        let standing = optional("device", self.device.as_deref(), "`managed`, `known` or `certified`", standing)?;
        match (standing, &self.device_id) {
            (Some(_), Some(_)) => Err(Error::TwoDevices),
            (standing, None) => Ok(standing.map(Shown::Standing)),
            (None, Some(id)) => {
                let device = inventories.by_id(id).ok_or_else(|| Error::Device(id.clone()))?;
                Ok(Some(Shown::Known(inventories.judged(device))))
            }
        }
    }

    /// Why the gate would not find the device that is asked about, whatever certificate it shows.
    pub fn unseen(&self, snapshot: &Snapshot, administered: &Inventory) -> Option<&'static str> {
        let inventories = Inventories { administered, listed: &snapshot.devices };
        let device = inventories.by_id(self.device_id.as_deref()?)?;
        let found = device.fingerprint.map(|fingerprint| inventories.by_fingerprint(fingerprint));
        match found {
            _ if snapshot.tls.devices.is_none() => Some("no `device_ca` vouches for devices"),
            None => Some("the inventory has no certificate of it"),
            Some(found) if found.is_none_or(|found| found.id != device.id) => {
                Some("its certificate is another device's in the inventory")
            }
            Some(_) => None,
        }
    }

    fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let key: HeaderName = required("headers", name, "the name of a header", parsed)?;
            for value in &values.0 {
                headers.append(key.clone(), required("headers", value, "the value of a header", parsed::<HeaderValue>)?);
            }
        }
        Ok(headers)
    }
}

fn optional<T>(
    name: &'static str,
    text: Option<&str>,
    what: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    text.map(|text| required(name, text, what, read)).transpose()
}

fn required<T>(name: &'static str, text: &str, what: &'static str, read: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    read(text).ok_or_else(|| Error::Value { name, text: text.to_owned(), what })
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// RFC 3339.
pub(in crate::control) fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp::from_millis)
}

/// By its code.
pub(in crate::control) fn standing(text: &str) -> Option<Standing> {
    [Standing::Managed, Standing::Known, Standing::Certified].into_iter().find(|standing| standing.code() == text)
}

/// By its code.
pub(in crate::control) fn level(text: &str) -> Option<RiskLevel> {
    [RiskLevel::Low, RiskLevel::Medium, RiskLevel::High].into_iter().find(|level| level.code() == text)
}
