//! What opening an object told, remembered, so that it can be opened again at once, without the device's threads.
//!
//! A small read of an object that was read before costs more in waking one of its device's threads, listing its folder and reading its
//! attributes than in all else. Here is remembered what those said, and how the folder and the files were before. A read may use it if they
//! are still so: nobody has to tell this memory of a change, whichever process made it.
//!
//! - *Times are coarse*: a folder may change twice within one tick of the kernel's clock (4 ms, or a second on an ext4 with small
//!   inodes) and look the same. So what was read is remembered only if the last change was [`REST`] ago when that began: the next one is in another tick.
//! - *It never waits for a disk*, since it is done on Tokio's threads, where a disk that hangs must not hold anybody: the folder and the
//!   files are opened with `RESOLVE_CACHED`, the body is read with `RWF_NOWAIT`. What the kernel does not have in memory goes to the device's threads,
//!   and so does whatever is not as it should be there: a body with another sum, an object that has expired.
//! - *Its size is bounded* by `hot_bytes` of the configuration; what is asked for most often stays.

use std::sync::Arc;

use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use moka::sync::Cache;

use super::folder::Folder;
use super::inode::InodeState;
use super::known::Known;
use super::location::Location;
use super::metadata::Metadata;
use super::read::Object;

/// Seconds without a change, before something was looked at, after which its times are believed.
const REST: u64 = 2;
/// What an entry costs besides its metadata: keys, tables, the queues of the cache.
const OVERHEAD_BYTES: usize = 512;
/// What an item of metadata costs besides its text.
const ITEM_BYTES: usize = 64;

/// What is remembered of the objects of a server.
#[derive(Debug)]
pub struct HotObjects(Option<Cache<Place, Arc<Known>>>);

/// Which object, on which device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    device: String,
    policy: PolicyIndex,
    hash: PathHash,
}

impl HotObjects {
    /// A memory of at most `bytes`; of nothing with none.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &Place, known: &Arc<Known>| u32::try_from(weight(known)).unwrap_or(u32::MAX);
        Self((bytes > 0).then(|| Cache::builder().max_capacity(bytes).weigher(weigh).build()))
    }

    /// Remembers what opening an object told, if that can be compared later.
    pub fn remember(&self, location: &Location, known: &Arc<Known>) {
        let Some(cache) = &self.0 else { return };
        let mut states = known.files.iter().map(|(_, state)| state).chain([&known.folder]);
        let have_rested = states.all(|state| state.rested(known.seen).is_some_and(|secs| secs > REST));
        if have_rested && !known.rewrapping {
            cache.insert(Place::of(location), Arc::clone(known));
        }
    }

    /// An object as of `now` that is remembered, and whose folder and files are as they were. Does not wait for the disk.
    pub fn open(&self, location: &Location, now: Timestamp) -> Option<Object> {
        let known = self.0.as_ref()?.get(&Place::of(location))?;
        if !known.is_named(&location.name) || known.has_expired(now) {
            return None;
        }
        let folder = Folder::open_cached(location)?;
        let unchanged = |(name, before): &(String, InodeState)| {
            folder.cached_file(name).filter(|file| InodeState::of(file).is_ok_and(|now| now == *before))
        };
        let (body, others) = known.files.split_first()?;
        let file = unchanged(body)?;
        let is_same = others.iter().all(|other| unchanged(other).is_some())
            && folder.state().is_ok_and(|now| now == known.folder);
        is_same.then_some(Object { file, known })
    }
}

impl Place {
    fn of(location: &Location) -> Self {
        Self { device: location.device.name().to_owned(), policy: location.policy, hash: location.hash }
    }
}

fn weight(known: &Known) -> usize {
    // Without a POST, what a client sees is what the PUT wrote.
    let posted = known.meta_metadata.iter().flat_map(|meta| [meta, &*known.metadata]);
    let items = posted.chain([&*known.data_metadata]).flat_map(Metadata::iter);
    OVERHEAD_BYTES + items.map(|(key, value)| key.len() + value.len() + ITEM_BYTES).sum::<usize>()
}
