//! Power cuts at every named point of a write: after the restart there is the old version or the new one, never a torn
//! one, and everything that was acknowledged is there and listed.

use std::collections::BTreeSet;

use apus_tests::{Apus, Cluster, Session, bytes, md5_hex};

/// How often a point is passed before the power goes: a few writes to three devices.
const PASSES: usize = 7;
/// Writes until which the point must have been reached, or it is not on the way of this write at all.
const WRITES: usize = 40;

/// A kind of write; each changes object `i` from its old state to its new one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Write {
    Create,
    Overwrite,
    /// Of a body that goes through the devices' journals.
    CreateShort,
    OverwriteShort,
    /// With `If-None-Match: *`.
    CreateOnly,
    Post,
    Delete,
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Old,
    New,
}

fn name(i: usize) -> String {
    format!("crash/{i}")
}

impl Write {
    /// Not a multiple of any buffer, and longer than one unless it is to be short.
    fn body(self, i: usize, version: u64) -> Vec<u8> {
        let length = if matches!(self, Self::CreateShort | Self::OverwriteShort) { 5_000 } else { 70_000 };
        bytes(1000 * version + i as u64, length + i)
    }

    /// What is there before.
    fn prepare(self, session: &Session) {
        session.make("crash");
        if !matches!(self, Self::Create | Self::CreateShort | Self::CreateOnly) {
            for i in 0..WRITES {
                session.put(&name(i)).body(self.body(i, 1)).header("X-Object-Meta-Version", "1").send().expect(201);
            }
        }
    }

    /// Does it, and whether it was acknowledged.
    fn act(self, session: &Session, i: usize) -> bool {
        let request = match self {
            Self::Create | Self::Overwrite | Self::CreateShort | Self::OverwriteShort => {
                session.put(&name(i)).body(self.body(i, 2))
            }
            Self::CreateOnly => session.put(&name(i)).body(self.body(i, 2)).header("If-None-Match", "*"),
            Self::Post => session.post(&name(i)),
            Self::Delete => session.delete(&name(i)),
        };
        let answer = request.header("X-Object-Meta-Version", "2").try_send();
        answer.is_ok_and(|answer| (200..300).contains(&answer.status))
    }

    /// Which state an object is in.
    fn state(self, session: &Session, i: usize) -> State {
        let old = match self {
            Self::Create | Self::CreateShort | Self::CreateOnly => None,
            _ => Some((self.body(i, 1), "1".to_owned())),
        };
        let new = match self {
            Self::Post => Some((self.body(i, 1), "2".into())),
            Self::Delete => None,
            _ => Some((self.body(i, 2), "2".into())),
        };
        match read(session, i) {
            found if found == new => State::New,
            found if found == old => State::Old,
            found => panic!("{self:?} {i} is torn: {:?}", found.map(|(body, version)| (body.len(), version))),
        }
    }

    /// Whether points of that name are on the way of this write.
    fn passes(self, point: &str) -> bool {
        if point.starts_with("object.fence.") || point.starts_with("object.hold.") {
            return self == Self::CreateOnly;
        }
        match self {
            Self::Post => !point.starts_with("object.put.") && !point.starts_with("object.delete."),
            Self::Delete => !point.starts_with("object.put.") && !point.starts_with("object.post."),
            _ => !point.starts_with("object.post.") && !point.starts_with("object.delete."),
        }
    }
}

/// The newest version: its body, which its ETag must describe, and its metadata.
fn read(session: &Session, i: usize) -> Option<(Vec<u8>, String)> {
    let answer = session.get(&name(i)).header("X-Newest", "true").send();
    if answer.status == 404 {
        return None;
    }
    let answer = answer.expect(200);
    assert_eq!(answer.need("Etag"), md5_hex(&answer.body), "object {i} is torn");
    let version = answer.need("X-Object-Meta-Version").to_owned();
    Some((answer.body, version))
}

/// The points that a client's write passes in a healthy cluster; those of updates that wait have a story of their own, and
/// so has the rewrapping of keys.
fn points() -> impl Iterator<Item = &'static str> {
    let all = apus_object::CRASH_POINTS.iter().chain(&apus_base::db::CRASH_POINTS).copied();
    all.filter(|point| !point.starts_with("object.pending.") && !point.starts_with("object.rewrap."))
}

/// All names that listings show; each asks one replica, so several are asked.
fn listed(session: &Session) -> BTreeSet<String> {
    (0..20).flat_map(|_| session.list("crash")).collect()
}

