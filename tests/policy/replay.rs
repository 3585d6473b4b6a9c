//! Recorded requests, decided again: `doorward replay` and `doorward explain --request`.

use crate::scene::{Scene, doorward};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const APPS: &str = "
apps:
  payroll:
    url: https://payroll.corp.example
    upstream: http://10.0.0.20:8080
    allow:
      - groups: [finance]
        when: { mfa: true }
      - users: [cfo@corp.example]
    deny: [{ when: { network: [192.0.2.0/24] } }]
    paths:
      - { match: /health, public: true }
      - { match: /devices, allow: [{ when: { device: managed } }] }
      - { match: /office, allow: [{ when: { hours: 'Mon-Fri 07:00-19:00 UTC' } }] }
";

/// A request of somebody, as the trail has it.
fn record(id: &str, user: &str, decision: &str, reason: &str, more: Value) -> Value {
    let mut record = json!({
        "time": "2026-11-23T09:00:00.000Z", "request_id": id, "app": "payroll", "route": "payroll", "method": "GET",
        "host": "payroll.corp.example:8443", "path": "/", "peer": "10.0.0.1", "user": user, "email": null, "session": "s", "act": null,
        "decision": decision, "reason": reason, "rule": null, "upstream": null, "status": 200, "bytes_in": 0, "bytes_out": 0,
        "complete": true, "duration_ms": 0.1,
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

/// A sign-in of somebody.
fn landed(user: &str, groups: &[&str], amr: &[&str]) -> Value {
    let profile = json!({ "groups": groups, "claims": {}, "amr": amr, "acr": null, "auth_time": 1_795_420_000 });
    record("0", user, "own", "reserved", json!({ "act": "landed", "path": "/.doorward/callback", "profile": profile }))
}

fn allowed(id: &str, user: &str, more: Value) -> Value {
    record(id, user, "allow", "allowed", more)
}

fn refused(id: &str, user: &str, more: Value) -> Value {
    record(id, user, "deny", "not_allowed", more)
}

fn scene(records: &[Value]) -> Scene {
    let scene = Scene::of(APPS);
    scene.write("audit.jsonl", &records.iter().map(|record| format!("{record}\n")).collect::<String>());
    scene
}

fn replayed(records: &[Value]) -> (Value, String) {
    let scene = scene(records);
    let output = doorward(scene.path(), &["replay", "-c", "doorward.yaml", "--audit", "audit.jsonl", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let changes = ["loses", "asked", "gains"].iter().any(|kind| value[kind] != json!([]));
    assert_eq!(output.status.code(), Some(i32::from(changes)));
    (value, String::from_utf8(output.stderr).unwrap())
}

/// What happens to the one request that a case is about.
fn change(records: &[Value]) -> Option<(String, u64)> {
    let (value, _) = replayed(records);
    ["loses", "asked", "gains"].into_iter().find_map(|kind| {
        let row = value[kind].as_array().unwrap().first()?;
        Some((format!("{kind}: {}", row["why"].as_str().unwrap()), row["count"].as_u64().unwrap()))
    })
}

#[test]
fn whoever_would_be_decided_otherwise_is_found_with_how_often_and_why() {
    let (finance, sales) = (landed("staff:f", &["finance"], &["pwd", "mfa"]), landed("staff:f", &["sales"], &["pwd", "mfa"]));
    let weak = landed("staff:f", &["finance"], &["pwd"]);
    let cfo = json!({ "email": "cfo@corp.example" });
    let office = |time: &str| json!({ "path": "/office", "time": time });
    let evidence = |mfa: bool| {
        json!({ "signals": { "authentication": { "mfa": mfa, "phishing_resistant": null, "acr": null, "source": "provider",
            "observed_at": "2026-11-23T08:00:00Z" } } })
    };
    let elsewhere = |host: &str| json!({ "host": host });
    let cases = [
        ("she still may", vec![finance.clone(), allowed("1", "staff:f", json!({}))], None),
        ("another group may not", vec![sales.clone(), allowed("1", "staff:f", json!({}))], Some("loses: no rule allows it")),
        ("she still may not", vec![sales.clone(), refused("1", "staff:f", json!({}))], None),
        ("now she may", vec![finance.clone(), refused("1", "staff:f", json!({}))], Some("gains: allowed by payroll.allow[0]")),
        ("without a second factor", vec![weak.clone(), allowed("1", "staff:f", json!({}))], Some("loses: no rule allows it")),
        ("what was recorded counts for more", vec![weak.clone(), allowed("1", "staff:f", evidence(true))], None),
        ("and the other way", vec![finance.clone(), allowed("1", "staff:f", evidence(false))], Some("asked: no rule allows it")),
        (
            "by her address",
            vec![
                {
                    let mut landed = sales.clone();
                    landed["email"] = cfo["email"].clone();
                    landed
                },
                allowed("1", "staff:f", cfo.clone()),
            ],
            None,
        ),
        (
            "from a network",
            vec![finance.clone(), allowed("1", "staff:f", json!({ "peer": "192.0.2.7" }))],
            Some("loses: denied by payroll.deny[0]"),
        ),
        (
            "a public path",
            vec![record("1", "x", "challenge", "not_signed_in", json!({ "user": null, "path": "/he%61lth" }))],
            Some("gains: the path is public"),
        ),
        ("nobody", vec![record("1", "x", "challenge", "not_signed_in", json!({ "user": null }))], None),
        (
            "no such app",
            vec![finance.clone(), allowed("1", "staff:f", elsewhere("wiki.corp.example"))],
            Some("loses: no app lives there"),
        ),
        ("in hours", vec![sales.clone(), allowed("1", "staff:f", office("2026-11-23T18:59:59Z"))], None),
        (
            "out of hours",
            vec![sales.clone(), allowed("1", "staff:f", office("2026-11-23T19:00:00Z"))],
            Some("loses: no rule allows it"),
        ),
        (
            "another provider",
            vec![landed("other:f", &["finance"], &["mfa"]), allowed("1", "other:f", json!({}))],
            Some("asked: the app does not take sign-ins of this provider"),
        ),
        ("not a matter of rules", vec![finance.clone(), record("1", "staff:f", "deny", "rate_limited", json!({}))], None),
    ];
    for (what, records, expected) in cases {
        assert_eq!(change(&records), expected.map(|text| (text.to_owned(), 1)), "{what}");
    }
}

#[test]
fn a_request_is_judged_by_the_groups_that_the_person_had_then_and_at_its_own_time() {
    let mut records = vec![landed("staff:f", &["finance"], &["mfa"]), landed("staff:g", &["sales"], &["mfa"])];
    records.extend((0..50).map(|_| allowed("1", "staff:f", json!({}))));
    records.push(landed("staff:f", &["sales"], &["mfa"]));
    records.extend((0..30).map(|_| allowed("2", "staff:f", json!({}))));
    records.extend((0..20).map(|_| allowed("3", "staff:g", json!({}))));
    for hour in [6, 7, 8, 18, 19, 20, 8] {
        records.push(allowed("4", "staff:g", json!({ "path": "/office", "time": format!("2026-11-23T{hour:02}:00:00Z") })));
    }
    let (value, _) = replayed(&records);
    let rows: Vec<_> = value["loses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["user"].as_str().unwrap(), row["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(rows, [("staff:f", 30), ("staff:g", 23)]);
    assert_eq!((&value["same"], &value["requests"], &value["not_decided_by_rules"]), (&json!(54), &json!(110), &json!(3)));
    assert_eq!(value["loses"][0]["example"]["request_id"], "2");
}

#[test]
fn what_was_not_recorded_is_counted_and_never_guessed() {
    let scene = scene(&[
        landed("staff:f", &[], &["mfa"]),
        allowed("1", "staff:f", json!({ "path": "/devices" })),
        allowed("2", "staff:stranger", json!({})),
    ]);
    scene.write("more.jsonl", "nonsense\n");
    let arguments = ["replay", "-c", "doorward.yaml", "--audit", "audit.jsonl", "--audit", "more.jsonl"];
    let output = doorward(scene.path(), &arguments);
    let problems = String::from_utf8(output.stderr).unwrap();
    for part in
        ["the store can't be read", "1 lines are no records", "1 requests were left out", "1 requests have no record of the device"]
    {
        assert!(problems.contains(part), "{part}\n{problems}");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("3 requests: 0 are decided as before, 1 were not decided by rules\n1 would be refused\n"), "{text}");
    assert!(text.contains("  staff:f: no rule allows it, 1 times\n    such as 2026-11-23T09:00:00.000Z GET https://payroll.corp.example:8443/devices (allow, allowed), request 1\n"), "{text}");
    let missing = doorward(scene.path(), &["replay", "-c", "doorward.yaml", "--audit", "gone.jsonl"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_recorded_request_is_explained_by_its_id() {
    let device = json!({ "path": "/devices", "signals": { "device": { "value": { "standing": "known", "id": "laptop" }, "state": "fresh",
        "source": "inventory", "observed_at": "2026-11-23T08:00:00Z" } } });
    let scene = scene(&[
        landed("staff:f", &["finance"], &["pwd"]),
        refused("aa", "staff:f", device),
        allowed("bb", "staff:f", json!({ "peer": "192.0.2.1" })),
    ]);
    let ask = |arguments: &[&str]| {
        let output = doorward(
            scene.path(),
            &[&["explain", "-c", "doorward.yaml", "--audit", "audit.jsonl", "--request"], arguments].concat(),
        );
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text, _) = ask(&["aa"]);
    assert_eq!(code, Some(1));
    for part in [
        "deny: payroll /devices\nno rule allows it\n",
        "- device: managed (known, fresh, inventory, 1h ago): use the managed",
        "recorded at 2026-11-23T09:00:00.000Z: deny, not_allowed\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let (_, text, _) = ask(&["bb", "--json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&value["decision"], &value["rule"], &value["recorded"]["decision"]),
        (&json!("deny"), &json!("payroll.deny[0]"), &json!("allow, allowed"))
    );
    for (id, message) in [("cc", "no record of the request `cc`"), ("0", "not decided by rules: own, reserved")] {
        let (code, _, problems) = ask(&[id]);
        assert!(code == Some(2) && problems.contains(message), "{problems}");
    }
}

#[test]
fn files_that_were_put_aside_are_read_first_and_each_once() {
    let scene = scene(&[allowed("3", "staff:f", json!({}))]);
    // By their numbers, not by their names.
    let files =
        [("audit.jsonl.9", landed("staff:f", &["sales"], &["mfa"])), ("audit.jsonl.10", allowed("2", "staff:f", json!({})))];
    for (name, record) in &files {
        scene.write(name, &format!("{record}\n"));
    }
    for named in [&["--audit", "audit.jsonl"][..], &["--audit", "audit.jsonl.9", "--audit", "audit.jsonl"]] {
        let output = doorward(scene.path(), &[&["replay", "-c", "doorward.yaml", "--json"], named].concat());
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&value["requests"], &value["loses"][0]["count"], &value["unreadable"]),
            (&json!(3), &json!(2), &json!(0)),
            "{value}"
        );
    }
    let asked = ["explain", "-c", "doorward.yaml", "--audit", "audit.jsonl", "--request", "2"];
    let output = doorward(scene.path(), &asked);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("no rule allows it") && text.contains("allow, allowed"), "{text}");
}

#[test]
fn a_chained_trail_is_read_like_any_other_without_what_it_says_of_itself() {
    let records = [landed("staff:f", &["sales"], &["mfa"]), allowed("1", "staff:f", json!({}))];
    let scene = scene(&[]);
    let (mut link, mut text) = (doorward::model::chain::Link::START, Vec::new());
    let own = |event: &str| json!({ "time": "2026-11-23T09:00:00.000Z", "act": "trail", "event": event }).to_string();
    link.append_sealed(&mut text, own("started").as_bytes(), |_| (1, [b'0'; 64]));
    records.iter().for_each(|record| link.append(&mut text, record.to_string().as_bytes()));
    link.append_sealed(&mut text, own("stopped").as_bytes(), |_| (1, [b'0'; 64]));
    scene.write("audit.jsonl", std::str::from_utf8(&text).unwrap());
    let output = doorward(scene.path(), &["replay", "-c", "doorward.yaml", "--audit", "audit.jsonl", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["requests"], &value["loses"][0]["count"], &value["unreadable"]),
        (&json!(2), &json!(1), &json!(0)),
        "{value}"
    );
}

const REPLAY: &str = "replay -c doorward.yaml --audit audit.jsonl --json";

/// What a terminal shows of a replay of so many requests, whose answer goes into a file.
fn on_a_terminal(count: usize) -> (Scene, String) {
    let landed = landed("staff:f", &["finance"], &["mfa"]);
    let records: Vec<_> = [landed].into_iter().chain(std::iter::repeat_n(allowed("1", "staff:f", json!({})), count)).collect();
    let (scene, command) = (scene(&records), format!("'{}' {REPLAY} > answer", env!("CARGO_BIN_EXE_doorward")));
    let mut terminal = Command::new("script");
    terminal.current_dir(scene.path()).env("SHELL", "/bin/sh").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null());
    let output = terminal.output().expect("script, of util-linux");
    assert!(output.status.success(), "{output:?}");
    (scene, String::from_utf8(output.stdout).unwrap())
}

#[test]
fn progress_is_shown_on_a_terminal_and_nowhere_else() {
    // Of what is done at once no progress is shown, and how much that is nobody knows.
    let mut replays = [20_000, 200_000].into_iter().map(on_a_terminal);
    let (scene, shown) = replays.find(|(_, shown)| shown.contains("\r[")).expect("a bar");
    let (bars, rest) = shown.rsplit_once(&format!("\r{}\r", " ".repeat(34))).expect("it is wiped out at last");
    for drawn in bars.split("\r[").skip(1) {
        let (bar, percent) = drawn.strip_suffix(" %").unwrap().split_once("] ").unwrap();
        let full = percent.parse::<usize>().unwrap() / 4;
        assert_eq!(bar, "#".repeat(full) + &".".repeat(25 - full), "{percent}");
    }
    let answer = scene.read("answer");
    assert!(!answer.contains('\r') && serde_json::from_str::<Value>(&answer).is_ok(), "nothing of it is in the answer");

    let piped = doorward(scene.path(), &REPLAY.split(' ').collect::<Vec<_>>());
    let problems = String::from_utf8(piped.stderr).unwrap();
    assert!(!problems.contains(['\r', '%', '#']), "{problems}");
    assert_eq!((String::from_utf8(piped.stdout).unwrap(), problems), (answer, rest.replace("\r\n", "\n")), "all else is the same");
}
