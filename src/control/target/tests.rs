//! What must hold for `target`.
use super::*;
use crate::control::fixture;
use proptest::prelude::*;

#[test]
fn a_url_of_an_app_comes_back_byte_for_byte() {
    let snapshot = fixture::snapshot(Vec::new());
    for url in [
        "https://wiki.corp.example/",
        "https://wiki.corp.example/a//b/%2Fc?q=1&q=%20#".trim_end_matches('#'),
        "https://wiki.corp.example/?next=https://evil.test/\\x",
        "https://wiki.corp.example//evil.test/",
        "https://wiki.corp.example/100%",
        "https://payroll.other.test:8443/x;y=1",
        "https://one.lab.example/",
        "https://shared.corp.example/docs/a",
    ] {
        assert_eq!(ReturnTarget::parse(&snapshot, url).unwrap().to_string(), url);
    }
}

#[test]
fn every_spelling_of_an_open_redirect_is_refused() {
    let snapshot = fixture::snapshot(Vec::new());
    let long = format!("https://wiki.corp.example/{}", "a".repeat(4096));
    for url in [
        "",
        "/",
        "//evil.test/",
        "/\\evil.test",
        "\\\\evil.test/",
        "///evil.test",
        "evil.test",
        "wiki.corp.example/",
        "http://wiki.corp.example/",
        "HTTPS://wiki.corp.example/",
        "https:wiki.corp.example/",
        "https:/wiki.corp.example/",
        "https:///wiki.corp.example/",
        "https:\\\\wiki.corp.example/",
        "https://wiki.corp.example",
        "https://wiki.corp.example?x",
        "https://wiki.corp.example\\@evil.test/",
        "https://evil.test/",
        "https://evil.test/https://wiki.corp.example/",
        "https://evil.test?https://wiki.corp.example/",
        "https://evil.test\\.wiki.corp.example/",
        "https://wiki.corp.example@evil.test/",
        "https://evil.test@wiki.corp.example/",
        "https://@wiki.corp.example/",
        "https://:@wiki.corp.example/",
        "https://user:pass@wiki.corp.example/",
        "https://wiki.corp.example.evil.test/",
        "https://evilwiki.corp.example/",
        "https://evil.test%2f.wiki.corp.example/",
        "https://wiki.corp.example%00.evil.test/",
        "https://wiki.corp.example%2eevil.test/",
        "https://wiki%2ecorp.example/",
        "https://WIKI.corp.example/",
        "https://wiki.corp.example./",
        "https://wiki.corp.example:443/",
        "https://wiki.corp.example:0443/",
        "https://wiki.corp.example:8443/",
        "https://wiki.corp.example:/",
        "https://wiki.corp.example:x/",
        "https://wiki.corp.example:+8443/",
        "https://payroll.other.test/",
        "https://payroll.other.test:08443/",
        "https://payroll.other.test:73979/",
        "https://w\u{131}ki.corp.example/",
        "https://wiki\u{3002}corp.example/",
        "https://wiki.corp.example\u{2044}evil.test/",
        "https://wiki.corp.example\t/",
        "https://wiki.corp.example/\r\nSet-Cookie: a=b",
        "https://wiki.corp.example/\u{0}",
        "https://wiki.corp.example/ x",
        " https://wiki.corp.example/",
        "https://wiki.corp.example/%0d%0ax",
        "https://wiki.corp.example/#x",
        "https://wiki.corp.example/a\\b",
        "https://wiki.corp.example/../x",
        "https://wiki.corp.example/%2e%2E/x",
        "https://wiki.corp.example/a/./x",
        "https://wiki.corp.example/.doorward/logout",
        "https://wiki.corp.example/.Doorward/logout",
        "https://wiki.corp.example//.doorward/logout",
        "https://wiki.corp.example/%2edoorward/logout",
        "https://wiki.corp.example/%2fdoorward/../.doorward",
        "https://login.corp.example/",
        "https://lab.example/",
        "https://a.b.lab.example/",
        "https://.lab.example/",
        "https://*.lab.example/",
        "https://evil%2f.lab.example/",
        "https://shared.corp.example/other",
        "https://[::1]/",
        "https://127.0.0.1/",
        "javascript:alert(1)",
        "javascript://wiki.corp.example/%0aalert(1)",
        "data:text/html,x",
        &long,
    ] {
        assert_eq!(ReturnTarget::parse(&snapshot, url), Err(NotATarget), "{url}");
    }
}

proptest! {
    #[test]
    fn whatever_parses_is_on_a_configured_host(
        scheme in "(https://|https:/|//|http://)",
        authority in "[a-z@:%.\\\\/]{0,6}(wiki\\.corp\\.example|payroll\\.other\\.test:8443|x\\.lab\\.example|evil\\.test)[a-z@:%.0-9\\\\]{0,6}",
        rest in "[/?#\\\\a-z.%@:0-9]{0,12}",
    ) {
        let snapshot = fixture::snapshot(Vec::new());
        let url = format!("{scheme}{authority}{rest}");
        if let Ok(target) = ReturnTarget::parse(&snapshot, &url) {
            let read = url::Url::parse(&target.to_string()).unwrap();
            let host = read.host_str().unwrap();
            prop_assert!(matches!(snapshot.hosts.find(host), Some(Host::Apps(_))), "{url} leads to {host}");
            prop_assert_eq!(host, target.host());
            prop_assert!(read.username().is_empty() && read.password().is_none());
            prop_assert!(!read.path().starts_with("/.doorward"));
            prop_assert_eq!(target.to_string(), url);
        }
    }
}
