mod replicas;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apus_base::db::table::{self, Numbered};
use apus_base::db::{Database, Databases, DbError, Get, View};
use apus_base::fs::{Devices, Reserve};
use apus_base::listing::walk::{Bounds, Cursor as _};
use apus_base::listing::{Metadata, Query};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::*;

struct Store {
    runtime: tokio::runtime::Runtime,
    database: Arc<Database>,
    _root: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let databases = Databases::new(Arc::new(Devices::new(root.path(), 2)), Reserve::Bytes(0));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let database = runtime.block_on(databases.get_writable("d1")).unwrap();
        Self { runtime, database, _root: root }
    }

    fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> T {
        self.runtime.block_on(self.database.commit(change)).unwrap()
    }

    fn read<T: Send + 'static>(&self, read: impl FnOnce(&View<'_>) -> Result<T, DbError> + Send + 'static) -> T {
        self.runtime.block_on(self.database.read(read)).unwrap()
    }

    fn merge(&self, name: &ContainerName, rows: Vec<ObjectRow>) {
        let (name, id) = (name.clone(), id(name));
        let create = Some((Timestamp::from_secs(1), PolicyIndex(0)));
        assert_eq!(self.commit(move |tx| merge(tx, &name, id, create, &rows)), Merge::Done);
    }
}

fn id(name: &ContainerName) -> ListingId {
    name.id(&HashPath::new("", "test"))
}

fn container(name: impl Into<String>) -> ContainerName {
    ContainerName { account: "a".into(), container: name.into() }
}

type Key = (PolicyIndex, String);

/// All rows and tombstones, as the database has them, with everything that must agree checked.
fn rows(view: &View<'_>, id: ListingId) -> Result<BTreeMap<Key, Row>, DbError> {
    let mut rows = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    for (policy, deleted) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut scan = view.scan(id.rows(PolicyIndex(policy), deleted), &Bounds { lower: vec![], upper: None });
        scan.seek(b"");
        while let Some(name) = scan.name() {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let Numbered { number, row } = table::decode::<Row>(scan.value())?;
            let numbered = view.get(&id.numbered(number))?.expect("the row's number");
            assert_eq!(table::decode_numbered(&numbered)?, (PolicyIndex(policy), deleted, name.clone()));
            assert!(row.deleted == deleted && numbers.insert(number));
            assert!(rows.insert((PolicyIndex(policy), name), row).is_none(), "both alive and dead");
            scan.next();
        }
        scan.finish()?;
    }
    let info = Info::load(view, id)?.expect("the container");
    let count = |policy, pick: fn(&Row) -> u64| -> u64 {
        let live = rows.iter().filter(|((of, _), row)| *of == policy && !row.deleted);
        live.map(|(_, row)| pick(row)).sum()
    };
    for policy in [PolicyIndex(0), PolicyIndex(1)] {
        let stats = info.of_policy(policy);
        assert_eq!((stats.rows, stats.bytes), (count(policy, |_| 1), count(policy, |row| row.size)));
    }
    assert!(numbers.last().copied().unwrap_or_default() <= info.last_row);
    Ok(rows)
}

/// The dumb oracle: of each part the newest, with a tie broken as `Row::merge` says.
fn oracle(updates: &[ObjectRow]) -> BTreeMap<Key, Row> {
    let mut rows: BTreeMap<Key, Vec<Row>> = BTreeMap::new();
    for update in updates {
        rows.entry((update.policy, update.name.clone())).or_default().push(Row::from_wire(update));
    }
    let newest = |versions: Vec<Row>| {
        let data = versions.iter().max_by_key(|r| (r.timestamps.data, r.deleted, r.etag.clone(), r.size)).unwrap();
        let typed = versions.iter().max_by_key(|r| (r.timestamps.content_type, r.content_type.clone())).unwrap();
        let meta = versions.iter().map(|r| r.timestamps.meta).max().unwrap();
        let (data_at, content_type) = (data.timestamps.data, typed.timestamps.content_type);
        Row {
            timestamps: RowTimestamps { data: data_at, content_type, meta },
            content_type: typed.content_type.clone(),
            ..data.clone()
        }
    };
    rows.into_iter().map(|(key, versions)| (key, newest(versions))).collect()
}

prop_compose! {
    fn update()(name in "[ab]", times in (1u64..6, 0u64..3, 0u64..3), size in 0u64..3, policy in 0u32..2, deleted: bool)
        -> ObjectRow {
        let at = Timestamp::from_ticks;
        let (data, content_type) = (times.0, times.0 + times.1);
        let timestamps = RowTimestamps { data: at(data), content_type: at(content_type), meta: at(content_type + times.2) };
        let (etag, content_type) = (format!("e{size}"), format!("t/{}", times.2));
        ObjectRow { name, timestamps, size, content_type, etag, deleted, policy: PolicyIndex(policy) }
    }
}

