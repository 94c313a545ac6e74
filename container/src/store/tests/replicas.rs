//! Three copies that clients and replicators change in any order end as one, and as the dumb oracle says.

use apus_base::db::agreement::{self, Agreement, Moment};
use apus_base::db::replica;
use apus_base::wire::listings::{ListingRow, Scope};

use super::*;

/// What happens to one of the copies.
#[derive(Clone, Debug)]
enum Event {
    Rows(usize, Vec<ObjectRow>),
    Put(usize, u64, u32),
    Delete(usize, u64),
    Meta(usize, u64, String),
    /// One is brought to another: all rows or those that changed, so many of them before it breaks off, or all twice.
    Sync(usize, usize, bool, Option<usize>, bool),
    /// One asks another whether they are the same.
    Compare(usize, usize),
    /// A copy is lost.
    Lose(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let node = || 0usize..3;
    prop_oneof![
        4 => (node(), proptest::collection::vec(update(), 1..4)).prop_map(|(node, rows)| Event::Rows(node, rows)),
        1 => (node(), 1u64..9, 0u32..2).prop_map(|(node, at, policy)| Event::Put(node, at, policy)),
        1 => (node(), 1u64..9).prop_map(|(node, at)| Event::Delete(node, at)),
        1 => (node(), 1u64..9, "[ab]").prop_map(|(node, at, value)| Event::Meta(node, at, value)),
        4 => (node(), node(), any::<bool>(), proptest::option::of(0usize..3), any::<bool>())
            .prop_map(|(from, to, all, cut, twice)| Event::Sync(from, to, all, cut, twice)),
        2 => (node(), node()).prop_map(|(from, to)| Event::Compare(from, to)),
    ]
}

struct Copies {
    stores: std::rc::Rc<[Store]>,
    name: ContainerName,
}

impl Copies {
    fn id(&self) -> ListingId {
        id(&self.name)
    }

    fn info(&self, node: usize) -> Option<Info> {
        let id = self.id();
        self.stores[node].read(move |view| Info::load(view, id))
    }

    fn happen(&self, event: Event) {
        let (name, id) = (self.name.clone(), self.id());
        match event {
            Event::Rows(node, rows) => self.stores[node].merge(&name, rows),
            Event::Put(node, at, policy) => {
                let updates = Updates { timestamp: Timestamp::from_secs(at), metadata: Metadata::default() };
                let policy = PolicyIndex(policy);
                self.stores[node].commit(move |tx| Ok(put(tx, &name, id, updates, None, policy).is_ok()));
            }
            Event::Delete(node, at) => {
                self.stores[node].commit(move |tx| delete(tx, id, Timestamp::from_secs(at)).map(|_| ()));
            }
            Event::Meta(node, at, value) => {
                let timestamp = Timestamp::from_secs(at);
                let item = apus_base::listing::metadata::Item { timestamp, value };
                let metadata = Metadata::from_items([("x-container-meta-a".to_owned(), item)]);
                let updates = Updates { timestamp, metadata };
                self.stores[node].commit(move |tx| Ok(post(tx, id, updates, false).is_ok()));
            }
            Event::Sync(from, to, all, cut, twice) if from != to => _ = self.sync(from, to, all, cut, twice),
            Event::Compare(from, to) if from != to => self.compare(from, to),
            Event::Lose(node) => {
                let state = self.info(node).map_or([0; 16], |info| info.state);
                assert!(self.stores[node].commit(move |tx| replica::remove(tx, id, state)));
            }
            Event::Sync(..) | Event::Compare(..) => {}
        }
    }

    /// As the receiver of a `Compare`.
    fn compare(&self, from: usize, to: usize) {
        let count = |node: usize| {
            let store = &self.stores[node];
            store.runtime.block_on(store.database.count(Kind::Container, 8)).unwrap()
        };
        let (theirs, ours) = (count(from), count(to));
        let same: Vec<u32> =
            theirs.table.iter().filter(|(p, digest)| ours.table.get(p) == Some(digest)).map(|(p, _)| *p).collect();
        let moment = Moment { theirs: theirs.life.number, ours: ours.life.number };
        let life = theirs.life.id;
        self.stores[to].commit(move |tx| {
            let mut agreement = Agreement::load(tx, Kind::Container, &life)?;
            agreement.note(8, same, moment);
            agreement.store(tx, Kind::Container, &life);
            Ok(())
        });
    }

