use apus_base::cluster::ClusterConfig;
use apus_object::store::Metadata;
use proptest::prelude::*;

use super::*;
use crate::watch::Seen;

fn watcher(root: &std::path::Path, script: &str) -> CommandWatcher {
    let config = ClusterConfig { hash_path_suffix: "end".into(), ..ClusterConfig::default() };
    let cluster = Arc::new(Cluster::try_from(config).unwrap());
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    CommandWatcher::new(command, Arc::new(Devices::new(root, 1)), cluster)
}

async fn show(watcher: &CommandWatcher, length: u64) {
    let mut metadata = Metadata::default();
    metadata.set("X-Object-Meta-Odd", [b'"', 0xff, b'\n']);
    let seen = Seen {
        device: "d1",
        policy: PolicyIndex(0),
        path: "objects/7/abc/0",
        name: "/a/c/\"o\"",
        timestamp: apus_base::timestamp::Timestamp::from_secs(1),
        length,
        metadata: &metadata,
    };
    assert_eq!(watcher.see(Mode::All, &seen).await, Wish::Nothing);
}

#[tokio::test]
async fn a_program_reads_lines_of_json() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("seen");
    let watcher = watcher(root.path(), &format!("cat > {}", file.display()));
    watcher.start(Mode::All).await;
    show(&watcher, 4).await;
    watcher.end(Mode::All).await;
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0], &lines[2]), (3, &json!({"start": {"audit": "ALL"}}), &json!({"end": {}})));
    assert_eq!(lines[1]["object"]["name"], "/a/c/\"o\"");
    assert_eq!(lines[1]["object"]["metadata"]["X-Object-Meta-Odd"], "\"\u{fffd}\n");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_read_holds_up_the_audit_once() {
    let root = tempfile::tempdir().unwrap();
    let watcher = watcher(root.path(), "exec sleep 1000");
    watcher.start(Mode::All).await;
    let started = tokio::time::Instant::now();
    for _ in 0..20 * MAX_WAITING {
        show(&watcher, 1).await;
    }
    let waited = started.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE * 2, "{waited:?}");
    assert!(watcher.slot().as_ref().unwrap().missed.load(Ordering::Relaxed) > 0);
    watcher.end(Mode::All).await;
    assert!(watcher.slot().is_none());
}

#[tokio::test]
async fn one_that_cannot_be_started_or_ends_early_is_done_without() {
    let root = tempfile::tempdir().unwrap();
    for mut watcher in [watcher(root.path(), "exit 3"), watcher(root.path(), "")] {
        if watcher.command[2].is_empty() {
            watcher.command = vec!["/no/such/program".into()];
        }
        watcher.start(Mode::ZeroByteFast).await;
        for _ in 0..100 {
            show(&watcher, 1).await;
        }
        watcher.end(Mode::ZeroByteFast).await;
    }
}

#[tokio::test]
async fn a_line_that_never_ends_is_cut_and_makes_no_sense() {
    let long = vec![b'x'; 3 * 64 * 1024 + 5];
    let text = [long.as_slice(), b"\nlast\n"].concat();
    let mut output = BufReader::new(text.as_slice());
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut output).await {
        assert!(line.len() <= 64 * 1024);
        lines.push(line);
    }
    assert_eq!(lines.last().unwrap(), b"last");
    assert!(lines.iter().all(|line| parse(line).is_none()));
}

#[test]
fn only_objects_where_they_were_shown_are_understood() {
    let line = |device: &str, path: &str| {
        parse(json!({"quarantine": {"device": device, "path": path, "why": "w"}}).to_string().as_bytes())
    };
    let hash = "0123456789abcdef0123456789abcdef";
    let (device, found, why) = line("d1", &format!("objects-2/7/def/{hash}")).unwrap();
    assert_eq!((&*device, found.policy, found.partition, &*why), ("d1", PolicyIndex(2), 7, "w"));
    let wrong = ["def", "../x", "", "objects/7/def", "/objects/7/def/0123456789abcdef0123456789abcdef"];
    assert!(wrong.iter().all(|path| line("d1", path).is_none()));
    for path in [format!("objects/7/abc/{hash}"), format!("objects/07/def/{hash}"), format!("objects-0/7/def/{hash}")] {
        assert!(line("d1", &path).is_none(), "{path}");
    }
    for device in ["", "..", "d1/..", ".hidden"] {
        assert!(line(device, &format!("objects/7/def/{hash}")).is_none(), "{device}");
    }
}

proptest! {
    #[test]
    fn any_line_is_understood_or_left_out(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&line);
    }

    #[test]
    fn any_path_is_understood_or_left_out(path in "objects(-[0-9]{1,3})?/[0-9]{1,11}/[0-9a-f]{3}/[0-9a-f]{31,33}|\\PC{0,60}") {
        if let Some(named) = named(&path) {
            prop_assert_eq!(named.path(), path);
        }
    }
}
