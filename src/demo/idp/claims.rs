//! What a token says about a person (OpenID Connect Core 1.0 sections 2 and 5.1).
//!
//! In: a grant and the person as known now. Out: a signed ID token, or user info. It must never say more than
//! the granted scopes cover.

use std::time::SystemTime;

use openidconnect::core::{CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm};
use openidconnect::{
    AccessToken, AdditionalClaims, Audience, AuthenticationContextClass, AuthenticationMethodReference, ClientId, EndUserEmail,
    EndUserName, IdToken, IdTokenClaims, IdTokenVerifier, JsonWebTokenError, Nonce, StandardClaims, SubjectIdentifier,
    UserInfoClaims,
};
use serde::{Deserialize, Serialize};

use super::grants::Grant;
use super::{Person, Provider, metadata};

/// The `acr` of a login by password.
pub(super) const PASSWORD: &str = "urn:doorward:demo:password";
/// The `acr` of a login by password and code.
pub(super) const SECOND_FACTOR: &str = "urn:doorward:demo:mfa";

/// The claims that a token may have.
pub(super) const NAMES: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "amr",
    "acr",
    "sid",
    "email",
    "email_verified",
    "name",
    "groups",
    "department",
];

/// The claims beyond the standard ones.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Beyond {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    department: Option<String>,
}

impl AdditionalClaims for Beyond {}

/// The provider's ID tokens.
pub(super) type SignedToken = IdToken<Beyond, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

/// Makes and signs an ID token. `nonce` is the grant's at the first exchange, and none at a refresh
/// (section 12.2).
pub(super) fn id_token(
    provider: &Provider,
    grant: &Grant,
    person: &Person,
    access_token: &AccessToken,
    nonce: Option<Nonce>,
) -> Result<SignedToken, JsonWebTokenError> {
    let now = SystemTime::now();
    let (acr, amr): (_, &[&str]) =
        if grant.login.second_factor { (SECOND_FACTOR, &["pwd", "otp", "mfa"]) } else { (PASSWORD, &["pwd"]) };
    let beyond = Beyond { sid: Some(grant.login.sid.clone()), ..beyond(grant, person) };
    let claims = IdTokenClaims::new(
        provider.issuer.clone(),
        vec![Audience::new(provider.settings.client_id.clone())],
        (now + provider.settings.access_token_life).into(),
        now.into(),
        standard(grant, person),
        beyond,
    )
    .set_auth_time(Some(grant.login.authenticated.into()))
    .set_nonce(nonce)
    .set_auth_context_ref(Some(AuthenticationContextClass::new(acr.into())))
    .set_auth_method_refs(Some(amr.iter().map(|method| AuthenticationMethodReference::new((*method).into())).collect()));
    let algorithm = CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256;
    SignedToken::new(claims, &provider.settings.key, algorithm, Some(access_token), None)
}

/// What `/userinfo` says.
pub(super) fn user_info(grant: &Grant, person: &Person) -> UserInfoClaims<Beyond, CoreGenderClaim> {
    UserInfoClaims::new(standard(grant, person), beyond(grant, person))
}

/// The `sid` of an ID token that this provider signed for its client, however old it is: RP-Initiated Logout
/// 1.0 section 2 accepts expired hints.
pub(super) fn sid_of(provider: &Provider, id_token: &str) -> Option<String> {
    let token: SignedToken = id_token.parse().ok()?;
    let verifier: IdTokenVerifier<'_, CoreJsonWebKey> = IdTokenVerifier::new_public_client(
        ClientId::new(provider.settings.client_id.clone()),
        provider.issuer.clone(),
        metadata::key_set(provider),
    )
    .set_time_fn(|| SystemTime::UNIX_EPOCH.into());
    let claims = token.claims(&verifier, |_: Option<&Nonce>| Ok(())).ok()?;
    claims.additional_claims().sid.clone()
}

fn standard(grant: &Grant, person: &Person) -> StandardClaims<CoreGenderClaim> {
    let email = grant.has("email").then(|| EndUserEmail::new(person.email.clone()));
    let name = grant.has("profile").then(|| EndUserName::new(person.name.clone()).into());
    StandardClaims::new(SubjectIdentifier::new(person.subject.clone()))
        .set_email_verified(email.as_ref().map(|_| person.email_verified))
        .set_email(email)
        .set_name(name)
}

fn beyond(grant: &Grant, person: &Person) -> Beyond {
    Beyond {
        sid: None,
        groups: grant.has("groups").then(|| person.groups.clone()),
        department: person.department.clone().filter(|_| grant.has("profile")),
    }
}
