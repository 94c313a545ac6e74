//! Listings that rot under the eyes of their own checksums: what a stopped node has of one account or container is changed as a
//! faulty program or memory would, or its files are, as a disk does.

use std::fs;
use std::sync::Arc;

use apus_base::clock;
use apus_base::db::codec::Encoder;
use apus_base::db::{Databases, DbError, Get as _, Info, Kind, ListingId, Transaction};
use apus_base::fs::{Devices, Reserve};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;

use crate::cluster::Cluster;
use crate::{disk, listing_copies};

impl Cluster {
    /// Changes a row of policy 0 that a stopped node has of a container.
    #[track_caller]
    pub fn garble_row(&mut self, node: usize, container: &str, name: &str) {
        let key = listing_copies::id(container).row(PolicyIndex(0), false, name);
        self.garble(node, move |tx| {
            let mut value = tx.get(&key)?.expect("a row");
            // One letter of its ETag or its content type, or a digit of its size.
            let middle = value.len() / 2;
            value[middle] ^= 1;
            tx.put(key, value);
            Ok(())
        });
    }

    /// Has a stopped node's copy of an account or a container count one row more than it has.
    #[track_caller]
    pub fn garble_stats(&mut self, node: usize, path: &str) {
        let id: ListingId = listing_copies::id(path);
        self.garble(node, move |tx| {
            let mut info = Info::load(tx, id)?.expect("a database");
            info.stats.values_mut().next().expect("counts").rows += 1;
            info.store(tx, id)
        });
    }

    /// Has a stopped node believe that its containers were passed over last so many seconds ago, as after a long time away.
    #[track_caller]
    pub fn set_seen(&mut self, node: usize, seconds_ago: u64) {
        let seen = Timestamp::from_secs(clock::now().secs() - seconds_ago);
        self.garble(node, move |tx| {
            // When it was seen, when it was walked, and whether it is known to have been away: as the replicator's `times` has it.
            let mut times = Encoder::new(1);
            times.timestamp(seen).timestamp(seen).flag(false);
            tx.put(Kind::Container.times(), times.finish());
            Ok(())
        });
    }

    fn garble(
        &mut self,
        node: usize,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<(), DbError> + Send + 'static,
    ) {
        assert!(!self.node(node).is_running(), "it has its listings open");
        let devices = Arc::new(Devices::new(self.node(node).devices(), 1));
        let changing = async {
            let databases = Databases::new(devices, Reserve::Bytes(0));
            databases.get_writable(&format!("d{node}")).await?.commit(change).await?;
            databases.close().await;
            Ok::<_, DbError>(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(changing).expect("a change");
    }

    /// Flips bits everywhere in those files of a stopped node's listings whose names have `part` in them, and gives how many
    /// there are.
    pub fn garble_files(&mut self, node: usize, part: &str) -> usize {
        assert!(!self.node(node).is_running(), "it has its listings open");
        let files = disk::files(&self.device(node).join("listings"));
        let named = files.into_iter().filter(|path| path.to_string_lossy().contains(part));
        let garble = |path| {
            let mut bytes = fs::read(&path).expect("a file");
            (0..bytes.len()).step_by(7).for_each(|at| bytes[at] ^= 0x20);
            fs::write(path, bytes).expect("a file");
        };
        named.map(garble).count()
    }
}
