//! `apus recon`, and swift-recon against the same servers.

use std::fs;

use apus_tests::Cluster;

use crate::{apus, apus_of, files, give_rings, swift_folder, swift_in};

#[test]
fn swift_recon_reads_our_servers_and_says_what_apus_recon_says() {
    // A cluster with something in it, after its passes.
    let folder = swift_folder();
    let conf = folder.path().join("swift.conf");
    let settings = format!("swift_conf = {:?}", conf.display().to_string());
    let mut cluster = Cluster::builder().settings("node", &settings).without_passes().start();
    give_rings(&cluster, folder.path());
    let tester = cluster.tester();
    tester.make("c");
    (0..6).for_each(|i| tester.store(&format!("c/o{i}"), "body"));
    ["update", "replicate"].iter().for_each(|pass| cluster.pass(pass));

    // Swift's tool understands every answer.
    let dir = folder.path().to_str().unwrap();
    let arguments = ["object", "container", "account", "--all", "--swiftdir", dir, "--jitter", "5"];
    let theirs = swift_in(folder.path(), "swift.cli.recon", &arguments);
    theirs.is_well();
    let not_hosts = theirs.text.lines().filter(|line| line.contains("HTTP Error") || line.contains("Traceback"));
    assert_eq!(not_hosts.count(), 0, "{}", theirs.text);
    for line in ["3/3 hosts matched, 0 error[s]", "3/3 hosts ok, 0 error[s]", "[async_pending] low: 0, high: 0"] {
        theirs.has(line);
    }
    theirs.has("[replication_failure] low: 0, high: 0, avg: 0.0, total: 0, Failed: 0.0%, no_result: 0, reported: 3");

    // Ours says the same of what stands still.
    let ours = apus(&mut cluster, &["recon", "object", "container", "account", "--all", "--jitter", "5"]);
    ours.is_well();
    let steady =
        ["async_pending", "replication_", "quarantined", "ALL_", "drive_audit", "auditor", "object_expiration"];
    let of_interest = |line: &&str| steady.iter().any(|name| line.starts_with(&format!("[{name}")));
    let mut lines: Vec<_> = theirs.text.lines().filter(of_interest).collect();
    lines.retain(|line| !line.starts_with("[replication_time"));
    assert!(lines.len() > 10, "{}", theirs.text);
    lines.iter().for_each(|line| _ = ours.has(line));
}

#[test]
fn what_is_wrong_is_named() {
    let mut cluster = Cluster::builder().nodes(4).without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "a body that will be damaged");
    assert!(apus(&mut cluster, &["recon", "-u"]).ok);

    // A damaged object is read, and so found.
    let holder = cluster.holders(".data")[0];
    let file = files(&mut cluster, holder, ".data").remove(0);
    fs::write(&file, "short").unwrap();
    let (address, device) = (cluster.node(holder).address("object"), format!("d{holder}"));
    let path = file.strip_prefix(cluster.device(holder).join("objects")).unwrap();
    let partition = path.iter().next().unwrap().to_str().unwrap();
    let target = format!("/{device}/{partition}/AUTH_test/c/o");
    apus_tests::Request::new(address, "GET", target).send().expect(404);
    apus(&mut cluster, &["recon", "-q"]).is_well().has("[quarantined_objects_0] low: 1, high: 1").has("total: 1");

    // A missing device is named, a node that is down too, and the others are still summed up.
    cluster.take_away(1);
    let missing = cluster.node(1).address("object");
    apus(&mut cluster, &["recon", "--unmounted"]).is_not_well().has(&format!("Not mounted: d1 on {missing}"));
    cluster.give_back(1);
    let down = cluster.node(2).address("object");
    cluster.node(2).kill();
    let said = apus(&mut cluster, &["recon", "-u", "--md5"]);
    said.is_not_well().has(&format!("1 of 4 hosts gave no answer: {down}")).has("3/4 hosts matched, 1 error[s]");

    // Another ring and another salt here than there.
    cluster.node(2).start(None);
    apus(&mut cluster, &["recon", "account", "--md5"]).is_well();
    let here = tempfile::tempdir().unwrap();
    give_rings(&cluster, here.path());
    fs::copy(cluster.rings().join("container.ring.gz"), here.path().join("account.ring.gz")).unwrap();
    let config = fs::read_to_string(cluster.node(0).config()).unwrap();
    let config = config.replace(cluster.rings().to_str().unwrap(), here.path().to_str().unwrap());
    let file = here.path().join("apus.toml");
    fs::write(&file, config.replace("changeme", "changed")).unwrap();
    let said = apus_of(&file, &["recon", "account", "--md5"]);
    said.is_not_well().has("(account.ring.gz => ").has("(apus.toml [cluster] => ").has("0/4 hosts matched");
}

#[test]
fn a_proxy_tells_of_itself_only_when_it_shall() {
    let cluster = Cluster::builder().nodes(1).replicas(1).without_passes().start();
    cluster.swift().anonymous("GET", "/recon/version").send().expect(404);
    let cluster = Cluster::builder().nodes(1).replicas(1).without_passes().settings("proxy", "recon = true").start();
    let version = cluster.swift().anonymous("GET", "/recon/version").send();
    assert!(version.json()["version"].is_string(), "{version:?}");
    let sums = cluster.swift().anonymous("GET", "/recon/ringmd5").send();
    assert_eq!(sums.json().as_object().map(serde_json::Map::len), Some(3));
}

#[test]
fn bad_input_is_one_sentence() {
    let mut cluster = Cluster::builder().nodes(1).replicas(1).without_passes().start();
    apus(&mut cluster, &["recon"]).is_not_well().has("required arguments were not provided");
    apus(&mut cluster, &["recon", "proxy", "-u"]).is_not_well().has("invalid value 'proxy'");
    apus(&mut cluster, &["recon", "-u", "-p", "lead"])
        .is_not_well()
        .has("there is no storage policy \"lead\" in [cluster]");
    apus(&mut cluster, &["recon", "account", "--async"]).is_not_well().has("Can't check asyncs on account servers");
    apus(&mut cluster, &["recon", "-u", "--zone", "7"]).is_not_well().has("0 hosts");
}
