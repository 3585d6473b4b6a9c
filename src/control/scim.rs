//! `/scim/v2` on the auth host: where directories tell of people and groups (RFC 7643, RFC 7644). In: requests with a token of a
//! provider's configuration. Out: JSON, rows, records of what was done. Must never let a token see or change what is another
//! provider's, nor do anything that could leave no trace; knows no cookies.

mod access;
mod body;
mod bulk;
mod discovery;
mod fault;
mod filter;
mod list;
mod patch;
mod path;
mod schema;
mod show;
mod write;

use super::answer::{self, Answer};
use super::query::Query;
use super::{Control, Place};
use crate::clock;
use crate::model::ProviderName;
use crate::model::directory::Kind;
use crate::store::Store;
use access::{Attempts, Caller};
use bytes::Bytes;
use fault::Fault;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use list::Search;
use serde_json::{Value, json};
use std::time::Duration;
use write::Version;

/// What every path of it starts with.
pub(super) const PREFIX: &str = "/scim/v2";
/// How long a body may be, and take.
const LARGEST_BODY: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
const MEDIA_TYPE: &str = "application/scim+json";

/// What the endpoint keeps from one request to the next.
#[derive(Default)]
pub(super) struct Scim {
    attempts: Attempts,
}

/// Whose directory is being worked on.
struct Desk<'a> {
    store: &'a Store,
    provider: &'a ProviderName,
    /// What every location starts with.
    base: String,
}

