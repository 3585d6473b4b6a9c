//! The one typed schema that every rule is checked against. In: nothing. Out: a Cedar schema.

use cedar_policy::Schema;
use std::sync::LazyLock;

/// The schema in Cedar's own syntax. Every attribute is always there, so that no rule can fail for want of one: a
/// person without a verified address has the empty text in `email` and `domain`.
pub const SCHEMA: &str = r#"
entity Group;
entity App;
entity User in [Group] = {
  id: String,
  email: String,
  domain: String,
  provider: String,
} tags Set<String>;
action "request" appliesTo {
  principal: User,
  resource: App,
  context: { method: String },
};
"#;

static PARSED: LazyLock<Result<Schema, String>> =
    LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).map(|(schema, _warnings)| schema).map_err(|error| error.to_string()));

/// [`SCHEMA`], parsed once.
pub fn schema() -> Result<Schema, String> {
    PARSED.clone()
}
