//! What policy and audit cost at sizes that take a while: `cargo bench --bench policy` prints a line for each.
//!
//! Every figure is the median of several runs; the large ones are few. What a request costs is in `walk`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use doorward::clock;
use doorward::control::config;
use doorward::control::replay::Replay;
use doorward::control::trail::Verifier;
use doorward::gate::audit::{channel, writer};
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, ProviderName};
use doorward::policy::{Facts, Principal, Ruleset};
use doorward::snapshot::{Access, Snapshot};
use doorward::store::{Location, trail_keys};
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

fn main() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    loading(folder.path());
    deciding(folder.path());
    replaying(folder.path());
    auditing(folder.path());
}

fn say(what: &str, took: Duration, each: u32) {
    println!("{what:<62} {:>12.3?} in all, {:>10.3?} each", took, took / each);
}

/// The median of so many runs.
fn median<T>(runs: usize, mut run: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            black_box(run());
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}

fn files(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["*.corp.example".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("bench.db.keys"), format!("1 {}=\n", "A".repeat(43))).unwrap();
}

/// So many apps with so many rules each; those of the first are as many as `first` says. Every other rule asks for circumstances.
fn snapshot(folder: &Path, apps: usize, rules: usize, first: usize) -> Snapshot {
    let mut yaml = String::from(
        "listen: { https: \"127.0.0.1:0\" }\ntls: { certificates: [{ cert: cert.pem, key: key.pem }] }\nauth: { url: https://login.corp.example }\n\
         identity_providers: { staff: { issuer: https://idp.corp.example, client_id: doorward, claims: { groups: groups } } }\nstore: sqlite:bench.db\napps:\n",
    );
    for app in 0..apps {
        writeln!(yaml, "  app{app}:\n    url: https://app{app}.corp.example\n    upstream: http://127.0.0.1:1\n    allow:")
            .unwrap();
        for rule in 1..if app == 0 { first } else { rules } {
            let when =
                "when: { mfa: true, auth_age: 8h, hours: 'Mon-Fri 07:00-19:00 Europe/Berlin', country: [DE, FR], device: managed }";
            writeln!(yaml, "      - {{ groups: [none{rule}]{} }}", if rule % 2 == 0 { format!(", {when}") } else { String::new() })
                .unwrap();
        }
        yaml.push_str("      - groups: [finance]\n");
    }
    let file = folder.join("doorward.yaml");
    fs::write(&file, yaml).unwrap();
    config::load(&file, 1).unwrap_or_else(|problems| panic!("{problems}")).snapshot
}

fn rules(snapshot: &Snapshot) -> &Ruleset {
    match &snapshot.route(snapshot.apps[0].paths.find("/").unwrap()).unwrap().access {
        Access::Rules(rules) => rules,
        Access::Public(_) => panic!("the app has rules"),
    }
}

fn identity(groups: usize) -> Identity {
    let groups = (1..groups).map(|n| format!("group-{n:03}")).chain(["finance".to_owned()]).collect();
    Identity {
        subject: Subject { provider: ProviderName::parse("staff").unwrap(), subject: "00u1".to_owned() },
        profile: Profile { email: Some(Email::parse("eve@corp.example").unwrap()), groups, ..Profile::default() },
        authenticated_at: clock::now(),
    }
}

fn loading(folder: &Path) {
    for (apps, rules) in [(1, 20), (100, 10), (1000, 10)] {
        let took = median(3, || snapshot(folder, apps, rules, rules));
        say(&format!("load {} rules over {apps} apps", apps * rules), took, u32::try_from(apps * rules).unwrap());
    }
}

fn deciding(folder: &Path) {
    const TIMES: u32 = 2000;
    let decide = |what: &str, snapshot: &Snapshot, groups: usize| {
        let (principal, facts) = (Principal::new(&identity(groups)).unwrap(), Facts::bare(clock::now(), http::Method::GET));
        let rules = rules(snapshot);
        assert!(rules.evaluate(&principal, &facts).decision.allows());
        say(what, median(9, || (0..TIMES).for_each(|_| drop(black_box(rules.evaluate(&principal, &facts))))), TIMES);
    };
    decide("decide anew by 20 rules in a file of 10,010", &snapshot(folder, 1000, 10, 20), 2);
    for count in [1, 20, 100, 1000] {
        decide(&format!("decide anew by {count} rules"), &snapshot(folder, 1, count, count), 2);
    }
    let twenty = snapshot(folder, 1, 20, 20);
    for groups in [2, 31, 200, 1000] {
        decide(&format!("decide anew by 20 rules, of somebody in {groups} groups"), &twenty, groups);
        let identity = identity(groups);
        let took = median(9, || (0..100).for_each(|_| drop(black_box(Principal::new(&identity)))));
        say(&format!("  of which once a session: who is in {groups} groups"), took, 100);
    }
}

