//! What must hold for `id_token`.
use super::*;
use crate::control::fixture::signer::Signer;
use serde_json::json;

const NOW: u64 = 1_800_000_000;

struct Case {
    signer: Signer,
    issuer: IssuerUrl,
    nonce: Nonce,
    access_token: AccessToken,
}

impl Case {
    fn new() -> Self {
        Self {
            signer: Signer::new("k"),
            issuer: IssuerUrl::new("https://idp.example".to_owned()).unwrap(),
            nonce: Nonce::new("the nonce".to_owned()),
            access_token: AccessToken::new("the access token".to_owned()),
        }
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            client_id: "doorward",
            issuer: &self.issuer,
            algorithms: ALGORITHMS.to_vec(),
            leeway: Duration::from_secs(60),
            now: Timestamp::from_seconds(NOW),
            nonce: ExpectedNonce::Exactly(&self.nonce),
            subject: None,
            access_token: &self.access_token,
        }
    }

    fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Claims, Invalid> {
        let token: CoreIdToken = token.parse().map_err(|_| Invalid::Payload)?;
        verify(&token, &self.signer.keys(), expected)
    }

    /// Whether good claims with these changes pass.
    fn passes(&self, changes: &Value) -> bool {
        self.verify(&self.signer.sign("RS256", &claims(changes)), &self.expected()).is_ok()
    }
}

/// Good claims, with changes; `null` takes a claim away.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://idp.example", "aud": "doorward", "sub": "ana", "nonce": "the nonce",
        "iat": NOW, "exp": NOW + 300, "auth_time": NOW - 5,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_good_token_passes_with_every_algorithm_of_the_list() {
    let case = Case::new();
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = case.signer.sign(algorithm, &claims(&json!({"at_hash": null})));
        let claims = case.verify(&token, &case.expected()).unwrap();
        assert_eq!((&*claims.subject, claims.expires), ("ana", Some(NOW + 300)), "{algorithm}");
        assert_eq!(claims.authenticated_at, Some(Timestamp::from_seconds(NOW - 5)));
    }
}

#[test]
fn a_sign_in_that_lies_ahead_is_of_no_known_time() {
    let case = Case::new();
    for (time, known) in [(NOW, true), (NOW + 60, true), (NOW + 61, false), (NOW + 1_000_000, false)] {
        let token = case.signer.sign("RS256", &claims(&json!({"auth_time": time})));
        let said = case.verify(&token, &case.expected()).unwrap().authenticated_at;
        assert_eq!(said, known.then(|| Timestamp::from_seconds(time)), "{time}");
    }
}

#[test]
fn odd_but_harmless_claims_do_not_fail_a_token() {
    let case = Case::new();
    for changes in [
        json!({"email_verified": "true"}),
        json!({"updated_at": "2026-11-22T04:00:00Z"}),
        json!({"groups": {"a": [1]}}),
        json!({"exp": (NOW + 300) as f64 + 0.5}),
    ] {
        assert!(case.passes(&changes), "{changes}");
    }
}

#[test]
fn a_token_is_from_the_issuer_for_us_and_for_this_login() {
    let case = Case::new();
    for (changes, passes) in [
        (json!({"iss": "https://idp.example/"}), false),
        (json!({"iss": "https://IDP.example"}), false),
        (json!({"iss": "https://other.example"}), false),
        (json!({"iss": null}), false),
        (json!({"aud": "other"}), false),
        (json!({"aud": null}), false),
        (json!({"aud": []}), false),
        (json!({"aud": ["doorward"]}), true),
        (json!({"aud": ["doorward", "other"]}), false),
        (json!({"aud": ["doorward", "other"], "azp": "other"}), false),
        (json!({"aud": ["doorward", "other"], "azp": "doorward"}), true),
        (json!({"azp": "other"}), false),
        (json!({"azp": "doorward"}), true),
        (json!({"azp": ["doorward"]}), false),
        (json!({"nonce": "another"}), false),
        (json!({"nonce": ""}), false),
        (json!({"nonce": null}), false),
        (json!({"sub": null}), false),
        (json!({"sub": ""}), false),
        (json!({"sub": "a\nb"}), false),
        (json!({"sub": "a".repeat(256)}), false),
    ] {
        assert_eq!(case.passes(&changes), passes, "{changes}");
    }
}

#[test]
fn a_token_is_good_for_its_time_give_or_take_the_leeway() {
    let case = Case::new();
    for (changes, passes) in [
        (json!({"exp": NOW - 59}), true),
        (json!({"exp": NOW - 60}), false),
        (json!({"exp": null}), false),
        (json!({"exp": "soon"}), false),
        (json!({"iat": NOW + 60}), true),
        (json!({"iat": NOW + 61}), false),
        (json!({"iat": null}), false),
        (json!({"iat": -5}), false),
        (json!({"nbf": NOW + 60}), true),
        (json!({"nbf": NOW + 61}), false),
        (json!({"nbf": "now"}), false),
    ] {
        assert_eq!(case.passes(&changes), passes, "{changes}");
    }
}

#[test]
fn a_signature_is_made_by_a_known_key_with_an_announced_algorithm() {
    let case = Case::new();
    let good = claims(&json!({}));
    for algorithm in ["none", "HS256"] {
        assert!(case.verify(&case.signer.sign(algorithm, &good), &case.expected()).is_err(), "{algorithm}");
    }
    let mut only_es256 = case.expected();
    only_es256.algorithms = vec![Algorithm::EcdsaP256Sha256];
    assert!(case.verify(&case.signer.sign("RS256", &good), &only_es256).is_err());
    let imposter = Signer::new("k").sign("RS256", &good);
    assert!(matches!(case.verify(&imposter, &case.expected()), Err(Invalid::Claims(_))));
    let unknown = Signer::new("new").sign("RS256", &good);
    assert!(matches!(case.verify(&unknown, &case.expected()), Err(Invalid::UnknownKey)));
    let token = case.signer.sign("RS256", &good);
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(claims(&json!({"sub": "root"})).to_string());
    for forged in [format!("{header}.{other}.{signature}"), format!("{head}."), head.to_owned()] {
        assert!(case.verify(&forged, &case.expected()).is_err());
    }
}

#[test]
fn the_access_token_is_the_one_that_came_with_it() {
    let case = Case::new();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"the access token");
    let half = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]);
    assert!(case.passes(&json!({ "at_hash": half })));
    assert!(!case.passes(&json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"})));
}

#[test]
fn a_refreshed_token_is_about_the_same_person_and_the_same_login() {
    let case = Case::new();
    let mut expected = case.expected();
    expected.subject = Some("ana");
    for (before, changes, passes) in [
        (Some("the nonce"), json!({"nonce": null}), true),
        (Some("the nonce"), json!({}), true),
        (Some("another"), json!({}), false),
        (None, json!({}), true),
        (None, json!({"sub": "bob"}), false),
        (None, json!({"sub": "Ana"}), false),
    ] {
        expected.nonce = ExpectedNonce::AbsentOr(before);
        let token = case.signer.sign("RS256", &claims(&changes));
        assert_eq!(case.verify(&token, &expected).is_ok(), passes, "{changes}");
    }
}
