//! The chain of the audit trail: what was written is whole, and whatever somebody does to it afterwards is found.

use crate::world::{ALICE, WIKI, World, eventually};
use doorward::clock;
use doorward::control::trail::{Report, Verifier, Wrong, files};
use doorward::gate::audit::writer::{Destination, start};
use doorward::gate::audit::{Sender, channel};
use doorward::model::chain::{Link, TrailId, hash};
use doorward::snapshot::rotation::Rotation;
use doorward::store::{self, seal::TrailKeys};
use proptest::prelude::*;
use proptest::sample::Index;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A folder with keys and a trail.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        fs::write(scene.0.path().join("db.keys"), format!("1 {}\n", "A".repeat(43) + "=")).unwrap();
        scene
    }

    fn trail(&self) -> PathBuf {
        self.0.path().join("audit.jsonl")
    }

    fn keys(&self) -> TrailKeys {
        store::trail_keys(&store::Location::parse(&format!("sqlite:{}", self.0.path().join("db").display())).unwrap()).unwrap()
    }

    /// A process that writes to it.
    fn writer(&self, rotation: Option<Rotation>) -> Process {
        let (sender, receiver) = channel();
        let last = prometheus::IntGauge::new("last", "last").unwrap();
        let destination = Destination { file: Some(self.trail()), rotation, keys: self.keys(), last: last.clone() };
        Process { thread: start(receiver, destination).unwrap(), sender, last }
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.trail()).unwrap()
    }

    fn report(&self) -> Report {
        verify(&self.files(), &self.keys(), false)
    }
}

struct Process {
    sender: Sender,
    thread: JoinHandle<()>,
    last: prometheus::IntGauge,
}

impl Process {
    /// One batch.
    fn write(&self, records: std::ops::Range<u32>) {
        let line = |number| format!("{{\"time\":\"{}\",\"path\":\"/{number}\",\"method\":\"GET\"}}\n", clock::now());
        let lines: String = records.map(line).collect();
        self.sender.take(lines.into_bytes());
    }

    /// Waits until so many records are written.
    fn written(&self, count: i64) {
        for _ in 0..2000 {
            if self.last.get() >= count {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{} of {count}", self.last.get());
    }

    fn stop(self) {
        drop(self.sender);
        self.thread.join().unwrap();
    }
}

/// Nobody runs any more.
fn stopped(process: Process) -> Option<Process> {
    process.stop();
    None
}

fn verify(files: &[PathBuf], keys: &TrailKeys, open: bool) -> Report {
    let mut verifier = Verifier::new(Some(keys), None);
    for file in files {
        verifier.read(&mut &*fs::read(file).unwrap()).unwrap();
    }
    verifier.finish(open)
}

fn read(text: &[u8]) -> Report {
    let mut verifier = Verifier::new(Some(&whole().1), None);
    verifier.read(&mut &*text).unwrap();
    verifier.finish(false)
}

/// A trail that was written and ended, and its keys.
fn whole() -> &'static (Vec<u8>, TrailKeys) {
    static WHOLE: OnceLock<(Vec<u8>, TrailKeys)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let scene = Scene::new();
        for begin in [0, 8] {
            let process = scene.writer(None);
            process.write(begin..begin + 8);
            process.stop();
        }
        (fs::read(scene.trail()).unwrap(), scene.keys())
    })
}

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// What somebody can do to a trail.
#[derive(Clone, Debug)]
enum Deed {
    Change(Index, u8),
    Insert(Index, u8),
    Remove(Index, Index),
    RemoveLine(Index),
    Swap(Index, Index),
    Repeat(Index, Index),
    CutOff(Index),
    /// Changes a record, and makes the chain anew from there to the end, which needs no key.
    Rewrite(Index),
}

fn deed() -> impl Strategy<Value = Deed> {
    let index = any::<Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Deed::Change(at, byte)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Deed::Insert(at, byte)),
        (index(), index()).prop_map(|(at, to)| Deed::Remove(at, to)),
        index().prop_map(Deed::RemoveLine),
        (index(), index()).prop_map(|(one, other)| Deed::Swap(one, other)),
        (index(), index()).prop_map(|(line, at)| Deed::Repeat(line, at)),
        index().prop_map(Deed::CutOff),
        index().prop_map(Deed::Rewrite),
    ]
}

