//! The cache of account and container info: in this process, or on memcached servers.
//!
//! Info is believed for a minute; that there is none, for a tenth of it. In this process forgetting is exact: each name
//! belongs to a slot with a generation number, which is part of its key. To forget is to count the generation up, so that a
//! look-up that began before the write can neither be joined nor leave its old answer behind. On memcached servers the entry
//! is deleted, and a look-up of another proxy that is under way may put an old answer back, as in Swift, until it expires.

use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::memcached::Memcached;
use super::stats::Stats;
use super::{AccountInfo, ClientConfig, ContainerInfo, Info, NoAnswer};

/// Names share slots; that forgetting one forgets a few others does no harm if it is rare.
const SLOTS: usize = 4096;
/// What an entry costs besides its text: keys, tables, the queue of expiry.
const OVERHEAD_BYTES: usize = 512;

/// The cache of one kind of info.
pub(super) struct InfoCache<T> {
    kind: &'static str,
    ttl: Duration,
    store: Store<T>,
    hasher: RandomState,
    generations: Box<[AtomicU64]>,
}

enum Store<T> {
    Here(Cache<String, Info<T>>),
    Memcached(Arc<Memcached>),
}

/// The caches that a configuration asks for.
pub(super) fn of(config: &ClientConfig) -> (InfoCache<AccountInfo>, InfoCache<ContainerInfo>) {
    let (account_ttl, container_ttl) = (config.recheck_account_existence, config.recheck_container_existence);
    if config.memcache_servers.is_empty() {
        let bytes = config.info_cache_bytes / 2;
        let (accounts, containers) = (Store::here(account_ttl, bytes), Store::here(container_ttl, bytes));
        return (
            InfoCache::new("account", account_ttl, accounts),
            InfoCache::new("container", container_ttl, containers),
        );
    }
    let shared = Arc::new(Memcached::new(&config.memcache_servers));
    let (accounts, containers) = (Store::Memcached(Arc::clone(&shared)), Store::Memcached(shared));
    (InfoCache::new("account", account_ttl, accounts), InfoCache::new("container", container_ttl, containers))
}

/// How long an answer is believed.
fn ttl_of<T>(info: &Info<T>, ttl: Duration) -> Duration {
    if info.found().is_some() { ttl } else { ttl / 10 }
}

struct ByKind(Duration);

impl<T> Expiry<String, Info<T>> for ByKind {
    fn expire_after_create(&self, _key: &String, info: &Info<T>, _now: Instant) -> Option<Duration> {
        Some(ttl_of(info, self.0))
    }
}

