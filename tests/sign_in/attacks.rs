//! What somebody tries who wants in, or wants somebody else in as somebody else.

use crate::world::browser::Browser;
use crate::world::{ALICE, BOB, LOGIN, PAYROLL, Setup, WIKI, World};

/// A browser that has signed in but for the last step, and the URL of that step.
async fn before_landing(world: &World) -> (Browser<'_>, String) {
    let mut browser = world.browser();
    let form = browser.go(&world.url(WIKI, "/secret?q=1")).await;
    let callback = browser.fill_in(&form, ALICE).await;
    let landing = browser.until(&callback, &format!("{WIKI}:{}/.doorward/callback", world.ports.https())).await;
    (browser, landing)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_code_works_once() {
    let world = World::start().await;
    let (mut browser, landing) = before_landing(&world).await;
    let again = browser.clone();
    assert_eq!(browser.step(&landing, None).await.location(), world.url(WIKI, "/secret?q=1"));
    let mut again = again;
    let answer = again.step(&landing, None).await;
    assert_eq!(answer.status, 400);
    assert!(again.cookie(WIKI, "__Host-doorward").is_none());
    // In the browser that is signed in by now it is only a late tab.
    assert_eq!(browser.step(&landing, None).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_code_works_in_no_other_browser_and_is_gone_when_tried() {
    let world = World::start().await;
    let (mut victim, landing) = before_landing(&world).await;
    // The attacker has a login of their own in progress, and puts its name into the link.
    let mut attacker = world.browser();
    attacker.until(&world.url(WIKI, "/x"), "/authorize").await;
    let flow =
        attacker.names(WIKI).into_iter().find_map(|name| name.strip_prefix("__Host-doorward-flow-").map(String::from)).unwrap();
    let theirs = landing.split('&').map(|part| if part.starts_with("flow=") { format!("flow={flow}") } else { part.into() });
    let theirs = theirs.collect::<Vec<_>>().join("&");
    for url in [&theirs, &landing] {
        let answer = attacker.step(url, None).await;
        assert_eq!(answer.status, 400, "{url}");
        assert!(attacker.cookie(WIKI, "__Host-doorward").is_none());
    }
    assert_eq!(victim.step(&landing, None).await.status, 400, "a code that was tried is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_code_works_at_no_other_host() {
    let world = World::start().await;
    let (mut browser, landing) = before_landing(&world).await;
    let name = browser.names(WIKI).into_iter().find(|name| name.contains("-flow-")).unwrap();
    let flow = browser.cookie(WIKI, &name).unwrap();
    browser.plant(PAYROLL, &name, &flow);
    assert_eq!(browser.step(&landing.replace(WIKI, PAYROLL), None).await.status, 400);
    assert!(browser.cookie(PAYROLL, "__Host-doorward").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_leads_nowhere_but_to_its_own_host() {
    let world = World::start().await;
    let (mut browser, landing) = before_landing(&world).await;
    let (before, _) = landing.split_once("&to=").unwrap();
    for to in [
        "//evil.example/",
        "https://evil.example/",
        "/%5C/evil.example",
        "%2F%5Cevil.example",
        "@evil.example/",
        ".evil.example/",
        ":1@evil.example/",
        "/.doorward/logout",
        "/%0d%0aX:1",
        "/%252e%252e%0a",
        "",
    ] {
        let answer = browser.step(&format!("{before}&to={to}"), None).await;
        let fine = answer.status == 400 || answer.location().starts_with(&format!("https://{WIKI}:{}/", world.ports.https()));
        assert!(fine, "{to} {} {:?}", answer.status, answer.header("location"));
        assert!(answer.status == 400 || to == "//evil.example/", "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_only_to_urls_of_apps() {
    let world = World::start().await;
    let mut signed_in = world.browser();
    signed_in.sign_in(&world.url(WIKI, "/"), ALICE).await;
    let authority = world.authority(WIKI);
    let evil = [
        "https://evil.example/".to_owned(),
        "//evil.example/".to_owned(),
        "/\\evil.example".to_owned(),
        "\\\\evil.example".to_owned(),
        "/x".to_owned(),
        String::new(),
        "javascript:alert(1)".to_owned(),
        "data:text/html,x".to_owned(),
        format!("http://{authority}/"),
        format!("HTTPS://{authority}/"),
        format!("https:/{authority}/"),
        format!("https:{authority}/"),
        format!("https:///{authority}/"),
        format!("https:\\\\{authority}/"),
        format!("https://{authority}"),
        format!("https://{WIKI}/"),
        format!("https://{WIKI}:1/"),
        format!("https://{WIKI}:0{}/", world.ports.https()),
        format!("https://{authority}.evil.example/"),
        format!("https://{authority}@evil.example/"),
        format!("https://evil.example@{authority}/"),
        format!("https://evil.example#{authority}/"),
        format!("https://evil.example\\@{authority}/"),
        format!("https://evil.example%2F@{authority}/"),
        format!("https://evil.example/?{authority}/"),
        format!("https://x{authority}/"),
        format!("https://{}/", authority.to_uppercase()),
        format!("https://{authority}\\.evil.example/"),
        format!("https://{authority}/\\evil.example"),
        format!("https://{authority}/a\tb"),
        format!("https://{authority}/a\r\nLocation: https://evil.example"),
        format!(" https://{authority}/"),
        format!("https://{authority}/#x"),
        format!("https://{authority}/../x"),
        format!("https://{authority}/%2e%2e/x"),
        format!("https://{authority}/.doorward/logout"),
        format!("https://{authority}/%2edoorward/logout"),
        world.url(LOGIN, "/.doorward/logout"),
        format!("https://{authority}/{}", "x".repeat(5000)),
        "https://wiki%2ecorp.test/".to_owned(),
        "https://wiki。corp.test/".to_owned(),
        "https://corp.test/".to_owned(),
        "https://[::1]/".to_owned(),
    ];
    for to in evil {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("to", &to).finish();
        for browser in [&mut world.browser(), &mut signed_in] {
            let answer = browser.step(&world.url(LOGIN, &format!("/.doorward/login?{query}")), None).await;
            assert_eq!((answer.status, answer.header("location")), (400, None), "{to}");
            assert!(answer.text().contains("bad_return_target"), "{}", answer.text());
        }
    }
    let twice = format!("/.doorward/login?to={0}&to={0}", world.url(WIKI, "/"));
    assert_eq!(signed_in.step(&world.url(LOGIN, &twice), None).await.status, 400);
    let fine = world.url(LOGIN, &format!("/.doorward/login?to={}", world.url(WIKI, "/a")));
    assert_eq!(signed_in.step(&fine, None).await.location(), world.url(WIKI, "/a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_provider_counts_only_in_the_browser_that_asked() {
    let world = World::start().await;
    let mut attacker = world.browser();
    let form = attacker.go(&world.url(WIKI, "/x")).await;
    let callback = attacker.fill_in(&form, BOB).await;
    // The victim has a login in progress too.
    let mut victim = world.browser();
    victim.until(&world.url(WIKI, "/x"), "/authorize").await;
    let answer = victim.step(&callback, None).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("sign_in_expired"));
    assert!(victim.cookie(LOGIN, "__Host-doorward-sso").is_none(), "nobody is signed in as the attacker");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_provider_counts_once() {
    let world = World::start().await;
    let mut browser = world.browser();
    let form = browser.go(&world.url(WIKI, "/x")).await;
    let callback = browser.fill_in(&form, ALICE).await;
    let mut replay = browser.clone();
    assert_eq!(browser.go(&callback).await.status, 200);
    let sso = browser.cookie(LOGIN, "__Host-doorward-sso");
    let late = browser.step(&callback, None).await;
    assert!(late.header("set-cookie").is_none_or(|line| !line.contains("-sso=")), "its login is over, and it leads on");
    assert!(matches!(late.status, 303 | 400) && browser.cookie(LOGIN, "__Host-doorward-sso") == sso);
    // With the cookie of the login brought back, the provider does not take the code again.
    assert_eq!(replay.step(&callback, None).await.status, 400);
    assert!(replay.cookie(LOGIN, "__Host-doorward-sso").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_was_tampered_with_signs_nobody_in() {
    let world = World::start().await;
    let cases: [fn(&str) -> String; 8] = [
        |url| url.replace("state=", "state=x"),
        |url| url.replace("state=", "no="),
        |url| url.replace("code=", "code=x"),
        |url| url.replace("code=", "no="),
        |url| url.replace("iss=", "iss=http%3A%2F%2Fevil.example&no="),
        |url| url.replace("iss=", "no="),
        |url| format!("{url}&state=x"),
        |url| format!("{url}&code=x"),
    ];
    for (index, tamper) in cases.into_iter().enumerate() {
        let mut browser = world.browser();
        let form = browser.go(&world.url(WIKI, "/x")).await;
        let callback = browser.fill_in(&form, ALICE).await;
        let answer = browser.step(&tamper(&callback), None).await;
        assert_eq!(answer.status, 400, "{index} {}", answer.text());
        assert!(browser.cookie(LOGIN, "__Host-doorward-sso").is_none(), "{index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_was_refused_at_the_provider_ends_on_a_page() {
    let world = World::start().await;
    for (error, status, reason) in [
        ("access_denied", 403, "sign_in_refused"),
        ("temporarily_unavailable", 503, "provider_unavailable"),
        ("login_required", 400, "sign_in_failed"),
        ("%3Cscript%3E", 400, "sign_in_failed"),
    ] {
        let mut browser = world.browser();
        let authorize = browser.until(&world.url(WIKI, "/x"), "/authorize").await;
        let state = authorize.split('&').find(|part| part.starts_with("state=")).unwrap().to_owned();
        let issuer = format!("iss=http%3A%2F%2F127.0.0.1%3A{}", world.ports.staff());
        let answer = browser.step(&world.url(LOGIN, &format!("/.doorward/callback?error={error}&{state}&{issuer}")), None).await;
        assert_eq!(answer.status, status, "{error}");
        assert!(answer.text().contains(reason) && !answer.text().contains("<script"), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_browser_can_not_be_stuffed_with_logins() {
    let world = World::start().await;
    let mut browser = world.browser();
    for _ in 0..60 {
        browser.until(&world.url(WIKI, "/x"), "/authorize").await;
        for host in [WIKI, LOGIN] {
            let size: usize = browser.names(host).iter().map(|name| name.len() + browser.cookie(host, name).unwrap().len()).sum();
            assert!(
                browser.names(host).len() <= 21 && size < 17_000,
                "{host}: {} cookies of {size} bytes",
                browser.names(host).len()
            );
        }
    }
    assert_eq!(browser.sign_in(&world.url(WIKI, "/x"), ALICE).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_no_session_is_told_instead_of_sent_round() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.refuses = vec!["__Host-doorward"];
    let page = browser.sign_in(&world.url(WIKI, "/x"), ALICE).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("sign_in_loop") && page.text().contains("cookie"), "{}", page.text());
    let mut browser = world.browser();
    browser.refuses = vec!["__Host-doorward-sso"];
    let page = browser.sign_in(&world.url(WIKI, "/x"), ALICE).await;
    assert!(page.status == 400 && page.text().contains("sign_in_loop"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_takes_only_sign_ins_of_its_providers() {
    let world = World::of(Setup { partners: true, ..Setup::default() }).await;
    let mut browser = world.browser();
    let chooser = browser.go(&world.url(WIKI, "/x")).await;
    assert!(chooser.status == 200 && chooser.url.starts_with(&world.url(LOGIN, "/")));
    let link = chooser
        .text()
        .split('"')
        .find(|part| part.contains("provider=partners"))
        .unwrap()
        .replace("&#38;", "&")
        .replace("&amp;", "&");
    assert_eq!(browser.sign_in(&world.url(LOGIN, &link), BOB).await.status, 200);
    let who = browser.step_with(&world.url(WIKI, "/.doorward/session"), None, "").await.json();
    assert_eq!(who["user"], "partners:s-bob");
    // Bob is in finance at the partners' too, which payroll does not ask.
    let page = browser.go(&world.url(PAYROLL, "/x")).await;
    assert!(page.url.starts_with(&format!("http://127.0.0.1:{}/authorize", world.ports.staff())), "{}", page.url);
    assert!(world.app.all().iter().all(|seen| seen.folded("host") == [world.authority(WIKI)]));
    // Not by naming it either.
    let to = format!("to={}&provider=partners", world.url(PAYROLL, "/x"));
    let refused = browser.step(&world.url(LOGIN, &format!("/.doorward/login?{to}")), None).await;
    assert_eq!((refused.status, refused.header("location")), (401, None));
    assert!(refused.text().contains("provider_not_accepted"));
}
