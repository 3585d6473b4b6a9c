//! The page on policy says what is so: every example is a configuration, and every command below it ends as the page says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/policy.md");
const PROVIDERS: &str = "identity_providers:\n  staff:\n    issuer: https://idp.corp.example\n    client_id: doorward\n    \
    claims: { groups: groups, department: department }\n";
const PARTNERS: &str = "  partners: { issuer: 'https://partners.example', client_id: doorward }\n";

/// A directory with a certificate, the policies of the page and this configuration, completed.
fn scene(example: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let made = rcgen::generate_simple_self_signed(["*.corp.example".to_owned()]).unwrap();
    write("cert.pem", &made.cert.pem());
    write("key.pem", &made.signing_key.serialize_pem());
    for (index, policy) in blocks("cedar").into_iter().enumerate() {
        write(&format!("policies/{index}.cedar"), policy);
    }
    let providers = match example.contains("identity_providers:") {
        true => String::new(),
        false => format!("{PROVIDERS}{}", if example.contains("partners:8c1f2a") { PARTNERS } else { "" }),
    };
    let base = "listen: { https: '127.0.0.1:8443' }\ntls: { certificates: [{ cert: cert.pem, key: key.pem }] }\n\
        auth: { url: https://login.corp.example }\nstore: sqlite:x.db\n";
    write("doorward.yaml", &format!("{base}{providers}{example}"));
    folder
}

fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&*fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn doorward(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward")).current_dir(folder).args(arguments).output().unwrap()
}

#[test]
fn every_example_of_the_page_decides_as_the_page_says() {
    let mut asked = 0;
    for rest in PAGE.split("```yaml\n").skip(1) {
        let (example, rest) = rest.split_once("```").unwrap();
        let folder = scene(example);
        let checked = doorward(folder.path(), &["check", "-c", "doorward.yaml"]);
        assert!(checked.status.success() && checked.stderr.is_empty(), "{}\n{example}", String::from_utf8_lossy(&checked.stderr));
        let commands = rest.trim_start().strip_prefix("```sh\n").unwrap().split("```").next().unwrap();
        let mut lines = commands.lines();
        while let (Some(command), Some(outcome)) = (lines.next(), lines.next()) {
            let outcome = outcome.strip_prefix("# ").unwrap();
            let arguments: Vec<&str> = command.split(' ').skip(1).chain(["-c", "doorward.yaml"]).collect();
            let output = doorward(folder.path(), &arguments);
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.starts_with(&format!("{outcome}: ")), "{command}\n{text}{}", String::from_utf8_lossy(&output.stderr));
            let code = match outcome {
                "allow" => 0,
                "deny" => 1,
                _ => 3,
            };
            assert_eq!(output.status.code(), Some(code), "{command}");
            asked += 1;
        }
    }
    assert!(asked > 25);
}