impl<T: Serialize + Clone + Send + Sync + 'static> Store<T> {
    fn here(ttl: Duration, bytes: u64) -> Self {
        let weigh = |key: &String, info: &Info<T>| {
            let text = info.found().and_then(|info| serde_json::to_vec(info).ok()).map_or(0, |text| text.len());
            u32::try_from(key.len() + text + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        Self::Here(Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(ByKind(ttl)).build())
    }
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> InfoCache<T> {
    fn new(kind: &'static str, ttl: Duration, store: Store<T>) -> Self {
        let generations = std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect();
        Self { kind, ttl, store, hasher: RandomState::new(), generations }
    }

    /// What is known of `name`, or what `load` finds out. Several look-ups of one name in this process load once.
    pub(super) async fn get(
        &self,
        name: &str,
        stats: &Stats,
        load: impl Future<Output = Result<Info<T>, NoAnswer>>,
    ) -> Result<Info<T>, NoAnswer> {
        let mut missed = false;
        let load = async {
            missed = true;
            load.await
        };
        let info = match &self.store {
            Store::Here(cache) => {
                let key = format!("{}/{name}", self.generation(name).load(Ordering::SeqCst));
                cache.try_get_with(key, load).await.map_err(Arc::unwrap_or_clone)
            }
            Store::Memcached(memcached) => self.get_shared(memcached, name, load).await,
        };
        stats.cache(self.kind, if missed { "miss" } else { "hit" });
        info
    }

    async fn get_shared(
        &self,
        memcached: &Memcached,
        name: &str,
        load: impl Future<Output = Result<Info<T>, NoAnswer>>,
    ) -> Result<Info<T>, NoAnswer> {
        let key = self.shared_key(name);
        let stored = memcached.get(&key).await;
        // What another version of this program stored, in a way that is not understood, is as good as nothing.
        if let Some(info) = stored.and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok(info);
        }
        let before = self.generation(name).load(Ordering::SeqCst);
        let info = load.await?;
        if let Ok(text) = serde_json::to_vec(&info)
            && self.generation(name).load(Ordering::SeqCst) == before
        {
            memcached.set(&key, &text, ttl_of(&info, self.ttl)).await;
        }
        Ok(info)
    }

    /// Forgets what is known of `name`.
    pub(super) async fn forget(&self, name: &str) {
        self.generation(name).fetch_add(1, Ordering::SeqCst);
        if let Store::Memcached(memcached) = &self.store {
            memcached.delete(&self.shared_key(name)).await;
        }
    }

    fn generation(&self, name: &str) -> &AtomicU64 {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below SLOTS")]
        let slot = (self.hasher.hash_one(name) % SLOTS as u64) as usize;
        &self.generations[slot]
    }

    fn shared_key(&self, name: &str) -> String {
        format!("{}/{name}", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn cache() -> (InfoCache<ContainerInfo>, Stats) {
        (of(&ClientConfig::default()).1, Stats::default())
    }

    fn with_objects(object_count: u64) -> Info<ContainerInfo> {
        Info::Found(Arc::new(ContainerInfo { object_count, ..ContainerInfo::default() }))
    }

    #[tokio::test]
    async fn what_was_forgotten_is_loaded_again() {
        let (cache, stats) = cache();
        let seen = |n| cache.get("a/c", &stats, async move { Ok(with_objects(n)) });
        assert_eq!(seen(1).await, Ok(with_objects(1)));
        assert_eq!(seen(2).await, Ok(with_objects(1)));
        cache.forget("a/c").await;
        assert_eq!(seen(3).await, Ok(with_objects(3)));
    }

    #[tokio::test]
    async fn errors_are_not_kept() {
        let (cache, stats) = cache();
        let nobody = NoAnswer { statuses: vec![503] };
        assert_eq!(cache.get("a/c", &stats, async { Err(nobody.clone()) }).await, Err(nobody.clone()));
        assert_eq!(cache.get("a/c", &stats, async { Ok(Info::Missing) }).await, Ok(Info::Missing));
    }

    /// A look-up that began before a write answers what it found, but nobody after the write sees that.
    #[tokio::test]
    async fn an_old_look_up_leaves_nothing_behind() {
        let (cache, stats) = cache();
        let (finish, finished) = oneshot::channel();
        let old = cache.get("a/c", &stats, async move {
            finished.await.unwrap();
            Ok(with_objects(1))
        });
        let write = async {
            cache.forget("a/c").await;
            assert_eq!(cache.get("a/c", &stats, async { Ok(with_objects(2)) }).await, Ok(with_objects(2)));
            finish.send(()).unwrap();
        };
        let (old, ()) = tokio::join!(old, write);
        assert_eq!(old, Ok(with_objects(1)));
        assert_eq!(cache.get("a/c", &stats, async { Ok(with_objects(3)) }).await, Ok(with_objects(2)));
    }

    #[test]
    fn that_there_is_none_is_believed_for_a_tenth() {
        let minute = Duration::from_secs(60);
        assert_eq!(ttl_of(&with_objects(1), minute), minute);
        assert_eq!(ttl_of(&Info::<ContainerInfo>::Missing, minute), Duration::from_secs(6));
    }
}
