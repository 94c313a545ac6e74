//! One of Swift's databases into our listings.
//!
//! It is read twice: first to see that all of it can be read and is what Swift counted, then to be stored. So a damaged one
//! is left out as a whole, rather than half of it being shown as all there is. Everything stored is merged by timestamps,
//! as replication does it, so doing it again, or after being killed in the middle, ends alike.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use apus_account::store::{self as account, Accounts};
use apus_base::cluster::Cluster;
use apus_base::db::info::Stats;
use apus_base::db::replica;
use apus_base::db::table::Row as _;
use apus_base::db::{Databases, DbError, Info, Kind, ListingId, Transaction};
use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_base::wire::ObjectRow;
use apus_container::store::{self as container, ContainerName, Containers};
use md5::{Digest as _, Md5};
use tokio::runtime::Handle;

use super::database::{DatabaseError, SwiftDb, SwiftHead};
use super::find::Found;
use super::pending;
use super::rows::{AnyRow, BadRow, SwiftRow};

/// Rows of one commit: some hundred KiB.
const BATCH: usize = 1000;
/// Bad rows of one database that are told by name.
const MAX_TOLD: usize = 5;
/// What the accounts of shards begin with.
const SHARDS: &str = ".shards_";

/// Why a database was not imported.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("its .pending file cannot be read: {0}")]
    Pending(#[source] io::Error),
    #[error("its name does not hash to its folder, so no request would find it")]
    Misplaced,
    #[error(
        "it is divided into {0} shards, which Apus has not; with Swift, disable its sharding and let the sharder shrink \
         it, then import again"
    )]
    Divided(u64),
    #[error("it is a shard of another container, which is imported when that is no longer divided")]
    Shard,
    #[error("its storage policy {0} is not in [[cluster.policies]]")]
    UnknownPolicy(PolicyIndex),
    /// Ours fails; the others would fare no better.
    #[error("it cannot be stored: {0}")]
    Listings(#[from] DbError),
}

/// What was imported of a database.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) rows: u64,
    pub(super) tombstones: u64,
    pub(super) pending: u64,
    /// What the operator should know of.
    pub(super) notes: Vec<String>,
}

/// Loads databases; without `databases` it only reads.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) cluster: Arc<Cluster>,
    pub(super) databases: Option<Arc<Databases>>,
    pub(super) runtime: Handle,
}

/// Where the rows of one database go.
struct Destination<'a> {
    device: &'a str,
    id: ListingId,
    head: &'a SwiftHead,
}

/// What the rows of a database add up to.
#[derive(Default)]
struct Tally {
    loaded: Loaded,
    stats: Stats,
    hash: [u8; 16],
    bad: u64,
}

impl Loader {
    /// Loads one database. Blocking. The name is the account's or container's as far as it is known.
    pub(super) fn load(&self, device: &str, found: &Found) -> Result<Loaded, (String, Refused)> {
        let unnamed = |refused: Refused| (found.folder.display().to_string(), refused);
        // The newest file of a divided one names it as well as any.
        let file = found.only_file().or_else(|| found.files.last().map(|file| found.folder.join(file)));
        let path: PathBuf = file.unwrap_or_default();
        let swift = SwiftDb::open(&path, found.kind, self.databases.is_some()).map_err(|e| unnamed(e.into()))?;
        let head = swift.head().map_err(|error| unnamed(error.into()))?;
        let name = name(&head.info);
        self.load_named(device, found, &swift, &head).map_err(|refused| (name, refused))
    }

    fn load_named(&self, device: &str, found: &Found, swift: &SwiftDb, head: &SwiftHead) -> Result<Loaded, Refused> {
        self.check(found, swift, head)?;
        let waiting = pending::read(&found.folder, &found.hash.hex(), found.kind).map_err(Refused::Pending)?;
        let mut tally = survey(swift)?;
        tally.compare(&head.info);
        let mut loaded = tally.loaded;
        loaded.notes.extend(waiting.bad.iter().take(MAX_TOLD).map(|why| format!("a waiting row is left out: {why}")));
        loaded.notes.extend(head.sync_points.map(|_| "container sync begins anew, for Apus keeps no sync points".into()));
        loaded.pending = waiting.rows.len() as u64;
        if self.databases.is_some() {
            let to = Destination { device, id: ListingId { kind: found.kind, hash: found.hash }, head };
            self.store(&to, swift, waiting.rows)?;
        }
        Ok(loaded)
    }

    fn check(&self, found: &Found, swift: &SwiftDb, head: &SwiftHead) -> Result<(), Refused> {
        let info = &head.info;
        if hash(&self.cluster, info) != found.hash {
            return Err(Refused::Misplaced);
        }
        let (is_shard, is_empty) = (info.account.starts_with(SHARDS), info.total().rows == 0);
        if found.kind == Kind::Account {
            return if is_shard && !is_empty { Err(Refused::Shard) } else { Ok(()) };
        }
        let (policy_is_known, shards) = (self.cluster.policies.get(info.policy).is_some(), swift.shards(info)?);
        match () {
            // Gone, and with it what it was divided into.
            () if info.delete_timestamp > info.put_timestamp && is_empty && shards.objects == 0 => Ok(()),
            () if is_shard => Err(Refused::Shard),
            () if found.only_file().is_none() => Err(Refused::Divided(shards.ranges)),
            // Ranges that the sharder has only found are in the undivided file, and do not count yet.
            () if shards.ranges > 0 && found.files[0].contains('_') => Err(Refused::Divided(shards.ranges)),
            () if !policy_is_known => Err(Refused::UnknownPolicy(info.policy)),
            () => Ok(()),
        }
    }

