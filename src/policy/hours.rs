//! Hours of the week and dates. In: a moment. Out: whether it lies within, and when that changes at the earliest. The zones'
//! rules are looked up once a minute at most: a decision is good until a boundary.

use crate::model::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use std::fmt;
use std::sync::Arc;

/// `Mon-Fri 07:00-19:00 Europe/Berlin`. A window that ends before it begins goes on into the next day.
#[derive(Clone, Debug)]
pub struct Window {
    /// As the configuration writes it.
    pub text: Arc<str>,
    /// One bit a day on which it begins, from Monday on.
    pub days: u8,
    /// The minute of the day in which it begins.
    pub from: u16,
    /// The minute of the day before which it ends; 1440 for midnight.
    pub to: u16,
    /// Whose time it is.
    pub zone: TimeZone,
}

/// `2026-12-24..2027-01-06 Europe/Berlin`, both days included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// As the configuration writes it.
    pub text: Arc<str>,
    /// When it begins.
    pub from: Timestamp,
    /// Before when it ends.
    pub to: Timestamp,
}

/// A moment on the clocks of one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// From Monday, 0, to Sunday, 6.
    pub day: u8,
    /// Of the day.
    pub minute: u16,
    /// Of the minute.
    second: u8,
}

const MIDNIGHT: u16 = 1440;

impl Local {
    /// What the clocks of the zone show.
    pub fn at(now: Timestamp, zone: &TimeZone) -> Self {
        let time = zone.to_datetime(instant(now));
        let minute = u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0);
        let day = u8::try_from(time.weekday().to_monday_zero_offset()).unwrap_or(0);
        Self { day, minute, second: u8::try_from(time.second()).unwrap_or(0) }
    }
}

fn instant(time: Timestamp) -> jiff::Timestamp {
    i64::try_from(time.millis())
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

impl Window {
    /// Whether it is now.
    pub fn contains(&self, now: Timestamp) -> bool {
        let Local { day, minute, .. } = Local::at(now, &self.zone);
        let begins = |day: u8| self.days & (1 << day) != 0;
        if self.from < self.to {
            return begins(day) && (self.from..self.to).contains(&minute);
        }
        (begins(day) && minute >= self.from) || (begins((day + 6) % 7) && minute < self.to)
    }

    /// Until when the answer stays what it is, or a little earlier: the next of its boundaries, of midnight, and of the moments
    /// at which the zone sets its clocks.
    pub fn until(&self, now: Timestamp) -> Timestamp {
        let local = Local::at(now, &self.zone);
        let next = [self.from, self.to, MIDNIGHT].into_iter().filter(|minute| *minute > local.minute).min().unwrap_or(MIDNIGHT);
        let seconds = u64::from(next - local.minute) * 60 - u64::from(local.second);
        let boundary = Timestamp::from_seconds(now.seconds() + seconds);
        let clocks_change = self
            .zone
            .following(instant(now))
            .next()
            .and_then(|change| u64::try_from(change.timestamp().as_millisecond()).ok().map(Timestamp::from_millis));
        clocks_change.map_or(boundary, |change| boundary.min(change))
    }

    /// One bit for a weekday.
    pub fn bit(day: Weekday) -> u8 {
        1 << u8::try_from(day.to_monday_zero_offset()).unwrap_or(0)
    }
}

impl Period {
    /// Whether it is now.
    pub fn contains(&self, now: Timestamp) -> bool {
        (self.from..self.to).contains(&now)
    }

    /// When that changes; `None` once it is over.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        [self.from, self.to].into_iter().find(|boundary| *boundary > now)
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Window {}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
