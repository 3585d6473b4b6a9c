//! The one typed schema that every rule is checked against. In: nothing. Out: a Cedar schema.

use cedar_policy::Schema;
use std::sync::LazyLock;

/// The schema in Cedar's own syntax. Every attribute is always there, so that no rule can fail for want of one.
pub const SCHEMA: &str = r#"// What Doorward tells of a request. Every attribute is always there.
//
// A signal has a state: "fresh", "stale" or "absent". Its value is what was last said, and neutral ("", 0, -1, false) where nothing was:
// ask for the state first. In a policy that permits, ask for "fresh".

entity Group;
entity App;                 // App::"payroll", by its key under `apps`

entity User in [Group] = {
  id: String,               // provider:subject
  email: String,            // verified, lower case; "" where there is none
  domain: String,           // of that address
  provider: String,
} tags Set<String>;         // the mapped claims

type Text = { state: String, value: String };
type Number = { state: String, value: Long };
type Truth = { state: String, value: Bool };

type Device = {
  state: String,
  standing: String,         // "managed", "known", "certified", "somebody_elses"; "" where it is absent
  id: String,               // in the inventory; "" where it is not there
  platform: String,         // lower case; "" where it is not known
  os_version: Long,         // four numbers of 15 bits each; -1 where it is not known
  disk_encryption: String,  // "yes", "no", "unknown"
  screen_lock: String,      // the same
  compliant: String,        // the same
  tags: Set<String>,
};

action "request" appliesTo {
  principal: User,
  resource: App,
  context: {
    method: String,
    path: String,           // decoded, without the query; refused where two readings of it are decided differently
    address: String,        // the client's
    networks: Set<String>,  // the lists of networks that it is in, by name
    country: Text,          // "DE"
    asn: Number,
    mfa: Truth,
    phishing_resistant: Truth,
    acr: Text,
    auth_age: Number,       // seconds since the person proved who they are
    now: Long,              // seconds since 1970
    minute: Long,           // of the day, in UTC
    weekday: Long,          // from Monday, 0, to Sunday, 6, in UTC
    hours: Set<String>,     // the `hours` of the app's rules that it is, as they are written
    dates: Set<String>,     // the same of `dates`
    device: Device,
    risk: Text,             // "low", "medium", "high"
    headers: Set<String>,   // the headers that the app's rules name: "x-env", and "x-env: prod" for a value that they name
    paths: Set<String>,     // the `path` of the app's rules that it matches, as they are written
    user_agent: String,     // "browser" or "program", by its own word
  },
};
"#;

static PARSED: LazyLock<Result<Schema, String>> =
    LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).map(|(schema, _warnings)| schema).map_err(|error| error.to_string()));

/// [`SCHEMA`], parsed once.
pub fn schema() -> Result<Schema, String> {
    PARSED.clone()
}
