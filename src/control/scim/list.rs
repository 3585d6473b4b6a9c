//! Several resources at once (RFC 7644, section 3.4.2). In: a filter, an order, a page. Out: that page, and how many there are. Must
//! never hold all that there is in memory: without a filter the store pages, with one it is gone through piece by piece.

use super::fault::Fault;
use super::filter::{Filter, parse, values};
use super::path::{At, Named, resolve};
use super::schema::Type;
use super::show::{Asked, whole};
use super::{Desk, show};
use crate::control::query::Query;
use crate::model::directory::Kind;
use crate::store::directory::{Related, Resource};
use serde_json::{Map, Value, json};

/// The most resources of one answer, and how many there are unless it is said.
pub(super) const MOST: usize = 200;
const USUAL: usize = 100;
/// The most members, or groups, of one answer: as many as a body that sets them can name.
pub(super) const MOST_RELATED: usize = 30_000;
/// How many are read at a time.
const PIECE: i64 = 500;
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What is looked for.
pub(super) struct Search {
    filter: Option<String>,
    sort_by: Option<String>,
    descending: bool,
    start: usize,
    count: usize,
    only: Option<Vec<String>>,
    without: Option<Vec<String>>,
}

impl Search {
    /// As the parameters of a query say it.
    pub(super) fn of_query(query: &Query) -> Result<Self, Fault> {
        let text = |name: &str| query.find(name).map(str::to_owned);
        let number = |name: &str| query.find(name).map(|text| whole_number(name, text.parse().ok())).transpose();
        Ok(Self {
            filter: text("filter"),
            sort_by: text("sortBy"),
            descending: query.find("sortOrder").is_some_and(|order| order.eq_ignore_ascii_case("descending")),
            start: start(number("startIndex")?),
            count: count(number("count")?),
            only: names(query, "attributes"),
            without: names(query, "excludedAttributes"),
        })
    }

    /// As a body says it.
    pub(super) fn of_body(body: &Value) -> Result<Self, Fault> {
        if !body.get("schemas").and_then(Value::as_array).is_some_and(|all| all.iter().any(|urn| urn == SEARCH)) {
            return Err(Fault::InvalidSyntax(format!("`schemas` does not name `{SEARCH}`")));
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| body.get(name).map(|value| whole_number(name, value.as_i64())).transpose();
        let list = |name: &str| {
            let names = body.get(name)?.as_array()?;
            Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        Ok(Self {
            filter: text("filter"),
            sort_by: text("sortBy"),
            descending: text("sortOrder").is_some_and(|order| order.eq_ignore_ascii_case("descending")),
            start: start(number("startIndex")?),
            count: count(number("count")?),
            only: list("attributes"),
            without: list("excludedAttributes"),
        })
    }

    /// What of a resource is asked for.
    pub(super) fn asked(&self, kind: Kind) -> Asked {
        let names = |names: &Option<Vec<String>>| names.clone().map(Vec::into_iter);
        let (only, without) = (names(&self.only), names(&self.without));
        let (only, without): (Option<Vec<_>>, Option<Vec<_>>) = (only.map(Iterator::collect), without.map(Iterator::collect));
        Asked::new(
            kind,
            only.as_ref().map(|all| all.iter().map(String::as_str)),
            without.as_ref().map(|all| all.iter().map(String::as_str)),
        )
    }
}

/// What of a resource the parameters of a query ask for.
pub(super) fn asked(kind: Kind, query: &Query) -> Asked {
    let names = |name: &str| query.find(name).map(|names| names.split(','));
    Asked::new(kind, names("attributes"), names("excludedAttributes"))
}

fn names(query: &Query, name: &str) -> Option<Vec<String>> {
    query.find(name).map(|names| names.split(',').map(str::to_owned).collect())
}

fn whole_number(name: &str, number: Option<i64>) -> Result<i64, Fault> {
    number.ok_or_else(|| Fault::value(format!("`{name}` is a whole number")))
}

/// What is less than one counts as one, and what is negative as nothing (RFC 7644, section 3.4.2.4).
fn start(said: Option<i64>) -> usize {
    said.and_then(|start| usize::try_from(start).ok()).unwrap_or(1).max(1)
}

fn count(said: Option<i64>) -> usize {
    said.map_or(USUAL, |count| usize::try_from(count).unwrap_or(0)).min(MOST)
}

/// What has been found, and how much of it is left out before and behind the page.
struct Page {
    skip: usize,
    most: usize,
    total: usize,
    found: Vec<Value>,
    /// How many members, or groups, the answer may still have.
    room: usize,
}

/// The answer to a search of these kinds, one behind the other.
pub(super) async fn answer(desk: &Desk<'_>, kinds: &[Kind], search: &Search) -> Result<Value, Fault> {
    let mut page = Page { skip: search.start - 1, most: search.count, total: 0, found: Vec::new(), room: MOST_RELATED };
    for kind in kinds {
        one_kind(desk, *kind, search, &mut page).await?;
    }
    Ok(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": page.total,
        "itemsPerPage": page.found.len(),
        "startIndex": search.start,
        "Resources": page.found,
    }))
}

async fn one_kind(desk: &Desk<'_>, kind: Kind, search: &Search, page: &mut Page) -> Result<(), Fault> {
    let asked = search.asked(kind);
    let filter = search.filter.as_deref().map(|text| parse::of_resources(kind, text));
    let filter = filter.transpose().map_err(|wrong| Fault::InvalidFilter(wrong.to_string()))?;
    let sort_by = search.sort_by.as_deref().and_then(|name| match resolve(kind, name)? {
        Named::Attribute(at) => Some(at),
        Named::Extension => None,
    });
    let chosen = match (&filter, sort_by) {
        (None, None) => all(desk, kind, page).await?,
        (filter, None) => matching(desk, kind, filter.as_ref(), page).await?,
        (filter, Some(by)) => sorted(desk, kind, filter.as_ref(), by, search.descending, page).await?,
    };
    for resource in chosen {
        page.found.push(shown(desk, kind, &resource, &asked, &mut page.room).await?.into());
    }
    Ok(())
}

