use std::ffi::OsString;
use std::path::Path;

use apus_base::ring::Ring;
use tempfile::TempDir;

use super::run_with;
use super::values::Parts;
use crate::Builder;

/// A folder with a builder in it, and what an operator types.
struct Operator {
    folder: TempDir,
}

impl Operator {
    fn new() -> Operator {
        Operator { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Types one line after `apus ring FOLDER/`, and answers `answer` to questions.
    fn types_and_answers(&self, line: &str, answer: &str) -> (i32, String) {
        let mut words = line.split_whitespace().map(OsString::from);
        let file = self.path(words.next().unwrap().to_str().unwrap()).into_os_string();
        let mut out = Vec::new();
        let exit = run_with(std::iter::once(file).chain(words), &mut answer.as_bytes(), &mut out);
        (exit, String::from_utf8(out).unwrap())
    }

    fn types(&self, line: &str) -> (i32, String) {
        self.types_and_answers(line, "")
    }

    fn builder(&self) -> Builder {
        Builder::from_bytes(&std::fs::read(self.path("object.builder")).unwrap()).unwrap()
    }
}

fn with_four_devices() -> Operator {
    let operator = Operator::new();
    assert_eq!(operator.types("object.builder create 6 3 1"), (0, String::new()));
    for n in 1..=4 {
        let (exit, said) = operator.types(&format!("object.builder add r1z{n}-10.0.0.{n}:6200/sdb1_rack{n} 100"));
        let id = n - 1;
        let name = format!("d{id}r1z{n}-10.0.0.{n}:6200R10.0.0.{n}:6200/sdb1_\"rack{n}\"");
        assert_eq!((exit, said), (0, format!("Device {name} with 100.0 weight got id {id}\n")));
    }
    operator
}

#[test]
fn a_ring_from_nothing() {
    let operator = with_four_devices();
    // The first rebalance writes builder and ring, and copies of both.
    let (exit, said) = operator.types("object.builder rebalance --seed 1");
    assert_eq!(exit, 0, "{said}");
    assert_eq!(said, "Reassigned 192 (300.00%) partitions. Balance is now 0.00.  Dispersion is now 0.00\n");
    let ring = Ring::from_bytes(&std::fs::read(operator.path("object.ring.gz")).unwrap()).unwrap();
    assert_eq!(ring, operator.builder().to_ring().unwrap());
    let backups = std::fs::read_dir(operator.path("backups")).unwrap().count();
    assert!(backups >= 2, "{backups} backups");
    // A second one has nothing to do.
    let (exit, said) = operator.types("object.builder rebalance");
    assert_eq!(exit, 1);
    assert!(
        said.starts_with("No partitions could be reassigned.\nThe time between rebalances must be at least"),
        "{said}"
    );
    assert_eq!(operator.types("object.builder validate"), (0, String::new()));
}

#[test]
fn the_same_seed_gives_the_same_ring() {
    let rings: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let operator = with_four_devices();
            operator.types("object.builder rebalance --seed blue");
            std::fs::read(operator.path("object.ring.gz")).unwrap()
        })
        .collect();
    assert_eq!(rings[0], rings[1]);
}

#[test]
fn show_is_swifts_table() {
    let operator = with_four_devices();
    operator.types("object.builder rebalance --seed 1");
    operator.types("object.builder remove d3");
    let (exit, said) = operator.types("object.builder");
    assert_eq!(exit, 0);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("object.builder, build version 6, id "), "{said}");
    assert_eq!(
        lines[1],
        "64 partitions, 3.000000 replicas, 1 regions, 4 zones, 4 devices, 2-byte IDs, 999.99 balance, 0.00 dispersion"
    );
    assert!(lines[2].starts_with("The minimum number of hours before a partition can be reassigned is 1 ("), "{said}");
    assert_eq!(lines[3], "The overload factor is 0.00% (0.000000)");
    assert!(lines[4].ends_with("object.ring.gz is obsolete"));
    assert_eq!(
        lines[5..7],
        [
            "Devices:   id region zone ip address:port replication ip:port  name weight partitions balance flags meta",
            "            0      1    1   10.0.0.1:6200       10.0.0.1:6200  sdb1 100.00         48  -25.00       rack1",
        ]
    );
    assert!(lines[9].contains("999.99   DEL rack4"), "{said}");
}

#[test]
fn what_fails_changes_nothing() {
    let operator = with_four_devices();
    let before = std::fs::read(operator.path("object.builder")).unwrap();
    let refused = [
        "object.builder add r1z1-10.0.0.1:6200/sdb1 100",
        "object.builder add r1z1-10.0.0.1:99999/sdb1 100",
        "object.builder add r1z1-10.0.0.9:6200/sdb1",
        "object.builder add r1z1-10.0.0.9:6200/sdb1 -1",
        "object.builder add r1z1-10.0.0.9:6200/sdb1 nan",
        "object.builder add --zone 1 --ip 10.0.0.9 --port 6200 --device sdb1 --weight 1",
        "object.builder remove d77",
        "object.builder set_weight d0 many",
        "object.builder set_weight d0",
        "object.builder set_replicas 0.5",
        "object.builder set_overload -1",
        "object.builder create 6 3 1",
        "object.builder set_info d0 10.0.0.2:6200",
        "object.builder frobnicate",
        "object.builder list_parts d0",
        "object.builder write_ring",
        "absent.builder rebalance",
    ];
    for line in refused {
        let (exit, said) = operator.types(line);
        assert_eq!(exit, 2, "{line}: {said}");
        assert!(!said.is_empty(), "{line}");
    }
    assert_eq!(std::fs::read(operator.path("object.builder")).unwrap(), before);
    assert!(!operator.path("object.ring.gz").exists());
}

