//! The UserInfo endpoint (OpenID Connect Core 1.0, section 5.3). In: an access token and whom it must be about. Out: claims.
//! Must never return the claims of another person, nor how they signed in: nothing here is signed.

use super::Error;
use super::discovery::Issuer;
use openidconnect::AccessToken;
use serde_json::{Map, Value};

/// The claims of this person; `None` where the provider has no such endpoint.
pub(super) async fn fetch(issuer: &Issuer, token: &AccessToken, subject: &str) -> Result<Option<Map<String, Value>>, Error> {
    let metadata = issuer.metadata()?;
    let Some(endpoint) = metadata.userinfo_endpoint() else {
        return Ok(None);
    };
    let answer = issuer.http.fetch(endpoint.as_str(), Some(token.secret())).await?;
    if !answer.status().is_success() {
        return Err(Error::Unreadable(format!("user info: {}", answer.status())));
    }
    let claims: Map<String, Value> =
        serde_json::from_slice(answer.body()).map_err(|error| Error::Unreadable(format!("user info: {error}")))?;
    match claims.get("sub").and_then(Value::as_str) {
        Some(said) if said == subject => Ok(Some(of_the_person(claims))),
        _ => Err(super::id_token::Invalid::Subject.into()),
    }
}

/// Without what only an ID token can say: how and when the person signed in.
fn of_the_person(mut claims: Map<String, Value>) -> Map<String, Value> {
    claims.retain(|name, _| !matches!(&**name, "acr" | "amr" | "auth_time"));
    claims
}

/// Both sets of claims in one; what is signed wins. An address and its verification stay together.
pub(super) fn merge(mut signed: Map<String, Value>, mut fetched: Map<String, Value>) -> Map<String, Value> {
    // Signed or not, null says nothing (OpenID Connect Core 1.0, section 5.3.2).
    signed.retain(|_, value| !value.is_null());
    if signed.contains_key("email") {
        fetched.remove("email_verified");
    } else {
        signed.remove("email_verified");
    }
    // What either of them says is kept elsewhere is.
    if let (Some(Value::Object(names)), Some(Value::Object(more))) = (signed.get_mut("_claim_names"), fetched.get("_claim_names")) {
        names.extend(more.clone());
    }
    fetched.extend(signed);
    fetched
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_signed_null_hides_nothing() {
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        let signed = object(json!({"groups": null, "email": null, "email_verified": true, "name": "Ana"}));
        let fetched = object(json!({"groups": ["a"], "email": "a@b.example", "email_verified": false, "name": "Other"}));
        let both = json!({"groups": ["a"], "email": "a@b.example", "email_verified": false, "name": "Ana"});
        assert_eq!(merge(signed, fetched), object(both));
    }
    #[test]
    fn how_somebody_signed_in_is_taken_from_nothing_unsigned() {
        let fetched = json!({"sub": "ana", "acr": "gold", "amr": ["mfa"], "auth_time": 1, "groups": ["a"]});
        let kept = of_the_person(fetched.as_object().cloned().unwrap_or_default());
        assert_eq!(Value::Object(kept), json!({"sub": "ana", "groups": ["a"]}));
    }
}
