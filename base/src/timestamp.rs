//! Swift timestamps: the version number of every write.
//!
//! A timestamp counts ticks of 10 µs since 1970 and may carry an offset, by which internal writers (a reconciler, say)
//! order several versions made from one client write. Two spellings exist, both from Swift's `common/utils/timestamp.py`:
//! *normal* `1712345678.12345` (16 characters, zero padded), shown to clients, and *internal*, which appends
//! `_%016x` of the offset when it is not zero. Order is by ticks, then offset, which is also the order of the spellings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ticks in one second: the resolution is 10 µs.
pub const TICKS_PER_SECOND: u64 = 100_000;
/// The first instant that no longer fits ten digits of seconds.
const MAX_TICKS: u64 = 10_000_000_000 * TICKS_PER_SECOND;

/// The offsets of ballots are multiples of this, and those of all other writers are less.
const BALLOT_STEP: u64 = 0x100;
/// In the offset of a ballot whose write demands that nothing is there; above any nonce.
const CREATION: u64 = 1 << 32;

/// A point in time at 10 µs resolution with an offset; the last writer wins by this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    ticks: u64,
    offset: u64,
}

/// Why a text is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp: {0:?}; expected seconds with up to five decimals, as in 1712345678.12345")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// The beginning of time, older than every write.
    pub const ZERO: Self = Self { ticks: 0, offset: 0 };

    /// From ticks of 10 µs since 1970; values past year 2286 are cut to the largest that can be written.
    pub const fn from_ticks(ticks: u64) -> Self {
        let ticks = if ticks < MAX_TICKS { ticks } else { MAX_TICKS - 1 };
        Self { ticks, offset: 0 }
    }

    /// From whole seconds since 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_ticks(secs.saturating_mul(TICKS_PER_SECOND))
    }

    /// The same instant with another offset.
    pub const fn with_offset(self, offset: u64) -> Self {
        Self { ticks: self.ticks, offset }
    }

    /// Ticks of 10 µs since 1970.
    pub const fn ticks(self) -> u64 {
        self.ticks
    }

    /// The same instant, one offset later: of what follows from a write, and comes before any other.
    pub const fn just_after(self) -> Self {
        self.with_offset(self.offset.saturating_add(1))
    }

    /// The offset, zero for every client write.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Whole seconds, rounded down.
    pub const fn secs(self) -> u64 {
        self.ticks / TICKS_PER_SECOND
    }

    /// Whole seconds rounded up: what `Last-Modified` shows, so that an `If-Modified-Since` of that value is not fooled.
    pub const fn secs_ceil(self) -> u64 {
        self.ticks.div_ceil(TICKS_PER_SECOND)
    }

    /// The same instant as the ballot of a conditional write ([`ballot`](crate::ballot)): the nonce, which is random, tells
    /// apart what two proxies propose in the same tick. Offsets of a ballot's own are left to internal writers.
    pub const fn as_ballot(self, nonce: u16) -> Self {
        Self { ticks: self.ticks, offset: (nonce as u64 + 1) * BALLOT_STEP }
    }

    /// Whether a conditional write may have made it: no other writer has an offset that large.
    pub const fn is_ballot(self) -> bool {
        self.offset >= BALLOT_STEP
    }

    /// The same ballot as that of a write which happens only where nothing is.
    #[must_use]
    pub const fn as_creation(self) -> Self {
        Self { ticks: self.ticks, offset: self.offset | CREATION }
    }

    /// Whether nothing was there right before it, so that a deletion may have been.
    pub const fn is_creation(self) -> bool {
        self.offset & CREATION != 0
    }

    /// `1712345678.12345`, the spelling clients see; the offset is left out.
    pub fn normal(self) -> String {
        format!("{:010}.{:05}", self.secs(), self.ticks % TICKS_PER_SECOND)
    }

    /// The spelling on disk and between servers: normal, with `_%016x` of an offset that is not zero.
    pub fn internal(self) -> String {
        if self.offset == 0 { self.normal() } else { format!("{}_{:016x}", self.normal(), self.offset) }
    }

    /// `2026-11-21T03:17:50.123450`, the spelling of listings: UTC, microseconds, no zone.
    pub fn isoformat(self) -> String {
        let secs = i64::try_from(self.secs()).unwrap_or(i64::MAX);
        let t = time::OffsetDateTime::from_unix_timestamp(secs).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let micros = (self.ticks % TICKS_PER_SECOND) * 10;
        let (year, month, day) = t.to_calendar_date();
        let (hour, minute, second) = t.to_hms();
        let numbers = [
            (u64::try_from(year).unwrap_or_default(), 4, '-'),
            (u8::from(month).into(), 2, '-'),
            (day.into(), 2, 'T'),
            (hour.into(), 2, ':'),
            (minute.into(), 2, ':'),
            (second.into(), 2, '.'),
        ];
        // A listing has a thousand of these: digit by digit is a tenth of what formatting costs.
        let mut text = String::with_capacity(26);
        for (number, width, behind) in numbers {
            push_digits(&mut text, number, width);
            text.push(behind);
        }
        push_digits(&mut text, micros, 6);
        text
    }

    /// Reads the spelling of listings.
    pub fn from_isoformat(text: &str) -> Option<Self> {
        let form = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond]");
        let nanos = time::PrimitiveDateTime::parse(text, form).ok()?.assume_utc().unix_timestamp_nanos();
        Some(Self::from_ticks(u64::try_from(nanos / 10_000).ok()?))
    }

    /// `Sat, 21 Nov 2026 03:17:51 GMT`, rounded up to the second.
    pub fn http_date(self) -> String {
        let t = std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.secs_ceil());
        httpdate::fmt_http_date(t)
    }
}