#[test]
fn several_devices_are_changed_only_after_a_yes() {
    let operator = with_four_devices();
    let weights = || operator.builder().iter().map(|d| d.device.weight).collect::<Vec<_>>();
    let (exit, said) = operator.types_and_answers("object.builder set_weight r1 50", "n\n");
    assert_eq!(exit, 2);
    assert!(said.contains("Are you sure you want to update the weight for these 4 devices? (y/N)"), "{said}");
    assert_eq!(weights(), [100.0; 4]);
    assert_eq!(operator.types_and_answers("object.builder set_weight r1 50", "y\n").0, 0);
    assert_eq!(weights(), [50.0; 4]);
    assert_eq!(operator.types("object.builder set_weight --port 6200 70 --yes").0, 0);
    assert_eq!(weights(), [70.0; 4]);
}

#[test]
fn settings_and_info_are_kept() {
    let operator = with_four_devices();
    assert_eq!(
        operator.types("object.builder set_overload 10%").1.lines().next(),
        Some("The overload factor is now 10.00% (0.100000)")
    );
    assert_eq!(operator.types("object.builder set_replicas 2.5").0, 0);
    assert_eq!(operator.types("object.builder set_min_part_hours 24").0, 0);
    assert_eq!(operator.types("object.builder set_info d2 [fe80::0001]:6300R10.9.9.9/sdc_moved").0, 0);
    assert_eq!(operator.types("object.builder set_zone d2 9").0, 0);
    let builder = operator.builder();
    assert_eq!((builder.overload, builder.replicas, builder.min_part_hours), (0.1, 2.5, 24));
    let device = &builder.device(2).unwrap().device;
    assert_eq!((device.ip.as_str(), device.port, device.replication_ip.as_str()), ("fe80::1", 6300, "10.9.9.9"));
    assert_eq!((device.device.as_str(), device.meta.as_str(), device.zone), ("sdc", "moved", 9));
}

#[test]
fn reports_after_a_rebalance() {
    let operator = with_four_devices();
    let (exit, said) = operator.types("object.ring.gz rebalance 7 --format-version 2");
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = operator.types("object.builder dispersion -v r1z[12]$");
    assert_eq!(exit, 0, "{said}");
    assert!(
        said.starts_with(
            "Dispersion is 0.000000, Balance is 0.000000, Overload is 0.00%\nRequired overload is 0.000000%\n"
        ),
        "{said}"
    );
    assert!(said.ends_with("r1z2                              48   0.00      1    16    48     0     0\n"), "{said}");
    let (_, listed) = operator.types("object.builder list_parts d0 d1");
    let mut lines = listed.lines();
    assert_eq!(lines.next(), Some("Partition   Matches"));
    assert_eq!(lines.next().map(|line| line.ends_with("         2")), Some(true));
    let (exit, said) = operator.types("object.builder search _rack3");
    assert_eq!((exit, said.lines().count()), (0, 2));
    assert_eq!(operator.types("object.builder search z7").0, 2);
    // Version 1 cannot say wide ids.
    assert_eq!(operator.types("object.builder write_ring --dev-id-bytes 4").0, 2);
    assert_eq!(operator.types("object.builder write_ring --dev-id-bytes 4 --format-version 2").0, 0);
}

#[test]
fn help_helps() {
    for line in [vec![], vec!["--help"], vec!["x.builder", "add", "--help"]] {
        let mut out = Vec::new();
        let exit = run_with(line.iter().map(OsString::from), &mut &b""[..], &mut out);
        assert_eq!(exit, 0, "{line:?}");
        assert!(String::from_utf8(out).unwrap().contains("Usage"), "{line:?}");
    }
}

#[test]
fn two_commands_do_not_meet() {
    let operator = with_four_devices();
    let files = super::files::Files::named(&operator.path("object.builder"));
    let _lock = files.lock().unwrap();
    let (exit, said) = operator.types("object.builder rebalance");
    assert_eq!(exit, 2);
    assert!(said.starts_with("Ring/builder dir currently locked"), "{said}");
}

#[test]
fn search_values() {
    let all = Parts::search("d74r4z1-1.2.3.4:5678R5.6.7.8:9/sdb1_snet: 5.6.7.8").unwrap();
    assert_eq!(
        (all.id, all.region, all.zone, all.port, all.replication_port),
        (Some(74), Some(4), Some(1), Some(5678), Some(9))
    );
    assert_eq!((all.device.as_deref(), all.meta.as_deref()), (Some("sdb1"), Some("snet: 5.6.7.8")));
    assert_eq!(Parts::search("[::1]:80").unwrap().ip.as_deref(), Some("::1"));
    assert_eq!(Parts::search("R:5678").unwrap().replication_port, Some(5678));
    for bad in ["", "d", "dx", "z1x", "1.2.3", "[::1", ":99999", "r-1"] {
        assert!(Parts::search(bad).is_err(), "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn no_word_panics(word in "[drz0-9.:R/_\\[\\]-]{0,30}") {
        let _ = Parts::search(&word);
        let _ = Parts::new_device(&word, &word);
    }
}

#[test]
fn names_of_files() {
    let named = |typed: &str| {
        let files = super::files::Files::named(Path::new(typed));
        (files.builder.display().to_string(), files.ring.display().to_string())
    };
    let pair = ("o.builder".to_owned(), "o.ring.gz".to_owned());
    assert_eq!(named("o.builder"), pair);
    assert_eq!(named("o.ring.gz"), pair);
    assert_eq!(named("o").1, "o.ring.gz");
}