#[test]
fn any_order_and_repetition_of_updates_ends_alike() {
    let store = Store::new();
    let case = Cell::new(0);
    let strategy = (
        proptest::collection::vec(update(), 1..12),
        proptest::collection::vec(any::<(Index, Index)>(), 0..12),
        any::<Index>(),
    );
    let outcome = TestRunner::new(Config::with_cases(150)).run(&strategy, |(updates, swaps, cut)| {
        case.set(case.get() + 1);
        let mut turned = updates.clone();
        turned.extend(updates.iter().take(cut.index(updates.len())).cloned());
        for (one, other) in swaps {
            let (one, other) = (one.index(turned.len()), other.index(turned.len()));
            turned.swap(one, other);
        }
        let (straight, mixed) = (container(format!("s{}", case.get())), container(format!("m{}", case.get())));
        let split = turned.split_off(cut.index(turned.len()));
        store.merge(&straight, updates.clone());
        store.merge(&mixed, turned);
        store.merge(&mixed, split);

        let expected = oracle(&updates);
        let (one, other) = (id(&straight), id(&mixed));
        prop_assert_eq!(&store.read(move |view| rows(view, one)), &expected);
        prop_assert_eq!(&store.read(move |view| rows(view, other)), &expected);
        let hash = |id| store.read(move |view| Ok(Info::load(view, id)?.unwrap().hash));
        prop_assert_eq!(hash(one), hash(other));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn what_changed_since_a_row_number_comes_once_and_in_order() {
    let store = Store::new();
    let name = container("c");
    let put = |name: &str, at: u64| ObjectRow {
        name: name.into(),
        timestamps: RowTimestamps::same(Timestamp::from_ticks(at)),
        size: 1,
        content_type: "t".into(),
        etag: "e".into(),
        deleted: false,
        policy: PolicyIndex(0),
    };
    store.merge(&name, vec![put("a", 1), put("b", 1)]);
    let seen = store.read({
        let id = id(&name);
        move |view| Ok(Info::load(view, id)?.unwrap().last_row)
    });
    store.merge(&name, vec![put("c", 2), put("a", 2), put("b", 0)]);

    let (first, prefix) = (seen + 1, id(&name).numbered(0)[..18].to_vec());
    let since = store.read(move |view| {
        let mut scan = view.scan(prefix, &Bounds { lower: first.to_be_bytes().to_vec(), upper: None });
        scan.seek(&first.to_be_bytes());
        let mut names = Vec::new();
        while scan.name().is_some() {
            names.push(table::decode_numbered(scan.value())?.2);
            scan.next();
        }
        Ok(names)
    });
    assert_eq!(since, ["c", "a"]);
}

#[test]
fn a_deleted_container_lives_again_by_a_row_or_a_newer_put() {
    let store = Store::new();
    let name = container("c");
    let updates = |secs| Updates { timestamp: Timestamp::from_secs(secs), metadata: Metadata::default() };
    let put_at = |secs, policy: Option<u32>| {
        let (name, id, policy) = (name.clone(), id(&name), policy.map(PolicyIndex));
        store.commit(move |tx| Ok(put(tx, &name, id, updates(secs), policy, PolicyIndex(0)).unwrap()))
    };
    let delete_at = |secs| {
        let id = id(&name);
        store.commit(move |tx| delete(tx, id, Timestamp::from_secs(secs)))
    };

    assert!(matches!(delete_at(1), Deleted::NotFound));
    assert!(matches!(put_at(2, None), Put::Created(_)));
    assert!(matches!(put_at(3, Some(1)), Put::OtherPolicy(PolicyIndex(0))));
    assert!(matches!(delete_at(1), Deleted::Conflict));
    assert!(matches!(delete_at(4), Deleted::Done(_, true)));
    assert!(matches!(delete_at(5), Deleted::Done(_, false)));
    assert!(matches!(put_at(4, None), Put::DeletedLater));
    assert!(matches!(put_at(6, Some(1)), Put::Created(info) if info.policy == PolicyIndex(1)));
}

#[test]
fn a_mark_goes_only_with_the_very_state_that_was_confirmed() {
    let store = Store::new();
    let name = container("c");
    let marked = || {
        let id = id(&name);
        store.read(move |view| Ok(view.get(&id.dirty())?.is_some()))
    };
    let confirm = |counts| {
        let id = id(&name);
        store.commit(move |tx| reported(tx, id, counts));
    };
    let now = || {
        let id = id(&name);
        store.read(move |view| Ok(to_report(&Info::load(view, id)?.unwrap())))
    };
    store.merge(&name, vec![]);
    let old = now();
    let row = sample().to_wire("o".into(), PolicyIndex(0));
    store.merge(&name, vec![row]);
    confirm(old);
    assert!(marked());
    confirm(now());
    assert!(!marked());
}

fn sample() -> Row {
    let timestamps = RowTimestamps::same(Timestamp::from_secs(1));
    let (content_type, etag) = ("t".to_owned(), "e".to_owned());
    Row { timestamps, size: 7, swift_bytes: None, content_type, etag, deleted: false }
}

#[test]
fn a_listing_shows_the_rows_of_one_policy() {
    let store = Store::new();
    let name = container("c");
    let row = |name: &str, policy, deleted| Row { deleted, ..sample() }.to_wire(name.into(), PolicyIndex(policy));
    store.merge(&name, vec![row("a", 0, false), row("b", 1, false), row("c", 0, true), row("d/\"é", 0, false)]);
    let listed = store.read({
        let id = id(&name);
        move |view| listing(view, id, PolicyIndex(0), &Query::default())
    });
    let rows: serde_json::Value = serde_json::from_slice(&listed.json).unwrap();
    assert_eq!(
        rows,
        serde_json::json!([
            {"name": "a", "hash": "e", "bytes": 7, "content_type": "t", "last_modified": "1970-01-01T00:00:01.000000"},
            {"name": "d/\"é", "hash": "e", "bytes": 7, "content_type": "t", "last_modified": "1970-01-01T00:00:01.000000"},
        ])
    );
}

/// A row of a policy, written or deleted then.
fn misplaced_row(name: &str, policy: u32, at: Timestamp, deleted: bool) -> ObjectRow {
    let (content_type, etag) = ("a/b".to_owned(), "e".to_owned());
    let (timestamps, policy) = (RowTimestamps::same(at), PolicyIndex(policy));
    ObjectRow { name: name.into(), timestamps, size: 1, content_type, etag, deleted, policy }
}

#[test]
fn misplaced_rows_are_shown_page_by_page_until_they_are_taken_note_of() {
    let store = Store::new();
    let (one, other) = (container("one"), container("other"));
    let at = Timestamp::from_secs;
    store.merge(&one, vec![misplaced_row("right", 0, at(5), false)]);
    let first = |store: &Store| store.read(|view| misplaced::next_container(view, None));
    assert_eq!(first(&store), None);

    // Of the wrong policy: objects, what a client deleted, and what a reconciler left.
    store.merge(&one, vec![misplaced_row("b", 1, at(6), false), misplaced_row("a", 1, at(6), false)]);
    store.merge(
        &one,
        vec![misplaced_row("gone", 1, at(7), true), misplaced_row("moved", 1, at(7).with_offset(1), true)],
    );
    store.merge(&other, vec![misplaced_row("z", 2, at(6), false)]);
    let mut found: Vec<String> = Vec::new();
    let mut last = None;
    while let Some((id, info)) = store.read(move |view| misplaced::next_container(view, last)) {
        let mut after: Option<misplaced::After> = None;
        loop {
            let (seen, from) = (info.clone(), after.clone());
            let page = store.read(move |view| misplaced::rows(view, id, &seen, from.as_ref(), 1));
            let Some(row) = page.into_iter().next() else { break };
            found.push(format!("{}/{}:{}", info.container, row.policy.0, row.name));
            after = Some(misplaced::After { policy: row.policy, deleted: row.row.deleted, name: row.name });
        }
        last = Some(id);
    }
    found.sort();
    assert_eq!(found, ["one/1:a", "one/1:b", "one/1:gone", "other/2:z"]);

    // One that has changed since it was shown stays.
    let id = id(&one);
    let seen = store.read(move |view| Ok(Info::load(view, id)?.unwrap()));
    store.merge(&one, vec![misplaced_row("c", 1, at(8), false)]);
    let done = |row| store.commit(move |tx| misplaced::done(tx, id, row, PolicyIndex(0)));
    done(seen.last_row);
    let is_marked = || store.read(move |view| Ok(view.get(&id.misplaced())?.is_some()));
    assert!(is_marked());
    done(store.read(move |view| Info::load(view, id)).unwrap().last_row);
    assert!(!is_marked());
}
