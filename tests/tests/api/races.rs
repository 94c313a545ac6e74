//! Clients that do things to one object at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use apus_tests::{Target, bytes, md5_hex};

#[test]
fn readers_see_one_version_while_an_object_is_replaced() {
    let target = Target::start();
    let tester = target.with_container("race");
    let body = |version: usize| bytes(version as u64, 100_000 + version * 50_000);
    tester.store("race/o", body(0));

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let read = tester.get("race/o").send().expect(200);
                    assert_eq!(read.need("Etag"), md5_hex(&read.body), "a mixture was read");
                }
            });
        }
        for version in 1..40 {
            tester.store("race/o", body(version % 5));
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(tester.get("race/o").send().expect(200).body == body(39 % 5));
}

#[test]
fn writers_at_once_leave_one_whole_version_that_is_listed() {
    let target = Target::start();
    let tester = target.with_container("race");
    thread::scope(|scope| {
        for writer in 0..8_usize {
            let tester = &tester;
            scope.spawn(move || {
                for round in 0..5 {
                    let put = tester.put("race/o").body(bytes(writer as u64, 10_000 * writer + round)).send();
                    // 202 says that a newer version came first.
                    assert!(matches!(put.status, 201 | 202), "{put:?}");
                }
            });
        }
    });
    let read = tester.get("race/o").header("X-Newest", "true").send().expect(200);
    assert_eq!(read.need("Etag"), md5_hex(&read.body));
    let row = &tester.get("race").query("format=json").send().expect(200).json()[0];
    assert_eq!((row["hash"].as_str(), row["bytes"].as_u64()), (read.header("Etag"), Some(read.body.len() as u64)));
}

#[test]
fn containers_made_and_deleted_at_once_end_in_one_state() {
    let target = Target::start();
    let tester = target.with_container("race");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let put = tester.put("race-c").send();
                    // 409 says that a newer deletion came first.
                    assert!(matches!(put.status, 201 | 202 | 409), "{put:?}");
                    let delete = tester.delete("race-c").send();
                    assert!(matches!(delete.status, 204 | 404 | 409), "{delete:?}");
                }
            });
        }
    });
    tester.make("race-c");
    tester.store("race-c/o", "x");
    assert_eq!(tester.list("race-c"), ["o"]);
}
