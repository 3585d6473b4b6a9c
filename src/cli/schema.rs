//! `doorward schema`. In: nothing. Out: the JSON Schema of the configuration file, for editors, and the schema of policies.

use crate::control::config::file::File;

/// The schema as indented JSON (draft 2020-12).
pub fn schema() -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(File))?;
    text.push('\n');
    Ok(text)
}

/// What policies are checked against, in Cedar's syntax.
pub const fn cedar() -> &'static str {
    crate::policy::schema::SCHEMA
}
