//! Of which partitions, and when, this device held the same as another one.
//!
//! Whoever asks whether partitions differ says its own last row number; where they do not differ, all its rows up to that
//! number are here. So a database of such a partition that differs later needs only rows after it, although nobody has
//! looked at that database since. It is remembered here, at the asked, so that it is gone when what it speaks of is gone;
//! a database that came to be here later ([`Info::born`](super::Info)) is not spoken of.

use std::collections::BTreeMap;

use super::codec::{Decoder, Encoder, Malformed};
use super::{DbError, Get, Info, Kind, ListingId, Transaction};
use crate::ring;

const AGREEMENT_VERSION: u8 = 1;

/// How far each device was when both held the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The other device's last row number.
    pub theirs: u64,
    /// This device's.
    pub ours: u64,
}

/// What was agreed with one other device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// The part power that partitions are of.
    power: u8,
    partitions: BTreeMap<u32, Moment>,
}

impl Agreement {
    /// Reads it; empty when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(from: &impl Get, kind: Kind, life: &[u8; 16]) -> Result<Self, DbError> {
        let value = from.get(&kind.agreement(life))?;
        Ok(value.map(|value| Self::decode(&value)).transpose()?.unwrap_or_default())
    }

    /// Writes it.
    pub fn store(&self, tx: &mut Transaction<'_>, kind: Kind, life: &[u8; 16]) {
        tx.put(kind.agreement(life), self.encode());
    }

    /// Notes that these partitions were the same, and says whether that is news.
    pub fn note(&mut self, power: u8, same: impl IntoIterator<Item = u32>, moment: Moment) -> bool {
        if self.power != power {
            *self = Self { power, partitions: BTreeMap::new() };
        }
        let mut news = false;
        for partition in same {
            let known = self.partitions.insert(partition, moment);
            news |= known.is_none_or(|known| known.theirs < moment.theirs);
        }
        news
    }

    /// Up to which number the other device's rows of a database are surely here.
    pub fn point(&self, id: ListingId, info: &Info) -> u64 {
        let moment = self.partitions.get(&ring::partition(&id.hash.0, self.power));
        moment.filter(|moment| info.born <= moment.ours).map_or(0, |moment| moment.theirs)
    }

    /// Partitions of one moment together, each as its distance from the one before.
    fn encode(&self) -> Vec<u8> {
        let mut moments: BTreeMap<Moment, Vec<u32>> = BTreeMap::new();
        for (partition, moment) in &self.partitions {
            moments.entry(*moment).or_default().push(*partition);
        }
        let mut to = Encoder::new(AGREEMENT_VERSION);
        to.number(self.power.into()).number(moments.len() as u64);
        for (moment, partitions) in moments {
            to.number(moment.theirs).number(moment.ours).number(partitions.len() as u64);
            let mut last = 0;
            for partition in partitions {
                to.number(u64::from(partition - last));
                last = partition;
            }
        }
        to.finish()
    }

    fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(value, AGREEMENT_VERSION)?;
        let power = u8::try_from(from.number()?).ok().filter(|power| *power <= 32).ok_or(Malformed::Field)?;
        let mut partitions = BTreeMap::new();
        for _ in 0..from.number()? {
            let moment = Moment { theirs: from.number()?, ours: from.number()? };
            let mut last: u32 = 0;
            for _ in 0..from.number()? {
                let distance = u32::try_from(from.number()?).map_err(|_| Malformed::Field)?;
                last = last.checked_add(distance).ok_or(Malformed::Field)?;
                partitions.insert(last, moment);
            }
        }
        from.finish()?;
        Ok(Self { power, partitions })
    }
}

/// Up to which number the rows of another device's copy of a database are here.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn taken(from: &impl Get, id: ListingId, info: &Info, life: &[u8; 16]) -> Result<u64, DbError> {
    let noted = match from.get(&id.taken(life))? {
        Some(value) => u64::from_be_bytes(value.try_into().map_err(|_| Malformed::Length)?),
        None => 0,
    };
    Ok(noted.max(Agreement::load(from, id.kind, life)?.point(id, info)))
}

/// Notes it, in the commit that took them in.
pub fn note_taken(tx: &mut Transaction<'_>, id: ListingId, life: &[u8; 16], number: u64) {
    tx.put(id.taken(life), number.to_be_bytes().to_vec());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_path::PathHash;
    use crate::policy::PolicyIndex;
    use crate::timestamp::Timestamp;
    use proptest::prelude::*;

    #[test]
    fn it_speaks_of_the_partitions_that_were_the_same_and_of_what_was_there_then() {
        let mut agreement = Agreement::default();
        assert!(agreement.note(1, [0, 1], Moment { theirs: 10, ours: 20 }));
        assert!(!agreement.note(1, [0], Moment { theirs: 10, ours: 25 }));
        assert!(agreement.note(1, [1], Moment { theirs: 30, ours: 40 }));
        let point = |agreement: &Agreement, first: u8, born| {
            let id = ListingId { kind: Kind::Account, hash: PathHash([first; 16]) };
            let info = Info { born, ..Info::new("a", "", PolicyIndex(0), Timestamp::ZERO) };
            agreement.point(id, &info)
        };
        assert_eq!([point(&agreement, 0, 1), point(&agreement, 0x80, 40), point(&agreement, 0x80, 41)], [10, 30, 0]);
        // Other partitions, other numbers.
        assert!(agreement.note(2, [0], Moment { theirs: 50, ours: 60 }));
        assert_eq!(point(&agreement, 0x80, 1), 0);
    }

    proptest! {
        #[test]
        fn comes_back(power in 0u8..=32, partitions in proptest::collection::btree_map(any::<u32>(), (0u64..3, 0u64..3), 0..20)) {
            let moment = |(theirs, ours)| Moment { theirs, ours };
            let partitions = partitions.into_iter().map(|(partition, m)| (partition, moment(m))).collect();
            let agreement = Agreement { power, partitions };
            prop_assert_eq!(Agreement::decode(&agreement.encode()), Ok(agreement));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Agreement::decode(&[&[AGREEMENT_VERSION], bytes.as_slice()].concat());
        }
    }
}
