//! What ends, when, and for whose fault, by a clock that the test moves.

use super::*;

fn terms(total: Option<u64>) -> Timeouts {
    let seconds = |count| Some(Duration::from_secs(count));
    Timeouts { connect: Duration::from_secs(5), first_byte: seconds(10), idle: seconds(20), total: total.and_then(seconds) }
}

fn begin(total: Option<u64>, upload: Option<Arc<Upload>>) -> InFlight {
    InFlight::begin(&Rc::default(), terms(total), upload, None)
}

/// Looks every second; when it ended, in seconds, and why.
fn end(in_flight: &InFlight, seconds: std::ops::Range<u64>, mut each: impl FnMut(&State)) -> Option<(u64, Expired)> {
    for second in seconds {
        each(&in_flight.state);
        in_flight.state.look(second * 1000);
        if let Some(expired) = in_flight.state.expired.get() {
            return Some((second, expired));
        }
    }
    None
}

#[test]
fn an_answer_that_does_not_begin_ends_the_wait_and_not_before() {
    let waiting = begin(None, None);
    waiting.sent();
    assert_eq!(end(&waiting, 1..60, |_| {}), Some((11, Expired::Answer)), "a look late, and never early");
}

#[test]
fn looking_for_a_connection_is_not_waiting_for_an_answer() {
    assert_eq!(end(&begin(None, None), 1..60, |_| {}), None);
    assert_eq!(end(&begin(Some(30), None), 1..60, |_| {}), Some((31, Expired::Total)));
}

#[test]
fn an_upload_that_moves_is_not_a_slow_app_and_one_that_crawls_is_ended() {
    for (bytes, state, outcome) in [
        (1000, true, None),
        (400, true, Some((11, Expired::Upload))),
        (1, true, Some((11, Expired::Upload))),
        (1, false, None),
        (0, true, Some((11, Expired::Upload))),
        (0, false, Some((11, Expired::Answer))),
    ] {
        let upload = Arc::new(Upload::default());
        let uploading = begin(None, Some(Arc::clone(&upload)));
        uploading.sent();
        upload.set(0, state);
        assert_eq!(end(&uploading, 1..120, |_| upload.set(bytes, state)), outcome, "{bytes} {state}");
    }
}

#[test]
fn messages_may_come_as_slowly_as_they_like_but_not_stop() {
    let upload = Arc::new(Upload::default());
    let talking = begin(None, Some(Arc::clone(&upload)));
    talking.talks();
    talking.sent();
    assert_eq!(end(&talking, 1..600, |_| upload.set(1, true)), None);
    assert_eq!(end(&talking, 600..700, |_| {}), Some((609, Expired::Upload)));
}

#[test]
fn an_answer_in_progress_ends_when_nothing_moves_in_either_direction() {
    let upload = Arc::new(Upload::default());
    let answering = begin(None, Some(Arc::clone(&upload)));
    answering.state.phase.set(Phase::Body);
    assert_eq!(end(&answering, 1..100, |state| state.down.set(state.down.get() + 1)), None);
    assert_eq!(end(&answering, 100..200, |_| upload.set(1, true)), None);
    assert_eq!(end(&answering, 200..300, |_| {}), Some((219, Expired::Idle)));
    assert!(!answering.is_end_stream(), "what was cut off must not look whole");
}

#[test]
fn a_stream_may_be_silent_and_last() {
    let stream = begin(Some(30), None);
    stream.state.phase.set(Phase::Stream);
    assert_eq!(end(&stream, 1..100_000, |_| {}), None);
}

#[test]
fn what_is_over_is_not_looked_at() {
    let watch = Rc::<Watch>::default();
    let mut all: Vec<_> = (0..5).map(|_| InFlight::begin(&watch, terms(None), None, None)).collect();
    for index in [2, 0, 2, 1, 0] {
        drop(all.remove(index));
        let held = watch.all.borrow();
        assert_eq!(held.len(), all.len());
        assert!(all.iter().all(|one| Rc::ptr_eq(&held[one.state.place.get()], &one.state)));
    }
}
