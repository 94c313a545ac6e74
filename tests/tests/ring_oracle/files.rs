//! Builder files and rings: each reads what the other wrote, and looks the same things up in it.

use std::path::{Path, PathBuf};

use apus_base::hash_path::HashPath;
use apus_base::ring::{IdWidth, Ring, Table};
use serde_json::json;
use tempfile::TempDir;

use super::{Cluster, NOW, Server, as_json, device, read_builder, swift};

fn read_ring(path: impl AsRef<Path>) -> Ring {
    Ring::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

fn uneven() -> Cluster {
    let (big, small) = ([100.0, 250.0, 100.0], [100.0, 40.5, 0.0]);
    let servers: Vec<Server<'_>> =
        (0..9).map(|n| (1 + n % 2, n % 3, n, if n % 4 == 0 { &small } else { &big } as &[f64])).collect();
    Cluster::new("uneven", 9, 2.75, 0.1, &servers)
}

/// A thousand paths: accounts, containers and objects with names of all kinds.
fn paths() -> Vec<Vec<String>> {
    let mut random = 7u64;
    let mut word = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:x}{}", random >> 33, ["", "/sub/dir", " \u{e9}\u{1f426}", "%2F"][(random >> 40) as usize % 4])
    };
    let mut path = |n: usize| match n % 3 {
        0 => vec![format!("AUTH_{}", word().replace('/', "_"))],
        1 => vec!["AUTH_test".to_owned(), word().replace('/', "_")],
        _ => vec!["AUTH_test".to_owned(), "c".to_owned(), word()],
    };
    (0..1000).map(&mut path).collect()
}

/// Asks both about all paths, and compares.
fn assert_same_lookups(ring_file: &Path) {
    let ring = read_ring(ring_file);
    let hashes = HashPath::new("pre", "suf\u{e9}");
    let paths = paths();
    let job = json!({"do": "lookup", "ring": ring_file, "prefix": "pre", "suffix": "suf\u{e9}", "paths": paths});
    let [answers] = &swift(&[job])[..] else { panic!("one answer") };
    for (path, answer) in paths.iter().zip(answers.as_array().unwrap()) {
        let digest = match &path[..] {
            [account] => hashes.account(account),
            [account, container] => hashes.container(account, container),
            [account, container, object] => hashes.object(account, container, object),
            _ => unreachable!(),
        };
        let part = ring.partition(&digest.0);
        let primaries: Vec<u32> = ring.primaries(part).map(|d| d.id).collect();
        let handoffs: Vec<u32> = ring.handoffs(part).map(|d| d.id).collect();
        assert_eq!(&json!([part, primaries, handoffs]), answer, "{path:?}");
    }
}

#[test]
fn we_read_swifts_builders_and_rings() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("object");
    let file = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let cluster = uneven();
    let answer = &swift(&[json!({"do": "make", "cluster": cluster.as_json(), "remove": 7, "path": path})])[0];

    // The builder is sound, and says what Swift's tool says.
    let builder = read_builder(file(".builder"));
    builder.validate().unwrap();
    assert!(builder.device(7).is_none());
    assert!((builder.balance().unwrap() - answer["balance"].as_f64().unwrap()).abs() < 1e-9);

    // Both rings are those of the builder, and look up as Swift does.
    let ring = builder.to_ring().unwrap();
    for end in [".v1.ring.gz", ".v2.ring.gz"] {
        assert_eq!(read_ring(file(end)), ring, "{end}");
        assert_same_lookups(&file(end));
    }

    // Unpacked, our version 1 file is Swift's to the byte.
    let ours = ring.to_v1_bytes("object.v1.ring.gz").unwrap();
    assert_eq!(gunzip(&ours), gunzip(&std::fs::read(file(".v1.ring.gz")).unwrap()));
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut raw).unwrap();
    raw
}

#[test]
fn swift_reads_our_builders_and_rings() {
    let folder = TempDir::new().unwrap();
    let (builder_file, v1, v2) =
        (folder.path().join("o.builder"), folder.path().join("o.v1.ring.gz"), folder.path().join("o.v2.ring.gz"));
    let mut builder = Cluster { replicas: 3.0, ..uneven() }.builder();
    builder.rebalance(1, NOW).unwrap();
    builder.remove_device(4).unwrap();
    builder.rebalance(2, NOW + 3600).unwrap();
    builder.ensure_id(0x0123_4567_89ab_cdef);
    let ring = builder.to_ring().unwrap();
    std::fs::write(&builder_file, builder.to_bytes()).unwrap();
    std::fs::write(&v1, ring.to_v1_bytes("o.v1.ring.gz").unwrap()).unwrap();
    std::fs::write(&v2, ring.to_v2_bytes("o.v2.ring.gz").unwrap()).unwrap();

    // Swift finds the builder valid, the rings equal to it, and the same balance and dispersion.
    let add = as_json(&device(99, 1, 1, 9, 100.0));
    let answer = &swift(&[json!({"do": "load", "builder": builder_file, "rings": [v1, v2], "add": add})])[0];
    assert_eq!(answer["same"], json!([true, true]));
    assert_eq!(answer["version"], json!(builder.version()));
    assert!((answer["balance"].as_f64().unwrap() - builder.balance().unwrap()).abs() < 1e-9);
    assert!((answer["dispersion_by_swift"].as_f64().unwrap() - builder.dispersion()).abs() < 1e-9);

    // Both look the same things up, in either format, with narrow ids and wide ones.
    assert_same_lookups(&v1);
    assert_same_lookups(&v2);
    let wide = Table::new(ring.part_power(), IdWidth::FourBytes, ring.table().ids()).unwrap();
    let wide = Ring::new(ring.devices().to_vec(), wide).unwrap();
    std::fs::write(&v2, wide.to_v2_bytes("o.v2.ring.gz").unwrap()).unwrap();
    assert_same_lookups(&v2);

    // Swift went on with our builder, and we go on with what it made.
    let mut after = read_builder(&builder_file);
    after.validate().unwrap();
    after.rebalance(3, NOW + 100 * 3600).unwrap();
    after.validate().unwrap();
}