/// Records of so many people, with what the rules looked at.
fn records(count: u32) -> Vec<u8> {
    let mut text = String::new();
    for person in 0..1000 {
        let groups = if person % 2 == 0 { "finance" } else { "sales" };
        writeln!(text, r#"{{"time":"2026-11-23T08:00:00.000Z","request_id":"0","app":null,"route":null,"method":"GET","host":"login.corp.example","path":"/.doorward/callback","peer":"10.0.0.1","user":"staff:{person}","email":"p{person}@corp.example","session":null,"act":"landed","profile":{{"groups":["{groups}"],"claims":{{}},"amr":["mfa"],"acr":null,"auth_time":1795420000}},"decision":"own","reason":"reserved","rule":null,"status":303}}"#).unwrap();
    }
    for number in 0..count {
        let (person, app, minute) = (number % 1000, number * 7 % 1000, number / 1000 % 60);
        writeln!(text, r#"{{"time":"2026-11-23T09:{minute:02}:00.000Z","request_id":"{number:032x}","app":"app{app}","route":"app{app}","method":"GET","host":"app{app}.corp.example","path":"/reports/{number}","peer":"10.0.{}.{}","user":"staff:{person}","email":"p{person}@corp.example","session":"s","act":null,"certificate":"good","device":"mac-{person}","decision":"allow","reason":"allowed","rule":"app{app}.allow[9]","signals":{{"country":{{"value":"DE","state":"fresh","source":"database","observed_at":"2026-11-01T00:00:00Z"}},"authentication":{{"mfa":true,"phishing_resistant":null,"acr":null,"source":"provider","observed_at":"2026-11-23T08:00:00Z"}},"device":{{"value":{{"standing":"managed","id":"mac-{person}"}},"state":"fresh","source":"inventory","observed_at":"2026-11-23T07:00:00Z"}}}},"upstream":"127.0.0.1:1","status":200,"bytes_in":0,"bytes_out":1024,"complete":true,"duration_ms":1.234}}"#, person / 250, person % 250).unwrap();
    }
    text.into_bytes()
}

fn replaying(folder: &Path) {
    let (snapshot, text) = (snapshot(folder, 1000, 10, 10), records(100_000));
    let begun = Instant::now();
    let mut replay = Replay::new(&snapshot, Vec::new());
    for _ in 0..10 {
        text.split_inclusive(|byte| *byte == b'\n').for_each(|line| replay.read(line));
    }
    let report = replay.report();
    assert!(report.requests > 1_000_000 && report.changes());
    say("replay 1,000,000 records by 10,000 rules", begun.elapsed(), 1_000_000);
}

/// The thread that writes, and the command that reads what it wrote.
fn auditing(folder: &Path) {
    let keys = || trail_keys(&Location::parse(&format!("sqlite:{}", folder.join("bench.db").display())).unwrap()).unwrap();
    let (path, text) = (folder.join("audit.jsonl"), records(100_000));
    let (sender, receiver) = channel();
    let last = prometheus::IntGauge::new("last", "last").unwrap();
    let destination = writer::Destination { file: Some(path.clone()), rotation: None, keys: keys(), last: last.clone() };
    let begun = Instant::now();
    let thread = writer::start(receiver, destination).unwrap();
    for _ in 0..10 {
        let mut rest = &*text;
        while !rest.is_empty() {
            let end = rest.iter().skip(64 << 10).position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + (64 << 10) + 1);
            while !sender.has_room() {
                std::thread::sleep(Duration::from_micros(100));
            }
            sender.take(rest[..end].to_vec());
            rest = &rest[end..];
        }
    }
    drop(sender);
    thread.join().unwrap();
    say("write 1,000,000 audit records, chained", begun.elapsed(), 1_000_000);
    let keys = keys();
    let took = median(1, || {
        let mut verifier = Verifier::new(Some(&keys), None);
        verifier.read(&mut BufReader::with_capacity(1 << 20, fs::File::open(&path).unwrap())).unwrap();
        let report = verifier.finish(false);
        assert_eq!((report.count, report.last.unwrap().number), (0, u64::try_from(last.get()).unwrap()));
    });
    say("verify 1,000,000 audit records", took, 1_000_000);
}