    /// As the replicator does it, but with an end on purpose; says whether the numbers had to be distrusted.
    fn sync(&self, from: usize, to: usize, all: bool, cut: Option<usize>, twice: bool) -> bool {
        let (id, sender, receiver) = (self.id(), &self.stores[from], &self.stores[to]);
        let Some((info, head)) = sender.read(move |view| replica::head(view, id)) else { return false };
        let life = sender.database.life();
        let point = receiver.commit(move |tx| replica::begin::<Containers>(tx, id, head, &life));
        let (there, joined) = receiver.read(move |view| replica::head(view, id)).unwrap();
        sender.commit(move |tx| replica::join::<Containers>(tx, id, joined));
        let all = all || there.filling || point == 0;
        let mut rows = match all {
            true => sender.read(move |view| Ok(replica::all(view, id, &[])?.0)),
            false => {
                let changed = sender.read(move |view| replica::changed(view, id, point, info.last_row));
                changed.map_or(Vec::new(), |(rows, _)| rows)
            }
        };
        rows.truncate(cut.unwrap_or(rows.len()));
        for _ in 0..=u8::from(twice) {
            self.take(to, rows.clone(), life);
        }
        if cut.is_some() {
            return false;
        }
        let (through, whole) = (Some(info.last_row), all && !info.filling);
        let ended = receiver.commit(move |tx| replica::finish::<Containers>(tx, id, whole, (&life, through)));
        let taken = replica::taken(&ended, receiver.database.life(), 0);
        sender.commit(move |tx| replica::note_same(tx, id, &taken));
        !all && sender.read(move |view| {
            let info = Info::load(view, id)?.unwrap();
            Ok(agreement::taken(view, id, &info, &taken.life)? >= taken.last_row && info.hash != taken.hash)
        })
    }

    fn take(&self, to: usize, rows: Vec<ListingRow>, life: [u8; 16]) {
        let (id, rows) = (self.id(), replica::arrived::<Containers>(rows).unwrap());
        let take = move |tx: &mut Transaction<'_>| replica::take::<Containers>(tx, id, rows, None, (&life, None));
        assert_eq!(self.stores[to].commit(take), 0);
    }
}

fn states(copies: &Copies) -> Vec<Option<[u8; 16]>> {
    (0..3).map(|node| copies.info(node).map(|info| info.state)).collect()
}

/// Passes of all nodes, until there is nothing to do; says how many that took.
fn settle(copies: &Copies) -> usize {
    for round in 0..4 {
        if states(copies).iter().all(|state| *state == states(copies)[0]) {
            return round;
        }
        for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            if copies.info(from).map(|info| info.state) != copies.info(to).map(|info| info.state)
                && copies.sync(from, to, false, None, false)
            {
                copies.sync(from, to, true, None, false);
            }
        }
    }
    panic!("the copies differ: {:#?}", (0..3).map(|node| copies.info(node)).collect::<Vec<_>>());
}