/// A resource as it was asked for; its members, or groups, where there is room for them.
pub(super) async fn shown(
    desk: &Desk<'_>,
    kind: Kind,
    resource: &Resource,
    asked: &Asked,
    room: &mut usize,
) -> Result<Map<String, Value>, Fault> {
    let related = if asked.wants(related_name(kind)) { Some(related(desk, kind, resource, room).await?) } else { None };
    Ok(asked.of(whole(kind, resource, related.as_deref(), &desk.base)?))
}

/// All members of a group, or groups of a user, and never some of them.
pub(super) async fn related(desk: &Desk<'_>, kind: Kind, of: &Resource, room: &mut usize) -> Result<Vec<Related>, Fault> {
    let related = desk.store.related(kind, of, room.saturating_add(1)).await?;
    *room = room.checked_sub(related.len()).ok_or(Fault::TooMany(related_name(kind)))?;
    Ok(related)
}

const fn related_name(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "groups",
        Kind::Group => "members",
    }
}

async fn all(desk: &Desk<'_>, kind: Kind, page: &mut Page) -> Result<Vec<Resource>, Fault> {
    let count = usize::try_from(desk.store.count_resources(desk.provider, kind).await?).unwrap_or(0);
    let skip = page.skip.saturating_sub(page.total);
    let most = page.most.saturating_sub(page.found.len());
    page.total += count;
    if most == 0 || skip >= count {
        return Ok(Vec::new());
    }
    let (skip, most) = (i64::try_from(skip).unwrap_or(i64::MAX), i64::try_from(most).unwrap_or(i64::MAX));
    Ok(desk.store.resources(desk.provider, kind, skip, most).await?)
}

async fn matching(desk: &Desk<'_>, kind: Kind, filter: Option<&Filter>, page: &mut Page) -> Result<Vec<Resource>, Fault> {
    let mut chosen = Vec::new();
    each(desk, kind, filter, |resource, _| {
        if page.total >= page.skip && page.found.len() + chosen.len() < page.most {
            chosen.push(resource);
        }
        page.total += 1;
    })
    .await?;
    Ok(chosen)
}

async fn sorted(
    desk: &Desk<'_>,
    kind: Kind,
    filter: Option<&Filter>,
    by: At,
    descending: bool,
    page: &mut Page,
) -> Result<Vec<Resource>, Fault> {
    let mut keys = Vec::new();
    each(desk, kind, filter, |resource, whole| keys.push((key(whole, by), resource.id))).await?;
    keys.sort_unstable();
    if descending {
        keys.reverse();
    }
    let skip = page.skip.saturating_sub(page.total);
    let most = page.most.saturating_sub(page.found.len());
    page.total += keys.len();
    let mut chosen = Vec::new();
    for (_, id) in keys.into_iter().skip(skip).take(most) {
        chosen.extend(desk.store.resource(desk.provider, kind, &id).await?);
    }
    Ok(chosen)
}

/// What resources are ordered by; those that have nothing come last (RFC 7644, section 3.4.2.3).
fn key(of: &Map<String, Value>, by: At) -> (bool, String) {
    let all = || values(of, by.extended, by.attribute);
    let chosen = all().find(|value| super::body::is_primary(value)).or_else(|| all().next());
    let part = by.part.map(|part| part.name).or((by.attribute.kind == Type::Complex).then_some("value"));
    let value = chosen.and_then(|value| part.map_or(Some(value), |part| value.get(part)));
    let definition = by.part.unwrap_or(by.attribute);
    let text = value.map(|value| match value {
        Value::String(text) if definition.kind == Type::Time => {
            format!("{:020}", text.parse().map_or(0, |time: jiff::Timestamp| time.as_millisecond()))
        }
        Value::String(text) if definition.exact => text.clone(),
        Value::String(text) => text.to_lowercase(),
        other => other.to_string(),
    });
    (text.is_none(), text.unwrap_or_default())
}

/// Goes through all that match, whole.
async fn each(
    desk: &Desk<'_>,
    kind: Kind,
    filter: Option<&Filter>,
    mut take: impl FnMut(Resource, &Map<String, Value>),
) -> Result<(), Fault> {
    let with_related = filter.is_some_and(|filter| filter.asks_for(related_name(kind)));
    let sole = filter.and_then(|filter| filter.sole(related_name(kind)));
    let key = filter.and_then(|filter| filter.key(kind));
    let mut after = String::new();
    loop {
        let piece = match &key {
            Some(key) => desk.store.resources_by(desk.provider, kind, key).await?,
            None => desk.store.resources_after(desk.provider, kind, &after, PIECE).await?,
        };
        let Some(last) = piece.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for resource in piece {
            let related = match &sole {
                Some(id) => Some(desk.store.related_to(kind, &resource, id).await?),
                None if with_related => Some(related(desk, kind, &resource, &mut { MOST_RELATED }).await?),
                None => None,
            };
            let whole = show::whole(kind, &resource, related.as_deref(), &desk.base)?;
            if filter.is_none_or(|filter| filter.matches(&whole)) {
                take(resource, &whole);
            }
        }
        if key.is_some() {
            return Ok(());
        }
        // Others want to get on too.
        tokio::task::yield_now().await;
    }
}
