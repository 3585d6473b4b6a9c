//! Where addresses are. In: databases in MaxMind's format, read into memory. Out: countries and autonomous systems, as fresh as the
//! database is. Must never take what a database does not say for an answer.

use crate::model::{Observed, Source, Timestamp};
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is known of addresses.
#[derive(Default)]
pub struct Geo {
    /// Knows countries.
    pub country: Option<Database>,
    /// Knows autonomous systems.
    pub asn: Option<Database>,
}

/// One database.
pub struct Database {
    reader: Reader<Vec<u8>>,
    /// When it was made.
    pub built_at: Timestamp,
    expires_at: Timestamp,
}

/// Of the record of an address: one of two spellings.
#[derive(Deserialize)]
struct CountryRecord {
    country: Option<Country>,
    country_code: Option<String>,
}

#[derive(Deserialize)]
struct Country {
    iso_code: Option<String>,
}

#[derive(Deserialize)]
struct AsnRecord {
    autonomous_system_number: Option<u32>,
}

impl Database {
    /// Takes a whole database; what it says is stale once it is older than `max_age`.
    pub fn parse(bytes: Vec<u8>, max_age: Duration) -> Result<Self, MaxMindDbError> {
        let reader = Reader::from_source(bytes)?;
        verify(&reader)?;
        let built_at = Timestamp::from_seconds(reader.metadata().build_epoch);
        Ok(Self { expires_at: built_at.plus(max_age), built_at, reader })
    }

    /// What it says of an address.
    fn find<'a, T: Deserialize<'a>>(&'a self, address: IpAddr) -> Option<T> {
        // A database that can't be read there says nothing.
        self.reader.lookup(address).ok()?.decode().ok()?
    }

    const fn said<T>(&self, value: T) -> Observed<T> {
        Observed { value, source: Source::Database, observed_at: self.built_at, expires_at: Some(self.expires_at) }
    }
}

/// Reads everything once, so that nothing is found broken later. A description says nothing of addresses, and there are databases without
/// one, which the library would refuse before it looks at the rest.
fn verify(reader: &Reader<Vec<u8>>) -> Result<(), MaxMindDbError> {
    let metadata = reader.metadata();
    if !metadata.description.is_empty() {
        return reader.verify();
    }
    // A tree has not more leaves than that: more of them is one that leads back into itself.
    let most = u64::from(metadata.node_count).saturating_mul(3);
    let mut seen = HashSet::new();
    for (count, found) in (0u64..).zip(reader.networks(WithinOptions::default())?) {
        let found = found?;
        if count > most {
            return Err(MaxMindDbError::invalid_database("the search tree leads back into itself"));
        }
        if found.offset().is_some_and(|offset| seen.insert(offset)) {
            found.decode::<IgnoredAny>()?;
        }
    }
    Ok(())
}

impl Geo {
    /// The country of an address (ISO 3166, capitals).
    pub fn country(&self, address: IpAddr) -> Option<Observed<Arc<str>>> {
        let database = self.country.as_ref()?;
        let record: CountryRecord = database.find(address)?;
        // Where its network is registered says nothing of where an address is.
        let code = record.country.and_then(|country| country.iso_code).or(record.country_code)?;
        let is_code = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        is_code.then(|| database.said(code.into()))
    }

    /// The autonomous system of an address.
    pub fn asn(&self, address: IpAddr) -> Option<Observed<u32>> {
        let database = self.asn.as_ref()?;
        let record: AsnRecord = database.find(address)?;
        Some(database.said(record.autonomous_system_number?))
    }

    /// Each database with when it was made.
    pub fn built(&self) -> impl Iterator<Item = (&'static str, Timestamp)> {
        let databases = [("country", &self.country), ("asn", &self.asn)];
        databases.into_iter().filter_map(|(name, database)| Some((name, database.as_ref()?.built_at)))
    }
}
