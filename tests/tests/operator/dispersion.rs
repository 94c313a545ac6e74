//! `apus dispersion`, beside swift-dispersion-report on the same cluster.

use std::fs;

use apus_tests::Cluster;

use crate::{Said, apus, give_rings, swift_folder, swift_in};

fn dispersion(cluster: &mut Cluster, command: &[&str]) -> Said {
    let url = format!("http://{}/auth/v1.0", cluster.swift().address);
    let user = ["--auth", &url, "--user", "test:tester", "--key", "testing"];
    apus(cluster, &[&["dispersion"], command, &user].concat())
}

#[test]
fn every_copy_is_found_until_a_device_is_emptied() {
    let folder = swift_folder();
    let mut cluster = Cluster::builder().nodes(4).without_passes().start();
    give_rings(&cluster, folder.path());
    let made = dispersion(&mut cluster, &["populate", "--coverage", "5"]);
    made.is_well().has("Using storage policy: gold").has("Created 12 containers for dispersion reporting");
    made.has("Created 12 objects for dispersion reporting");
    let whole = dispersion(&mut cluster, &["report"]);
    whole
        .is_well()
        .has("100.00% of container copies found (36 of 36)")
        .has("100.00% of object copies found (36 of 36)");
    whole.has("Sample represents 4.69% of the object partition space");

    // More of it, on other partitions.
    let more = dispersion(&mut cluster, &["populate", "--coverage", "5", "--no-overlap", "--object-only"]);
    more.is_well().has("Total object coverage is now 9.38%.");

    // A device loses its objects: the same is missing for us and for Swift's tool.
    fs::rename(cluster.device(1).join("objects"), cluster.device(1).join("lost")).unwrap();
    let broken = dispersion(&mut cluster, &["report", "--partitions"]);
    broken.is_not_well().has("missing 1 copy.").has("# Object partition ");
    let conf = folder.path().join("dispersion.conf");
    let (url, dir) = (format!("http://{}/auth/v1.0", cluster.swift().address), folder.path().display());
    let text =
        format!("[dispersion]\nauth_url = {url}\nauth_user = test:tester\nauth_key = testing\nswift_dir = {dir}\n");
    fs::write(&conf, text).unwrap();
    let theirs = swift_in(folder.path(), "swift.cli.dispersion_report", &[conf.to_str().unwrap()]);
    let figures =
        |line: &&str| line.contains("copies found") || line.contains("missing 1 copy") || line.contains("Sample");
    let lines: Vec<_> = theirs.is_well().text.lines().filter(figures).collect();
    assert_eq!(lines.len(), 5, "{}", theirs.text);
    lines.iter().for_each(|line| _ = broken.has(line));

    // As JSON, and healed.
    let json = dispersion(&mut cluster, &["report", "-j", "--object-only"]);
    let told: serde_json::Value = serde_json::from_str(json.is_not_well().text.trim()).expect("JSON");
    assert_eq!(told["object"]["copies_expected"], 72);
    assert!(told["object"]["missing_1"].as_u64() > Some(0) && told.get("container").is_none(), "{told}");
    cluster.pass("replicate");
    dispersion(&mut cluster, &["report"]).is_well().has("100.00% of object copies found (72 of 72)");
}

#[test]
fn bad_input_is_one_sentence() {
    let mut cluster = Cluster::builder().nodes(1).replicas(1).without_passes().start();
    apus(&mut cluster, &["dispersion", "report"]).is_not_well().has("say who asks: auth_url, auth_user and auth_key");
    dispersion(&mut cluster, &["report"])
        .is_not_well()
        .has("there are no containers to query; run `apus dispersion populate`");
    dispersion(&mut cluster, &["populate", "--coverage", "0"]).is_not_well().has("more than 0 percent");
    dispersion(&mut cluster, &["report", "-P", "lead"]).is_not_well().has("there is no storage policy \"lead\"");
    let url = format!("http://{}/auth/v1.0", cluster.swift().address);
    let wrong = ["dispersion", "report", "-A", &url, "-U", "test:tester", "-K", "wrong"];
    apus(&mut cluster, &wrong).is_not_well().has("did not give \"test:tester\" a token: 401");
    let odd = ["dispersion", "report", "-A", "ftp://h/", "-U", "u", "-K", "k"];
    apus(&mut cluster, &odd).is_not_well().has("\"ftp://h/\" is not a URL that begins with http://");
    let nobody = format!("http://{}/", apus_tests::cluster::free_address([127, 0, 0, 1].into()));
    let silent = ["dispersion", "report", "-A", &nobody, "-U", "u", "-K", "k"];
    apus(&mut cluster, &silent).is_not_well().has("gives no answer");
}
