//! What a device holds, in one digest for each partition: equal digests on two devices mean equal databases.
//!
//! Each database has a digest of all that its copies must agree on ([`Info::state`](super::Info)). Those of all databases
//! whose hashes begin with the same [`BITS`] bits are kept in one value, as their XOR, changed in the same commit as the
//! database; so is known without looking at any database whether two devices hold the same, and which partitions a
//! device holds at all. The bits are more than partitions have bits in all but the very largest rings, so a ring that
//! changes, or doubles its partitions, changes nothing here; for rings with more partitions the databases are walked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::codec::Malformed;
use super::{Database, DbError, Get, Info, Kind, Life, ListingId, Transaction, View};
use crate::hash_path::PathHash;
use crate::listing::walk::{Bounds, Cursor as _};
use crate::ring;

/// How many bits of the hash tell the values apart: a million at most, and never more than there are databases.
pub const BITS: u8 = 20;

/// The digest of each partition that holds any database.
pub type Table = BTreeMap<u32, [u8; 16]>;

/// What a device held at one moment.
#[derive(Debug)]
pub struct Count {
    /// Whose row numbers those are, and the last one that is counted.
    pub life: Life,
    /// The digests, of partitions of some power.
    pub table: Table,
}

/// The last counts of each kind, with the number of groups written and the part power that they are of.
pub(super) type Counts = Mutex<Known>;
type Known = HashMap<Kind, (u64, u8, Arc<Count>)>;

impl Database {
    /// What it holds now. As long as nothing is written, that is known already.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn count(&self, kind: Kind, power: u8) -> Result<Arc<Count>, DbError> {
        let groups = self.groups();
        if let Some((at, of, count)) = lock(self.counts()).get(&kind)
            && (*at, *of) == (groups, power)
        {
            return Ok(Arc::clone(count));
        }
        let count = move |view: &View<'_>| {
            Ok::<_, DbError>(Count { life: Life::load(view)?, table: table(view, kind, power)? })
        };
        let count = Arc::new(self.read(count).await?);
        lock(self.counts()).insert(kind, (groups, power, Arc::clone(&count)));
        Ok(count)
    }
}

fn lock(counts: &Counts) -> std::sync::MutexGuard<'_, Known> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a database's new digest in the place of its old one; zeros stand for none.
pub(super) fn replace(tx: &mut Transaction<'_>, id: ListingId, old: [u8; 16], new: [u8; 16]) -> Result<(), DbError> {
    if old == new {
        return Ok(());
    }
    let key = place(id);
    let mut digest = match tx.get(&key)? {
        Some(value) => <[u8; 16]>::try_from(value).map_err(|_| Malformed::Length)?,
        None => [0; 16],
    };
    xor(&mut digest, old);
    xor(&mut digest, new);
    match digest {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => tx.delete(key),
        digest => tx.put(key, digest.to_vec()),
    }
    Ok(())
}

/// What the digest in which a database is counted is without it, for one whose own share cannot be read.
pub(super) struct Rest {
    seen: Option<Vec<u8>>,
    rest: [u8; 16],
}

/// Adds up the other databases that are counted in the same digest.
///
/// # Errors
/// When they cannot be read.
pub(super) fn without(view: &View<'_>, id: ListingId) -> Result<Rest, DbError> {
    let (first, end) = range(BITS, ring::partition(&id.hash.0, BITS));
    let mut scan = view.scan(id.kind.infos(), &Bounds { lower: first.clone(), upper: end });
    scan.seek(&first);
    let mut rest = [0; 16];
    while let Some(name) = scan.name() {
        let other = Info::decode(scan.value()).ok().filter(|_| name != id.hash.0);
        xor(&mut rest, other.map_or([0; 16], |info| info.state));
        scan.next();
    }
    scan.finish()?;
    Ok(Rest { seen: view.get(&place(id))?, rest })
}

/// Puts the digest without a database in its place, unless that has changed meanwhile.
///
/// # Errors
/// When it cannot be read.
pub(super) fn replace_all(tx: &mut Transaction<'_>, id: ListingId, rest: &Rest) -> Result<bool, DbError> {
    let key = place(id);
    if tx.get(&key)? != rest.seen {
        return Ok(false);
    }
    match rest.rest {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => tx.delete(key),
        digest => tx.put(key, digest.to_vec()),
    }
    Ok(true)
}

