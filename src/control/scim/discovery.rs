//! What this server can do and what it knows (RFC 7644, section 4). In: a path. Out: JSON that says no more than what is so.

use super::fault::Fault;
use super::schema::{self, Schema};
use super::{bulk, list, show};
use crate::model::directory::Kind;
use serde_json::{Value, json};

const KINDS: [Kind; 2] = [Kind::User, Kind::Group];

fn schemas() -> impl Iterator<Item = &'static Schema> {
    KINDS.into_iter().map(schema::core).chain(KINDS.into_iter().filter_map(schema::extension))
}

/// `/ServiceProviderConfig`.
pub(super) fn configuration(base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": true, "maxOperations": bulk::MOST, "maxPayloadSize": super::LARGEST_BODY },
        "filter": { "supported": true, "maxResults": list::MOST },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token of the provider's configuration, in the header Authorization.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}

/// `/Schemas`, or one of them.
pub(super) fn schema(id: Option<&str>, base: &str) -> Result<Value, Fault> {
    let one = |schema: &Schema| {
        let meta = json!({ "resourceType": "Schema", "location": format!("{base}/Schemas/{}", schema.id) });
        with_meta(schema.json(), meta)
    };
    match id {
        None => Ok(listed(schemas().map(one).collect())),
        Some(id) => schemas().find(|schema| schema.id.eq_ignore_ascii_case(id)).map(one).ok_or(Fault::NotFound),
    }
}

/// `/ResourceTypes`, or one of them.
pub(super) fn resource_type(name: Option<&str>, base: &str) -> Result<Value, Fault> {
    let one = |kind: Kind| {
        let schema = schema::core(kind);
        let extensions = schema::extension(kind).map(|extension| json!({ "schema": extension.id, "required": false }));
        let said = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": schema.name,
            "name": schema.name,
            "description": schema.about,
            "endpoint": show::endpoint(kind),
            "schema": schema.id,
            "schemaExtensions": extensions.into_iter().collect::<Vec<_>>(),
        });
        with_meta(said, json!({ "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", schema.name) }))
    };
    match name {
        None => Ok(listed(KINDS.into_iter().map(one).collect())),
        Some(name) => KINDS.into_iter().find(|kind| schema::core(*kind).name == name).map(one).ok_or(Fault::NotFound),
    }
}

fn with_meta(mut said: Value, meta: Value) -> Value {
    if let Some(said) = said.as_object_mut() {
        said.insert("meta".to_owned(), meta);
    }
    said
}

fn listed(all: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": all.len(),
        "itemsPerPage": all.len(),
        "startIndex": 1,
        "Resources": all,
    })
}
