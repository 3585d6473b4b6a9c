//! Tokens: how they are had, what they say, when they stop.

use super::*;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreProviderMetadata};
use openidconnect::{ClientId, Nonce};

#[tokio::test]
async fn a_code_is_worth_an_id_token_that_a_client_can_verify() {
    let mut rig = Rig::start().await;
    let tokens = rig.tokens(&[]).await;
    let get = |url: String| rig.http.get(url).send();
    let document = get(format!("{}/.well-known/openid-configuration", rig.issuer)).await.unwrap();
    let document: CoreProviderMetadata = serde_json::from_slice(&document.bytes().await.unwrap()).unwrap();
    let keys = get(document.jwks_uri().to_string()).await.unwrap();
    let keys: CoreJsonWebKeySet = serde_json::from_slice(&keys.bytes().await.unwrap()).unwrap();

    let client = ClientId::new("doorward".into());
    let verifier = CoreIdTokenVerifier::new_public_client(client, document.issuer().clone(), keys);
    let token: CoreIdToken = tokens["id_token"].as_str().unwrap().parse().unwrap();
    token.claims(&verifier, &Nonce::new("a-nonce".into())).unwrap();
    assert!(token.claims(&verifier, &Nonce::new("another".into())).is_err());
}

#[tokio::test]
async fn an_id_token_says_what_is_known_and_no_more_than_the_scopes() {
    let mut rig = Rig::start().await;
    let tokens = rig.tokens(&[]).await;
    let all = claims(&tokens);
    assert_eq!(all["iss"], rig.issuer);
    assert_eq!(all["aud"][0], "doorward");
    assert_eq!((&all["email"], &all["email_verified"]), (&Value::from(ALICE.0), &Value::from(true)));
    assert_eq!((&all["name"], &all["department"]), (&Value::from("Alice Adams"), &Value::from("engineering")));
    assert_eq!((all["groups"][0].as_str(), all["groups"][1].as_str()), (Some("employees"), Some("engineering")));
    assert_eq!((&all["amr"][0], all["sid"].as_str().unwrap().len()), (&Value::from("pwd"), 43));
    assert_eq!(all["exp"].as_u64().unwrap() - all["iat"].as_u64().unwrap(), 300);
    assert!(all["auth_time"].as_u64().unwrap() <= all["iat"].as_u64().unwrap());
    let (status, info) = rig.user_info(&tokens).await;
    assert_eq!(
        (status, &info["sub"], &info["email"], &info["groups"]),
        (StatusCode::OK, &all["sub"], &all["email"], &all["groups"])
    );

    let least = Rig::start().await.tokens(&[("scope", "openid unheard-of")]).await;
    assert_eq!(least["scope"], "openid");
    for absent in ["email", "email_verified", "name", "groups", "department"] {
        assert!(claims(&least).get(absent).is_none(), "{absent}");
    }
    assert!(least.get("refresh_token").is_none());
}

#[tokio::test]
async fn a_code_needs_its_verifier_its_redirect_uri_and_itself() {
    let mut rig = Rig::start().await;
    let cases = [
        ("code_verifier", "another-verifier-that-is-long-enough-for-rfc-7636"),
        ("code_verifier", ""),
        ("redirect_uri", "https://login.localhost:8443/.doorward/callback?"),
        ("redirect_uri", ""),
        ("code", "another"),
    ];
    for change in cases {
        let code = rig.code(&[("prompt", "login")]).await;
        let (status, body) = rig.redeem(&[("code", &code), change]).await;
        assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &Value::from("invalid_grant")), "{change:?}");
        assert!(body.get("access_token").is_none());
    }
}

#[tokio::test]
async fn a_client_must_prove_itself_in_one_way() {
    let mut rig = Rig::start().await;
    let code = rig.code(&[]).await;
    let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
    let posted = |id, secret| [&form[..], &[("client_id", id), ("client_secret", secret)]].concat();
    let send = |basic: Option<&'static str>, form: Vec<(&str, &str)>| {
        let request = rig.http.post(format!("{}/token", rig.issuer)).header("content-type", "application/x-www-form-urlencoded");
        let request = basic.into_iter().fold(request, |request, basic| request.header("authorization", basic));
        let request = request.body(encode(&form));
        async { json(request.send().await.unwrap()).await }
    };
    let right = "Basic ZG9vcndhcmQ6czNjcmV0JTI2JTNE"; // doorward:s3cret%26%3D
    let wrong = "Basic ZG9vcndhcmQ6d3Jvbmc="; // doorward:wrong
    let cases = [
        (None, form.to_vec(), 401, "invalid_client"),
        (None, posted("doorward", "wrong"), 401, "invalid_client"),
        (None, posted("doorward", ""), 401, "invalid_client"),
        (None, posted("another", "s3cret&="), 401, "invalid_client"),
        (Some(wrong), form.to_vec(), 401, "invalid_client"),
        (Some("Basic !"), form.to_vec(), 401, "invalid_client"),
        (Some(right), posted("doorward", "s3cret&="), 400, "invalid_request"),
        (Some(wrong), posted("doorward", "s3cret&="), 400, "invalid_request"),
    ];
    for (basic, form, expected, error) in cases {
        let (status, body) = send(basic, form.clone()).await;
        assert_eq!((status.as_u16(), &body["error"]), (expected, &Value::from(error)), "{basic:?} {form:?}");
    }
    assert_eq!(send(None, posted("doorward", "s3cret&=")).await.0, StatusCode::OK, "none of them spent the code");
}

#[tokio::test]
async fn other_token_requests_are_refused() {
    let rig = Rig::start().await;
    for grant_type in ["", "password", "client_credentials", "implicit"] {
        let (status, body) = rig.token(&[("grant_type", grant_type)]).await;
        assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &Value::from("unsupported_grant_type")), "{grant_type}");
    }
    let twice = [("grant_type", "refresh_token"), ("grant_type", "authorization_code")];
    assert_eq!(rig.token(&twice).await.1["error"], "invalid_request");
}

#[tokio::test]
async fn a_code_works_once_and_a_second_use_ends_what_the_first_gave() {
    let mut rig = Rig::start().await;
    let code = rig.code(&[]).await;
    let (_, tokens) = rig.redeem(&[("code", &code)]).await;
    assert_eq!(rig.redeem(&[("code", &code)]).await.1["error"], "invalid_grant");
    assert_eq!(rig.refresh(&tokens).await.1["error"], "invalid_grant");
    assert_eq!(rig.user_info(&tokens).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refresh_token_rotates_and_a_second_use_ends_the_grant() {
    let mut rig = Rig::start().await;
    let first = rig.tokens(&[]).await;
    let (status, second) = rig.refresh(&first).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let (before, after) = (claims(&first), claims(&second));
    for same in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(after.get("nonce").is_none());
    assert_eq!(rig.refresh(&first).await.1["error"], "invalid_grant");
    assert_eq!(rig.refresh(&second).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn a_refresh_follows_what_changes_about_a_person() {
    let mut rig = Rig::start().await;
    let first = rig.tokens(&[]).await;
    rig.idp.change(ALICE.0, |person| person.groups = vec!["finance".into()]);
    let (_, second) = rig.refresh(&first).await;
    assert_eq!((&claims(&first)["groups"][1], &claims(&second)["groups"][0]), (&"engineering".into(), &"finance".into()));
    assert_eq!(rig.user_info(&second).await.1["groups"][0], "finance");
    rig.idp.remove(ALICE.0);
    assert_eq!(rig.refresh(&second).await.1["error"], "invalid_grant");
    assert_eq!(rig.user_info(&second).await.0, StatusCode::UNAUTHORIZED);
}
