//! Making, changing and deleting one resource. In: who, what, and what version it has to be of. Out: the resource as it is now, and
//! whose sign-ins have ended. Must never overwrite what was changed by another in between.

use super::body::{accept, draft, listed, members, sent};
use super::fault::Fault;
use super::list::{self, MOST_RELATED};
use super::patch::Patch;
use super::show::{self, Asked};
use super::{Desk, Reply};
use crate::model::directory::Kind;
use crate::store;
use crate::store::directory::{Done, Members, Resource, Unwritten};
use http::StatusCode;
use serde_json::{Map, Value, json};

/// How often a change is tried that others are faster at.
const TRIES: usize = 20;
/// The most members of a group that the answer to a PATCH shows without being asked (RFC 7644, section 3.5.2).
const MOST_UNASKED: usize = 1000;

/// What a client says of the version that it means: `If-Match`, or `version` in a bulk.
#[derive(Clone, Copy)]
pub(super) struct Version<'a>(pub(super) Option<&'a str>);

impl Version<'_> {
    fn check(self, resource: &Resource) -> Result<(), Fault> {
        match self.0 {
            Some(tags) if !names(tags, resource) => Err(Fault::Precondition),
            _ => Ok(()),
        }
    }
}

/// Whether a list of entity tags has the one of this resource; compared weakly, since all of ours are weak (RFC 7644, section 3.14).
pub(super) fn names(tags: &str, resource: &Resource) -> bool {
    let own = show::tag(resource);
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    tags.trim() == "*" || tags.split(',').any(|tag| weak(tag) == weak(&own))
}

pub(super) async fn create(desk: &Desk<'_>, kind: Kind, body: Value, asked: &Asked) -> Result<Reply, Fault> {
    let (mut kept, members) = split(kind, accept(kind, sent(kind, body)?)?)?;
    if kind == Kind::User {
        kept.entry("active").or_insert(Value::Bool(true));
    }
    let done = desk.store.create_resource(desk.provider, kind, &draft(kind, &kept)?, &members).await?;
    let done = done.map_err(|unwritten| fault(kind, unwritten))?;
    let shown = shown(desk, kind, &done, asked, MOST_RELATED).await;
    Ok(reply(desk, kind, &done, &members, StatusCode::CREATED, shown))
}

pub(super) async fn replace(
    desk: &Desk<'_>,
    kind: Kind,
    id: &str,
    version: Version<'_>,
    body: Value,
    asked: &Asked,
) -> Result<Reply, Fault> {
    let sent = sent(kind, body)?;
    if sent.get("id").is_some_and(|said| said != id) {
        return Err(Fault::Mutability("id".to_owned()));
    }
    let (kept, members) = split(kind, accept(kind, sent)?)?;
    for _ in 0..TRIES {
        let before = find(desk, kind, id).await?;
        version.check(&before)?;
        let draft = draft(kind, &still_as_active(kept.clone(), &stored(&before)?))?;
        match desk.store.change_resource(desk.provider, kind, &before, &draft, &members).await? {
            Err(Unwritten::Stale) => {}
            written => {
                let done = written.map_err(|why| fault(kind, why))?;
                let shown = shown(desk, kind, &done, asked, MOST_RELATED).await;
                return Ok(reply(desk, kind, &done, &members, StatusCode::OK, shown));
            }
        }
    }
    Err(Fault::Busy)
}

pub(super) async fn patch(
    desk: &Desk<'_>,
    kind: Kind,
    id: &str,
    version: Version<'_>,
    body: &Value,
    asked: &Asked,
) -> Result<Reply, Fault> {
    for _ in 0..TRIES {
        let before = find(desk, kind, id).await?;
        version.check(&before)?;
        let patch = Patch::read(kind, id, body)?;
        let asks = patch.asks_for_members();
        let current = if asks { list::related(desk, kind, &before, &mut { MOST_RELATED }).await? } else { Vec::new() };
        let old = stored(&before)?;
        let mut kept = old.clone();
        let members = patch.apply(&mut kept, &current, &desk.base).await?;
        let draft = draft(kind, &still_inactive(accept(kind, kept)?, &old))?;
        match desk.store.change_resource(desk.provider, kind, &before, &draft, &members).await? {
            Err(Unwritten::Stale) => {}
            written => {
                let done = written.map_err(|why| fault(kind, why))?;
                let most = if asked.names_attributes() { MOST_RELATED } else { MOST_UNASKED };
                let shown = shown(desk, kind, &done, asked, most).await;
                let status = if shown.is_some() { StatusCode::OK } else { StatusCode::NO_CONTENT };
                return Ok(reply(desk, kind, &done, &members, status, shown));
            }
        }
    }
    Err(Fault::Busy)
}