fn done(text: &[u8], deed: &Deed) -> Vec<u8> {
    let (mut bytes, mut all) = (text.to_vec(), lines(text));
    match deed {
        Deed::Change(at, byte) => bytes[at.index(text.len())] = *byte,
        Deed::Insert(at, byte) => bytes.insert(at.index(text.len() + 1), *byte),
        Deed::Remove(one, other) => {
            let (one, other) = (one.index(text.len()), other.index(text.len()));
            bytes.drain(one.min(other)..=one.max(other));
        }
        Deed::CutOff(at) => bytes.truncate(at.index(text.len())),
        Deed::RemoveLine(at) => {
            all.remove(at.index(all.len()));
            bytes = all.concat();
        }
        Deed::Swap(one, other) => {
            let (one, other) = (one.index(all.len()), other.index(all.len()));
            all.swap(one, other);
            bytes = all.concat();
        }
        Deed::Repeat(line, at) => {
            let line = all[line.index(all.len())].clone();
            all.insert(at.index(all.len() + 1), line);
            bytes = all.concat();
        }
        Deed::Rewrite(at) => bytes = rewritten(&all, at.index(all.len())),
    }
    bytes
}

/// The trail with another record `from` there on, chained anew; with the seals that there were.
fn rewritten(all: &[Vec<u8>], from: usize) -> Vec<u8> {
    let mut text = all[..from].concat();
    let mut link = from.checked_sub(1).map_or(Link::START, |last| Link::of(all[last].trim_ascii_end()).unwrap());
    for (index, line) in all.iter().enumerate().skip(from) {
        let line = String::from_utf8(line.clone()).unwrap();
        let record = line.split(",\"seq\":").next().unwrap().to_owned() + "}";
        let record = if index == from { record.replace('}', ",\"forged\":true}") } else { record };
        match line.split("\"mac\":\"").nth(1) {
            Some(mac) => {
                let mac = mac.as_bytes()[..64].try_into().unwrap();
                link.append_sealed(&mut text, record.as_bytes(), |_| (1, mac));
            }
            None => link.append(&mut text, record.as_bytes()),
        }
    }
    text
}

proptest! {
    #[test]
    fn whatever_was_done_to_a_trail_is_found(deed in deed()) {
        let text = &whole().0;
        let touched = done(text, &deed);
        // Where a process ended, another began: only who knows a record of the other part knows better.
        let (one, other) = text.split_at(lines(text)[..10].concat().len());
        prop_assume!(touched != *text && touched != one && touched != other);
        let report = read(&touched);
        prop_assert!(report.count > 0, "{deed:?}: {report:?}\n{}", String::from_utf8_lossy(&touched));
    }
}