/// Writes the last digits of a number, as many as are asked for.
fn push_digits(text: &mut String, number: u64, width: u32) {
    for place in (0..width).rev() {
        text.push(char::from(b'0' + u8::try_from(number / 10_u64.pow(place) % 10).unwrap_or_default()));
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.internal())
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads either spelling; more than five decimals are rounded to the nearest tick, as Swift does.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or_else(|| InvalidTimestamp(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (time, offset) = match text.split_once('_') {
        Some((time, hex)) if (1..=16).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            (time, u64::from_str_radix(hex, 16).ok()?)
        }
        Some(_) => return None,
        None => (text, 0),
    };
    let (whole, decimals) = time.split_once('.').unwrap_or((time, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 16 || !digits(whole) || !digits(decimals) {
        return None;
    }
    let mut ticks = whole.parse::<u64>().ok()?.checked_mul(TICKS_PER_SECOND)?;
    let five: String = decimals.chars().chain(std::iter::repeat('0')).take(5).collect();
    ticks = ticks.checked_add(five.parse::<u64>().ok()?)?;
    if decimals.as_bytes().get(5).is_some_and(|d| *d >= b'5') {
        ticks = ticks.checked_add(1)?;
    }
    (ticks < MAX_TICKS).then_some(Timestamp { ticks, offset })
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.internal())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Several timestamps in one text: the row of an object has its data's, its content type's and its metadata's.
///
/// Each after the first is written as a signed hexadecimal difference in ticks, as in `1712345678.12345+1a+0`
/// (Swift's `encode_timestamps`); one that is missing repeats the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowTimestamps {
    /// When the object's data was written (or deleted).
    pub data: Timestamp,
    /// When its content type was last set.
    pub content_type: Timestamp,
    /// When its metadata was last set.
    pub meta: Timestamp,
}

impl RowTimestamps {
    /// All three the same: a PUT or a DELETE.
    pub const fn same(t: Timestamp) -> Self {
        Self { data: t, content_type: t, meta: t }
    }
}

impl fmt::Display for RowTimestamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.data)?;
        if self.content_type != self.data || self.meta != self.data {
            write_delta(f, self.data, self.content_type)?;
            write_delta(f, self.content_type, self.meta)?;
        }
        Ok(())
    }
}

fn write_delta(f: &mut fmt::Formatter<'_>, from: Timestamp, to: Timestamp) -> fmt::Result {
    let sign = if to.ticks >= from.ticks { '+' } else { '-' };
    write!(f, "{sign}{:x}", to.ticks.abs_diff(from.ticks))
}

