//! When a device's listings were last passed over, and what follows from it.

use std::time::Duration;

use apus_base::clock;
use apus_base::db::codec::{Decoder, Encoder, Malformed};
use apus_base::db::{Database, DbError, Get as _, Kind, Transaction};
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};

const TIMES_VERSION: u8 = 1;
/// How often it is noted that the device is there: that costs a flush.
const NOTE_EVERY: Duration = Duration::from_secs(3600);
/// So many walks for tombstones in the time that they are kept.
const WALKS: u64 = 8;

/// The times of one kind of listings on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// When it was there last.
    seen: Timestamp,
    /// When it was walked for tombstones last.
    walked: Timestamp,
    /// Whether it was away for so long that what only it has may have been deleted.
    pub(super) stale: bool,
    /// Whether it is time to walk for tombstones.
    pub(super) walk: bool,
}

impl Times {
    /// As a pass begins; what was deleted before `cutoff` is old.
    pub(super) async fn begin(database: &Database, kind: Kind, cutoff: Timestamp) -> Result<Self, DbError> {
        let value = database.read::<_, DbError, _>(move |view| view.get(&kind.times())).await?;
        let stored = value.map(|value| Self::decode(&value)).transpose()?.unwrap_or_default();
        Ok(stored.at(clock::now(), cutoff))
    }

    fn at(self, now: Timestamp, cutoff: Timestamp) -> Self {
        let age = now.ticks().saturating_sub(cutoff.ticks());
        let since = |then: Timestamp| now.ticks().saturating_sub(then.ticks());
        let noted = ticks(NOTE_EVERY);
        // It may have been there for as long as it notes nothing.
        let away = self.seen != Timestamp::ZERO && since(self.seen) > age.max(noted) + noted;
        Self { stale: self.stale || away, walk: since(self.walked) >= age / WALKS, ..self }
    }

    /// As it ends, whether it was over `everything`, and all of that without failure (`whole`).
    pub(super) async fn end(
        &self,
        database: &Database,
        kind: Kind,
        everything: bool,
        whole: bool,
    ) -> Result<(), DbError> {
        let next = self.ended(clock::now(), everything, whole);
        if next == *self {
            return Ok(());
        }
        let value = next.encode();
        database.commit(move |tx: &mut Transaction<'_>| Ok(tx.put(kind.times(), value))).await
    }

    fn ended(self, now: Timestamp, everything: bool, whole: bool) -> Self {
        let mut next = self;
        let late = now.ticks().saturating_sub(self.seen.ticks()) >= ticks(NOTE_EVERY);
        if late {
            next.seen = now;
        }
        if everything && self.walk {
            next.walked = now;
        }
        if whole {
            next.stale = false;
        }
        next
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(TIMES_VERSION);
        to.timestamp(self.seen).timestamp(self.walked).flag(self.stale);
        to.finish()
    }

    fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(value, TIMES_VERSION)?;
        let times = Self { seen: from.timestamp()?, walked: from.timestamp()?, stale: from.flag()?, walk: false };
        from.finish()?;
        Ok(times)
    }
}

fn ticks(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_was_away_too_long_is_stale_until_a_whole_pass() {
        let day = |n: u64| Timestamp::from_secs(n * 86_400);
        let week_before = |now: Timestamp| Timestamp::from_ticks(now.ticks() - day(7).ticks());
        let begin = |times: Times, now| times.at(now, week_before(now));

        let first = begin(Times::default(), day(100));
        assert!(!first.stale && first.walk);
        let noted = first.ended(day(100), true, true);
        assert_eq!(Times::decode(&noted.encode()), Ok(Times { walk: false, ..noted }));
        assert!(!begin(noted, day(100)).walk && begin(noted, day(101)).walk);
        assert!(!begin(noted, day(107)).stale);

        let back = begin(noted, day(108));
        assert!(back.stale);
        let failed = back.ended(day(108), true, false);
        assert!(begin(failed, day(109)).stale);
        assert!(!begin(failed.ended(day(109), true, true), day(109)).stale);
        // With nothing kept nothing can be forgotten too early.
        assert!(!noted.at(day(100), day(100)).stale);
    }
}
