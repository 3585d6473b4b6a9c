//! `hours:` and `dates:`. In: texts. Out: windows and periods in their zones, or what would be right.

use crate::control::config::findings::Wrong;
use crate::model::Timestamp;
use crate::policy::hours::{Period, Window};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// `Mon-Fri 07:00-19:00 Europe/Berlin`, `Sat,Sun Europe/Berlin`, `22:00-06:00 UTC`.
pub(super) fn window(text: &str) -> Result<Window, Wrong> {
    let help = "days, hours and a zone: `Mon-Fri 07:00-19:00 Europe/Berlin`; days or hours can be left out";
    let words: Vec<&str> = text.split(' ').collect();
    let (days, hours, name) = match *words {
        [days, hours, zone] => (Some(days), Some(hours), zone),
        [hours, zone] if hours.contains(':') => (None, Some(hours), zone),
        [days, zone] => (Some(days), None, zone),
        _ => return Err(Wrong::new("not hours of the week", help)),
    };
    let days = days.map_or(Ok(0x7f), |days| self::days(days).ok_or_else(|| Wrong::new("not days of the week", help)))?;
    let (from, to) = hours.map_or(Ok((0, 1440)), |hours| self::hours(hours).ok_or_else(|| Wrong::new("not hours", help)))?;
    Ok(Window { text: text.into(), days, from, to, zone: zone(name)? })
}

/// `Mon`, `Mon-Fri`, `Mon,Wed,Sat-Sun`; one bit each.
fn days(text: &str) -> Option<u8> {
    let position = |name: &str| DAYS.iter().position(|(known, _)| *known == name);
    text.split(',').try_fold(0, |days, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (position(first)?, position(last)?);
        let length = (last + 7 - first) % 7;
        let all = DAYS.iter().cycle().skip(first).take(length + 1);
        Some(all.fold(days, |days, (_, day)| days | Window::bit(*day)))
    })
}

/// `07:00-19:00`; over midnight where the end comes first.
fn hours(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from < 1440 && from != to && to != 0).then_some((from, to))
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let (hour, minute): (u16, u16) = (digits(hour).then(|| hour.parse().ok())??, digits(minute).then(|| minute.parse().ok())??);
    let fine = minute < 60 && (hour < 24 || (hour == 24 && minute == 0));
    fine.then_some(hour * 60 + minute)
}

/// `2026-12-24..2027-01-06 Europe/Berlin`; either end can be left out.
pub(super) fn period(text: &str) -> Result<Period, Wrong> {
    let help = "two dates and a zone: `2026-12-24..2027-01-06 Europe/Berlin`; either date can be left out";
    let wrong = || Wrong::new("not a range of dates", help);
    let (dates, name) = text.split_once(' ').ok_or_else(wrong)?;
    let (from, to) = dates.split_once("..").ok_or_else(wrong)?;
    let zone = zone(name)?;
    let date = |text: &str| (!text.is_empty()).then(|| text.parse::<Date>().map_err(|_| wrong())).transpose();
    let (first, last) = (date(from)?, date(to)?);
    if first.is_none() && last.is_none() {
        return Err(wrong());
    }
    let begins = |date: Date| midnight(date, &zone).ok_or_else(wrong);
    let from = first.map_or(Ok(Timestamp::default()), begins)?;
    let after = |date: Date| date.tomorrow().map_err(|_| wrong()).and_then(begins);
    let to = last.map_or(Ok(Timestamp::from_millis(u64::MAX)), after)?;
    if from >= to {
        return Err(Wrong::plain("this ends before it begins"));
    }
    Ok(Period { text: text.into(), from, to })
}

/// When a day begins; where the clocks are set at midnight, the first moment of it.
fn midnight(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let begins = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    u64::try_from(begins.timestamp().as_millisecond()).ok().map(Timestamp::from_millis)
}

fn zone(name: &str) -> Result<TimeZone, Wrong> {
    let wrong = || Wrong::new(format!("no time zone is called `{name}`"), "as in `Europe/Berlin`, `America/New_York` or `UTC`");
    // Any case would be taken, and the name is shown.
    TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hours_are_read_as_people_write_them() {
        let cases = [
            ("Mon-Fri 07:00-19:00 Europe/Berlin", 0b001_1111, 420, 1140),
            ("Sat,Sun UTC", 0b110_0000, 0, 1440),
            ("22:00-06:00 UTC", 0b111_1111, 1320, 360),
            ("Fri-Mon 00:00-24:00 UTC", 0b111_0001, 0, 1440),
            ("Mon,Wed,Fri 08:30-12:00 UTC", 0b001_0101, 510, 720),
        ];
        for (text, days, from, to) in cases {
            let window = window(text).unwrap();
            assert_eq!((window.days, window.from, window.to), (days, from, to), "{text}");
        }
        for text in [
            "",
            "Mon",
            "07:00-19:00",
            "Mon-Fri 07:00-19:00",
            "Mon-Fri 7:00-19:00 UTC",
            "Mon-Fri 07:00-25:00 UTC",
            "Mon-Fri 07:60-19:00 UTC",
            "Mon-Fri 07:00-07:00 UTC",
            "mon 07:00-19:00 UTC",
            "Mon–Fri 07:00-19:00 UTC",
            "Mon-Fri 07:00-19:00 Berlin",
            "Mon-Fri 07:00-19:00 europe/berlin",
            "Mon-Fri  07:00-19:00 UTC",
            "Mon- 07:00-19:00 UTC",
            "Mon 24:00-07:00 UTC",
            "Mon +7:00-19:00 UTC",
        ] {
            assert!(window(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_ends_of_a_period_are_included() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let period_ = period("2026-12-24..2027-01-06 Europe/Berlin").unwrap();
        let millis = |time: Timestamp| i64::try_from(time.millis()).unwrap();
        assert_eq!(millis(period_.from), at("2026-12-23T23:00:00Z"));
        assert_eq!(millis(period_.to), at("2027-01-06T23:00:00Z"));
        assert_eq!(period("..2027-01-06 UTC").unwrap().from, Timestamp::default());
        assert_eq!(period("2026-12-24.. UTC").unwrap().to, Timestamp::from_millis(u64::MAX));
        for text in [
            "",
            "2026-12-24",
            "2026-12-24 UTC",
            ".. UTC",
            "2026-12-24..2026-12-23 UTC",
            "2026-13-01.. UTC",
            "2026-12-24..x UTC",
            "2026-12-24..",
        ] {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
