//! Bringing the index up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::time::Duration;

use apus_base::fs::Taken;
use futures_util::{StreamExt as _, stream};

use super::table::{Entry, Table};
use super::{INDEX, SUFFIXES, Shelf, list};
use crate::store::error::{StoreError, is_not_found};

/// How often to look whether another process, or another task of this one, is done with the same.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long to wait for it. An index is made anew for longer than that on a large disk; then what there is must do.
const WAIT: Duration = Duration::from_secs(10);

/// Partitions listed at the same time. The device's queue has a few threads more, which requests find free.
const PARTITIONS_AT_ONCE: usize = 2;

/// What of a partition has to be listed again.
#[derive(Debug, PartialEq, Eq)]
enum Dirty {
    All,
    Suffixes(BTreeSet<u16>),
}

/// What there is to do.
struct Work {
    table: Table,
    taken: Taken,
    dirty: BTreeMap<u32, Dirty>,
    changed: bool,
}

/// Brings the index of a shelf up to date with the disk, and gives the digests of its partitions. The work is done on the
/// device's queue, two partitions at a time, so that requests get their turns.
///
/// # Errors
/// When the device is gone or what the disk says; what was marked stays marked then.
pub async fn refresh(shelf: &Shelf) -> Result<Table, StoreError> {
    let queue = shelf.device.queue();
    shelf.device.check()?;
    let Some(_lock) = lock(shelf).await? else {
        return Ok(queue.run(load(shelf)).await?.unwrap_or_default());
    };
    let finding = shelf.clone();
    let found = queue.run(move || find_work(&finding)).await?;
    let mut work = found.map_err(StoreError::while_doing("read the index"))?;
    let listings = std::mem::take(&mut work.dirty).into_iter().map(|(partition, dirty)| list(shelf, partition, dirty));
    let mut listings = stream::iter(listings).buffer_unordered(PARTITIONS_AT_ONCE);
    while let Some(listed) = listings.next().await {
        let (partition, now) = listed?;
        let before = match now {
            Some(entry) => work.table.0.insert(partition, entry),
            None => work.table.0.remove(&partition),
        };
        work.changed |= before != now;
    }
    let ending = shelf.clone();
    let ended = queue.run(move || end(&ending, work)).await?;
    ended.map_err(StoreError::while_doing("write the index"))
}

/// Lists what is dirty in a partition, and says what the partition holds now.
async fn list(shelf: &Shelf, partition: u32, dirty: Dirty) -> Result<(u32, Option<Entry>), StoreError> {
    let listing = shelf.clone();
    let listed = shelf.device.queue().run(move || list_partition(&listing, partition, &dirty)).await?;
    let suffixes = listed.map_err(StoreError::while_doing("list a partition"))?;
    Ok((partition, suffixes.summary()))
}

/// Locks the index for this task; `None` when somebody has it for long, or when nothing was ever stored here.
async fn lock(shelf: &Shelf) -> Result<Option<File>, StoreError> {
    let path = shelf.folder().join(".index.lock");
    let opened = shelf.device.queue().run(move || File::options().create(true).append(true).open(path)).await?;
    let file = match opened {
        Err(error) if is_not_found(&error) => return Ok(None),
        opened => opened.map_err(StoreError::while_doing("lock the index"))?,
    };
    let deadline = tokio::time::Instant::now() + WAIT;
    while file.try_lock().is_err() {
        if tokio::time::Instant::now() > deadline {
            tracing::warn!(device = shelf.device.name(), "the index is being made anew; what it was is used");
            return Ok(None);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(Some(file))
}

fn load(shelf: &Shelf) -> impl FnOnce() -> Option<Table> + Send + 'static {
    let path = shelf.folder().join(INDEX);
    move || Table::load(&path)
}

fn find_work(shelf: &Shelf) -> io::Result<Work> {
    let taken = shelf.device.take(&shelf.relative())?;
    let here: BTreeSet<u32> = list::names(&shelf.folder())?.iter().filter_map(|name| parse_partition(name)).collect();
    let loaded = load(shelf)().filter(|_| !taken.lost);
    if loaded.is_none() && !here.is_empty() {
        tracing::info!(device = shelf.device.name(), policy = shelf.policy.0, "the index is made anew");
    }
    let mut table = loaded.unwrap_or_default();
    let mut dirty: BTreeMap<u32, Dirty> = BTreeMap::new();
    for partition in here.iter().filter(|partition| !table.0.contains_key(partition)) {
        dirty.insert(*partition, Dirty::All);
    }
    for (partition, suffix) in &taken.marks {
        let marked = dirty.entry(*partition).or_insert_with(|| Dirty::Suffixes(BTreeSet::new()));
        if let Dirty::Suffixes(suffixes) = marked {
            suffixes.insert(*suffix);
        }
    }
    let before = table.0.len();
    table.0.retain(|partition, _| here.contains(partition));
    Ok(Work { changed: before != table.0.len(), table, taken, dirty })
}

/// A partition's folder, as we would have named it.
fn parse_partition(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number: &u32| number.to_string() == name)
}

fn list_partition(shelf: &Shelf, partition: u32, dirty: &Dirty) -> io::Result<Table> {
    let path = shelf.partition(partition).join(SUFFIXES);
    let known = match dirty {
        Dirty::Suffixes(suffixes) => Table::load(&path).map(|table| (table, suffixes.iter().copied().collect())),
        Dirty::All => None,
    };
    let (mut table, suffixes): (Table, Vec<u16>) = match known {
        Some(known) => known,
        None => (Table::default(), list::suffixes(shelf, partition)?),
    };
    for suffix in suffixes {
        match list::entry(&list::tidied(shelf, partition, suffix)?) {
            Some(entry) => _ = table.0.insert(suffix.into(), entry),
            None => _ = table.0.remove(&suffix.into()),
        }
    }
    match table.save(&path) {
        // The partition's folder went away meanwhile, which is listed next time.
        Err(error) if is_not_found(&error) => return Ok(Table::default()),
        saved => saved?,
    }
    if table.0.is_empty() {
        // Only if nothing at all is left in it; a writer that made it just now makes it again.
        let below = shelf.relative().join(partition.to_string());
        shelf.device.forget_dir(&below);
        let _ = std::fs::remove_dir(shelf.partition(partition));
        shelf.device.forget_dir(&below);
    }
    Ok(table)
}

/// Writes what was found, flushes it, and only then forgets the marks.
fn end(shelf: &Shelf, work: Work) -> io::Result<Table> {
    if work.changed {
        work.table.save(&shelf.folder().join(INDEX))?;
        shelf.device.flush_all()?;
    }
    shelf.device.done(&work.taken)?;
    Ok(work.table)
}
