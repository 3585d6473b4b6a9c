//! A person as Cedar sees them. In: an identity. Out: a [`Principal`], made once a session and kept.

use crate::model::Identity;
use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

/// A person with groups and claims, ready for evaluation.
#[derive(Debug)]
pub struct Principal {
    pub(super) uid: EntityUid,
    pub(super) entities: Entities,
    /// The groups once more, to pass over rules that are for others.
    pub(super) groups: HashSet<String>,
}

/// The identity can't be expressed; nothing may be allowed.
#[derive(Debug, thiserror::Error)]
#[error("the identity can't be evaluated: {0}")]
pub struct PrincipalError(String);

impl Principal {
    /// The principal of this identity.
    pub fn new(identity: &Identity) -> Result<Self, PrincipalError> {
        let wrong = |error: &dyn std::fmt::Display| PrincipalError(error.to_string());
        let id = identity.subject.to_string();
        let uid = entity_uid("User", &id).map_err(|e| wrong(&e))?;
        let groups = identity.profile.groups.iter().map(|group| entity_uid("Group", group));
        let groups: HashSet<EntityUid> = groups.collect::<Result<_, _>>().map_err(|e| wrong(&e))?;
        let user =
            Entity::new_with_tags(uid.clone(), attributes(identity, id), groups.clone(), tags(identity)).map_err(|e| wrong(&e))?;
        let groups = groups.into_iter().map(Entity::with_uid);
        let entities = Entities::from_entities(std::iter::once(user).chain(groups), None).map_err(|e| wrong(&e))?;
        Ok(Self { uid, entities, groups: identity.profile.groups.iter().cloned().collect() })
    }
}

/// `Type::"id"`, whatever characters the id has.
pub(super) fn entity_uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind = EntityTypeName::from_str(kind).map_err(|error| error.to_string())?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn attributes(identity: &Identity, id: String) -> HashMap<String, RestrictedExpression> {
    let email = identity.profile.email.as_ref();
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    HashMap::from([
        ("id".to_owned(), RestrictedExpression::new_string(id)),
        ("email".to_owned(), text(email.map_or("", |email| email.as_str()))),
        ("domain".to_owned(), text(email.map_or("", |email| email.domain()))),
        ("provider".to_owned(), text(identity.subject.provider.as_str())),
    ])
}

fn tags(identity: &Identity) -> Vec<(String, RestrictedExpression)> {
    let set = |values: &Vec<String>| RestrictedExpression::new_set(values.iter().cloned().map(RestrictedExpression::new_string));
    identity.profile.claims.iter().map(|(name, values)| (name.clone(), set(values))).collect()
}