#[test]
fn three_copies_end_as_one_whatever_happens() {
    let stores: std::rc::Rc<[Store]> = (0..3).map(|_| Store::new()).collect();
    let case = Cell::new(0);
    let strategy = proptest::collection::vec(event(), 1..25);
    let outcome = TestRunner::new(Config::with_cases(120)).run(&strategy, |events| {
        case.set(case.get() + 1);
        let copies = Copies { stores: std::rc::Rc::clone(&stores), name: container(format!("c{}", case.get())) };
        events.iter().for_each(|event| copies.happen(event.clone()));
        settle(&copies);

        let updates = events.iter().filter_map(|event| match event {
            Event::Rows(_, rows) => Some(rows.clone()),
            _ => None,
        });
        let expected = oracle(&updates.flatten().collect::<Vec<_>>());
        let id = copies.id();
        for node in (0..3).filter(|node| copies.info(*node).is_some()) {
            prop_assert_eq!(&stores[node].read(move |view| rows(view, id)), &expected);
            prop_assert!(!copies.info(node).unwrap().filling);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_copy_that_was_lost_and_made_anew_is_not_taken_for_the_old_one() {
    let copies = Copies { stores: (0..3).map(|_| Store::new()).collect(), name: container("c") };
    let row = |name: &str| sample().to_wire(name.into(), PolicyIndex(0));
    copies.happen(Event::Rows(0, vec![row("a"), row("b")]));
    assert_eq!(settle(&copies), 1);
    copies.happen(Event::Compare(0, 1));

    // What was agreed, and what was taken, says nothing of another life of the copy.
    copies.happen(Event::Lose(1));
    copies.happen(Event::Rows(1, vec![row("c")]));
    copies.happen(Event::Rows(0, vec![row("d")]));
    settle(&copies);
    let id = copies.id();
    for store in &*copies.stores {
        assert_eq!(store.read(move |view| rows(view, id)).len(), 4);
    }
}

#[test]
fn what_is_old_goes_only_from_the_state_that_was_agreed() {
    let store = Store::new();
    let name = container("c");
    let id = id(&name);
    let row = |name: &str, deleted| Row { deleted, ..sample() }.to_wire(name.into(), PolicyIndex(0));
    store.merge(&name, (0..2500).map(|i| row(&i.to_string(), true)).collect());
    store.merge(&name, vec![row("stays", false)]);
    let state = || store.read(move |view| Ok(Info::load(view, id)?.unwrap().state));
    let agreed = state();
    let reclaim = |state, before| {
        let before = Timestamp::from_secs(before);
        let done = replica::reclaim::<Containers>(&store.database, id, state, before, Scope::Rows);
        store.runtime.block_on(done).unwrap()
    };
    assert!(!reclaim([0; 16], 9) && reclaim(agreed, 1) && state() == agreed);
    let old = || store.read(move |view| replica::old::<Containers>(view, id, Timestamp::from_secs(2)));
    assert_eq!(old(), Some(Scope::Rows));
    assert!(reclaim(agreed, 2));
    assert_eq!(store.read(move |view| rows(view, id)).into_keys().map(|(_, name)| name).collect::<Vec<_>>(), ["stays"]);
    assert_eq!(old(), None);

    // A copy that never had the others has the same digest.
    let fresh = Store::new();
    fresh.merge(&name, vec![row("stays", false)]);
    assert_eq!(
        fresh.read(move |view| Ok(Info::load(view, id)?.unwrap().hash)),
        store.read(move |view| Ok(Info::load(view, id)?.unwrap().hash))
    );
}

#[test]
fn a_removed_copy_leaves_nothing_behind() {
    let store = Store::new();
    let name = container("c");
    let id = id(&name);
    let row = |name: &str, policy, deleted| Row { deleted, ..sample() }.to_wire(name.into(), PolicyIndex(policy));
    store.merge(&name, vec![row("a", 0, false), row("b", 1, false), row("c", 0, true)]);
    assert!(store.read(|view| misplaced::next_container(view, None)).is_some());
    assert!(!store.commit(move |tx| replica::remove(tx, id, [1; 16])));
    let state = store.read(move |view| Ok(Info::load(view, id)?.unwrap().state));
    // Of two writers in one group the later finds it removed.
    let (name_again, again) = (name, vec![row("a", 0, false)]);
    assert!(store.commit(move |tx| {
        let removed = replica::remove(tx, id, state)?;
        Ok(removed && merge(tx, &name_again, id, None, &again)? == Merge::NoContainer)
    }));
    let left = store.read(move |view| {
        let mut scan = view.scan(Vec::new(), &Bounds { lower: vec![], upper: Some(vec![0xff]) });
        scan.seek(b"");
        let mut keys = Vec::new();
        while let Some(key) = scan.name() {
            keys.push(key.to_vec());
            scan.next();
        }
        Ok(keys)
    });
    assert_eq!(left, [b"n".to_vec()], "only who the device is");
}

#[test]
fn rows_of_another_policy_are_found_until_they_are_done() {
    let store = Store::new();
    let name = container("c");
    let id = id(&name);
    let row = |name: &str, policy, deleted| Row { deleted, ..sample() }.to_wire(name.into(), PolicyIndex(policy));
    let marked = || store.read(|view| misplaced::next_container(view, None));
    store.merge(&name, vec![row("right", 0, false)]);
    assert_eq!(marked(), None);
    store.merge(&name, vec![row("a", 1, false), row("b", 1, false), row("gone", 1, true), row("a", 2, false)]);
    let (seen, info) = marked().unwrap();
    assert_eq!(seen, id);
    assert_eq!(store.read(move |view| misplaced::next_container(view, Some(id))), None);
    let (of, info_then) = (info.clone(), info);
    let rows = |after: Option<misplaced::After>| {
        let info = of.clone();
        let rows = store.read(move |view| misplaced::rows(view, id, &info, after.as_ref(), 2));
        rows.into_iter().map(|row| (row.policy.0, row.name)).collect::<Vec<_>>()
    };
    assert_eq!(rows(None), [(1, "a".to_owned()), (1, "b".to_owned())]);
    let after = misplaced::After { policy: PolicyIndex(1), deleted: false, name: "b".into() };
    assert_eq!(rows(Some(after)), [(1, "gone".to_owned()), (2, "a".to_owned())]);

    // One that comes meanwhile is not forgotten.
    store.merge(&name, vec![row("c", 1, false)]);
    let done = |info: Info| store.commit(move |tx| misplaced::done(tx, id, info.last_row, info.policy));
    done(info_then);
    let (_, info) = marked().unwrap();
    done(info);
    assert_eq!(marked(), None);
}

#[test]
fn rows_that_only_a_stale_device_has_are_left_out_by_a_whole_copy_and_taken_by_a_new_one() {
    let name = container("c");
    let id = id(&name);
    let at = |name: &str, secs, deleted| {
        let timestamps = RowTimestamps::same(Timestamp::from_secs(secs));
        Row { timestamps, deleted, ..sample() }.to_wire(name.into(), PolicyIndex(0))
    };
    let stale = Store::new();
    stale.merge(
        &name,
        vec![at("forgotten", 10, false), at("known", 10, false), at("new", 30, false), at("t", 10, true)],
    );
    let (head, all) = stale.read(move |view| Ok((replica::head(view, id)?.unwrap().1, replica::all(view, id, &[])?.0)));
    let life = stale.database.life();
    let bring = |to: &Store| {
        let (head, rows) = (head.clone(), replica::arrived::<Containers>(all.clone()).unwrap());
        to.commit(move |tx| {
            replica::begin::<Containers>(tx, id, head, &life)?;
            let before = Some(Timestamp::from_secs(20));
            let left_out = replica::take::<Containers>(tx, id, rows, before, (&life, Some(99)))?;
            Ok((left_out, agreement::taken(tx, id, &Info::load(tx, id)?.unwrap(), &life)?))
        })
    };
    let live = |store: &Store| {
        let rows = store.read(move |view| rows(view, id)).into_iter().filter(|(_, row)| !row.deleted);
        rows.map(|((_, name), _)| name).collect::<Vec<_>>()
    };

    // The primaries have had and forgotten the tombstone of one.
    let whole = Store::new();
    whole.merge(&name, vec![at("known", 15, false)]);
    assert_eq!(bring(&whole), (1, 0));
    assert_eq!(live(&whole), ["known", "new"]);
    // A device that has nothing of it can know nothing better.
    let fresh = Store::new();
    assert_eq!(bring(&fresh), (0, 99));
    assert_eq!(live(&fresh), ["forgotten", "known", "new"]);
}
