//! Reserved names, which only the cluster itself may use.

use apus_tests::copies::assert_in_place;
use apus_tests::{Cluster, disk};

#[test]
fn a_reserved_name_is_nobodys_and_what_is_there_is_replicated_like_all() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    let reserved = "%00container%00";

    // A client cannot make, see or reach one.
    for method in ["PUT", "HEAD", "GET", "DELETE"] {
        tester.raw(method, &format!("{}/{reserved}", tester.account)).send().expect(412);
    }
    tester.make("c");
    tester.raw("PUT", &format!("{}/c/%00o%00", tester.account)).body("x").send().expect(412);
    // Swift lets such a link be made, and refuses to follow it.
    tester.put("c/link").header("X-Symlink-Target", format!("{reserved}/%00o%00")).send().expect(412);

    // The cluster itself keeps versions in such containers; one node misses one, and gets it.
    tester.post("c").header("X-Versions-Enabled", "true").send().expect(204);
    cluster.node(1).kill();
    tester.store("c/o", "one");
    tester.store("c/o", "two");
    cluster.node(1).start(None);
    cluster.pass("update");
    cluster.pass("replicate");
    // What its own object server was to tell its container server nobody keeps; the other copies have it.
    cluster.pass("replicate-listings");
    assert_in_place(&cluster, 3);
    assert_eq!(disk::with_suffix(&cluster.node(1).devices(), ".data").len(), 3);
    assert_eq!(tester.list(""), ["c"]);
    let versions = tester.get("c").query("versions").send().expect(200).json();
    assert_eq!(versions.as_array().map_or(0, Vec::len), 2, "{versions}");
}
