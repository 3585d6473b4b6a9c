//! The authorization endpoint and its login page.

use super::*;

#[tokio::test]
async fn a_person_who_signs_in_comes_back_with_a_code() {
    let mut rig = Rig::start().await;
    let url = rig.authorize_url(&[]);
    let response = rig.sign_in(&url, ALICE).await;
    let answer = answer(&response);
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!((answer["state"].as_str(), &answer["iss"]), ("a state & more", &rig.issuer));
    assert_eq!(answer["code"].len(), 43);
}

#[tokio::test]
async fn a_request_without_a_trustworthy_way_back_stays_here() {
    let mut rig = Rig::start().await;
    let cases = [
        ("client_id", ""),
        ("client_id", "another"),
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "https://login.localhost:8443/.doorward/callback/"),
        ("redirect_uri", "https://login.localhost:8443/.doorward/callback?x=y"),
        ("redirect_uri", "https://LOGIN.localhost:8443/.doorward/callback"),
        ("redirect_uri", "https://login.localhost:8443/.doorward/callback@evil.example"),
    ];
    for change in cases {
        let url = rig.authorize_url(&[change]);
        let response = rig.browse(&url, None).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{change:?}");
        assert!(!response.headers().contains_key(LOCATION), "{change:?}");
    }
    let twice = rig.authorize_url(&[]) + "&redirect_uri=https://evil.example/";
    assert_eq!(rig.browse(&twice, None).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_request_that_is_wrong_otherwise_is_answered_to_the_client() {
    let mut rig = Rig::start().await;
    let cases = [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
        ("scope", "email", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("prompt", "none", "login_required"),
        ("prompt", "none login", "invalid_request"),
        ("max_age", "-1", "invalid_request"),
    ];
    for (name, value, error) in cases {
        let url = rig.authorize_url(&[(name, value)]);
        let answer = answer(&rig.browse(&url, None).await);
        assert_eq!(answer["error"], error, "{name}={value}");
        assert_eq!((answer["state"].as_str(), &answer["iss"]), ("a state & more", &rig.issuer));
    }
}

#[tokio::test]
async fn whoever_does_not_prove_to_be_somebody_gets_no_code() {
    let mut rig = Rig::start().await;
    let url = rig.authorize_url(&[]);
    let page = rig.browse(&url, None).await.text().await.unwrap();
    let token = form_token(&page);
    let forged = "x".repeat(43);
    let cases = [
        ("alice@corp.example", "bob-demo", token.as_str()),
        ("alice@corp.example", "", &token),
        ("alice@corp.example", "alice-demo-and-more", &token),
        ("nobody@corp.example", "alice-demo", &token),
        ("alice@corp.example", "alice-demo", ""),
        ("alice@corp.example", "alice-demo", &forged),
    ];
    for (email, password, form_token) in cases {
        let form = [("email", email), ("password", password), ("form_token", form_token)];
        let response = rig.browse(&url, Some(&form)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{form:?}");
        assert!(!rig.cookies.contains_key("demo-idp-login"), "{form:?}");
    }
}

#[tokio::test]
async fn a_form_from_another_browser_is_not_accepted() {
    let mut rig = Rig::start().await;
    let url = rig.authorize_url(&[]);
    let token = form_token(&rig.browse(&url, None).await.text().await.unwrap());
    rig.cookies.clear();
    let form = [("email", ALICE.0), ("password", ALICE.1), ("form_token", &token)];
    assert_eq!(rig.browse(&url, Some(&form)).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn who_is_signed_in_is_asked_again_only_when_the_client_says_so() {
    let mut rig = Rig::start().await;
    rig.code(&[]).await;
    for (name, value) in [("prompt", ""), ("prompt", "none"), ("prompt", "consent"), ("max_age", "3600")] {
        let url = rig.authorize_url(&[(name, value)]);
        assert!(answer(&rig.browse(&url, None).await).contains_key("code"), "{name}={value}");
    }
    for (name, value) in [("prompt", "login"), ("prompt", "select_account"), ("max_age", "0")] {
        let url = rig.authorize_url(&[(name, value)]);
        assert_eq!(rig.browse(&url, None).await.status(), StatusCode::OK, "{name}={value}");
        assert!(answer(&rig.sign_in(&url, ALICE).await).contains_key("code"), "{name}={value}");
    }
}

#[tokio::test]
async fn a_person_who_is_removed_is_not_signed_in_any_more() {
    let mut rig = Rig::start().await;
    rig.code(&[]).await;
    rig.idp.remove(ALICE.0);
    let url = rig.authorize_url(&[("prompt", "none")]);
    assert_eq!(answer(&rig.browse(&url, None).await)["error"], "login_required");
    let url = rig.authorize_url(&[]);
    assert_eq!(rig.sign_in(&url, ALICE).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nothing_of_a_request_becomes_markup_and_the_way_back_is_allowed() {
    let mut rig = Rig::start().await;
    let url = rig.authorize_url(&[("login_hint", r#""><script>alert(1)</script>"#)]);
    let response = rig.browse(&url, None).await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("form-action 'self' https://login.localhost:8443;"), "{policy}");
    let page = response.text().await.unwrap();
    assert!(page.contains("Demo identity provider") && page.contains("mallory@partner.example"));
    assert!(!page.contains("<script") && !page.contains("alice-demo"), "{page}");
}
