//! The parameters of a query. In: a query string. Out: one value a name. Must never choose between two values
//! (RFC 6749, section 3.1: a parameter is not included more than once).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use url::form_urlencoded;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(super) struct Query(HashMap<String, Option<String>>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let mut values = HashMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match values.entry(name.into_owned()) {
                Entry::Vacant(entry) => drop(entry.insert(Some(value.into_owned()))),
                Entry::Occupied(mut entry) => drop(entry.insert(None)),
            }
        }
        Self(values)
    }

    /// The value of a parameter that occurs once.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// Whether a parameter occurs, once or more often.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// Writes parameters into a query string.
pub(super) fn write(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}
