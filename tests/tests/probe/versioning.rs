//! Versions of an object whose primaries were away.

use apus_tests::Cluster;
use apus_tests::copies::assert_in_place;
use serde_json::Value;

#[test]
fn versions_that_were_written_beside_a_lost_device_come_home_with_their_metadata() {
    let mut cluster = Cluster::builder().nodes(4).without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.post("c").header("X-Versions-Enabled", "true").send().expect(204);

    // A device is away while versions are written, described and covered.
    cluster.take_away(2);
    for i in 0..4 {
        tester.put("c/o").header("X-Object-Meta-Foo", i.to_string()).body(format!("version {i}")).send().expect(201);
        tester.post("c/o").header("X-Object-Meta-Bar", i.to_string()).send().expect(202);
    }
    tester.delete("c/o").send().expect(204);
    cluster.give_back(2);
    cluster.pass("update");
    for pass in ["replicate", "replicate"] {
        cluster.pass(pass);
    }
    assert_in_place(&cluster, 4);

    // All of them are there with any one node down, and the newest hides them.
    let rows = tester.get("c").query("versions&format=json").send().expect(200).json();
    let versions: Vec<&Value> = rows.as_array().expect("rows").iter().collect();
    assert_eq!(versions.len(), 5, "{rows}");
    tester.get("c/o").send().expect(404);
    let ids: Vec<_> = versions[1..].iter().map(|row| row["version_id"].as_str().expect("an id").to_owned()).collect();
    for down in 0..4 {
        cluster.node(down).kill();
        for (i, id) in ids.iter().rev().enumerate() {
            let version = tester.get("c/o").query(&format!("version-id={id}")).send().expect(200);
            assert_eq!(version.text(), format!("version {i}"));
            assert_eq!(
                (version.header("X-Object-Meta-Foo"), version.need("X-Object-Meta-Bar")),
                (None, &*i.to_string())
            );
        }
        cluster.node(down).start(None);
    }
}

#[test]
fn a_container_whose_versions_are_gone_refuses_writes_until_they_are_enabled_again() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "null version");
    tester.post("c").header("X-Versions-Enabled", "true").send().expect(204);

    // The hidden container is removed behind everybody's back.
    let stamp = format!("{}.00000", apus_tests::moment::now() + 1);
    for node in 0..3 {
        let target = format!("/d{node}/0/AUTH_test/%00versions%00c");
        let address = cluster.node(node).address("container");
        apus_tests::Request::new(address, "DELETE", target)
            .header("X-Timestamp", &stamp)
            .header("X-Backend-Allow-Reserved-Names", "true")
            .send()
            .expect(204);
    }
    apus_tests::wait_until("it is forgotten", || tester.put("c/o").body("new version").send().status == 500);
    assert_eq!(tester.get("c/o").send().expect(200).text(), "null version");
    tester.delete("c/o").send().expect(500);
    let versions = tester.get("c").query("versions").send().expect(200).json();
    assert_eq!(
        (&versions[0]["name"], &versions[0]["version_id"], &versions[1]),
        (&"o".into(), &"null".into(), &Value::Null)
    );

    // A deletion of just that version works, and enabling them again makes it whole.
    tester.delete("c/o").query("version-id=null").send().expect(204);
    apus_tests::wait_until("it is later", || apus_tests::moment::now().to_string() > stamp);
    tester.post("c").header("X-Versions-Enabled", "true").send().expect(204);
    tester.store("c/o", "new version");
    assert_eq!(tester.get("c/o").send().expect(200).text(), "new version");
}
