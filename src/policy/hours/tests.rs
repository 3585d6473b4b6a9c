//! Hours of the week, where clocks change and days end.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    let time: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(u64::try_from(time.as_millisecond()).unwrap())
}

fn window(days: u8, from: u16, to: u16, zone: &str) -> Window {
    Window { text: "w".into(), days, from, to, zone: TimeZone::get(zone).unwrap() }
}

const WEEKDAYS: u8 = 0b001_1111;

#[test]
fn a_window_goes_by_the_clocks_of_its_zone_in_summer_and_in_winter() {
    let office = window(WEEKDAYS, 7 * 60, 19 * 60, "Europe/Berlin");
    let cases = [
        ("2026-01-05T05:59:59Z", false), // a Monday, 06:59:59 in Berlin
        ("2026-01-05T06:00:00Z", true),
        ("2026-01-05T17:59:59Z", true),
        ("2026-01-05T18:00:00Z", false),
        ("2026-07-06T05:00:00Z", true), // a Monday in summer
        ("2026-07-06T04:59:59Z", false),
        ("2026-01-04T10:00:00Z", false), // a Sunday
        ("2026-01-09T17:00:00Z", true),  // a Friday
    ];
    for (time, expected) in cases {
        assert_eq!(office.contains(at(time)), expected, "{time}");
    }
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let night = window(Window::bit(Weekday::Friday), 22 * 60, 6 * 60, "UTC");
    let cases = [
        ("2026-01-09T21:59:00Z", false),
        ("2026-01-09T22:00:00Z", true),
        ("2026-01-10T05:59:00Z", true),
        ("2026-01-10T06:00:00Z", false),
        ("2026-01-10T22:30:00Z", false),
        ("2026-01-09T05:00:00Z", false),
    ];
    for (time, expected) in cases {
        assert_eq!(night.contains(at(time)), expected, "{time}");
    }
}

#[test]
fn an_hour_that_does_not_exist_is_nobodys_and_one_that_comes_twice_counts_twice() {
    // In Berlin, 02:00 to 03:00 is left out on 29 March 2026, and comes twice on 25 October.
    let early = window(0b111_1111, 2 * 60, 3 * 60, "Europe/Berlin");
    for (midnight, hours, expected) in
        [("2026-03-27T23:00:00Z", 24, 60), ("2026-03-28T23:00:00Z", 23, 0), ("2026-10-24T22:00:00Z", 25, 120)]
    {
        let midnight = at(midnight).seconds();
        let minutes = (0..hours * 60).filter(|minute| early.contains(Timestamp::from_seconds(midnight + minute * 60))).count();
        assert_eq!(minutes, expected);
    }
}

proptest! {
    #[test]
    fn nothing_changes_before_until(
        days in 0u8..128, from in 0u16..1440, to in 1u16..=1440, start in 1_767_225_600u64..1_830_000_000, ahead in 0.0f64..1.0,
        zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca"]),
    ) {
        let window = window(days, from, to, zone);
        let start = Timestamp::from_seconds(start);
        let until = window.until(start);
        prop_assert!(until > start);
        let between = Timestamp::from_millis(start.millis() + ((until.millis() - start.millis() - 1) as f64 * ahead) as u64);
        prop_assert_eq!(window.contains(start), window.contains(between), "{} {} {}", start.seconds(), between.seconds(), until.seconds());
    }
}