impl FromStr for RowTimestamps {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse_row(text).ok_or_else(|| InvalidTimestamp(text.chars().take(64).collect()))
    }
}

fn parse_row(text: &str) -> Option<RowTimestamps> {
    let is_sign = |c: char| c == '+' || c == '-';
    let Some(first) = text.find(is_sign) else {
        return parse(text).map(RowTimestamps::same);
    };
    let data = parse(&text[..first])?;
    let rest = &text[first..];
    let second = rest[1..].find(is_sign).map_or(rest.len(), |at| at + 1);
    let content_type = apply_delta(data, &rest[..second])?;
    let meta = if second == rest.len() { content_type } else { apply_delta(content_type, &rest[second..])? };
    Some(RowTimestamps { data, content_type, meta })
}

fn apply_delta(from: Timestamp, delta: &str) -> Option<Timestamp> {
    let (sign, hex) = delta.split_at_checked(1)?;
    if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let ticks = u64::from_str_radix(hex, 16).ok()?;
    let ticks = if sign == "+" { from.ticks.checked_add(ticks)? } else { from.ticks.checked_sub(ticks)? };
    (ticks < MAX_TICKS).then_some(Timestamp { ticks, offset: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings() {
        let t: Timestamp = "1712345678.12345".parse().unwrap();
        assert_eq!((t.normal(), t.internal()), ("1712345678.12345".into(), "1712345678.12345".into()));
        assert_eq!(t.with_offset(26).internal(), "1712345678.12345_000000000000001a");
        assert_eq!("1712345678".parse::<Timestamp>().unwrap().normal(), "1712345678.00000");
        assert_eq!("1.000005".parse::<Timestamp>().unwrap().normal(), "0000000001.00001");
        assert_eq!(t.isoformat(), "2024-04-05T19:34:38.123450");
        assert_eq!(Timestamp::from_isoformat("2024-04-05T19:34:38.123450"), Some(t.with_offset(0)));
        assert_eq!(Timestamp::from_isoformat("yesterday"), None);
        assert_eq!(t.http_date(), "Fri, 05 Apr 2024 19:34:39 GMT");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "-1", "1e9", "nan", "1.2.3", " 1", "1_", "1_xyz", "1_11111111111111111", "99999999999.0", "١"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn three_in_a_row() {
        let text = "1712345678.12345+a-2";
        let row: RowTimestamps = text.parse().unwrap();
        assert_eq!(row.content_type.ticks() - row.data.ticks(), 10);
        assert_eq!(row.meta.ticks(), row.content_type.ticks() - 2);
        assert_eq!(row.to_string(), text);
        for bad in ["1+", "1++", "1+g", "1-ffffffffffffffff", "+1"] {
            assert!(bad.parse::<RowTimestamps>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9._+a-f-]{0,24}|\\PC{0,12}") {
            let _ = text.parse::<Timestamp>();
            let _ = text.parse::<RowTimestamps>();
        }

        #[test]
        fn order_is_the_order_of_the_spellings(a in 0..MAX_TICKS, b in 0..MAX_TICKS, x in 0u64..3, y in 0u64..3) {
            let (a, b) = (Timestamp::from_ticks(a).with_offset(x), Timestamp::from_ticks(b).with_offset(y));
            prop_assert_eq!(a.cmp(&b), a.internal().cmp(&b.internal()));
            prop_assert_eq!(a.internal().parse::<Timestamp>().unwrap(), a);
            prop_assert_eq!(Timestamp::from_isoformat(&a.isoformat()), Some(a.with_offset(0)));
        }

        #[test]
        fn rows_round_trip(d in 0..MAX_TICKS, c in 0..MAX_TICKS, m in 0..MAX_TICKS) {
            let row = RowTimestamps {
                data: Timestamp::from_ticks(d),
                content_type: Timestamp::from_ticks(c),
                meta: Timestamp::from_ticks(m),
            };
            prop_assert_eq!(row.to_string().parse::<RowTimestamps>().unwrap(), row);
        }
    }
}