/// What comes of a request that goes well.
struct Reply {
    status: StatusCode,
    body: Option<Value>,
    location: Option<String>,
    tag: Option<String>,
    /// What was done, for the audit trail.
    what: Value,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation<'a> {
    List(&'static [Kind]),
    Search(&'static [Kind]),
    Read(Kind, &'a str),
    Create(Kind),
    Replace(Kind, &'a str),
    Patch(Kind, &'a str),
    Delete(Kind, &'a str),
    Bulk,
    Configuration,
    Schemas(Option<&'a str>),
    ResourceTypes(Option<&'a str>),
}

impl Reply {
    fn empty(status: StatusCode) -> Self {
        Self { status, body: None, location: None, tag: None, what: Value::Null }
    }

    fn of(body: Value) -> Self {
        Self { body: Some(body), ..Self::empty(StatusCode::OK) }
    }
}

/// The kind that a segment of a path stands for.
fn is_endpoint(segment: &str) -> Option<Kind> {
    match segment {
        "Users" => Some(Kind::User),
        "Groups" => Some(Kind::Group),
        _ => None,
    }
}

const fn only(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::User => &[Kind::User],
        Kind::Group => &[Kind::Group],
    }
}

/// Where what is done leaves its record: one for each change.
struct Trail<'a> {
    control: &'a Control,
    caller: &'a Caller<'a>,
    place: &'a Place,
}

impl Trail<'_> {
    /// Does something where a record of it can be taken, and leaves that.
    async fn leave(&self, method: &str, path: &str, done: impl Future<Output = Result<Reply, Fault>>) -> Result<Reply, Fault> {
        if !self.control.can_record() {
            return Err(Fault::Unrecorded);
        }
        let outcome = done.await;
        self.control.record(&self.record(method, path, &outcome));
        outcome
    }

    fn record(&self, method: &str, path: &str, outcome: &Result<Reply, Fault>) -> Value {
        let (status, what) = match outcome {
            Ok(reply) => (reply.status, reply.what.clone()),
            Err(fault) => (fault.status(), json!({ "refused": fault.to_string() })),
        };
        json!({
            "time": clock::now().to_string(),
            "act": "directory",
            "provider": self.caller.provider.as_str(),
            "token": self.caller.token(),
            "method": method,
            "path": path,
            "peer": self.place.client,
            "status": status.as_u16(),
            "what": what,
        })
    }
}

impl<'a> Operation<'a> {
    fn read(method: &Method, path: &'a str) -> Result<Self, Fault> {
        const ALL: &[Kind] = &[Kind::User, Kind::Group];
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let get = matches!(*method, Method::GET | Method::HEAD);
        match (method.as_str(), segments.as_slice()) {
            (_, ["Me", ..]) => Err(Fault::NotSupported("tokens are not people: there is no `/Me`")),
            (_, []) if get => Ok(Self::List(ALL)),
            ("POST", [".search"]) => Ok(Self::Search(ALL)),
            ("POST", ["Bulk"]) => Ok(Self::Bulk),
            (_, ["ServiceProviderConfig"]) if get => Ok(Self::Configuration),
            (_, ["Schemas"]) if get => Ok(Self::Schemas(None)),
            (_, ["Schemas", id]) if get => Ok(Self::Schemas(Some(id))),
            (_, ["ResourceTypes"]) if get => Ok(Self::ResourceTypes(None)),
            (_, ["ResourceTypes", name]) if get => Ok(Self::ResourceTypes(Some(name))),
            (_, [] | [".search" | "Bulk" | "ServiceProviderConfig"] | ["Schemas" | "ResourceTypes", ..]) => Err(Fault::Method),
            (method, [endpoint, rest @ ..]) => {
                let kind = is_endpoint(endpoint).ok_or(Fault::NotFound)?;
                Self::of_kind(method, kind, rest)
            }
        }
    }

    fn of_kind(method: &str, kind: Kind, rest: &[&'a str]) -> Result<Self, Fault> {
        match (method, rest) {
            ("GET" | "HEAD", []) => Ok(Self::List(only(kind))),
            ("POST", []) => Ok(Self::Create(kind)),
            ("POST", [".search"]) => Ok(Self::Search(only(kind))),
            ("GET" | "HEAD", [id]) => Ok(Self::Read(kind, id)),
            ("PUT", [id]) => Ok(Self::Replace(kind, id)),
            ("PATCH", [id]) => Ok(Self::Patch(kind, id)),
            ("DELETE", [id]) => Ok(Self::Delete(kind, id)),
            (_, [] | [_]) => Err(Fault::Method),
            _ => Err(Fault::NotFound),
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Search(_) => "search",
            Self::Read(..) => "read",
            Self::Create(_) => "create",
            Self::Replace(..) => "replace",
            Self::Patch(..) => "patch",
            Self::Delete(..) => "delete",
            Self::Bulk => "bulk",
            Self::Configuration | Self::Schemas(_) | Self::ResourceTypes(_) => "describe",
        }
    }

    const fn changes(self) -> bool {
        matches!(self, Self::Create(_) | Self::Replace(..) | Self::Patch(..) | Self::Delete(..) | Self::Bulk)
    }

    const fn has_body(self) -> bool {
        self.changes() && !matches!(self, Self::Delete(..)) || matches!(self, Self::Search(_))
    }
}

impl Control {
    /// Answers a request under `/scim/v2`.
    pub(super) async fn provision<B>(&self, request: Request<B>, place: &Place) -> Answer
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or("");
        let caller = match self.scim.attempts.caller(&place.snapshot, &parts.headers, place.client) {
            Ok(caller) => caller,
            Err(fault) => {
                self.metrics.scim("unknown", "none", fault.status().as_str());
                return written(Err(fault));
            }
        };
        let operation = Operation::read(&parts.method, path);
        let code = operation.as_ref().map_or("none", |operation| operation.code());
        let outcome = match operation {
            Ok(operation) => self.operate(&caller, operation, &parts, body, place).await,
            Err(fault) => Err(fault),
        };
        let status = outcome.as_ref().map_or_else(Fault::status, |reply| reply.status);
        self.metrics.scim(caller.provider.as_str(), code, status.as_str());
        written(outcome)
    }

    async fn operate<B>(
        &self,
        caller: &Caller<'_>,
        operation: Operation<'_>,
        parts: &http::request::Parts,
        body: B,
        place: &Place,
    ) -> Result<Reply, Fault>
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let desk = Desk { store: &self.store, provider: caller.provider, base: format!("https://{}{PREFIX}", place.authority) };
        let query = Query::parse(parts.uri.query().unwrap_or(""));
        if !operation.changes() {
            let body = if operation.has_body() { read_body(&parts.headers, body).await? } else { Value::Null };
            return look(&desk, operation, &query, &parts.headers, &body).await;
        }
        if caller.grant.read_only {
            return Err(Fault::ReadOnlyToken);
        }
        let body = if operation.has_body() { read_body(&parts.headers, body).await? } else { Value::Null };
        let trail = Trail { control: self, caller, place };
        if operation == Operation::Bulk {
            return bulk::answer(&desk, &body, &trail).await;
        }
        let done = change(&desk, operation, &query, &parts.headers, body);
        trail.leave(parts.method.as_str(), parts.uri.path(), done).await
    }
}

async fn look(desk: &Desk<'_>, operation: Operation<'_>, query: &Query, headers: &HeaderMap, body: &Value) -> Result<Reply, Fault> {
    match operation {
        Operation::List(kinds) => list::answer(desk, kinds, &Search::of_query(query)?).await.map(Reply::of),
        Operation::Search(kinds) => list::answer(desk, kinds, &Search::of_body(body)?).await.map(Reply::of),
        Operation::Read(kind, id) => {
            let resource = write::find(desk, kind, id).await?;
            let tag = Some(show::tag(&resource));
            if text(headers, &IF_NONE_MATCH).is_some_and(|tags| write::names(tags, &resource)) {
                return Ok(Reply { tag, ..Reply::empty(StatusCode::NOT_MODIFIED) });
            }
            let shown = list::shown(desk, kind, &resource, &list::asked(kind, query), &mut { list::MOST_RELATED }).await?;
            Ok(Reply { tag, location: Some(show::location(kind, id, &desk.base)), ..Reply::of(shown.into()) })
        }
        _ if query.has("filter") => Err(Fault::Forbidden("what the server can do is not filtered")),
        Operation::Schemas(id) => discovery::schema(id, &desk.base).map(Reply::of),
        Operation::ResourceTypes(name) => discovery::resource_type(name, &desk.base).map(Reply::of),
        _ => Ok(Reply::of(discovery::configuration(&desk.base))),
    }
}

async fn change(
    desk: &Desk<'_>,
    operation: Operation<'_>,
    query: &Query,
    headers: &HeaderMap,
    body: Value,
) -> Result<Reply, Fault> {
    // A tag that can't be read is none of ours: it must not pass for no condition.
    let version = Version(headers.get(IF_MATCH).map(|tags| tags.to_str().unwrap_or("")));
    match operation {
        Operation::Create(kind) => write::create(desk, kind, body, &list::asked(kind, query)).await,
        Operation::Replace(kind, id) => write::replace(desk, kind, id, version, body, &list::asked(kind, query)).await,
        Operation::Patch(kind, id) => write::patch(desk, kind, id, version, &body, &list::asked(kind, query)).await,
        Operation::Delete(kind, id) => write::delete(desk, kind, id, version).await,
        _ => Err(Fault::Method),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A body, which is JSON, short, and comes soon or not at all.
async fn read_body<B>(headers: &HeaderMap, body: B) -> Result<Value, Fault>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let media_type = text(headers, &CONTENT_TYPE).and_then(|said| said.split(';').next()).map(str::trim);
    if media_type
        .is_some_and(|said| !["application/scim+json", "application/json"].iter().any(|read| said.eq_ignore_ascii_case(read)))
    {
        return Err(Fault::MediaType);
    }
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST_BODY).collect()).await;
    let read = read.map_err(|_| Fault::InvalidSyntax("the body did not come in time".to_owned()))?;
    let bytes = read.map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
        Some(_) => Fault::TooLarge("the body"),
        None => Fault::InvalidSyntax("the body broke off".to_owned()),
    })?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|error| Fault::InvalidSyntax(format!("the body is not JSON: {error}")))
}

fn written(outcome: Result<Reply, Fault>) -> Answer {
    let reply = outcome.unwrap_or_else(|fault| Reply { status: fault.status(), ..Reply::of(fault.json()) });
    let body = reply.body.map_or_else(Bytes::new, |body| body.to_string().into());
    let mut answer = answer::document(MEDIA_TYPE, "no-store", body);
    *answer.status_mut() = reply.status;
    let headers = answer.headers_mut();
    if matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.remove(CONTENT_TYPE);
    }
    for (name, value) in [(LOCATION, reply.location), (ETAG, reply.tag)] {
        headers.extend(value.and_then(|value| HeaderValue::try_from(value).ok()).map(|value| (name, value)));
    }
    match reply.status {
        StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"scim\""))),
        StatusCode::TOO_MANY_REQUESTS => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("60"))),
        _ => {}
    }
    answer
}