/// Every acknowledged write holds, the one in flight is old or new, and the rest is untouched.
fn check(write: Write, session: &Session, acknowledged: usize, point: &str) {
    for i in 0..acknowledged {
        assert_eq!(write.state(session, i), State::New, "{write:?} {i} was acknowledged and is lost after {point}");
    }
    let in_flight = write.state(session, acknowledged);
    for _ in 0..4 {
        assert_eq!(write.state(session, acknowledged), in_flight, "{write:?} flickers between versions after {point}");
    }
    for i in acknowledged + 1..WRITES.min(acknowledged + 4) {
        assert_eq!(write.state(session, i), State::Old, "{write:?} {i} was never asked for, but changed at {point}");
    }
    let listed = listed(session);
    for i in (0..acknowledged).filter(|_| write != Write::Delete) {
        assert!(listed.contains(&i.to_string()), "{write:?} {i} was acknowledged and is not listed after {point}");
    }
}

/// Pulls the plug at every point that a kind of write passes, in the cluster of one process.
fn power_cuts(write: Write) {
    for point in points().filter(|point| write.passes(point)) {
        // What was there before, on a healthy cluster.
        let mut apus = Apus::up();
        write.prepare(&apus.tester());
        apus.stop();

        // Writes until the power goes.
        apus.start(Some(&format!("{point}:{PASSES}")));
        let session = apus.tester();
        let acknowledged = (0..WRITES).take_while(|&i| write.act(&session, i)).count();
        assert!(acknowledged < WRITES, "{write:?} never reached {point}");
        apus.exited();

        // The power is back.
        apus.start(None);
        check(write, &apus.tester(), acknowledged, point);
    }
}

#[test]
fn power_cuts_while_objects_are_created() {
    power_cuts(Write::Create);
}

#[test]
fn power_cuts_while_short_objects_are_created() {
    power_cuts(Write::CreateShort);
}

#[test]
fn power_cuts_while_short_objects_are_overwritten() {
    power_cuts(Write::OverwriteShort);
}

#[test]
fn power_cuts_while_objects_are_created_on_condition() {
    power_cuts(Write::CreateOnly);
}

#[test]
fn power_cuts_while_objects_are_overwritten() {
    power_cuts(Write::Overwrite);
}

#[test]
fn power_cuts_while_metadata_is_replaced() {
    power_cuts(Write::Post);
}

#[test]
fn power_cuts_while_objects_are_deleted() {
    power_cuts(Write::Delete);
}

#[test]
fn a_node_that_dies_in_a_write_costs_nothing() {
    let mut cluster = Cluster::builder().start();
    let session = cluster.tester();
    session.make("crash");
    for (i, point) in points().filter(|point| Write::Create.passes(point)).enumerate() {
        // One of three nodes dies in the middle of the write, which the other two acknowledge.
        cluster.node(0).kill();
        cluster.node(0).start(Some(point));
        assert!(Write::Create.act(&session, i), "a write failed because one node of three died at {point}");
        cluster.node(0).exited();
        cluster.node(0).start(None);
        assert_eq!(Write::Create.state(&session, i), State::New, "lost after {point}");
        assert!(listed(&session).contains(&i.to_string()), "not listed after {point}");
    }
}

#[test]
fn power_cuts_while_an_update_is_kept_for_later() {
    let pending = apus_object::CRASH_POINTS.iter().filter(|point| point.starts_with("object.pending."));
    for (i, point) in pending.enumerate() {
        let mut cluster = Cluster::builder().start();
        let session = cluster.tester();
        session.make("crash");
        session.store(&name(1000), "makes sure that the container is known");

        // One container server is down, so whoever has to tell it dies while it keeps the update.
        for node in 0..3 {
            cluster.node(node).kill();
        }
        cluster.node(0).start_only(&["object"], Some(point));
        cluster.node(1).start(Some(point));
        cluster.node(2).start(Some(point));
        let acknowledged = Write::Create.act(&session, i);

        // All are back: what was acknowledged is there, and what was not is whole or absent.
        for node in 0..3 {
            cluster.node(node).kill();
            cluster.node(node).start(None);
        }
        let state = Write::Create.state(&session, i);
        assert!(state == State::New || !acknowledged, "lost after {point}");
        if acknowledged {
            assert!(listed(&session).contains(&i.to_string()), "not listed after {point}");
        }
    }
}
