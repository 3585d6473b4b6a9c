//! Which app and which of its rules. In: a [`Target`]. Out: a [`Place`]. Must never choose between two readings of a path.

use super::target::Target;
use crate::model::{AppIndex, Reason, Refusal};
use crate::snapshot::hosts::Host;
use crate::snapshot::{App, Route, RouteIndex, Snapshot};

/// Where a request goes.
pub enum Place<'a> {
    /// To Doorward itself.
    Reserved(Site),
    /// To an app.
    Route(Routed<'a>),
}

/// The host at which Doorward itself is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The sign-in.
    Auth,
    /// An app's.
    App,
}

/// An app, and the entry that decides.
#[derive(Clone, Copy)]
pub struct Routed<'a> {
    /// Where the app stands in the snapshot.
    pub app_index: AppIndex,
    /// The app.
    pub app: &'a App,
    /// Where the route stands in the snapshot.
    pub index: RouteIndex,
    /// The route.
    pub route: &'a Route,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No app has this host.
    #[error("no app lives at this host")]
    Host,
    /// No app has this path.
    #[error("nothing lives at this path")]
    Path,
    /// Two readings of the path belong to different entries.
    #[error("the path can be read in more than one way, and the ways lead to different rules")]
    Ambiguous,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Host => Reason::UnknownHost.into(),
            Error::Path => Reason::UnknownPath.into(),
            Error::Ambiguous => Reason::AmbiguousTarget.into(),
        }
    }
}

/// What every path of ours starts with, on every host.
pub const RESERVED: &str = "/.doorward/";

/// Where directories are told of, on the host of the sign-in.
pub const SCIM: &str = "/scim/v2";

/// What programs say under [`RESERVED`], each time with a token that proves it.
const PROVED: [&str; 3] = ["backchannel-logout", "events", "global-token-revocation"];

/// What is the same for everybody.
const DOCUMENTS: [&str; 2] = ["assets/doorward.css", "jwks.json"];

/// Whether one of our own paths is answered whatever device asks: those that know nobody by a cookie.
pub fn is_for_any_device(path: &str) -> bool {
    is_scim(path) || is_proved(path) || path.strip_prefix(RESERVED).is_some_and(|rest| DOCUMENTS.contains(&rest))
}

/// Whether what is said there has to be proved by a token.
pub fn is_proved(path: &str) -> bool {
    path.strip_prefix(RESERVED).is_some_and(|rest| PROVED.contains(&rest))
}

/// Finds the place.
pub fn find<'a>(snapshot: &'a Snapshot, target: &Target) -> Result<Place<'a>, Error> {
    let host = snapshot.hosts.find(target.host()).ok_or(Error::Host)?;
    let site = if matches!(host, Host::Auth) { Site::Auth } else { Site::App };
    if target.path().starts_with(RESERVED) {
        return Ok(Place::Reserved(site));
    }
    let Host::Apps(apps) = host else {
        let scim = snapshot.has_directories() && is_scim(target.path());
        return if scim { Ok(Place::Reserved(site)) } else { Err(Error::Path) };
    };
    let mut found = None;
    for reading in target.readings() {
        if is_reserved(reading) {
            return Err(Error::Ambiguous);
        }
        let app = apps.find(reading).and_then(|index| Some((index, snapshot.app(index)?)));
        let place = app.and_then(|(index, app)| Some((index, app, app.paths.find(reading)?)));
        if app.is_some_and(|(_, app)| app.paths.folds_elsewhere(reading)) || found.is_some_and(|found| !same(found, place)) {
            return Err(Error::Ambiguous);
        }
        found = Some(place);
    }
    let (app_index, app, index) = found.flatten().ok_or(Error::Path)?;
    let route = snapshot.route(index).ok_or(Error::Path)?;
    Ok(Place::Route(Routed { app_index, app, index, route }))
}

type Found<'a> = Option<(AppIndex, &'a App, RouteIndex)>;

fn same(one: Found<'_>, other: Found<'_>) -> bool {
    one.map(|(app, _, route)| (app, route)) == other.map(|(app, _, route)| (app, route))
}

/// Whether a directory is told of there.
pub fn is_scim(path: &str) -> bool {
    path.strip_prefix(SCIM).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A spelling of our own paths that is not exactly ours, such as `/%2edoorward/` or `/.Doorward/`.
fn is_reserved(reading: &str) -> bool {
    reading.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}
