//! Each kind of error: its line, its words, and what would be right.

use crate::scene::{BASE, Scene, with};

/// What is replaced in the base, by what; the line of the error; what it says; what would be right.
type Case = (&'static str, &'static str, usize, &'static str, &'static str);

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const UPSTREAM: &str = "upstream: http://127.0.0.1:8080";

fn check(cases: &[Case]) {
    let scene = Scene::new();
    for (from, to, line, message, help) in cases {
        let errors = scene.errors(&with(from, &to.replace("HASH", HASH)));
        let [error] = errors.as_slice() else { panic!("{to}: {errors:#?}") };
        assert!(error.message.contains(message), "{to}: {}", error.message);
        assert_eq!(error.line, *line, "{to}: {}", error.message);
        let given = error.help.as_deref().unwrap_or_default();
        assert!(given.contains(help), "{to}: {given}");
    }
}

#[test]
fn the_base_is_fine_without_a_warning() {
    let loaded = Scene::new().fine(BASE);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn rules_without_a_provider_are_an_error() {
    let start = BASE.find("identity_providers").unwrap();
    let end = BASE.find("store:").unwrap();
    let errors = Scene::new().errors(&format!("{}{}", &BASE[..start], &BASE[end..]));
    assert_eq!((errors.len(), &*errors[0].message), (1, "nobody can sign in"));
}

#[test]
fn the_shape() {
    check(&[
        ("auth:\n", "auth:\n  sesion: {}\n", 6, "unknown key `sesion` in `auth`", "did you mean `session`?"),
        ("store:", "zones: x\nstore:", 12, "unknown key `zones`", "there are: listen"),
        ("store:", "flavours: []\nstore:", 12, "unknown key `flavours`", "there are: listen"),
        (
            "- groups: [staff]",
            "- groups: [staff]\n        where: { mfa: true }",
            19,
            "unknown key `where` in `apps.wiki.allow[0]`",
            "",
        ),
        ("store: sqlite:doorward.db\n", "", 1, "`store` is missing", "a text"),
        ("  url: https://login.corp.example", "  session: { idle: 1h }", 5, "`auth.url` is missing", ""),
        ("    client_id: doorward\n", "", 8, "`identity_providers.staff.client_id` is missing", ""),
        ("client_id: doorward", "client_id:", 10, "must be a text, and this is nothing", ""),
        ("client_id: doorward", "client_id: [a]", 10, "must be a text, and this is a list", ""),
        ("allow:\n      - groups: [staff]", "allow:", 17, "must be a list, and this is nothing", ""),
        ("- groups: [staff]", "groups: [staff]", 17, "must be a list, and this is a mapping", ""),
        ("- groups: [staff]", "- staff", 18, "`apps.wiki.allow[0]` must be a mapping", ""),
        ("groups: [staff]", "groups: { staff: yes }", 18, "a text or a list of texts", ""),
        ("    allow:", "    cors_preflight: yes\n    allow:", 17, "`true` or `false`", ""),
        ("    allow:", "    cors_preflight: 'true'\n    allow:", 17, "`true` or `false`", ""),
        ("store:", "audit: { when_full: drop }\nstore:", 12, "one of `refuse`, `shed`", ""),
        ("store:", "audit: { when_full: shedd }\nstore:", 12, "one of `refuse`, `shed`", "did you mean `shed`?"),
        ("store:", "audit: { file: a, rotate: { keep: 3 } }\nstore:", 12, "`audit.rotate.size` is missing", ""),
        ("store:", "store: sqlite:a\nstore:", 13, "`store` is here twice", "line 12"),
        ("store: ", "store: !secret ", 12, "tags", ""),
        (UPSTREAM, "upstream:", 16, "`apps.wiki.upstream` must be a server or a list of servers, and this is nothing", ""),
        (UPSTREAM, "upstream: [[http://127.0.0.1:8080]]", 16, "`apps.wiki.upstream[0]` must be a mapping", ""),
        (UPSTREAM, "upstream: { weight: 2 }", 16, "`apps.wiki.upstream[0].url` is missing", ""),
        (UPSTREAM, "upstream: { url: [], weight: 2 }", 16, "`apps.wiki.upstream[0].url` must be a text, and this is a list", ""),
        (UPSTREAM, "upstream: [{ url: http://a, wieght: 2 }]", 16, "unknown key `wieght`", "did you mean `weight`?"),
        (UPSTREAM, "upstream: http://a\n    balance: random", 17, "one of `round_robin`, `least_in_flight`, `by_session`", ""),
    ]);
}

#[test]
fn servers_and_what_looks_after_them() {
    let two = |more: &str| format!("upstream: [http://a, http://b]\n    {more}");
    let many: Vec<String> = (0..65).map(|n| format!("http://a{n}")).collect();
    let cases = [
        ("upstream: []".to_owned(), 16, "an empty list", "list something"),
        ("upstream: [http://a, http://b, 'http://A:80']".to_owned(), 16, "here twice", "`weight`"),
        ("upstream: [http://a, { url: ftp://b }]".to_owned(), 16, "kind of upstream", ""),
        ("upstream: { url: http://a, weight: 0 }".to_owned(), 16, "not a number", "from 1 to 100"),
        ("upstream: { url: http://a, weight: +3 }".to_owned(), 16, "not a number", "from 1 to 100"),
        ("upstream:\n      - http://a\n      - url: http://b\n        weight: 101".to_owned(), 19, "not a number", ""),
        (format!("upstream: [{}]", many.join(", ")), 16, "64 servers at most, and these are 65", ""),
        (two("health: {}"), 17, "`apps.wiki.health.path` is missing", ""),
        (two("health: { path: healthz }"), 17, "not a path to ask for", "/healthz"),
        (two("health: { path: '/a b' }"), 17, "not a path to ask for", ""),
        (two("health: { path: '/a#b' }"), 17, "not a path to ask for", ""),
        (two("health: { path: /, host: 'a b' }"), 17, "not a host to ask for", ""),
        (two("health: { path: /, host: eve@a }"), 17, "not a host to ask for", ""),
        (two("health: { path: /, host: '' }"), 17, "not a host to ask for", ""),
        (two("health: { path: /, interval: 10 }"), 17, "not a duration", "90s"),
        (two("health: { path: /, timeout: 2h }"), 17, "longer than an hour", ""),
        (two("health: { path: /, healthy: none }"), 17, "not a number", "from 1 to 100"),
        (two("health: { path: /, unhealthy: 1.5 }"), 17, "not a number", "from 1 to 100"),
        (two("health: { path: /, status: [200, 2xx] }"), 17, "not a status", "200-399"),
        (two("health: { path: /, status: 399-200 }"), 17, "not a status", ""),
        (two("health: { path: /, status: 101 }"), 17, "not a status", ""),
        (two("health: { path: /, status: [] }"), 17, "an empty list", ""),
        (two("ejection: { failures: 0 }"), 17, "not a number", "from 1 to 100"),
        (two("ejection: { for: 0s }"), 17, "can't be zero", ""),
        (two("ejection: off"), 17, "must be a mapping", ""),
        (two("slow_start: soon"), 17, "not a duration", ""),
    ];
    let scene = Scene::new();
    for (to, line, message, help) in cases {
        let errors = scene.errors(&with(UPSTREAM, &to));
        let [error] = errors.as_slice() else { panic!("{to}: {errors:#?}") };
        assert!(error.message.contains(message) && error.line == line, "{to}: {} {}", error.line, error.message);
        assert!(error.help.as_deref().unwrap_or_default().contains(help), "{to}: {:?}", error.help);
    }
    let wildcard = with(UPSTREAM, &two("health: { path: / }")).replace("https://wiki.corp", "https://'*'.corp").replace("'*'", "*");
    assert!(scene.errors(&wildcard)[0].message.contains("which host"));
}

#[test]
fn what_is_not_yaml_is_one_clear_error() {
    let scene = Scene::new();
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    let cases = [
        ("", "the file is empty", 1),
        ("# nothing\n", "the file is empty", 1),
        ("listen: [\n", "not YAML", 1),
        ("a: 1\n b: 2\n", "not YAML", 2),
        ("a: \"unclosed\n", "not YAML", 2),
        ("a: *nobody\n", "not YAML", 1),
        ("a: 1\n---\nb: 2\n", "a second document", 2),
        ("? [a]\n: b\n", "a key must be a single value", 1),
        (&deep, "nested more than 32 deep", 1),
    ];
    for (yaml, message, line) in cases {
        let errors = scene.errors(yaml);
        assert_eq!(errors.len(), 1, "{yaml}: {errors:#?}");
        assert!(errors[0].message.contains(message), "{yaml}: {}", errors[0].message);
        assert_eq!(errors[0].line, line, "{yaml}: {}", errors[0].message);
    }
    std::fs::write(scene.yaml(), b"a: \xff").unwrap();
    let problems = doorward::control::config::load(&scene.yaml(), 1).err().unwrap();
    assert!(problems.to_string().contains("not UTF-8"));
    let problems = doorward::control::config::load(&scene.path("absent.yaml"), 1).err().unwrap();
    assert!(problems.to_string().contains("can't read the configuration"));
}

#[test]
fn a_yaml_bomb_is_refused_quickly() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let start = std::time::Instant::now();
    let errors = Scene::new().errors(&bomb);
    assert!(errors.iter().any(|error| error.message.contains("1000000 values")), "{errors:#?}");
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn urls_and_hosts() {
    const URL: &str = "url: https://wiki.corp.example";
    const UP: &str = "http://127.0.0.1:8080";
    const ISSUER: &str = "https://idp.corp.example";
    const AUTH: &str = "https://login.corp.example";
    check(&[
        (URL, "url: wiki.corp.example", 15, "not a URL", "https://host"),
        (URL, "url: http://wiki.corp.example", 15, "only https", ""),
        (URL, "url: https://wiki", 15, "not a host name", ""),
        (URL, "url: https://10.0.0.1", 15, "not a host name", ""),
        (URL, "url: https://eve:pw@wiki.corp.example", 15, "a user or password", ""),
        (URL, "url: https://wiki.corp.example?x", 15, "query or fragment", ""),
        (URL, "url: https://wiki.corp.example/#x", 15, "query or fragment", ""),
        (URL, "url: https://wiki.corp.example/a/../b", 15, "plain path prefix", ""),
        (URL, "url: https://wiki.corp.example/a%2fb", 15, "plain path prefix", ""),
        (URL, "url: https://wiki.corp.example/a//b", 15, "plain path prefix", ""),
        (URL, "url: https://wiki.corp.example/.doorward/x", 15, "belongs to Doorward", ""),
        (URL, "url: https://login.corp.example", 15, "the sign-in's", "host of its own"),
        (URL, "url: https://LOGIN.corp.example/wiki", 15, "the sign-in's", ""),
        (AUTH, "https://login.corp.example/sso", 6, "without a path", ""),
        (AUTH, "https://*.corp.example", 6, "one host", ""),
        (UP, "ftp://127.0.0.1", 16, "kind of upstream", "http://host:port"),
        (UP, "127.0.0.1:8080", 16, "not a URL", "http://host:port"),
        (URL, "url: \"https://wi\\tki.corp.example\"", 15, "white space", ""),
        (ISSUER, "'https://idp.corp.example '", 9, "white space", ""),
        (UP, "http://127.0.0.1:8080/app", 16, "no path", ""),
        (ISSUER, "http://idp.corp.example", 9, "https", "exactly"),
        (ISSUER, "https://idp.corp.example/?tenant=1", 9, "query", ""),
        (ISSUER, "idp", 9, "not a URL", ""),
        ("\"127.0.0.1:8443\"", "localhost:8443", 1, "not an address", "[::]:443"),
        ("\"127.0.0.1:8443\"", "\"127.0.0.1:8443\", http: \"127.0.0.1:8443\"", 1, "another listener", ""),
        ("store:", "trusted_proxies: [10.0.0.1/8]\nstore:", 12, "outside its network", "10.0.0.0/8"),
        ("store:", "trusted_proxies: [proxy]\nstore:", 12, "not a network", ""),
        ("8443\" }", "8443\", proxy_protocol: true }", 1, "nobody is trusted to send a PROXY header", "trusted_proxies"),
        ("8443\" }", "8443\", proxy_protocol: v2 }", 1, "`true` or `false`", ""),
        ("store:", "limits: { connections: 0 }\nstore:", 12, "not a number", "from 1"),
        ("store:", "limits: { connections: +5 }\nstore:", 12, "not a number", ""),
        ("store:", "limits: { connections: many }\nstore:", 12, "not a number", ""),
        ("store:", "limits: { connections: 4294967296 }\nstore:", 12, "not a number", ""),
        ("store:", "limits: { connections: 9, connections_per_address: 10 }\nstore:", 12, "never counts", ""),
        ("store:", "limits: { reserved: { rate_per_address: fast } }\nstore:", 12, "not a rate", "50/s"),
        ("store:", "limits: { reserved: { in_flight_per_address: 0 } }\nstore:", 12, "not a limit", ""),
        ("store:", "limits: { reserved: { in_flight: 5 } }\nstore:", 12, "unknown key `in_flight`", ""),
        ("store:", "limits: { conections: 9 }\nstore:", 12, "unknown key `conections`", "`connections`"),
        ("sqlite:doorward.db", "postgres://db/doorward", 12, "`store_keys` is missing", "openssl rand"),
        ("sqlite:doorward.db", "postgres://", 12, "no server is named", "postgres://USER@HOST"),
        ("sqlite:doorward.db", "postgres://u:p@db/doorward\nstore_keys: k", 12, "a password does not belong", ""),
        ("sqlite:doorward.db", "postgres://db/doorward?password=p\nstore_keys: k", 12, "`password` is not a parameter", ""),
        ("store:", "store_grace: 5m\nstore:", 12, "it counts only where the store is", ""),
        ("store:", "store_password: { env: HOME }\nstore:", 12, "SQLite has no password", ""),
        ("sqlite:doorward.db", "\"sqlite::memory:\"", 12, "not a store", ""),
    ]);
}

#[test]
fn a_place_belongs_to_one_app() {
    let app = |url: &str| format!("{BASE}  two: {{ url: '{url}', upstream: 'http://127.0.0.1:1', allow: [{{ groups: x }}] }}\n");
    let scene = Scene::new();
    let cases = [
        ("https://wiki.corp.example", Some("`two` has this URL already")),
        ("https://WIKI.corp.example/", Some("`two` has this URL already")),
        ("https://wiki.corp.example:8443/two", Some("cookies do not tell ports apart")),
        ("https://wiki.corp.example/two", None),
        ("https://*.corp.example", None),
    ];
    for (url, message) in cases {
        let loaded = scene.load(&app(url));
        match message {
            None => assert!(loaded.is_ok(), "{url}"),
            Some(message) => {
                let problems = loaded.err().unwrap().errors;
                assert!(problems.iter().any(|problem| problem.message.contains(message)), "{url}: {problems:#?}");
            }
        }
    }
}

#[test]
fn headers_that_mean_something_carry_no_identity() {
    let scene = Scene::new();
    let refused = [
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Host",
        "Cookie",
        "cookie",
        "Set-Cookie",
        "Authorization",
        "Content-Length",
        "Content_Length",
        "Content-Type",
        "Via",
        "X-Doorward-User",
        "x_doorward_user",
        "X.Doorward.Foo",
        "X-Forwarded-For",
        "X-Forwarded-User",
        "Forwarded",
        "Expect",
        "Sec-WebSocket-Key",
        "HTTP2-Settings",
        "Origin",
        "'X Y'",
        "'X:Y'",
        "'X\\r\\nY'",
        "''",
        "X-Nämé",
    ];
    for name in refused {
        let errors = scene.errors(&with("    allow:", &format!("    identity: {{ {name}: email }}\n    allow:")));
        assert_eq!((errors.len(), errors[0].line), (1, 17), "{name}: {errors:#?}");
    }
    let aliases = with("    allow:", "    identity: { X-Remote-User: email, x_remote_user: name }\n    allow:");
    assert!(scene.errors(&aliases)[0].message.contains("take this header"));
}

#[test]
fn apps_and_providers() {
    check(&[
        ("    allow:", "    identity: { X-User: mail }\n    allow:", 17, "no provider of this app maps", "did you mean `email`?"),
        ("    allow:", "    identity: { X-Grade: grade }\n    allow:", 17, "no provider of this app maps", "there are:"),
        ("    allow:", "    providers: [stuff]\n    allow:", 17, "no provider is called `stuff`", "did you mean `staff`?"),
        ("    allow:", "    providers: []\n    allow:", 17, "an empty list", ""),
        ("  staff:", "  st:aff:", 8, "the name of a provider", ""),
        ("  wiki:", "  wi.ki:", 14, "the name of an app", ""),
        ("    client_id", "    scopes: [openid email]\n    client_id", 10, "not a scope", "[openid, email]"),
        ("    client_id", "    leeway: 6m\n    client_id", 10, "`5m` at most", ""),
        ("    client_id", "    scim: {}\n    client_id", 10, "an empty list", ""),
        ("    client_id", "    scim: { tokens: [] }\n    client_id", 10, "an empty list", ""),
        ("    client_id", "    scim: { tokens: [{}] }\n    client_id", 10, "exactly one source", "{ file: PATH }"),
        ("    client_id", "    scim: { tokens: [{ sha256: ab }] }\n    client_id", 10, "not a SHA-256", "sha256sum"),
        (
            "    client_id",
            "    scim: { tokens: [{ file: apps.key }] }\n    client_id",
            10,
            "at least 20 characters",
            "openssl rand",
        ),
        ("    client_id", "    scim: { tokens: [{ sha256: HASH, expires: soon }] }\n    client_id", 10, "not a time", "2027"),
        (
            "    client_id",
            "    scim: { tokens: [{ sha256: HASH }, { sha256: HASH }] }\n    client_id",
            10,
            "here twice",
            "of its own",
        ),
        (
            "    client_id",
            "    scim: { tokens: [{ sha256: HASH }], match: name }\n    client_id",
            10,
            "no way to find a user",
            "external_id",
        ),
        ("    client_id", "    scim: { tokens: [{ sha256: HASH }], groups: both }\n    client_id", 10, "", ""),
        ("    client_id", "    leeway: 6\n    client_id", 10, "not a duration", "90s"),
        ("    client_id", "    ca: absent.pem\n    client_id", 10, "can't read `absent.pem`", ""),
        ("    client_id", "    ca: apps.key\n    client_id", 10, "no certificate", ""),
        ("dept }", "dept, user: uid }", 11, "has its meaning already", ""),
    ]);
}

#[test]
fn rules() {
    const RULE: &str = "groups: [staff]";
    check(&[
        (RULE, "groups: []", 18, "an empty list", ""),
        (RULE, "groups: [staff, '']", 18, "a group has a name", ""),
        (RULE, "users: [eve]", 18, "not an e-mail address", "provider:subject"),
        (RULE, "users: ['a@evil@corp.example']", 18, "not an e-mail address", ""),
        (RULE, "users: ['\"a b\"@corp.example']", 18, "not an e-mail address", ""),
        (RULE, "users: ['stuff:17']", 18, "no provider is called `stuff`", "`staff`"),
        (RULE, "users: ['staff:']", 18, "no subject", ""),
        (RULE, "domains: ['@corp.example']", 18, "not a domain", "`corp.example`"),
        (RULE, "domains: ['*.corp.example']", 18, "not a domain", "exactly"),
        (RULE, "domains: [corp]", 18, "not a domain", ""),
        (RULE, "methods: [get]", 18, "capitals", "`GET`"),
        (RULE, "methods: ['G T']", 18, "not a method", ""),
        (RULE, "claims: {}", 18, "no claim", ""),
        (RULE, "claims: { groups: [x] }", 18, "not a mapped claim", "`groups:`"),
        (RULE, "claims: { department: [] }", 18, "an empty list", ""),
        ("    allow:\n      - groups: [staff]", "    allow: []", 17, "an empty list", ""),
    ]);
}

#[test]
fn paths() {
    const ALLOW: &str = "    allow:";
    check(&[
        (ALLOW, "    paths: []\n    allow:", 17, "an empty list", ""),
        (ALLOW, "    paths: [{ public: true }]\n    allow:", 17, "an empty list", ""),
        (ALLOW, "    paths: [{ match: admin, public: true }]\n    allow:", 17, "starts with `/`", ""),
        (ALLOW, "    paths: [{ match: /a/**/b, public: true }]\n    allow:", 17, "last segment", ""),
        (ALLOW, "    paths: [{ match: /a/../b, public: true }]\n    allow:", 17, "plain segments", ""),
        (ALLOW, "    paths: [{ match: /a%2fb, public: true }]\n    allow:", 17, "plain segments", ""),
        (ALLOW, "    paths: [{ match: /.doorward/x, public: true }]\n    allow:", 17, "belongs to Doorward", ""),
        (ALLOW, "    paths: [{ match: [/a, /a/], public: true }]\n    allow:", 17, "the same pattern", ""),
        (ALLOW, "    paths: [{ match: /a, public: true, allow: [{ groups: x }] }]\n    allow:", 17, "opens this to everybody", ""),
        (ALLOW, "    paths: [{ match: /a, public: true, deny: [{ groups: x }] }]\n    allow:", 17, "opens this to everybody", ""),
        (ALLOW, "    paths: [{ match: /a, public: true, methods: [] }]\n    allow:", 17, "an empty list", ""),
        (
            "wiki.corp.example\n",
            "wiki.corp.example/w\n    paths: [{ match: /a, public: true }]\n",
            16,
            "lives below `/w`",
            "`/w/a`",
        ),
        ("wiki.corp.example\n", "wiki.corp.example/w\n    paths: [{ match: /wi, public: true }]\n", 16, "lives below `/w`", ""),
        ("wiki.corp.example\n", "wiki.corp.example/w\n    paths: [{ match: '/*/a', public: true }]\n", 16, "lives below `/w`", ""),
    ]);
}

#[test]
fn sessions() {
    const AUTH: &str = "login.corp.example";
    check(&[
        (AUTH, "login.corp.example\n  session: { idle: 1 hour }", 7, "not a duration", "30m"),
        (AUTH, "login.corp.example\n  session: { idle: 0s }", 7, "can't be zero", ""),
        (AUTH, "login.corp.example\n  session: { idle: -1h }", 7, "not a duration", ""),
        (AUTH, "login.corp.example\n  session: { idle: 99999999999999999999d }", 7, "not a duration", ""),
        (AUTH, "login.corp.example\n  session: { idle: 9999999999d }", 7, "ten years", ""),
        (AUTH, "login.corp.example\n  session: { idle: 2d, lifetime: 1d }", 7, "longer than `lifetime`", ""),
    ]);
}

#[test]
fn certificates() {
    let scene = Scene::new();
    scene.certificate("other", &["other.example"]);
    scene.write("rubbish.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    scene.write("empty.pem", "");
    let cases = [
        ("cert: apps.pem, key: other.key", "`other.key` is not the key of `apps.pem`"),
        ("cert: absent.pem, key: apps.key", "can't read `absent.pem`"),
        ("cert: apps.pem, key: absent.key", "can't read `absent.key`"),
        ("cert: empty.pem, key: apps.key", "no certificate in PEM form"),
        ("cert: rubbish.pem, key: apps.key", "not a certificate"),
        ("cert: apps.pem, key: apps.pem", "no private key in PEM form"),
    ];
    for (to, message) in cases {
        let errors = scene.errors(&with("cert: apps.pem, key: apps.key", to));
        assert_eq!((errors.len(), errors[0].line), (1, 4), "{to}: {errors:#?}");
        assert!(errors[0].message.contains(message), "{to}: {}", errors[0].message);
    }
    let none = with("  certificates:\n    - { cert: apps.pem, key: apps.key }", "  certificates: []");
    assert!(scene.errors(&none)[0].message.contains("no certificate"));
}

#[test]
fn secrets() {
    let scene = Scene::new();
    scene.write("empty", "\n");
    let cases = [
        ("{ env: DOORWARD_TEST_UNSET }", "`DOORWARD_TEST_UNSET` is not set"),
        ("{ file: absent }", "can't read `absent`"),
        ("{ file: empty }", "the secret is empty"),
        ("{ env: A, file: b }", "exactly one source"),
        ("{}", "exactly one source"),
    ];
    for (secret, message) in cases {
        let errors = scene.errors(&with("    client_id", &format!("    client_secret: {secret}\n    client_id")));
        assert_eq!((errors.len(), errors[0].line), (1, 10), "{secret}: {errors:#?}");
        assert!(errors[0].message.contains(message), "{secret}: {}", errors[0].message);
    }
}

#[test]
fn ten_errors_are_reported_in_one_go() {
    let yaml = r#"listen: { https: 8443, htp: "[::]:80" }
tls: { certificates: [{ cert: absent.pem, key: apps.key }] }
auth: { url: http://login.corp.example }
identity_providers:
  staff: { issuer: https://idp.corp.example, client_id: [x] }
store: mysql:x
apps:
  wiki:
    url: https://wiki.corp.example
    upstream: ftp://127.0.0.1
    identity: { Host: email }
    allow: [{ groups: [] }, { users: [eve] }]
    paths: [{ match: admin }]
"#;
    let lines: Vec<usize> = Scene::new().errors(yaml).iter().map(|error| error.line).collect();
    assert_eq!(lines, [1, 1, 2, 3, 5, 6, 10, 11, 12, 12, 13]);
}

#[test]
fn two_missing_keys_of_one_mapping_are_two_errors() {
    let errors = Scene::new().errors("apps: { wiki: {} }\n");
    let messages: Vec<&str> = errors.iter().map(|error| &*error.message).collect();
    for missing in ["listen.https", "auth.url", "store", "apps.wiki.url", "apps.wiki.upstream"] {
        assert!(messages.contains(&&*format!("`{missing}` is missing")), "{missing}: {messages:#?}");
    }
    assert_eq!(messages.len(), 6, "{messages:#?}");
}

#[test]
fn when_the_audit_file_is_put_aside() {
    check(&[
        ("store:", "audit: { file: a, rotate: { size: 10 } }\nstore:", 12, "not a size", "`100MB`"),
        ("store:", "audit: { file: a, rotate: { size: 999KB } }\nstore:", 12, "too small", "at least `1MB`"),
        ("store:", "audit: { file: a, rotate: { size: 1MB, keep: 0 } }\nstore:", 12, "not a number", ""),
        ("store:", "audit: { rotate: { size: 1MB } }\nstore:", 12, "no file to put aside", "with `file`"),
    ]);
}
