//! Text that others send. In: JSON. Out: whether all of it can be kept. Must never let a text through that one database takes and another
//! does not.

use serde_json::{Map, Value};

/// Whether there is a NUL in any text of it, which no name and no sentence has, and PostgreSQL can't keep.
pub(super) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => any_has_nul(members),
        _ => false,
    }
}

/// The same of an object.
pub(super) fn any_has_nul(members: &Map<String, Value>) -> bool {
    members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
}
