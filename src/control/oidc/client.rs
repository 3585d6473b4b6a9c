//! Our side of a provider as `openidconnect` speaks it. In: metadata and registration. Out: a client. Must never be kept: a
//! reload or a rediscovery changes both.

use super::Error;
use super::discovery::Metadata;
use crate::model::Origin;
use crate::snapshot::Provider;
use openidconnect::core::{CoreClient, CoreClientAuthMethod};
use openidconnect::{AuthType, ClientId, ClientSecret, EndpointMaybeSet, EndpointNotSet, EndpointSet, RedirectUrl};
use secrecy::ExposeSecret as _;

/// A client of a discovered provider.
pub(super) type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// The client for this registration; codes come back to the auth host.
pub(super) fn client(metadata: &Metadata, provider: &Provider, auth: &Origin) -> Result<Client, Error> {
    let secret = provider.client_secret.as_ref();
    let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
    let redirect = RedirectUrl::new(format!("{auth}/.doorward/callback")).map_err(|error| Error::Unreadable(error.to_string()))?;
    let client = CoreClient::from_provider_metadata(metadata.clone(), ClientId::new(provider.client_id.clone()), secret);
    Ok(client.set_redirect_uri(redirect).set_auth_type(auth_type(metadata)))
}

/// `client_secret_basic` unless the provider names only `client_secret_post` (Discovery, section 3).
fn auth_type(metadata: &Metadata) -> AuthType {
    let basic = |methods: &Vec<CoreClientAuthMethod>| methods.contains(&CoreClientAuthMethod::ClientSecretBasic);
    let post = |methods: &Vec<CoreClientAuthMethod>| methods.contains(&CoreClientAuthMethod::ClientSecretPost);
    match metadata.token_endpoint_auth_methods_supported() {
        Some(methods) if !basic(methods) && post(methods) => AuthType::RequestBody,
        _ => AuthType::BasicAuth,
    }
}