/// The digests of all partitions of a ring with `2^power` of them.
///
/// # Errors
/// When they cannot be read or are damaged.
pub fn table(view: &View<'_>, kind: Kind, power: u8) -> Result<Table, DbError> {
    if power > BITS {
        return walked(view, kind, power);
    }
    let mut table = Table::new();
    let mut scan = view.scan(kind.digests(), &Bounds { lower: Vec::new(), upper: None });
    scan.seek(b"");
    while let Some(prefix) = scan.name() {
        let mut hash = [0; 16];
        hash.get_mut(..prefix.len()).ok_or(Malformed::Length)?.copy_from_slice(prefix);
        let digest = scan.value().try_into().map_err(|_| Malformed::Length)?;
        xor(table.entry(ring::partition(&hash, power)).or_default(), digest);
        scan.next();
    }
    scan.finish()?;
    Ok(table)
}

fn walked(view: &View<'_>, kind: Kind, power: u8) -> Result<Table, DbError> {
    let mut table = Table::new();
    let mut after = None;
    loop {
        let page = databases(view, kind, None, after)?;
        let Some((last, _)) = page.last() else { return Ok(table) };
        after = Some(*last);
        page.into_iter()
            .for_each(|(hash, state)| xor(table.entry(ring::partition(&hash.0, power)).or_default(), state));
    }
}

/// Databases of one page.
const PAGE: usize = 1000;

/// Some databases with their digests, in order: those of a partition (the part power and its number) or of the whole
/// device, after a hash; none when there are no more. What cannot be read is logged and left out.
///
/// # Errors
/// When they cannot be read.
pub fn databases(
    view: &View<'_>,
    kind: Kind,
    partition: Option<(u8, u32)>,
    after: Option<PathHash>,
) -> Result<Vec<(PathHash, [u8; 16])>, DbError> {
    let (first, end) = partition.map_or((Vec::new(), None), |(power, partition)| range(power, partition));
    let lower = after.map_or(first, |hash| [&hash.0[..], &[0]].concat());
    let mut scan = view.scan(kind.infos(), &Bounds { lower: lower.clone(), upper: end });
    scan.seek(&lower);
    let mut found = Vec::new();
    while let Some(name) = scan.name().filter(|_| found.len() < PAGE) {
        let hash = name.try_into().map(PathHash).map_err(|_| Malformed::Length)?;
        match Info::decode(scan.value()) {
            Ok(info) => found.push((hash, info.state)),
            Err(error) => tracing::error!(%error, %hash, "a database cannot be read"),
        }
        scan.next();
    }
    scan.finish()?;
    Ok(found)
}

/// The hashes of a partition: the first, and what comes after the last.
fn range(power: u8, partition: u32) -> (Vec<u8>, Option<Vec<u8>>) {
    let first = |partition: u64| (partition << (64 - u32::from(power.min(32)))).to_be_bytes().to_vec();
    let is_last = u64::from(partition) + 1 >= 1 << power.min(32);
    match power {
        0 => (Vec::new(), None),
        _ => (first(partition.into()), (!is_last).then(|| first(u64::from(partition) + 1))),
    }
}

fn place(id: ListingId) -> Vec<u8> {
    let [one, two, three, ..] = id.hash.0;
    [id.kind.digests(), vec![one, two, three & 0xf0]].concat()
}

fn xor(digest: &mut [u8; 16], other: [u8; 16]) {
    digest.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_partition_is_the_range_of_its_hashes(hash: [u8; 16], power in 0u8..=32) {
            let partition = ring::partition(&hash, power);
            let (first, end) = range(power, partition);
            prop_assert!(first.as_slice() <= &hash[..]);
            prop_assert!(end.as_ref().is_none_or(|end| &hash[..] < end.as_slice()));
            if partition > 0 {
                prop_assert_eq!(range(power, partition - 1).1, Some(first));
            }
        }
    }
}
