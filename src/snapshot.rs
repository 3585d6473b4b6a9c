//! What a request is judged by: one immutable, compiled configuration, swapped whole at a reload. In: what
//! `control::config` compiled. Out: look-ups. Must never change after it was built, and never do I/O.

pub mod denials;
pub mod devices;
pub mod entrance;
pub mod fixed;
pub mod geo;
pub mod hosts;
pub mod limits;
pub mod paths;
pub mod prefix;
pub mod rewriting;
pub mod rotation;
pub mod scim;
pub mod servers;
pub mod tls;
pub mod transmitters;
pub mod upstream;
pub mod webhooks;

use crate::model::directory::Overlay;
use crate::model::identity::is_domain;
use crate::model::{AppIndex, Inventory, Lifetimes, Origin, ProviderName, Strength};
use crate::policy::Ruleset;
use denials::Denials;
use entrance::Entrance;
use fixed::Fixed;
use geo::Geo;
use hosts::{Host, Hosts};
use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use limits::Limits;
use openidconnect::IssuerUrl;
use paths::Paths;
use rewriting::Rewriting;
use secrecy::SecretString;
use servers::Servers;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use transmitters::{GlobalRevocation, Transmitter};
use webhooks::Webhook;

pub use upstream::Upstream;

/// Everything that a request is judged by.
pub struct Snapshot {
    /// Counts the configurations of this process, from 1.
    pub epoch: u64,
    /// Every app, by [`AppIndex`].
    pub apps: Vec<App>,
    /// Every route of every app, by [`RouteIndex`].
    pub routes: Vec<Route>,
    /// Which apps live at which host.
    pub hosts: Hosts,
    /// Where people sign in.
    pub auth: Origin,
    /// How long sign-ins last.
    pub lifetimes: Lifetimes,
    /// How long sessions that are known go on while a shared store is out of reach.
    pub store_grace: Duration,
    /// The identity providers, by name.
    pub providers: BTreeMap<ProviderName, Provider>,
    /// Those that tell of security events, by name.
    pub transmitters: BTreeMap<Arc<str>, Arc<Transmitter>>,
    /// Names that no client may send, beside ours: all that any app is configured to receive.
    pub reserved_headers: FoldedNames,
    /// Where addresses are.
    pub geo: Geo,
    /// Whose word for a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What connections are asked before there is a request.
    pub entrance: Entrance,
    /// How much one address may ask of Doorward itself.
    pub reserved: limits::Reserved,
    /// The certificates.
    pub tls: tls::Tls,
    /// The devices that a file lists.
    pub devices: Inventory,
    /// Whether requests go on when the audit trail can't keep up.
    pub audit_sheds: bool,
    /// Who is told of locks and revocations.
    pub webhooks: Vec<Webhook>,
}

/// One app.
pub struct App {
    /// Its key in the configuration.
    pub name: Arc<str>,
    /// What people call it.
    pub title: Arc<str>,
    /// Where people reach it.
    pub origin: Origin,
    /// Origin and prefix, without a trailing slash: the audience of its assertions.
    pub url: Arc<str>,
    /// The path prefix without a trailing slash; empty for a whole host.
    pub prefix: Box<str>,
    /// Where it really is; `None` where every route has an answer of its own.
    pub servers: Option<Servers>,
    /// How long it may take.
    pub timeouts: upstream::Timeouts,
    /// How many connections to it are kept.
    pub pooling: upstream::Pooling,
    /// What is changed on the way to it and back.
    pub rewriting: Rewriting,
    /// How much it takes; `None` where it takes everything.
    pub limits: Option<Box<Limits>>,
    /// Which header carries what.
    pub identity: Vec<(HeaderName, Attribute)>,
    /// The providers whose sign-ins it takes; never empty in a compiled snapshot that has an app with rules.
    pub providers: Vec<ProviderName>,
    /// Whether CORS preflights reach it without a session.
    pub cors_preflight: bool,
    /// What those are told whom its rules refuse.
    pub denials: Denials,
    /// Which of its routes a path belongs to; always finds one.
    pub paths: Paths<RouteIndex>,
}

/// Where a route stands in [`Snapshot::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteIndex(pub u32);

/// One entry under `paths:`, or an app's own rules.
pub struct Route {
    /// The app.
    pub app: AppIndex,
    /// `payroll` or `payroll /admin/**`, for audit.
    pub label: Arc<str>,
    /// Who may.
    pub access: Access,
    /// What it answers by itself, in place of the app.
    pub fixed: Option<Arc<Fixed>>,
}

/// Who may use a route.
pub enum Access {
    /// Everybody, by these methods (every method when `None`).
    Public(Option<Vec<Method>>),
    /// Whom the rules allow.
    Rules(Box<Ruleset>),
}