pub(super) async fn delete(desk: &Desk<'_>, kind: Kind, id: &str, version: Version<'_>) -> Result<Reply, Fault> {
    for _ in 0..TRIES {
        let before = find(desk, kind, id).await?;
        version.check(&before)?;
        match desk.store.delete_resource(desk.provider, kind, &before).await? {
            Err(Unwritten::Stale) => {}
            Err(why) => return Err(fault(kind, why)),
            Ok(done) => {
                let what = what(kind, &done, &Members::Keep);
                return Ok(Reply { what, ..Reply::empty(StatusCode::NO_CONTENT) });
            }
        }
    }
    Err(Fault::Busy)
}

pub(super) async fn find(desk: &Desk<'_>, kind: Kind, id: &str) -> Result<Resource, Fault> {
    desk.store.resource(desk.provider, kind, id).await?.ok_or(Fault::NotFound)
}

fn stored(resource: &Resource) -> Result<Map<String, Value>, Fault> {
    Ok(serde_json::from_str(&resource.body).map_err(|_| store::Error::Damaged("directory"))?)
}

/// Who is not active stays so until that is said: a resource that is sent whole does not always say it.
fn still_as_active(mut kept: Map<String, Value>, before: &Map<String, Value>) -> Map<String, Value> {
    if let (None, Some(active)) = (kept.get("active"), before.get("active")) {
        kept.insert("active".to_owned(), active.clone());
    }
    kept
}

/// Nor is to take it away to say it: then it is not shown any more, and kept as a null that stands for no.
fn still_inactive(mut kept: Map<String, Value>, before: &Map<String, Value>) -> Map<String, Value> {
    if let (None, Some(Value::Null | Value::Bool(false))) = (kept.get("active"), before.get("active")) {
        kept.insert("active".to_owned(), Value::Null);
    }
    kept
}

/// Members are kept apart from their group.
fn split(kind: Kind, mut kept: Map<String, Value>) -> Result<(Map<String, Value>, Members), Fault> {
    let all = kept.remove("members").map(listed).unwrap_or_default();
    let members = if kind == Kind::Group { Members::Set(members(all)?) } else { Members::Keep };
    Ok((kept, members))
}

fn fault(kind: Kind, unwritten: Unwritten) -> Fault {
    match unwritten {
        Unwritten::Stale => Fault::Busy,
        Unwritten::Taken if kind == Kind::User => Fault::Uniqueness("userName"),
        Unwritten::Taken => Fault::Uniqueness("displayName"),
    }
}

/// As it is now. It is done and on record, whether it can be shown or not.
async fn shown(desk: &Desk<'_>, kind: Kind, done: &Done, asked: &Asked, most: usize) -> Option<Value> {
    list::shown(desk, kind, &done.resource, asked, &mut { most }).await.ok().map(Value::from)
}

fn reply(desk: &Desk<'_>, kind: Kind, done: &Done, members: &Members, status: StatusCode, shown: Option<Value>) -> Reply {
    Reply {
        status,
        body: shown,
        location: Some(show::location(kind, &done.resource.id, &desk.base)),
        tag: Some(show::tag(&done.resource)),
        what: what(kind, done, members),
    }
}

/// For the audit trail.
fn what(kind: Kind, done: &Done, members: &Members) -> Value {
    let body: Map<String, Value> = serde_json::from_str(&done.resource.body).unwrap_or_default();
    let mut what = json!({
        "kind": kind.code(),
        "id": done.resource.id,
        "name": body.get("userName").or(body.get("displayName")),
        "external_id": body.get("externalId"),
        "active": body.get("active"),
        "sign_ins_ended": done.ended.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let moved = match members {
        Members::Keep => None,
        Members::Change { add, remove } => Some(json!({ "added": add, "removed": remove })),
        Members::Set(all) => Some(json!({ "set": all })),
    };
    if let (Some(what), false) = (what.as_object_mut(), done.strangers.is_empty()) {
        what.insert("left_out".to_owned(), done.strangers.clone().into());
    }
    if let (Some(what), Some(moved)) = (what.as_object_mut(), moved) {
        what.insert("members".to_owned(), moved);
    }
    what
}
