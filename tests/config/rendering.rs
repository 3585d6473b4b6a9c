//! How problems are shown, and what is never shown.

use crate::scene::{BASE, Scene, shown, with};
use doorward::cli::check::check;

fn checked(scene: &Scene, yaml: &str) -> (u8, String, String) {
    scene.write("doorward.yaml", yaml);
    let verdict = check(&scene.yaml());
    let directory = scene.yaml().parent().unwrap().to_owned();
    (verdict.code, shown(&verdict.output, &directory), shown(&verdict.problems, &directory))
}

#[test]
fn a_fine_file_is_counted() {
    let scene = Scene::new();
    let (code, output, problems) = checked(&scene, BASE);
    assert_eq!((code, &*output, &*problems), (0, "doorward.yaml is fine: 1 app, 1 route, 1 rule\n", ""));
}

#[test]
fn errors_have_a_snippet_with_a_caret() {
    let scene = Scene::new();
    let yaml = with("    allow:\n      - groups: [staff]", "    alow:\n      - groups: [staff]")
        .replace("store: sqlite:doorward.db", "store: mysql:x");
    let (code, output, problems) = checked(&scene, &yaml);
    let expected = "\
error: not a store that this version knows
  --> doorward.yaml:12:8
   |
12 | store: mysql:x
   |        ^^^^^^^
   = help: write `sqlite:PATH`, as in `sqlite:state/doorward.db`, or `postgres://USER@HOST/DATABASE`

error: unknown key `alow` in `apps.wiki`
  --> doorward.yaml:17:5
   |
17 |     alow:
   |     ^^^^
   = help: did you mean `allow`?

2 errors
";
    assert_eq!((code, &*output, &*problems), (1, "", expected));
}

#[test]
fn warnings_are_shown_the_same_way() {
    let (code, output, problems) = checked(&Scene::new(), &with("groups: [staff]", "groups: [staff, staff]"));
    let expected = "\
warning: `staff` is here twice
  --> doorward.yaml:18:25
   |
18 |       - groups: [staff, staff]
   |                         ^^^^^

";
    assert_eq!((code, &*problems), (0, expected));
    assert!(output.contains("is fine"));
}

#[test]
fn the_caret_stands_where_it_should_after_letters_outside_ascii() {
    let (_, _, problems) = checked(&Scene::new(), &with("claims: { groups", "claims: { 'gr\u{fc}\u{df}e': x, user: x, groups"));
    let lines: Vec<&str> = problems.lines().collect();
    let column = |line: &str, what: char| line.chars().position(|c| c == what);
    let at = lines.iter().position(|line| line.contains('^')).unwrap();
    let below = column(lines[at], '^').unwrap();
    assert!(lines[at - 1].chars().skip(below).collect::<String>().starts_with("user: x"), "{problems}");
}

/// Every break that YAML knows (1.2, section 5.4) ends a line: what is counted otherwise is shown, and masked, in the wrong place.
#[test]
fn a_carriage_return_alone_ends_a_line_too() {
    let yaml = BASE.replace("store: sqlite:doorward.db", "store: mysql:x");
    for breaks in [format!("# a\r# b\r{yaml}"), format!("# a\r\n# b\r{yaml}"), format!("#\n#\n{yaml}").replace('\n', "\r")] {
        let (_, _, problems) = checked(&Scene::new(), &breaks);
        assert!(problems.contains("doorward.yaml:14:8\n") && problems.contains("\n14 | store: mysql:x\n"), "{problems}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let scene = Scene::new();
    let attempts = [
        "client_secret: hunter2",
        "client_secret: 'hunter2'",
        "client_secret: [hunter2]",
        "client_secret: { value: hunter2 }",
        "client_secret: { env: [hunter2] }",
        "client_secret:\n      value: hunter2",
        "client_secret: &x hunter2",
        "client_secret: { hunter2: x, value: hunter2 }",
        "client_secret: {hunter2}",
        "client_secret: \"hunter2",
        "client_secret: |\n      hunter2\n    bogus: 1",
        "issuer2: https://eve:hunter2@idp.corp.example",
        "issuer2: postgres://eve:ab/hunter2@db.corp.example/d",
        "issuer2: postgres://eve:ab@hunter2@db.corp.example/d",
        "issuer2: 'postgresql://db.corp.example/d?sslmode=require&password=hunter2'",
        "issuer2: postgres://eve:hunter2/d",
        "issuer2: Postgres://eve:hunter2",
        "issuer2: postgres://eve:12?hunter2@db.corp.example/d",
        "issuer2: postgres://eve@db.corp.example/d?pass=hunter2",
        "issuer2: postgresql:eve:hunter2",
        "issuer2: eve:hunter2@db.corp.example/d",
        "issuer2: host=db.corp.example user=eve password=hunter2",
    ];
    for attempt in attempts {
        let yaml = with("    client_id", &format!("    {attempt}\n    client_id"));
        for yaml in [format!("# a\r# b\r{yaml}"), yaml.replace('\n', "\r"), yaml] {
            let (code, output, problems) = checked(&scene, &yaml);
            assert_eq!(code, 1, "{attempt}");
            assert!(!problems.contains("hunter2") && !output.contains("hunter2"), "{attempt}:\n{problems}");
        }
    }
    for location in [
        "postgres://eve:hunter2/d",
        "postgres://eve:12?hunter2@db.corp.example/d",
        "postgres://eve:12/hunter2@db.corp.example/d",
        "postgres://eve:12#hunter2@db.corp.example/d",
        "postgres://db.corp.example/d?password=hunter2",
        "postgres://db.corp.example/d?pass=hunter2",
        "postgres:eve:hunter2",
        "eve:hunter2@db.corp.example/d",
    ] {
        let (code, output, problems) = checked(&scene, &BASE.replace("sqlite:doorward.db", &format!("'{location}'")));
        assert_eq!(code, 1, "{location}");
        assert!(!problems.contains("hunter2") && !output.contains("hunter2"), "{location}:\n{problems}");
    }
    let token = format!("{BASE}admin: {{ token: hunter2 }}\n");
    assert!(!checked(&scene, &token).2.contains("hunter2"));
    scene.write("apps.key", "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n");
    let (code, _, problems) = checked(&scene, BASE);
    assert_eq!(code, 1);
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn what_a_terminal_would_act_on_is_not_shown() {
    for (key, value) in [("\"a\\e[31mb\"", "1"), ("a\u{1b}[31mb", "1"), ("'a\u{0}b'", "1"), ("a\u{9b}b", "1"), ("a", "\"\\a\\0\"")]
    {
        let (code, output, problems) = checked(&Scene::new(), &format!("{BASE}{key}: {value}\n"));
        assert_eq!(code, 1, "{key}");
        let acts = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!acts(&problems) && !acts(&output), "{problems:?}");
    }
}