/// A fact of an identity that a header can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `provider:subject`.
    User,
    /// The verified e-mail address.
    Email,
    /// The display name.
    Name,
    /// The groups, joined by commas.
    Groups,
    /// The provider's name.
    Provider,
    /// A mapped claim, its values joined by commas.
    Claim(String),
}

/// A relying-party registration at an identity provider.
pub struct Provider {
    /// Its key.
    pub name: ProviderName,
    /// What people call it.
    pub title: Arc<str>,
    /// The issuer, exactly as the provider's tokens spell it.
    pub issuer: IssuerUrl,
    /// Our client id there.
    pub client_id: String,
    /// Our secret there; a public client has none.
    pub client_secret: Option<SecretString>,
    /// What we ask for; always with `openid`.
    pub scopes: Vec<String>,
    /// Our word for a claim → the provider's name for it; `groups`, `email` and `name` have their own place.
    pub claims: BTreeMap<String, String>,
    /// Treat `email` as verified where the provider sends no `email_verified`.
    pub assume_email_verified: bool,
    /// What it means by `acr` and `amr`.
    pub strength: Strength,
    /// Whose word ends all sign-ins of one of its people; nobody's by default.
    pub global_revocation: Option<GlobalRevocation>,
    /// Its directory, where it tells of one.
    pub scim: Option<Box<scim::Scim>>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// PEM of the certificate authorities to trust in place of the public ones.
    pub ca: Option<Vec<u8>>,
}

impl Snapshot {
    /// Whether any provider tells of a directory.
    pub fn has_directories(&self) -> bool {
        self.providers.values().any(|provider| provider.scim.is_some())
    }

    /// How directories are laid over the claims of their providers.
    pub fn overlays(&self) -> BTreeMap<ProviderName, Overlay> {
        let overlay = |provider: &Provider| Some((provider.name.clone(), provider.scim.as_ref()?.overlay));
        self.providers.values().filter_map(overlay).collect()
    }

    /// Whether this is a proxy whose word for a client's address is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Whether any provider may end all sign-ins of one of its people.
    pub fn revokes_globally(&self) -> bool {
        self.providers.values().any(|provider| provider.global_revocation.is_some())
    }

    /// The app at this place in the list.
    pub fn app(&self, index: AppIndex) -> Option<&App> {
        self.apps.get(usize::try_from(index.0).ok()?)
    }

    /// What every answer at this host gets that does not have it; nothing where the host is not ours to speak for.
    pub fn security(&self, host: &str) -> &[(HeaderName, HeaderValue)] {
        match self.hosts.find(host) {
            Some(Host::Auth) => rewriting::SECURITY.as_slice(),
            Some(Host::Apps(apps)) => apps.any().and_then(|index| self.app(index)).map_or(&[], |app| &app.rewriting.security),
            None => &[],
        }
    }

    /// The route at this place in the list.
    pub fn route(&self, index: RouteIndex) -> Option<&Route> {
        self.routes.get(usize::try_from(index.0).ok()?)
    }

    /// Goes on with what is known of the servers that the configuration before had too.
    pub fn take_over(&mut self, before: &Self, now: u64) {
        let known: HashMap<&str, &App> = before.apps.iter().map(|app| (&*app.name, app)).collect();
        for app in &mut self.apps {
            let before = known.get(&*app.name).and_then(|before| before.servers.as_ref());
            if let (Some(servers), Some(before)) = (&mut app.servers, before) {
                servers.take_over(before, now);
            }
        }
    }
}

/// Names of headers, folded ([`fold`]). A name that is not among them is most often known by its length.
#[derive(Debug, Default)]
pub struct FoldedNames {
    lengths: u128,
    names: foldhash::HashSet<Box<str>>,
}

impl FoldedNames {
    /// Whether this folded name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0 && self.names.contains(name)
    }
}

impl<'a> FromIterator<&'a str> for FoldedNames {
    fn from_iter<T: IntoIterator<Item = &'a str>>(names: T) -> Self {
        let names: foldhash::HashSet<Box<str>> = names.into_iter().map(|name| fold(name).into()).collect();
        Self { lengths: names.iter().fold(0, |lengths, name| lengths | length_bit(name)), names }
    }
}

/// One bit a length; the last stands for all longer names too.
fn length_bit(name: &str) -> u128 {
    1 << name.len().min(127)
}

/// The one spelling of a header name that all its aliases share in CGI-style backends, which make one character of
/// everything that is neither letter nor digit: lower case, with `-` for all of those.
pub fn fold(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Whether this can be the host of an app or of the sign-in: a domain or `localhost`.
pub fn is_host(host: &str) -> bool {
    host == "localhost" || is_domain(host)
}
