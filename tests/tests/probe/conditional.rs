//! Conditions that only some replicas can judge.

use super::Halves;

#[test]
fn what_one_replica_has_is_not_overwritten_by_who_wants_it_absent() {
    for (length, body) in [(Some(9), "OVERWRITE"), (Some(0), ""), (None, "OVERWRITE"), (None, "")] {
        let mut halves = Halves::start();
        // One primary and the handoff have it, the two others never heard of it.
        halves.without_first(|tester| tester.store("c/o", "VERIFY"));
        let mut put = halves.tester.put("c/o").header("If-None-Match", "*");
        put = match length {
            Some(_) => put.body(body),
            None if body.is_empty() => put.unframed().header("Transfer-Encoding", "chunked").body("0\r\n\r\n"),
            None => put.unframed().header("Transfer-Encoding", "chunked").body("9\r\nOVERWRITE\r\n0\r\n\r\n"),
        };
        put.send().expect(412);

        // Those who did not have it may have been told of it since, so that the refusal is final; never of the other.
        for node in halves.first {
            let found = halves.direct(node);
            assert!(found.status == 404 || found.text() == "VERIFY", "on node {node}: {found:?}");
        }
        halves.heal();
        assert_eq!(halves.tester.get("c/o").send().expect(200).text(), "VERIFY", "{length:?} {body:?}");
    }
}
