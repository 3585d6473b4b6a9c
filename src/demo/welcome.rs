//! What `doorward demo` prints once everything runs: where to go, who to be, what to try.
//!
//! In: the site, the people, the state directory. Out: text for a terminal.

use super::device;
use super::people::Person;
use super::site::Site;
use super::state::State;

/// Writes the text.
pub(super) fn text(state: &State, site: Site, people: &[Person]) -> String {
    let (wiki, payroll, login) = (site.url("wiki"), site.url("payroll"), site.url("login"));
    let idp = site.issuer();
    let (ca, home) = (state.path("ca.pem"), state.path(""));
    let (ca, home) = (ca.display(), home.display());
    let (cert, key) = (state.path(device::CERTIFICATE), state.path(device::KEY));
    let (cert, key) = (cert.display(), key.display());
    format!(
        "
Doorward's demo is running, on this machine only.

Where to go
  Wiki      {wiki}     everybody at corp.example
  Payroll   {payroll}  the group finance
  Sign out  {login}/.doorward/logout

Who to be
{people}
What to try
  1. Open the wiki as alice@corp.example: the page shows what the app is told about you.
  2. Open payroll as Alice, without signing in again: refused, and the page says why.
  3. Sign out, open payroll as bob@corp.example.
  4. Sign out, open the wiki as mallory@partner.example, a guest.
  5. Open {wiki}/vault as Alice: refused, it needs her managed laptop.
     Import the laptop's certificate into your browser (no password), restart the browser, and open it again:
       openssl pkcs12 -export -passout pass: -in {cert} -inkey {key} -out alice-laptop.p12
  6. Open the wiki as Alice, and in another tab sign out at the provider: {idp}/end_session
     It tells Doorward, and the wiki asks for a sign-in at once.

Browsers warn about the certificate until they trust {ca}
The CA's key was thrown away, so nothing else can be made with it. With curl:
  curl --cacert {ca} {wiki}/health

Configuration, store, audit log and demo.json for scripts: {home}
Ctrl-C stops the demo. Delete that directory to start afresh.
",
        people = table(people),
    )
}

fn table(people: &[Person]) -> String {
    people.iter().map(row).collect()
}

fn row(Person { email, password, groups, .. }: &Person) -> String {
    let groups = if groups.is_empty() { "no group" } else { &groups.join(", ") };
    format!("  {email:<24} password {password:<13} {groups}\n")
}
