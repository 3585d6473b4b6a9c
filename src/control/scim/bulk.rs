//! Many operations in one request (RFC 7644, section 3.7). In: a list of them, some of which name what others make. Out: what came of
//! each. Must never go round in circles.

use super::fault::Fault;
use super::show::Asked;
use super::write::{self, Version};
use super::{Desk, PREFIX, Reply, Trail, is_endpoint};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The most operations of one request.
pub(super) const MOST: usize = 1000;
const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// How a reference to what another operation makes begins.
const REFERENCE: &str = "bulkId:";

struct Operation<'a> {
    index: usize,
    method: &'a str,
    bulk_id: Option<&'a str>,
    path: &'a str,
    version: Option<&'a str>,
    data: Value,
}

/// Carries them out, each by itself, and each with a record.
pub(super) async fn answer(desk: &Desk<'_>, sent: &Value, trail: &Trail<'_>) -> Result<Reply, Fault> {
    let (mut waiting, stop_after) = read(sent)?;
    let mut made: BTreeMap<String, String> = BTreeMap::new();
    let mut results: BTreeMap<usize, Value> = BTreeMap::new();
    let (mut failures, mut postponed) = (0, 0);
    while let Some(mut operation) = waiting.pop_front() {
        let resolved = operation.resolve(&made);
        // What names something that is not made yet waits for it, once round.
        if resolved.is_err() && postponed < waiting.len() {
            postponed += 1;
            waiting.push_back(operation);
            continue;
        }
        postponed = 0;
        let outcome = match resolved {
            Ok(path) => operation.on_record(desk, &path, trail).await,
            Err(unknown) => Err(Fault::value(format!("nothing has the bulkId `{unknown}`"))),
        };
        failures += usize::from(outcome.is_err());
        if let (Ok(reply), Some(bulk_id)) = (&outcome, operation.bulk_id) {
            let id = reply.location.as_deref().and_then(|location| location.rsplit('/').next());
            made.extend(id.map(|id| (bulk_id.to_owned(), id.to_owned())));
        }
        results.insert(operation.index, operation.result(&outcome));
        if stop_after.is_some_and(|most| failures >= most) {
            break;
        }
    }
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
        "Operations": results.into_values().collect::<Vec<_>>(),
    });
    Ok(Reply::of(body))
}

fn read(sent: &Value) -> Result<(VecDeque<Operation<'_>>, Option<usize>), Fault> {
    let schemas = sent.get("schemas").and_then(Value::as_array);
    if !schemas.is_some_and(|all| all.iter().any(|urn| urn == SCHEMA)) {
        return Err(Fault::InvalidSyntax(format!("`schemas` does not name `{SCHEMA}`")));
    }
    let all = sent.get("Operations").and_then(Value::as_array);
    let all = all.ok_or_else(|| Fault::InvalidSyntax("`Operations` is a list".to_owned()))?;
    if all.len() > MOST {
        return Err(Fault::TooLarge("the list of operations"));
    }
    let stop_after =
        sent.get("failOnErrors").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok()).filter(|n| *n > 0);
    let operations = all.iter().enumerate().map(|(index, sent)| Operation::read(index, sent)).collect::<Result<_, _>>()?;
    Ok((operations, stop_after))
}

impl<'a> Operation<'a> {
    fn read(index: usize, sent: &'a Value) -> Result<Self, Fault> {
        let text = |name: &str| sent.get(name).and_then(Value::as_str);
        let missing = |name: &str| Fault::InvalidSyntax(format!("operation {index} has no `{name}`"));
        let method = text("method").ok_or_else(|| missing("method"))?;
        let bulk_id = text("bulkId");
        if method.eq_ignore_ascii_case("POST") && bulk_id.is_none() {
            return Err(missing("bulkId"));
        }
        Ok(Self {
            index,
            method,
            bulk_id,
            path: text("path").ok_or_else(|| missing("path"))?,
            version: text("version"),
            data: sent.get("data").cloned().unwrap_or_default(),
        })
    }

    /// Puts ids in place of references; the path with them, or the reference that leads nowhere.
    fn resolve(&mut self, made: &BTreeMap<String, String>) -> Result<String, String> {
        let mut segments = Vec::new();
        for segment in self.path.split('/') {
            segments.push(id(segment, made)?.unwrap_or_else(|| segment.to_owned()));
        }
        put_ids(&mut self.data, made)?;
        Ok(segments.join("/"))
    }

    async fn on_record(&mut self, desk: &Desk<'_>, path: &str, trail: &Trail<'_>) -> Result<Reply, Fault> {
        let (method, place) = (self.method.to_ascii_uppercase(), format!("{PREFIX}/{}", path.trim_start_matches('/')));
        trail.leave(&method, &place, self.carry_out(desk, path)).await
    }

    async fn carry_out(&mut self, desk: &Desk<'_>, path: &str) -> Result<Reply, Fault> {
        let (endpoint, id) = path.trim_start_matches('/').split_once('/').map_or((path, None), |(start, id)| (start, Some(id)));
        let kind = is_endpoint(endpoint.trim_start_matches('/')).ok_or(Fault::NotFound)?;
        let (data, version, asked) = (self.data.take(), Version(self.version), Asked::nothing());
        match (self.method.to_ascii_uppercase().as_str(), id) {
            ("POST", None) => write::create(desk, kind, data, &asked).await,
            ("PUT", Some(id)) => write::replace(desk, kind, id, version, data, &asked).await,
            ("PATCH", Some(id)) => write::patch(desk, kind, id, version, &data, &asked).await,
            ("DELETE", Some(id)) => write::delete(desk, kind, id, version).await,
            _ => Err(Fault::InvalidSyntax(format!("`{} {path}` is no operation of a bulk", self.method))),
        }
    }

    fn result(&self, outcome: &Result<Reply, Fault>) -> Value {
        let mut result = json!({ "method": self.method });
        let mut add = |key: &str, value: Value| drop(result.as_object_mut().map(|result| result.insert(key.to_owned(), value)));
        if let Some(bulk_id) = self.bulk_id {
            add("bulkId", bulk_id.into());
        }
        match outcome {
            Ok(reply) => {
                add("status", reply.status.as_str().into());
                for (key, value) in [("location", &reply.location), ("version", &reply.tag)] {
                    if let Some(value) = value {
                        add(key, value.clone().into());
                    }
                }
            }
            Err(fault) => {
                add("status", fault.status().as_str().into());
                add("response", fault.json());
            }
        }
        result
    }
}

/// The id that a reference stands for; nothing where it is none.
fn id(text: &str, made: &BTreeMap<String, String>) -> Result<Option<String>, String> {
    let Some(name) = text.strip_prefix(REFERENCE) else { return Ok(None) };
    made.get(name).cloned().map(Some).ok_or_else(|| name.to_owned())
}

fn put_ids(value: &mut Value, made: &BTreeMap<String, String>) -> Result<(), String> {
    match value {
        Value::String(text) => {
            if let Some(id) = id(text, made)? {
                *text = id;
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| put_ids(item, made)),
        Value::Object(parts) => parts.values_mut().try_for_each(|part| put_ids(part, made)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}
