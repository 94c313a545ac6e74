//! Rows committed, and a page of a listing read, out of a container of 100,000 rows.
//!
//! `cargo bench -p apus-container`. The database is in a temporary folder, so the flushes are those of its disk.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]

use std::cell::Cell;
use std::sync::Arc;

use apus_base::db::{Database, Databases, DbError, ListingId, Transaction};
use apus_base::fs::{Devices, Reserve};
use apus_base::hash_path::HashPath;
use apus_base::listing::Query;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use apus_container::store::{ContainerName, listing, merge};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const ROWS: u64 = 100_000;
const BATCH: u64 = 1000;
/// Requests in flight that bring one row each.
const WRITERS: u64 = 256;

struct Container {
    runtime: Runtime,
    database: Arc<Database>,
    name: ContainerName,
    id: ListingId,
    written: Cell<u64>,
    _root: tempfile::TempDir,
}

impl Container {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let databases = Databases::new(Arc::new(Devices::new(root.path(), 4)), Reserve::Bytes(0));
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(databases.get_writable("d1")).unwrap();
        let name = ContainerName { account: "AUTH_test".into(), container: "bench".into() };
        let id = name.id(&HashPath::new("", "bench"));
        Self { runtime, database, name, id, written: Cell::new(0), _root: root }
    }

    /// The next rows, with names in no order.
    fn rows(&self, count: u64) -> Vec<ObjectRow> {
        let first = self.written.replace(self.written.get() + count);
        (first..first + count).map(row).collect()
    }

    async fn commit(database: Arc<Database>, name: ContainerName, id: ListingId, rows: Vec<ObjectRow>) {
        let create = Some((Timestamp::from_secs(1), PolicyIndex(0)));
        let change = move |tx: &mut Transaction<'_>| merge(tx, &name, id, create, &rows);
        database.commit::<_, DbError, _>(change).await.unwrap();
    }

    fn add(&self, count: u64) {
        let (database, rows) = (Arc::clone(&self.database), self.rows(count));
        self.runtime.block_on(Self::commit(database, self.name.clone(), self.id, rows));
    }

    fn add_by_many(&self, writers: u64) {
        let mut adding = JoinSet::new();
        for row in self.rows(writers) {
            let database = Arc::clone(&self.database);
            adding.spawn_on(Self::commit(database, self.name.clone(), self.id, vec![row]), self.runtime.handle());
        }
        self.runtime.block_on(adding.join_all());
    }

    fn list(&self, query: &Query) -> usize {
        let (id, query) = (self.id, query.clone());
        let read = self.database.read::<_, DbError, _>(move |view| listing(view, id, PolicyIndex(0), &query));
        self.runtime.block_on(read).unwrap().json.len()
    }
}

fn row(n: u64) -> ObjectRow {
    let shuffled = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ObjectRow {
        name: format!("dir{:02}/{shuffled:016x}/photo.jpeg", shuffled % 50),
        timestamps: RowTimestamps::same(Timestamp::from_secs(1_700_000_000 + n)),
        size: n,
        content_type: "image/jpeg".into(),
        etag: format!("{shuffled:032x}"),
        deleted: false,
        policy: PolicyIndex(0),
    }
}

fn commits(c: &mut Criterion) {
    let container = Container::new();
    let mut group = c.benchmark_group("commit");
    group.sample_size(20);
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("one batch of 1000 rows", |b| b.iter(|| container.add(BATCH)));
    group.throughput(Throughput::Elements(WRITERS));
    group.bench_function("256 requests of one row", |b| b.iter(|| container.add_by_many(WRITERS)));
    group.finish();
}

fn listings(c: &mut Criterion) {
    let container = Container::new();
    (0..ROWS / BATCH).for_each(|_| container.add(BATCH));
    let page = Query { limit: 1000, marker: "dir20".into(), ..Query::default() };
    let reverse = Query { reverse: true, ..page.clone() };
    let slash = Query { delimiter: "/".into(), ..Query::default() };
    let mut group = c.benchmark_group("listing of 100,000");
    group.bench_function("1000 rows", |b| b.iter(|| container.list(&page)));
    group.bench_function("1000 rows in reverse", |b| b.iter(|| container.list(&reverse)));
    group.bench_function("50 subdirs by delimiter", |b| b.iter(|| container.list(&slash)));
    group.finish();
}

criterion_group!(benches, commits, listings);
criterion_main!(benches);
