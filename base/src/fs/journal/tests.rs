use super::*;
use std::sync::Barrier;

/// Small, so that a test fills it.
const BYTES: u64 = MIN_SEGMENT_BYTES;

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Opens its journal, with the records that were left in it.
    fn open(&self) -> (Journal, Vec<Vec<u8>>) {
        let mut left = Vec::new();
        let opened = Journal::open(self.0.path(), BYTES, DiskCounts::default(), |record| {
            left.push(record.to_vec());
            Ok(())
        });
        (opened.unwrap().expect("a journal"), left)
    }
}

fn append(journal: &Journal, record: &[u8]) -> Applying {
    journal.append(&[record]).unwrap().expect("room")
}

#[test]
fn what_was_appended_is_replayed_in_its_order_and_only_once() {
    let disk = Disk::new();
    let (journal, left) = disk.open();
    assert!(left.is_empty());
    drop(append(&journal, b"one"));
    drop(journal.append(&[b"t", b"", b"wo"]).unwrap());
    drop(append(&journal, &[3; 10_000]));
    // The process dies.
    drop(journal);
    let (journal, left) = disk.open();
    assert_eq!(left, [b"one".to_vec(), b"two".to_vec(), vec![3; 10_000]]);
    drop(append(&journal, b"four"));
    drop(journal);
    assert_eq!(disk.open().1, [b"four".to_vec()]);
}

#[test]
fn records_of_many_at_once_are_all_there() {
    let disk = Disk::new();
    let (journal, _) = disk.open();
    let begin = Barrier::new(8);
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let (journal, begin) = (&journal, &begin);
            scope.spawn(move || {
                begin.wait();
                (0..20).for_each(|n| drop(append(journal, &[writer, n])));
            });
        }
    });
    drop(journal);
    let left = disk.open().1;
    for writer in 0..8 {
        let own: Vec<_> = left.iter().filter(|record| record[0] == writer).map(|record| record[1]).collect();
        assert_eq!(own, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn a_full_segment_is_left_for_the_other_and_emptied_once_all_is_applied() {
    let disk = Disk::new();
    let (journal, _) = disk.open();
    let quarter = vec![7; usize::try_from(BYTES / 4).unwrap() - 4096];
    let first = append(&journal, &quarter);
    for _ in 0..7 {
        drop(append(&journal, &quarter));
    }
    // Both are full, and somebody is still making what is in the first one.
    assert!(journal.append(&[b"more"]).unwrap().is_none());
    assert_eq!((journal.counts.journaled.get(), journal.counts.crowded_out.get()), (8, 1));
    drop(first);
    let emptied = |n: usize| {
        let segment = Arc::clone(&lock_of(&journal.tail).segments[n]);
        let mut state = segment.state();
        while !state.is_empty {
            state = segment.changed.wait(state).unwrap();
        }
    };
    emptied(0);
    drop(append(&journal, b"more"));
    emptied(1);
    drop(journal);
    assert_eq!(disk.open().1, [b"more".to_vec()]);
}

#[test]
fn a_checkpoint_forgets_what_is_done_and_a_clean_end_leaves_nothing() {
    let disk = Disk::new();
    let (journal, _) = disk.open();
    drop(append(&journal, b"done"));
    journal.checkpoint().unwrap();
    journal.checkpoint().unwrap();
    assert_eq!(journal.counts.checkpoints.get(), 1);
    drop(append(&journal, b"later"));
    drop(journal);
    let (journal, left) = disk.open();
    assert_eq!(left, [b"later".to_vec()]);
    drop(append(&journal, b"last"));
    journal.close().unwrap();
    assert!(journal.append(&[b"late"]).unwrap().is_none());
    assert!(std::fs::read_dir(disk.0.path()).unwrap().next().is_none());
}

#[test]
fn only_one_process_appends_and_a_failed_replay_forgets_nothing() {
    let disk = Disk::new();
    let (journal, _) = disk.open();
    drop(append(&journal, b"kept"));
    let second = Journal::open(disk.0.path(), BYTES, DiskCounts::default(), |_| panic!("it is in use"));
    assert!(second.unwrap().is_none());
    drop(journal);
    let failed = Journal::open(disk.0.path(), BYTES, DiskCounts::default(), |_| Err(io::Error::other("a bad disk")));
    assert_eq!(failed.unwrap_err().to_string(), "a bad disk");
    assert_eq!(disk.open().1, [b"kept".to_vec()]);
}

#[test]
fn who_wants_no_journal_gets_what_an_earlier_one_has_left() {
    let disk = Disk::new();
    let none = |left: &mut Vec<Vec<u8>>| {
        let keep = |record: &[u8]| {
            left.push(record.to_vec());
            Ok(())
        };
        Journal::open(disk.0.path(), 0, DiskCounts::default(), keep).unwrap()
    };
    let mut left = Vec::new();
    assert!(none(&mut left).is_none() && left.is_empty());
    let (journal, _) = disk.open();
    drop(append(&journal, b"left"));
    drop(journal);
    assert!(none(&mut left).is_none());
    assert_eq!(left, [b"left".to_vec()]);
    assert!(std::fs::read_dir(disk.0.path()).unwrap().next().is_none());
}
