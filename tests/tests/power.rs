//! The power goes in all nodes at once: what was acknowledged is on the disks, whether their filesystem has a journal or not.

use apus_tests::mount::{Disk, Size};
use apus_tests::{Cluster, bytes};

const DISK_BYTES: u64 = 256 << 20;
/// Some of each kind: in one request and through the journal, a stream through the page cache, one past it.
const LENGTHS: [usize; 7] = [0, 1, 4096, 64 * 1024, 64 * 1024 + 1, 1 << 20, (5 << 20) + 1234];

fn what_was_acknowledged_is_there_after(size: Size) {
    let folder = tempfile::tempdir().expect("a folder");
    if let Err(why) = Disk::new(folder.path(), size) {
        return println!("skipped: this machine lets us mount nothing: {why}");
    }
    let mut cluster = Cluster::builder().nodes(3).without_passes().on_disks(size).start();
    let tester = cluster.tester();
    tester.make("c");
    let name = |i: usize| format!("c/{i:03}");
    let body = |i: usize, version: u64| bytes(version * 1000 + i as u64, LENGTHS[i % LENGTHS.len()]);
    for round in 0..3 {
        // New objects in new folders; every second one is written again, then every fourth one gets metadata, and every third one
        // is deleted.
        let (first, next) = (round * 24, (round + 1) * 24);
        (first..next).for_each(|i| tester.store(&name(i), body(i, 1)));
        (first..next).filter(|i| i % 2 == 0).for_each(|i| tester.store(&name(i), body(i, 2)));
        (first..next).filter(|i| i % 4 == 0).for_each(|i| {
            drop(tester.post(&name(i)).header("X-Object-Meta-Post", "yes").send().expect(202));
        });
        (first..next).filter(|i| i % 3 == 0).for_each(|i| drop(tester.delete(&name(i)).send().expect(204)));
        cluster.cut_power();
        // A quorum has it for certain; the others get it.
        ["update", "replicate", "replicate-listings"].iter().for_each(|pass| cluster.pass(pass));

        for i in (0..next).filter(|i| i % 3 > 0) {
            let version = if i % 2 == 0 { 2 } else { 1 };
            let found = tester.get(&name(i)).send().expect(200);
            assert_eq!(found.header("X-Object-Meta-Post"), (i % 4 == 0).then_some("yes"), "object {i}");
            assert!(found.body == body(i, version), "object {i}");
        }
        (0..next).filter(|i| i % 3 == 0).for_each(|i| drop(tester.get(&name(i)).send().expect(404)));
        let listed = tester.get("c").send().expect(200).lines();
        let there: Vec<_> = (0..next).filter(|i| i % 3 > 0).map(|i| format!("{i:03}")).collect();
        assert_eq!(listed, there);
    }
}

#[test]
fn with_a_journal() {
    what_was_acknowledged_is_there_after(Size::Bytes(DISK_BYTES));
}

#[test]
fn without_a_journal() {
    what_was_acknowledged_is_there_after(Size::Unjournaled(DISK_BYTES));
}
