//! What the provider says about itself: the discovery document and the key set
//! (OpenID Connect Discovery 1.0 section 3, RFC 8414, RFC 7517).
//!
//! In: the issuer, the key. Out: JSON. It must never promise what the endpoints do not do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey, CoreJsonWebKeySet,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthUrl, AuthenticationContextClass, EndSessionUrl, IssuerUrl, JsonWebKeySetUrl,
    LogoutProviderMetadata, PrivateSigningKey, ProviderMetadata, ResponseTypes, Scope, TokenUrl, UserInfoUrl,
};
use serde::{Deserialize, Serialize};
use url::ParseError;

use super::{Provider, claims};

/// The scopes that mean something here; others are ignored (OpenID Connect Core 1.0 section 3.1.2.1).
pub(super) const SCOPES: [&str; 5] = ["openid", "email", "profile", "groups", "offline_access"];

/// The discovery document.
pub(super) type Document = ProviderMetadata<
    LogoutProviderMetadata<Extensions>,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// PKCE (RFC 8414 section 2), the `iss` of authorization responses (RFC 9207 section 3), and sign-outs by the back channel
/// (OpenID Connect Back-Channel Logout 1.0 section 2.1).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Extensions {
    code_challenge_methods_supported: Vec<String>,
    authorization_response_iss_parameter_supported: bool,
    backchannel_logout_supported: bool,
    backchannel_logout_session_supported: bool,
}

impl AdditionalProviderMetadata for Extensions {}

/// `GET /.well-known/openid-configuration`.
pub(super) async fn configuration(State(provider): State<Arc<Provider>>) -> Json<Document> {
    Json(provider.metadata.clone())
}

/// `GET /jwks.json`.
pub(super) async fn keys(State(provider): State<Arc<Provider>>) -> Json<CoreJsonWebKeySet> {
    Json(key_set(&provider))
}

/// The keys that ID tokens verify with.
pub(super) fn key_set(provider: &Provider) -> CoreJsonWebKeySet {
    CoreJsonWebKeySet::new(vec![provider.settings.key.as_verification_key()])
}

/// Makes the document of this issuer.
pub(super) fn document(issuer: &str) -> Result<Document, ParseError> {
    let document = Document::new(
        IssuerUrl::new(issuer.into())?,
        AuthUrl::new(format!("{issuer}/authorize"))?,
        JsonWebKeySetUrl::new(format!("{issuer}/jwks.json"))?,
        vec![ResponseTypes::new(vec![CoreResponseType::Code])],
        vec![CoreSubjectIdentifierType::Public],
        vec![CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256],
        LogoutProviderMetadata {
            end_session_endpoint: Some(EndSessionUrl::new(format!("{issuer}/end_session"))?),
            additional_metadata: Extensions {
                code_challenge_methods_supported: vec!["S256".into()],
                authorization_response_iss_parameter_supported: true,
                backchannel_logout_supported: true,
                backchannel_logout_session_supported: true,
            },
        },
    );
    Ok(with_abilities(document)
        .set_token_endpoint(Some(TokenUrl::new(format!("{issuer}/token"))?))
        .set_userinfo_endpoint(Some(UserInfoUrl::new(format!("{issuer}/userinfo"))?)))
}

fn with_abilities(document: Document) -> Document {
    let text = |words: &[&str]| words.iter().map(|word| CoreClaimName::new((*word).into())).collect();
    document
        .set_scopes_supported(Some(SCOPES.iter().map(|scope| Scope::new((*scope).into())).collect()))
        .set_response_modes_supported(Some(vec![CoreResponseMode::Query]))
        .set_grant_types_supported(Some(vec![CoreGrantType::AuthorizationCode, CoreGrantType::RefreshToken]))
        .set_token_endpoint_auth_methods_supported(Some(vec![
            CoreClientAuthMethod::ClientSecretBasic,
            CoreClientAuthMethod::ClientSecretPost,
        ]))
        .set_acr_values_supported(Some(
            [claims::PASSWORD, claims::SECOND_FACTOR].map(|acr| AuthenticationContextClass::new(acr.into())).to_vec(),
        ))
        .set_claims_supported(Some(text(&claims::NAMES)))
        .set_request_parameter_supported(Some(false))
        .set_request_uri_parameter_supported(Some(false))
}