#[test]
fn what_is_wrong_is_named_where_it_is() {
    let (text, _) = whole();
    assert_eq!((read(text).count, read(text).sealed, read(text).records), (0, Some(20), 20));
    let line = |line| doorward::control::trail::Place { file: 0, line };
    let all = lines(text);
    let without = |at: usize| [&all[..at], &all[at + 1..]].concat().concat();
    let changed = String::from_utf8(text.clone()).unwrap().replace("\"/3\"", "\"/4\"").into_bytes();
    let mut swapped = all.clone();
    swapped.swap(4, 5);
    let mut foreign = all.clone();
    foreign.insert(3, b"{\"path\":\"/x\"}\n".to_vec());
    let cases = [
        (without(4), vec![(line(5), Wrong::Missing(5, 5))]),
        ([&all[..4], &all[9..]].concat().concat(), vec![(line(5), Wrong::Missing(5, 9))]),
        (changed, vec![(line(5), Wrong::Changed)]),
        (swapped.concat(), vec![(line(5), Wrong::Missing(5, 5)), (line(6), Wrong::OutOfPlace(5, 7))]),
        (foreign.concat(), vec![(line(4), Wrong::NotARecord)]),
        (all[..15].concat(), vec![(line(15), Wrong::CutOff)]),
        (text[..text.len() - 1].to_vec(), vec![(line(20), Wrong::BreaksOff), (line(19), Wrong::CutOff)]),
        (rewritten(&all, 12), vec![(line(20), Wrong::Seal)]),
        ([text.clone(), all[0].clone()].concat(), vec![(line(21), Wrong::Anew(20)), (line(21), Wrong::CutOff)]),
        (without(0), vec![(line(1), Wrong::NoBeginning)]),
        (Vec::new(), vec![(line(0), Wrong::Empty)]),
    ];
    for (text, expected) in cases {
        let mut report = read(&text);
        if report.faults.iter().any(|fault| fault.wrong == Wrong::Empty) {
            report.faults[0].place = line(0);
        }
        let found: Vec<_> = report.faults.iter().map(|fault| (fault.place, fault.wrong.clone())).collect();
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_chain_goes_on_where_the_process_before_was_killed_in_the_middle_of_a_line() {
    for torn in ["", "{\"ti", "{\"time\":\"2026\"}"] {
        let scene = Scene::new();
        let process = scene.writer(None);
        process.write(0..5);
        process.written(6);
        // What it still has to write comes after what is left of another.
        append(&scene.trail(), torn.as_bytes());
        process.write(5..7);
        process.stop();
        scene.writer(None).stop();
        let report = scene.report();
        assert_eq!((report.count, report.torn.len()), (0, usize::from(!torn.is_empty())), "{torn}: {report:?}");
    }
}

#[test]
fn whole_lines_that_somebody_put_in_are_no_line_that_broke_off() {
    for inserted in ["{}\n", "{\"x\":1}\n{\"y", "\n"] {
        let scene = Scene::new();
        let process = scene.writer(None);
        process.write(0..5);
        process.written(6);
        append(&scene.trail(), inserted.as_bytes());
        process.stop();
        let report = scene.report();
        assert!(report.torn.is_empty() && report.count == 1, "{inserted}: {report:?}");
    }
}

#[test]
fn a_write_that_broke_off_before_its_line_feed_is_a_record() {
    for is_running in [true, false] {
        let scene = Scene::new();
        let process = scene.writer(None);
        process.written(1);
        let running = if is_running { Some(process) } else { stopped(process) };
        let (mut text, mut link) = (Vec::new(), last(&scene));
        link.append(&mut text, b"{\"path\":\"/\"}");
        append(&scene.trail(), text.strip_suffix(b"\n").unwrap());
        running.unwrap_or_else(|| scene.writer(None)).stop();
        let report = scene.report();
        assert_eq!((report.count, report.torn.len()), (0, 0), "{report:?}");
    }
}

/// The last record of the file.
fn last(scene: &Scene) -> Link {
    Link::of(lines(&fs::read(scene.trail()).unwrap()).last().unwrap().trim_ascii_end()).unwrap()
}

#[test]
fn nobody_who_can_read_the_trail_can_stop_the_writer_by_a_lock() {
    let scene = Scene::new();
    let process = scene.writer(None);
    process.written(1);
    let reader = fs::File::open(scene.trail()).unwrap();
    reader.lock().unwrap();
    process.write(0..5);
    process.written(6);
    process.stop();
    let mode = fs::metadata(scene.0.path().join("audit.jsonl.end")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600, "nobody else can open what is locked");
}

#[test]
fn a_process_that_is_to_end_does_though_another_keeps_it_from_writing() {
    let scene = Scene::new();
    let process = scene.writer(None);
    process.written(1);
    let other = OpenOptions::new().write(true).open(scene.0.path().join("audit.jsonl.end")).unwrap();
    other.lock().unwrap();
    process.write(0..5);
    process.stop();
    assert_eq!(lines(&fs::read(scene.trail()).unwrap()).len(), 1);
    drop(other);
    scene.writer(None).stop();
    let report = scene.report();
    assert_eq!((report.count, report.unstopped.len()), (0, 1), "{report:?}");
}

#[test]
fn an_end_that_was_cut_off_is_missed_also_when_the_trail_goes_on() {
    for is_running in [true, false] {
        let scene = Scene::new();
        let process = scene.writer(None);
        process.write(0..10);
        process.written(11);
        let running = if is_running { Some(process) } else { stopped(process) };
        let kept = lines(&fs::read(scene.trail()).unwrap())[..8].concat().len();
        OpenOptions::new().write(true).open(scene.trail()).unwrap().set_len(kept as u64).unwrap();
        running.unwrap_or_else(|| scene.writer(None)).stop();
        let report = scene.report();
        assert!(report.faults.iter().any(|fault| matches!(fault.wrong, Wrong::Missing(9, _))), "{is_running}: {report:?}");
    }
}

#[test]
fn a_trail_that_was_deleted_while_nobody_ran_does_not_begin_anew() {
    let scene = Scene::new();
    scene.writer(None).stop();
    fs::remove_file(scene.trail()).unwrap();
    scene.writer(None).stop();
    assert_eq!(scene.report().first, Some(3), "two are gone");
}

#[test]
fn records_without_a_key_behind_the_end_are_named_and_not_taken_for_our_own() {
    for is_running in [true, false] {
        let scene = Scene::new();
        let process = scene.writer(None);
        process.write(0..3);
        process.written(4);
        let end = scene.0.path().join("audit.jsonl.end");
        let killed = [scene.trail(), end].map(|path| (fs::read(&path).unwrap(), path));
        let running = if is_running { Some(process) } else { stopped(process) };
        if !is_running {
            killed.iter().for_each(|(text, path)| fs::write(path, text).unwrap());
        }
        let (mut text, mut link) = (Vec::new(), last(&scene));
        link.append(&mut text, b"{\"forged\":true}");
        append(&scene.trail(), &text);
        running.unwrap_or_else(|| scene.writer(None)).stop();
        let report = scene.report();
        assert_eq!(
            (report.joined.len(), report.unstopped.len()),
            (usize::from(is_running), usize::from(!is_running)),
            "{report:?}"
        );
    }
}

#[test]
fn a_file_that_begins_with_a_broken_line_goes_on_with_the_chain_that_was_put_aside() {
    let scene = Scene::new();
    scene.writer(None).stop();
    fs::rename(scene.trail(), scene.0.path().join("audit.jsonl.2")).unwrap();
    fs::remove_file(scene.0.path().join("audit.jsonl.end")).unwrap();
    fs::write(scene.trail(), "{\"ti").unwrap();
    scene.writer(None).stop();
    let report = verify(&[scene.0.path().join("audit.jsonl.2"), scene.trail()], &scene.keys(), false);
    assert_eq!((report.count, report.torn.len()), (0, 1), "{report:?}");
}

#[test]
fn what_others_put_aside_and_what_was_just_put_aside_is_not_thrown_away() {
    let scene = Scene::new();
    let others = ["audit.jsonl.1", "audit.jsonl.7"].map(|name| scene.0.path().join(name));
    others.iter().for_each(|path| fs::write(path, "of logrotate\n").unwrap());
    let process = scene.writer(Some(Rotation { size: 2000, keep: Some(1) }));
    (0..20).for_each(|round| process.write(round * 10..round * 10 + 10));
    process.stop();
    assert!(others.iter().all(|path| path.exists()));
    assert_eq!(scene.files().len(), 4, "one that was put aside: {:?}", scene.files());
    let files: Vec<_> = scene.files().into_iter().filter(|path| !others.contains(path)).collect();
    assert_eq!(verify(&files, &scene.keys(), false).count, 0);
}

#[test]
fn a_name_that_is_taken_stops_rotation_for_a_while_and_not_for_good() {
    let scene = Scene::new();
    let process = scene.writer(Some(Rotation { size: 2000, keep: None }));
    process.write(0..10);
    process.written(11);
    let taken = scene.0.path().join("audit.jsonl.12");
    fs::write(&taken, "").unwrap();
    process.write(0..1);
    process.written(13);
    assert_eq!(fs::read(&taken).unwrap(), b"");
    (0..5).for_each(|_| process.write(0..10));
    process.stop();
    fs::remove_file(taken).unwrap();
    assert!(scene.files().len() > 1, "{:?}", scene.files());
    assert_eq!(scene.report().count, 0);
}

#[test]
fn what_stands_before_the_first_record_is_named_by_it() {
    let (text, _) = whole();
    for before in ["\n", "{\"x\":1}\n"] {
        let report = read(&[before.as_bytes(), text].concat());
        assert_eq!(report.faults.first().map(|fault| &fault.wrong), Some(&Wrong::NotARecord), "{before}");
    }
    let scene = Scene::new();
    fs::write(scene.trail(), "{\"path\":\"/old\"}\n").unwrap();
    scene.writer(None).stop();
    assert_eq!(scene.report().count, 0);
    let changed = String::from_utf8(fs::read(scene.trail()).unwrap()).unwrap().replacen("/old", "/new", 1);
    fs::write(scene.trail(), changed).unwrap();
    assert_eq!(scene.report().count, 1);
}

#[test]
fn who_is_open_need_not_have_ended_and_yet_seals_come_often() {
    let scene = Scene::new();
    let process = scene.writer(None);
    process.write(0..3);
    process.written(4);
    let all = fs::read(scene.trail()).unwrap();
    process.stop();
    let open = |more: &[u8]| {
        let (keys, mut verifier) = (scene.keys(), Verifier::new(None, None));
        verifier = if more.is_empty() { verifier } else { Verifier::new(Some(&keys), None) };
        verifier.read(&mut &*[&all, more].concat()).unwrap();
        verifier.finish(true)
    };
    let report = open(b"{\"half\":");
    assert!(report.count == 0 && report.unfinished, "{report:?}");
    for late in ["{\"time\":\"2100-01-01T00:00:00Z\",\"path\":\"/\"}", "{\"forged\":true}"] {
        let mut link = Link::of(lines(&all).last().unwrap().trim_ascii_end()).unwrap();
        let mut more = Vec::new();
        link.append(&mut more, late.as_bytes());
        // What is put behind it does not hide it.
        link.append(&mut more, format!("{{\"time\":\"{}\"}}", clock::now()).as_bytes());
        let report = open(&more);
        assert_eq!(report.faults.first().map(|fault| &fault.wrong), Some(&Wrong::Unsealed(1)), "{late}: {report:?}");
    }
}

#[test]
fn what_nobody_has_sealed_is_a_note_for_as_long_as_it_may_be_and_then_a_fault() {
    let scene = Scene::new();
    let process = scene.writer(None);
    process.write(0..3);
    process.written(4);
    let (all, now, keys) = (fs::read(scene.trail()).unwrap(), clock::now(), scene.keys());
    process.stop();
    for (later, faults) in [(Duration::ZERO, vec![]), (Duration::from_secs(60), vec![Wrong::Unsealed(1)])] {
        let mut verifier = Verifier::new(Some(&keys), None).at(Some(now.plus(later)));
        verifier.read(&mut &*all).unwrap();
        let report = verifier.finish(true);
        assert_eq!(report.faults.into_iter().map(|fault| fault.wrong).collect::<Vec<_>>(), faults);
        assert_eq!((report.sealed, report.last.unwrap().number), (Some(1), 4));
    }
    let sealed = verify(&scene.files(), &keys, true);
    assert_eq!((sealed.count, sealed.sealed), (0, Some(5)), "what has ended stays as it is");
}

#[test]
fn one_trail_in_the_place_of_another_of_the_same_keys_is_found() {
    let scenes = [Scene::new(), Scene::new()];
    for scene in &scenes {
        let process = scene.writer(None);
        process.write(0..5);
        process.stop();
    }
    let [one, other] = scenes.each_ref().map(|scene| scene.report().trail.unwrap());
    assert_ne!(one, other);
    let as_one = |scene: &Scene| {
        let keys = scene.keys();
        let mut verifier = Verifier::new(Some(&keys), None).of(Some(one.clone()));
        verifier.read(&mut &*fs::read(scene.trail()).unwrap()).unwrap();
        verifier.finish(false).faults.into_iter().map(|fault| fault.wrong).collect::<Vec<_>>()
    };
    assert_eq!(as_one(&scenes[0]), []);
    assert_eq!(as_one(&scenes[1]), [Wrong::Trail(one.clone())]);
    // What is written down of its end says which one it is, and so does whoever goes on with it.
    fs::copy(scenes[1].trail(), scenes[0].trail()).unwrap();
    scenes[0].writer(None).stop();
    let faults = scenes[0].report().faults;
    assert!(faults.iter().any(|fault| fault.wrong == Wrong::Trail(other.clone())), "{faults:?}");
}

#[test]
fn a_trail_keeps_its_id_behind_whatever_stands_before_it() {
    let scene = Scene::new();
    fs::write(scene.trail(), "{\"path\":\"/old\"}\n".repeat(8 << 10)).unwrap();
    for _ in 0..2 {
        // Nothing is written down of its end.
        let _ = fs::remove_file(scene.0.path().join("audit.jsonl.end"));
        let process = scene.writer(None);
        process.write(0..5);
        process.stop();
    }
    let report = scene.report();
    assert_eq!((report.count, report.records), (0, 1 + 2 * 7), "adopted, and twice started, five, stopped: {report:?}");
}

#[test]
fn a_file_that_is_moved_away_before_it_is_written_says_which_trail_it_was() {
    let scene = Scene::new();
    scene.writer(None).stop();
    let end = scene.0.path().join("audit.jsonl.end");
    fs::remove_file(&end).unwrap();
    let other = fs::File::create(&end).unwrap();
    other.lock().unwrap();
    let process = scene.writer(None);
    let aside = scene.0.path().join("elsewhere.jsonl");
    fs::rename(scene.trail(), &aside).unwrap();
    drop(other);
    process.written(3);
    process.stop();
    let report = verify(&[aside, scene.trail()], &scene.keys(), false);
    assert_eq!(report.count, 0, "{report:?}");
}

#[test]
fn a_seal_of_another_trail_is_none_of_this_one() {
    let (keys, trail) = (Scene::new().keys(), |digit: &str| TrailId::parse(&digit.repeat(32)).unwrap());
    let (mut text, mut link) = (Vec::new(), Link::START);
    for (event, trail) in [("started", trail("a")), ("checkpoint", trail("b")), ("stopped", trail("b"))] {
        let record = format!("{{\"time\":\"{}\",\"event\":\"{event}\",\"trail\":\"{trail}\"}}", clock::now());
        link.append_sealed(&mut text, record.as_bytes(), |line| keys.sign(line).unwrap());
    }
    let report = read(&text);
    let found: Vec<_> = report.faults.iter().map(|fault| (fault.place.line, fault.wrong.clone())).collect();
    assert_eq!(found, [(2, Wrong::Trail(trail("a")))], "it is named where it begins");
}

#[test]
fn a_trail_from_before_trails_had_ids_is_whole_and_goes_on_with_one() {
    let (scene, mut text, mut link) = (Scene::new(), Vec::new(), Link::START);
    for event in ["started", "stopped"] {
        let record = format!("{{\"time\":\"{}\",\"act\":\"trail\",\"event\":\"{event}\"}}", clock::now());
        link.append_sealed(&mut text, record.as_bytes(), |line| scene.keys().sign(line).unwrap());
    }
    fs::write(scene.trail(), text).unwrap();
    let report = scene.report();
    assert_eq!((report.count, report.trail), (0, None));
    (0..2).for_each(|_| scene.writer(None).stop());
    let report = scene.report();
    assert_eq!((report.count, report.records), (0, 6), "{report:?}");
    assert!(report.trail.is_some());
}

#[test]
fn records_that_found_no_room_are_counted_in_the_trail_where_the_first_of_them_is_missing() {
    let scene = Scene::new();
    let (sender, receiver) = channel();
    let line = [b"{\"x\":\"", &*vec![b'x'; 1 << 20], b"\"}\n"].concat();
    // Nobody writes yet: at some time there is no room left.
    (0..67).for_each(|_| sender.take(line.clone()));
    let last = prometheus::IntGauge::new("last", "last").unwrap();
    let destination = Destination { file: Some(scene.trail()), rotation: None, keys: scene.keys(), last: last.clone() };
    let process = Process { thread: start(receiver, destination).unwrap(), sender, last };
    process.written(40);
    process.write(0..3);
    process.stop();
    let report = scene.report();
    assert_eq!((report.count, report.records + report.lost), (0, 67 + 3 + 3), "started, lost, three more, stopped: {report:?}");
    assert!(report.lost >= 1, "{report:?}");
    let kind = |line: &Vec<u8>| match line {
        line if line.len() > 1 << 20 => Some('q'),
        line if String::from_utf8_lossy(line).contains("\"event\":\"lost\"") => Some('l'),
        line => line.contains(&b'/').then_some('n'),
    };
    let order: String = lines(&fs::read(scene.trail()).unwrap()).iter().filter_map(kind).collect();
    assert_eq!(order.trim_start_matches('q'), "lnnn", "behind what was queued before, and before what came later");
}

#[test]
fn a_trail_from_before_the_chain_goes_on_with_it() {
    for old in ["{\"path\":\"/old\"}\n", "{\"path\":\"/old\"}\n{\"path\":\"/o", "x"] {
        let scene = Scene::new();
        fs::write(scene.trail(), old).unwrap();
        scene.writer(None).stop();
        let report = scene.report();
        assert_eq!((report.count, report.first, report.before), (0, Some(1), old.lines().count() as u64), "{old} {report:?}");
    }
}

#[test]
fn files_are_put_aside_and_the_chain_goes_over_all_of_them() {
    let scene = Scene::new();
    let rotation = |keep| Some(Rotation { size: 2000, keep });
    let process = scene.writer(rotation(None));
    (0..20).for_each(|round| process.write(round * 10..round * 10 + 10));
    process.stop();
    let files = scene.files();
    assert!(files.len() > 5, "{files:?}");
    let report = scene.report();
    assert_eq!((report.count, report.first), (0, Some(1)), "{report:?}");
    assert_eq!(report.sealed, report.last.map(|last| last.number));

    let middle = fs::read(&files[2]).unwrap();
    fs::remove_file(&files[2]).unwrap();
    assert!(matches!(scene.report().faults[..], [ref fault] if matches!(fault.wrong, Wrong::Missing(..)) && fault.place.file == 2));
    fs::write(&files[2], lines(&middle)[..3].concat()).unwrap();
    assert!(matches!(scene.report().faults[..], [ref fault] if matches!(fault.wrong, Wrong::Missing(..)) && fault.place.file == 3));
    fs::write(&files[2], middle).unwrap();
    let last = files.last().unwrap();
    let cut = lines(&fs::read(last).unwrap());
    fs::write(last, cut[..cut.len() - 1].concat()).unwrap();
    assert!(matches!(scene.report().faults[..], [ref fault] if fault.wrong == Wrong::CutOff));
    fs::remove_file(last).unwrap();
    assert!(matches!(scene.report().faults[..], [ref fault] if fault.wrong == Wrong::CutOff));
    fs::write(last, cut.concat()).unwrap();

    let process = scene.writer(rotation(Some(2)));
    (0..3).for_each(|_| process.write(0..30));
    process.stop();
    let report = scene.report();
    assert_eq!((scene.files().len(), report.count), (3, 0), "{report:?}");
    assert!(report.first > Some(1), "what was thrown away is not there, and the rest is whole");
}

#[test]
fn a_file_that_others_move_away_or_empty_is_left_for_the_next_one() {
    let scene = Scene::new();
    let process = scene.writer(None);
    process.write(0..5);
    process.written(6);
    fs::rename(scene.trail(), scene.0.path().join("audit.jsonl-20261122")).unwrap();
    process.write(5..10);
    process.written(12);
    assert!(scene.trail().exists());
    let copy = scene.0.path().join("audit.jsonl.1");
    fs::copy(scene.trail(), &copy).unwrap();
    OpenOptions::new().write(true).truncate(true).open(scene.trail()).unwrap();
    process.write(10..15);
    process.stop();
    assert_eq!(scene.files().len(), 3);
    let report = scene.report();
    assert_eq!((report.count, report.records), (0, 19), "{report:?}");
    // Also while nobody runs.
    fs::rename(scene.trail(), scene.0.path().join("audit.jsonl-20261123")).unwrap();
    scene.writer(None).stop();
    let report = scene.report();
    assert_eq!((report.count, report.records, scene.files().len()), (0, 21, 4), "{report:?}");
}

#[test]
fn two_processes_that_write_at_once_make_one_chain() {
    let scene = Scene::new();
    let rotation = Some(Rotation { size: 20_000, keep: None });
    let processes = [scene.writer(rotation), scene.writer(rotation)];
    thread::scope(|scope| {
        for process in &processes {
            scope.spawn(|| (0..100).for_each(|round| process.write(round * 10..round * 10 + 10)));
        }
    });
    processes.into_iter().for_each(Process::stop);
    let report = scene.report();
    assert_eq!(report.count, 0, "{:?}", report.faults);
    assert!(report.records >= 2004 && scene.files().len() > 3);
}

#[test]
fn who_knows_a_record_from_elsewhere_finds_out_that_the_trail_was_cut_back_to_an_earlier_end() {
    let (text, keys) = whole();
    let all = lines(text);
    let first_end = all[..10].concat();
    assert_eq!(read(&first_end).count, 0, "it ends as it did then");
    let known = Link::of(all[14].trim_ascii_end()).unwrap();
    let asked = |text: &[u8], known| {
        let mut verifier = Verifier::new(Some(keys), Some(known));
        verifier.read(&mut &*text).unwrap();
        verifier.finish(false).faults.into_iter().map(|fault| fault.wrong).collect::<Vec<_>>()
    };
    assert_eq!(asked(text, known), []);
    assert_eq!(asked(&first_end, known), [Wrong::Lacks(15)]);
    assert_eq!(asked(text, Link { hash: hash(b"another"), ..known }), [Wrong::Lacks(15)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_of_a_proxy_is_whole_whatever_clients_send_and_the_command_says_so() {
    let mut world = World::start().await;
    let alice = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let end = "0".repeat(64);
    for path in [
        format!("/%22,%22seq%22:9,%22prev%22:%22{end}%22%7d%0a%7b%22act%22:%22trail%22"),
        format!("/\",\"seq\":9,\"prev\":\"{end}\"}}"),
        "/\\\"}\\n".to_owned(),
        "/%e2%80%a8\u{7f}".to_owned(),
    ] {
        world.get(WIKI, &path, &alice).await;
        world.get(WIKI, "/x", &format!("X-Forwarded-For: {path}\r\nUser-Agent: {path}\r\nClient-Cert: {path}\r\n{alice}")).await;
    }
    let lines_sent = "X-Administrator: \",\"seq\":1}\r\nX-Why: \u{2028}\\\r\n";
    world.administer("PUT", "/api/v1/risks/device/mac-1", lines_sent, "{\"level\":\"low\"}").await;
    world.stop().await;
    world.run().await;
    world.get(WIKI, "/x", &alice).await;
    world.stop().await;

    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_doorward")).current_dir(world.folder.path()).args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = run(&["audit", "verify", "-c", "doorward.yaml"]);
    assert!(code == 0 && text.contains(": whole\nvouched for up to record "), "{text}");
    let (code, text) = run(&["audit", "verify", "audit.jsonl"]);
    assert!(code == 0 && text.contains("the seals were not looked at"), "{text}");
    let (code, text) = run(&["audit", "verify", "-c", "doorward.yaml", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(code == 0 && value["whole"] == true && value["vouched_for"] == value["last"]["number"], "{value}");
    let known = format!("{}:{}", value["last"]["number"], value["last"]["hash"].as_str().unwrap());
    assert_eq!(run(&["audit", "verify", "-c", "doorward.yaml", "--has", &known]).0, 0);
    let trail = value["trail"].as_str().unwrap();
    assert_eq!(run(&["audit", "verify", "audit.jsonl", "--trail", trail]).0, 0);
    let (code, text) = run(&["audit", "verify", "-c", "doorward.yaml", "--trail", &"0".repeat(32)]);
    assert!(
        code == 1 && text.contains("this is no record of the trail 0000") && text.contains(&format!("trail: {trail}")),
        "{text}"
    );

    let whole = fs::read(world.path("audit.jsonl")).unwrap();
    let all = lines(&whole);
    fs::write(world.path("audit.jsonl"), all[..all.len() - 1].concat()).unwrap();
    let (code, text) = run(&["audit", "verify", "-c", "doorward.yaml", "--has", &known]);
    assert!(code == 1 && text.contains("audit.jsonl:") && text.contains("ends here without saying so"), "{text}");
    assert!(text.contains("with the hash that is known of it is not in the trail"), "{text}");
    let (code, text) = run(&["audit", "verify", "-c", "doorward.yaml", "--open"]);
    assert!(code == 1 && text.contains("is not in the trail"), "its end is written down beside it: {text}");
    assert_eq!(run(&["audit", "verify", "audit.jsonl", "--open"]).0, 0, "it could be written still");
    fs::remove_file(world.path("audit.jsonl.end")).unwrap();
    let sealed = all[..all.len() - 1].iter().rposition(|line| String::from_utf8_lossy(line).contains("\"mac\":")).unwrap();
    fs::write(world.path("audit.jsonl"), all[..=sealed].concat()).unwrap();
    let (code, text) = run(&["audit", "verify", "-c", "doorward.yaml", "--open"]);
    assert!(code == 0 && text.contains("a trail that was cut back to an earlier end would not be found"), "{text}");
    for arguments in
        [&["audit", "verify"][..], &["audit", "verify", "gone.jsonl"], &["audit", "verify", "audit.jsonl", "--has", "7"]]
    {
        assert_eq!(run(arguments).0, 2, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_administrator_did_is_whole_before_anybody_has_sealed_it() {
    let world = World::start().await;
    world.administer("PUT", "/api/v1/risks/device/mac-1", "X-Why: case 7\r\n", "{\"level\":\"low\"}").await;
    let record = eventually("it is written", async || {
        let written = fs::read_to_string(world.path("audit.jsonl")).unwrap();
        written.lines().find(|line| line.contains("\"act\":\"administration\"")).map(str::to_owned)
    });
    let record = record.await;
    assert!(record.starts_with("{\"time\":\""), "without a time nothing says that it may be without a seal: {record}");
    let verify = ["audit", "verify", "-c", "doorward.yaml", "--open"];
    let output = Command::new(env!("CARGO_BIN_EXE_doorward")).current_dir(world.folder.path()).args(verify).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
