//! Encryption at rest: nothing readable on the disks, and a new root secret in the place of an old one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use apus_tests::{Cluster, bytes, disk, md5_hex, tools};
use toml::Table;

/// Base64 of 32 bytes.
const OLD: &str = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
const NEW: &str = "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=";

const OBJECTS: usize = 30;

fn body(i: usize) -> Vec<u8> {
    if i == 0 { Vec::new() } else { bytes(i as u64, i * 5_000) }
}

/// Restarts the proxy with other root secrets.
fn secrets(cluster: &mut Cluster, encryption: &str) {
    let proxy = cluster.proxy(0);
    let path = proxy.config();
    let mut config: Table = fs::read_to_string(&path).expect("a configuration").parse().expect("TOML");
    let settings = config["proxy"].as_table_mut().expect("a table");
    settings.insert("encryption".into(), encryption.parse::<Table>().expect("TOML").into());
    fs::write(&path, config.to_string()).expect("a configuration");
    proxy.stop();
    proxy.start(None);
}

fn rekey(config: &Path) -> Output {
    let mut command = Command::new(tools::binary());
    command.args(["pass", "rekey", "--once", "--config"]).arg(config).output().expect("the pass runs")
}

#[test]
fn a_root_secret_is_replaced_and_removed() {
    let mut cluster = Cluster::builder().start();
    secrets(&mut cluster, &format!("root_secret = \"{OLD}\""));
    let tester = cluster.tester();
    tester.make("c");
    for i in 0..OBJECTS {
        tester.put(&format!("c/{i}")).header("X-Object-Meta-Color", "ultramarine").body(body(i)).send().expect(201);
    }
    tester.post("c/3").header("X-Object-Meta-Color", "ultramarine too").send().expect(202);

    // No disk has what a client sent.
    let files = (0..3).flat_map(|node| disk::with_suffix(&cluster.device(node), ".data"));
    for file in files {
        let stored = fs::read(&file).expect("an object's file");
        assert!((1..OBJECTS).all(|i| !stored.windows(64).any(|bytes| bytes == &body(i)[..64])));
    }

    // The new secret is added, and made the active one. With a node down nothing can be proven.
    let both = format!("root_secret = \"{OLD}\"\nactive_root_secret_id = \"2\"\nroot_secrets = {{ 2 = \"{NEW}\" }}");
    secrets(&mut cluster, &both);
    let config = cluster.proxy(0).config();
    cluster.node(2).kill();
    let unproven = rekey(&config);
    let complaint = String::from_utf8_lossy(&unproven.stderr).into_owned();
    assert!(!unproven.status.success() && complaint.contains("keep all secrets"), "{complaint}");

    // With all of them it can, and the old secret goes.
    cluster.node(2).start(None);
    let proven = rekey(&config);
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
    let said = String::from_utf8_lossy(&proven.stdout).into_owned();
    assert!(said.contains("the others can be removed"), "{said}");
    secrets(&mut cluster, &format!("active_root_secret_id = \"2\"\nroot_secrets = {{ 2 = \"{NEW}\" }}"));
    let tester = cluster.tester();
    for i in 0..OBJECTS {
        let got = tester.get(&format!("c/{i}")).header("X-Newest", "true").send().expect(200);
        assert!(got.body == body(i));
        let color = if i == 3 { "ultramarine too" } else { "ultramarine" };
        assert_eq!(got.header("X-Object-Meta-Color"), Some(color));
        assert_eq!(got.header("ETag"), Some(&*md5_hex(&body(i))));
    }
    let listing = tester.get("c").query("format=json").send().expect(200).text();
    assert!((0..OBJECTS).all(|i| listing.contains(&md5_hex(&body(i)))), "{listing}");
}