    fn store(&self, to: &Destination<'_>, swift: &SwiftDb, waiting: Vec<AnyRow>) -> Result<(), Refused> {
        let (id, head) = (to.id, replica::head_of(&to.head.info, &to.head.metadata));
        self.commit(to.device, move |tx| match id.kind {
            Kind::Account => replica::adopt::<Accounts>(tx, id, head),
            Kind::Container => replica::adopt::<Containers>(tx, id, head),
        })?;
        let mut batch = Vec::with_capacity(BATCH);
        swift.each_row(|row: Result<SwiftRow, BadRow>| -> Result<(), Refused> {
            batch.extend(row.ok().map(|row| row.row));
            if batch.len() == BATCH { self.merge(to, std::mem::take(&mut batch)) } else { Ok(()) }
        })?;
        batch.extend(waiting);
        self.merge(to, batch)
    }

    fn merge(&self, to: &Destination<'_>, rows: Vec<AnyRow>) -> Result<(), Refused> {
        let (id, info) = (to.id, &to.head.info);
        let name = ContainerName { account: info.account.clone(), container: info.container.clone() };
        if rows.is_empty() {
            return Ok(());
        }
        self.commit(to.device, move |tx| {
            let mut objects: Vec<ObjectRow> = Vec::new();
            for row in rows {
                match row {
                    AnyRow::Object(row) => objects.push(row),
                    AnyRow::Container { name: container, row } => {
                        account::merge(tx, (&name.account, id), &container, &row, None, true)?;
                    }
                }
            }
            if objects.is_empty() { Ok(()) } else { container::merge(tx, &name, id, None, &objects).map(|_| ()) }
        })
    }

    fn commit<F>(&self, device: &str, change: F) -> Result<(), Refused>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<(), DbError> + Send + 'static,
    {
        let Some(databases) = &self.databases else { return Ok(()) };
        let committed = async { databases.get_writable(device).await?.commit(change).await };
        Ok(self.runtime.block_on(committed)?)
    }
}

/// Reads all rows, and adds them up.
fn survey(swift: &SwiftDb) -> Result<Tally, Refused> {
    let mut tally = Tally::default();
    swift.each_row(|row| -> Result<(), Refused> {
        match row {
            Ok(row) => tally.add(&row),
            Err(bad) => tally.leave_out(&bad),
        }
        Ok(())
    })?;
    Ok(tally)
}

impl Tally {
    fn add(&mut self, SwiftRow { row, version }: &SwiftRow) {
        let digest = Md5::new().chain_update(row.name()).chain_update("-").chain_update(version).finalize();
        self.hash.iter_mut().zip(digest).for_each(|(byte, other)| *byte ^= other);
        let (deleted, counts) = match row {
            AnyRow::Container { row, .. } => (row.is_deleted(), row.counts(PolicyIndex(0)).1),
            AnyRow::Object(row) => (row.deleted, container::Row::from_wire(row).counts(row.policy).1),
        };
        self.stats.add(counts);
        self.loaded.rows += u64::from(!deleted);
        self.loaded.tombstones += u64::from(deleted);
    }

    fn leave_out(&mut self, bad: &BadRow) {
        self.bad += 1;
        if self.bad <= MAX_TOLD as u64 {
            self.loaded.notes.push(format!("a row is left out: {bad}"));
        }
    }

    /// Notes where the rows are not what Swift counted. The rows are what counts.
    fn compare(&mut self, swift: &Info) {
        let counted = swift.total();
        let of_rows = |what: &str, swift: u64, rows: u64| format!("Swift counted {swift} {what}, its rows have {rows}");
        let (what, rows) = (["rows", "objects", "bytes"], self.stats);
        let pairs = [(counted.rows, rows.rows), (counted.objects, rows.objects), (counted.bytes, rows.bytes)];
        let differing = what.iter().zip(pairs).filter(|(_, (swift, rows))| swift != rows);
        self.loaded.notes.extend(differing.map(|(what, (swift, rows))| of_rows(what, swift, rows)));
        if self.loaded.notes.is_empty() && self.hash != swift.hash {
            self.loaded.notes.push("its rows are as many as Swift counted, but do not have Swift's hash over them".into());
        }
        if self.bad > MAX_TOLD as u64 {
            self.loaded.notes.push(format!("{} rows are left out in all", self.bad));
        }
    }
}

/// Where an account or container belongs.
pub(super) fn hash(cluster: &Cluster, info: &Info) -> PathHash {
    match info.container.as_str() {
        "" => cluster.hash_path.account(&info.account),
        container => cluster.hash_path.container(&info.account, container),
    }
}

/// `account` or `account/container`, with the null bytes of reserved names made visible.
fn name(info: &Info) -> String {
    let name = if info.container.is_empty() { info.account.clone() } else { format!("{}/{}", info.account, info.container) };
    name.escape_debug().to_string()
}
