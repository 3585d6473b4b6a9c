//! The end session endpoint.

use super::*;

impl Rig {
    fn end_session_url(&self, query: Pairs<'_>) -> String {
        format!("{}/end_session?{}", self.issuer, encode(query))
    }

    /// Whether the browser would get a code without being asked.
    async fn is_signed_in(&mut self) -> bool {
        let url = self.authorize_url(&[("prompt", "none")]);
        answer(&self.browse(&url, None).await).contains_key("code")
    }
}

#[tokio::test]
async fn a_client_signs_its_person_out_and_has_the_browser_back() {
    let mut rig = Rig::start().await;
    let tokens = rig.tokens(&[]).await;
    let stolen = rig.cookies.clone();
    let hint = tokens["id_token"].as_str().unwrap();
    let url = rig.end_session_url(&[("id_token_hint", hint), ("post_logout_redirect_uri", SIGNED_OUT), ("state", "a state")]);
    let response = rig.browse(&url, None).await;
    assert_eq!(response.headers()[LOCATION], format!("{SIGNED_OUT}?state=a+state"));
    assert_eq!(rig.refresh(&tokens).await.1["error"], "invalid_grant");
    rig.cookies = stolen;
    assert!(!rig.is_signed_in().await, "the cookie is worth nothing any more");
}

#[tokio::test]
async fn a_browser_is_sent_to_registered_addresses_only() {
    let mut rig = Rig::start().await;
    for address in ["https://evil.example/", "https://login.localhost:8443/.doorward/logout/", CALLBACK] {
        let tokens = rig.tokens(&[]).await;
        let hint = tokens["id_token"].as_str().unwrap();
        let url = rig.end_session_url(&[("id_token_hint", hint), ("post_logout_redirect_uri", address)]);
        let response = rig.browse(&url, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{address}");
        assert!(!rig.is_signed_in().await, "{address}");
    }
}

#[tokio::test]
async fn a_link_that_proves_nothing_only_asks() {
    let mut rig = Rig::start().await;
    let tokens = rig.tokens(&[]).await;
    let other = Rig::start().await.tokens(&[]).await;
    let tampered = tokens["id_token"].as_str().unwrap().rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    for hint in ["", "nonsense", &tampered, other["id_token"].as_str().unwrap()] {
        let url = rig.end_session_url(&[("id_token_hint", hint), ("post_logout_redirect_uri", SIGNED_OUT)]);
        let response = rig.browse(&url, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{hint}");
        assert!(response.text().await.unwrap().contains("Sign out?"), "{hint}");
        assert!(rig.is_signed_in().await, "{hint}");
    }
}

#[tokio::test]
async fn a_person_signs_out_by_the_form_they_were_shown() {
    let mut rig = Rig::start().await;
    rig.code(&[]).await;
    let url = rig.end_session_url(&[]);
    let token = form_token(&rig.browse(&url, None).await.text().await.unwrap());
    rig.browse(&url, Some(&[("form_token", &"x".repeat(43))])).await;
    assert!(rig.is_signed_in().await, "a form that was not shown does nothing");
    rig.browse(&url, Some(&[("form_token", &token)])).await;
    assert!(!rig.is_signed_in().await);
}