#[test]
fn an_explanation_names_place_value_source_and_what_would_help() {
    let example = blocks("yaml").into_iter().find(|example| example.contains("auth_age: 4h")).unwrap();
    let folder = scene(example);
    let ask = |more: &[&str]| {
        let fixed =
            ["explain", "-c", "doorward.yaml", "--app", "payroll", "--user", "eve@corp.example", "--at", "2026-11-22T09:00:00Z"];
        doorward(folder.path(), &[&fixed, more].concat())
    };
    let output = ask(&["--group", "finance", "--amr", "pwd", "--auth-age", "2h", "--country", "DE"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let yaml = fs::read_to_string(folder.path().join("doorward.yaml")).unwrap();
    let line = yaml.lines().position(|line| line.contains("- groups: [finance]")).unwrap() + 1;
    for part in [
        "no rule allows it".to_owned(),
        format!("payroll.allow[0] (doorward.yaml:{line}, allow) does not match"),
        "+ groups: [finance]".to_owned(),
        "- mfa: true (false, fresh, provider, 2h ago): sign in with a second factor".to_owned(),
        "+ country: [DE, FR] (DE, fresh, administration, 0s ago)".to_owned(),
        "- device: managed (nothing is known, absent): use the managed device that is yours".to_owned(),
        "- hours: [Mon-Fri 07:00-19:00 Europe/Berlin] (2026-11-22T09:00:00Z, fresh, clock): come back at another time".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
    let output = ask(&["--group", "finance", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["decision"], &value["rule"]), (&"deny".into(), &serde_json::Value::Null));
    let mfa = &value["rules"][0]["conditions"][1];
    assert_eq!((&mfa["condition"], &mfa["holds"], &mfa["state"]), (&"mfa: true".into(), &false.into(), &"absent".into()));
}

#[test]
fn a_question_without_an_answer_is_a_usage_error() {
    let folder = scene(blocks("yaml")[0]);
    for (arguments, message) in [
        (&["--app", "wikki"][..], "no app is called `wikki`"),
        (&["--app", "wiki", "--user", "eve"], "neither an e-mail address"),
        (&["--app", "wiki", "--provider", "other"], "takes no sign-ins of `other`"),
        (&["--app", "wiki", "--claim", "x"], "not of the form name=value"),
        (&["--app", "wiki", "--path", "x"], "not a path of this app"),
        (&["--app", "wiki", "--auth-age", "old"], "a number and a unit"),
    ] {
        let output = doorward(folder.path(), &[&["explain", "-c", "doorward.yaml"], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(message), "{error}");
    }
}

#[test]
fn the_schema_of_policies_is_printed() {
    let output = doorward(Path::new("."), &["schema", "--cedar"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && cedar_policy::Schema::from_cedarschema_str(&text).is_ok());
}

#[test]
fn a_path_that_the_gate_would_read_otherwise_has_no_answer() {
    let app = |name: &str, url: &str, more: &str| {
        format!("  {name}:\n    url: https://x.corp.example{url}\n    upstream: http://10.0.0.20:8080\n    allow: [{{}}]\n{more}")
    };
    let paths = "    paths:\n      - { match: /admin/**, allow: [{ groups: [admins] }] }\n";
    let folder = scene(&format!("apps:\n{}{}", app("site", "", paths), app("api", "/api", "")));
    for (app, path, message) in [
        ("site", "/admin/x", ""),
        ("site", "/other/X", ""),
        ("api", "/api", ""),
        ("api", "/api/X", ""),
        ("site", "/%61dmin/x", "more than one way"),
        ("site", "/Admin/x", "more than one way"),
        ("site", "/api/x", "not a path of this app"),
        ("api", "/admin/x", "not a path of this app"),
        ("api", "/apix", "not a path of this app"),
    ] {
        let output = doorward(folder.path(), &["explain", "-c", "doorward.yaml", "--app", app, "--path", path]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!((output.status.code() == Some(2)) != message.is_empty() && error.contains(message), "{app} {path}: {error}");
    }
}

#[test]
fn a_device_of_the_inventory_counts_as_if_it_had_shown_its_certificate() {
    let example = "devices: { file: devices.csv }
apps:
  payroll:
    url: https://payroll.corp.example
    upstream: http://10.0.0.20:8080
    allow:
      - groups: [finance]
        claims: { department: treasury }
        when: { mfa: true, auth_age: 4h, device: { standing: managed, disk_encryption: true } }
";
    let folder = scene(example);
    let devices = "id,owner,managed,disk_encryption,reported_at,expires_at
mac-1,eve@corp.example,true,true,2026-11-22T01:00:00Z,2026-11-23T00:00:00Z
mac-2,bob@corp.example,true,true,2026-11-22T01:00:00Z,
mac-3,shared,true,false,2026-11-22T01:00:00Z,
";
    fs::write(folder.path().join("devices.csv"), devices).unwrap();
    let ask = |device: &str, at: &str| {
        let line = format!(
            "explain -c doorward.yaml --app payroll --user eve@corp.example --group finance --claim department=treasury --method GET --path /x \
             --ip 192.0.2.1 --country DE --device {device} --amr mfa --auth-age 2h --at {at} --json"
        );
        let output = doorward(folder.path(), &line.split_whitespace().collect::<Vec<_>>());
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null), output.stderr)
    };
    let seen = |value: &serde_json::Value, condition: &str| {
        let parts = value["rules"][0]["conditions"].as_array().unwrap().clone();
        let part = parts.into_iter().find(|part| part["condition"].as_str().unwrap().starts_with(condition)).unwrap();
        [&part["holds"], &part["value"], &part["state"], &part["source"], &part["age"]].map(serde_json::Value::to_string).join(" ")
    };
    for (device, at, code, standing, disk) in [
        (
            "mac-1",
            "2026-11-22T02:00:00Z",
            0,
            r#"true "managed" "fresh" "inventory" 3600"#,
            r#"true "true" "fresh" "inventory" 3600"#,
        ),
        (
            "mac-1",
            "2026-11-23T01:00:00Z",
            1,
            r#"false "managed" "stale" "inventory" 86400"#,
            r#"false "true" "stale" "inventory" 86400"#,
        ),
        (
            "mac-2",
            "2026-11-22T02:00:00Z",
            1,
            r#"false "somebody_elses" "fresh" "inventory" 3600"#,
            r#"true "true" "fresh" "inventory" 3600"#,
        ),
        (
            "mac-3",
            "2026-11-22T02:00:00Z",
            1,
            r#"true "managed" "fresh" "inventory" 3600"#,
            r#"false "false" "fresh" "inventory" 3600"#,
        ),
    ] {
        let (answered, value, problems) = ask(device, at);
        assert_eq!(answered, code, "{device} {at}: {value}");
        let problems = String::from_utf8(problems).unwrap();
        assert!(problems.contains("the gate would not find this device, no `device_ca`"), "{problems}");
        assert_eq!(seen(&value, "device: managed"), standing, "{device} {at}");
        assert_eq!(seen(&value, "device disk_encryption"), disk, "{device} {at}: {value}");
        assert!(value["rules"][0]["place"].as_str().unwrap().starts_with("doorward.yaml:"));
    }
    let (code, _, problems) = ask("mac-9", "2026-11-22T02:00:00Z");
    let problems = String::from_utf8(problems).unwrap();
    assert!(code == 2 && problems.contains("no device of the inventory is called `mac-9`"), "{problems}");
    assert!(problems.contains("the store can't be read"), "{problems}");
}
