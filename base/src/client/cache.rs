//! The cache of account and container info: in this process, or on memcached servers.
//!
//! Info is believed for a minute; that there is none, for a tenth of it. In this process forgetting is exact: each name
//! belongs to a slot with a generation number, which is part of its key. To forget is to count the generation up, so that a
//! look-up that began before the write can neither be joined nor leave its old answer behind. On memcached servers the entry
//! is deleted, and a look-up of another proxy that is under way may put an old answer back, as in Swift, until it expires.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use prometheus_client::metrics::counter::Counter;
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
    hits: Counter,
    misses: Counter,
}

enum Store<T> {
    Here(Cache<Key, Info<T>>),
    Memcached(Arc<Memcached>),
}

/// A name, and the generation of its slot.
type Key = (u64, String);

/// The caches that a configuration asks for.
pub(super) fn of(config: &ClientConfig, stats: &Stats) -> (InfoCache<AccountInfo>, InfoCache<ContainerInfo>) {
    let (account_ttl, container_ttl) = (config.recheck_account_existence, config.recheck_container_existence);
    let (accounts, containers) = if config.memcache_servers.is_empty() {
        let bytes = config.info_cache_bytes / 2;
        (Store::here(account_ttl, bytes), Store::here(container_ttl, bytes))
    } else {
        let shared = Arc::new(Memcached::new(&config.memcache_servers));
        (Store::Memcached(Arc::clone(&shared)), Store::Memcached(shared))
    };
    (
        InfoCache::new("account", account_ttl, accounts, stats),
        InfoCache::new("container", container_ttl, containers, stats),
    )
}

/// How long an answer is believed.
fn ttl_of<T>(info: &Info<T>, ttl: Duration) -> Duration {
    if info.found().is_some() { ttl } else { ttl / 10 }
}

struct ByKind(Duration);

impl<T> Expiry<Key, Info<T>> for ByKind {
    fn expire_after_create(&self, _key: &Key, info: &Info<T>, _now: Instant) -> Option<Duration> {
        Some(ttl_of(info, self.0))
    }
}

impl<T: Serialize + Clone + Send + Sync + 'static> Store<T> {
    fn here(ttl: Duration, bytes: u64) -> Self {
        let weigh = |(_, name): &Key, info: &Info<T>| {
            let text = info.found().and_then(|info| serde_json::to_vec(info).ok()).map_or(0, |text| text.len());
            u32::try_from(name.len() + text + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        Self::Here(Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(ByKind(ttl)).build())
    }
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> InfoCache<T> {
    fn new(kind: &'static str, ttl: Duration, store: Store<T>, stats: &Stats) -> Self {
        let generations = std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect();
        let (hits, misses) = (stats.cache(kind, "hit"), stats.cache(kind, "miss"));
        Self { kind, ttl, store, hasher: RandomState::new(), generations, hits, misses }
    }

    /// What is known of `name`, or what `load` finds out. Several look-ups of one name in this process load once.
    ///
    /// Each request looks up several names, and nearly all are found here. So loading has a place of its own: else it would be part of the future of
    /// each operation, some 14 KB of it, which are copied when such a future is made.
    pub(super) async fn get<L>(&self, name: String, load: impl FnOnce() -> L) -> Result<Info<T>, NoAnswer>
    where
        L: Future<Output = Result<Info<T>, NoAnswer>>,
    {
        let key = (self.generation(&name).load(Ordering::SeqCst), name);
        if let Store::Here(cache) = &self.store
            && let Some(info) = cache.get(&key).await
        {
            self.hits.inc();
            return Ok(info);
        }
        Box::pin(self.find(key, load)).await
    }

    /// What another look-up is finding out, what memcached servers know, or what `load` finds out.
    async fn find<L>(&self, key: Key, load: impl FnOnce() -> L) -> Result<Info<T>, NoAnswer>
    where
        L: Future<Output = Result<Info<T>, NoAnswer>>,
    {
        let mut missed = false;
        let load = async {
            missed = true;
            load().await
        };
        let info = match &self.store {
            Store::Here(cache) => cache.try_get_with(key, load).await.map_err(Arc::unwrap_or_clone),
            Store::Memcached(memcached) => self.get_shared(memcached, &key.1, load).await,
        };
        let counted = if missed { &self.misses } else { &self.hits };
        counted.inc();
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

    fn cache() -> InfoCache<ContainerInfo> {
        of(&ClientConfig::default(), &Stats::default()).1
    }

    fn with_objects(object_count: u64) -> Info<ContainerInfo> {
        Info::Found(Arc::new(ContainerInfo { object_count, ..ContainerInfo::default() }))
    }

    #[tokio::test]
    async fn what_was_forgotten_is_loaded_again() {
        let cache = cache();
        let seen = |n| cache.get("a/c".into(), async move || Ok(with_objects(n)));
        assert_eq!(seen(1).await, Ok(with_objects(1)));
        assert_eq!(seen(2).await, Ok(with_objects(1)));
        cache.forget("a/c").await;
        assert_eq!(seen(3).await, Ok(with_objects(3)));
    }

    #[tokio::test]
    async fn errors_are_not_kept() {
        let cache = cache();
        let nobody = NoAnswer { statuses: vec![503] };
        assert_eq!(cache.get("a/c".into(), async || { Err(nobody.clone()) }).await, Err(nobody.clone()));
        assert_eq!(cache.get("a/c".into(), async || { Ok(Info::Missing) }).await, Ok(Info::Missing));
    }

    /// A look-up that began before a write answers what it found, but nobody after the write sees that.
    #[tokio::test]
    async fn an_old_look_up_leaves_nothing_behind() {
        let cache = cache();
        let (finish, finished) = oneshot::channel();
        let old = cache.get("a/c".into(), async move || {
            finished.await.unwrap();
            Ok(with_objects(1))
        });
        let write = async {
            cache.forget("a/c").await;
            assert_eq!(cache.get("a/c".into(), async || { Ok(with_objects(2)) }).await, Ok(with_objects(2)));
            finish.send(()).unwrap();
        };
        let (old, ()) = tokio::join!(old, write);
        assert_eq!(old, Ok(with_objects(1)));
        assert_eq!(cache.get("a/c".into(), async || { Ok(with_objects(3)) }).await, Ok(with_objects(2)));
    }

    #[test]
    fn that_there_is_none_is_believed_for_a_tenth() {
        let minute = Duration::from_secs(60);
        assert_eq!(ttl_of(&with_objects(1), minute), minute);
        assert_eq!(ttl_of(&Info::<ContainerInfo>::Missing, minute), Duration::from_secs(6));
    }
}
