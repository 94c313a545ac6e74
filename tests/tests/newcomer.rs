//! The newcomer: starts the release binary the README's way, stores a real tree with the stock Swift client, and gets
//! it back, after a restart and after a disk has gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use apus_tests::{Apus, disk, tools};
use tempfile::TempDir;

/// How many files a real tree has, at least.
const MANY: usize = 5_000;
/// Threads of the Swift client for objects, as text for its options.
const THREADS: &str = "8";

/// Copies whole crates of cargo's registry into a folder until it holds enough files.
fn real_tree(into: &Path) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).expect("a home");
    let mut copied = 0;
    let mut crates: Vec<_> =
        subfolders(&home.join("registry/src")).iter().flat_map(|index| subfolders(index)).collect();
    crates.sort();
    for source in crates {
        for file in disk::files(&source) {
            let target =
                into.join(source.file_name().expect("a name")).join(file.strip_prefix(&source).expect("below"));
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
            copied += usize::from(fs::copy(&file, &target).is_ok());
        }
        if copied >= MANY {
            return;
        }
    }
    panic!("cargo's registry has only {copied} files");
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect()
}

/// The stock client as a user of the one cluster.
fn swift(apus: &Apus, folder: &Path, arguments: &[&str]) -> String {
    let address = apus.swift().address;
    let mut command = Command::new(tools::python_program("swift"));
    command.args(["-A", &format!("http://{address}/auth/v1.0"), "-U", "test:tester", "-K", "testing", "-q"]);
    let output = tools::run(command.args(arguments).current_dir(folder));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn downloads_the_same(apus: &Apus, stored: &BTreeMap<String, String>) {
    let back = TempDir::new().expect("a folder");
    swift(apus, back.path(), &["download", "tree", "--object-threads", THREADS]);
    assert!(disk::contents(back.path()) == *stored, "some files came back different");
}

#[test]
fn a_real_tree_comes_back_after_a_restart_and_without_a_disk() {
    // A tree of thousands of files, up by the stock client, and all of it listed.
    let tree = TempDir::new().expect("a folder");
    real_tree(tree.path());
    let stored = disk::contents(tree.path());
    let mut apus = Apus::up();
    swift(&apus, tree.path(), &["upload", "tree", ".", "--object-threads", THREADS]);
    let listed = swift(&apus, tree.path(), &["list", "tree"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
    downloads_the_same(&apus, &stored);

    // The cluster is stopped and started.
    let exit = apus.stop();
    assert!(exit.status.success(), "{exit:?}");
    apus.start(None);
    downloads_the_same(&apus, &stored);

    // One of the four disks goes while it runs: all can still be read, and a second tree stored and read.
    fs::rename(apus.device(2), apus.data().join("lost")).expect("a device to lose");
    downloads_the_same(&apus, &stored);
    swift(&apus, tree.path(), &["upload", "second", ".", "--object-threads", THREADS]);
    let listed = swift(&apus, tree.path(), &["list", "second"]);
    assert_eq!(listed.lines().count(), stored.len());
    let back = TempDir::new().expect("a folder");
    swift(&apus, back.path(), &["download", "second", "--object-threads", THREADS]);
    assert!(disk::contents(back.path()) == stored, "some files came back different");
}

/// The fenced blocks of the README between `<!-- story:curl -->` and `<!-- /story -->`.
fn readme_story() -> String {
    let readme = fs::read_to_string(tools::checkout().join("README.md")).expect("a README");
    let mut script = String::from("set -e\n");
    for story in readme.split("<!-- story:curl -->").skip(1) {
        let story = story.split("<!-- /story -->").next().unwrap_or_default();
        let blocks = story.split("```").skip(1).step_by(2);
        script.extend(blocks.filter_map(|block| block.split_once('\n')).map(|(_, lines)| lines));
    }
    script
}

#[test]
fn the_readmes_curl_commands_work_as_printed() {
    // The defaults of `make up`: nobody is named, so it makes an admin and prints the key.
    let mut apus = Apus::builder().users(&[]).start();
    let printed = apus.process().said().iter().find_map(|line| line.trim().strip_prefix("key "));
    let key = printed.expect("a key in the greeting").trim().to_owned();

    let script = readme_story().replace("127.0.0.1:8080", &apus.swift().address.to_string());
    assert!(script.lines().count() > 10, "the README has lost its curl story");
    let folder = TempDir::new().expect("a folder");
    let files = folder.path().join("files");
    fs::create_dir_all(files.join("a/b")).expect("folders");
    for (name, text) in [("one.txt", "1"), ("a/two.html", "22"), ("a/b/three", "333")] {
        fs::write(files.join(name), text).expect("a file");
    }
    let mut bash = Command::new("bash");
    let output = tools::run(bash.args(["-o", "pipefail", "-c", &script]).env("KEY", key).current_dir(&files));

    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("a/b/three") && output.contains("\"bytes\":3"), "{output}");
    assert!(output.contains("X-Object-Meta-Colour: blue"), "{output}");
    assert_eq!(disk::contents(&folder.path().join("back")), disk::contents(&files));
}

#[test]
fn the_greeting_says_what_to_do_next() {
    let mut apus = Apus::builder().users(&[]).start();
    let address = apus.swift().address;
    let greeting = apus.process().said().join("\n");
    for part in [&format!("http://{address}/auth/v1.0"), "admin:admin", "swift upload", "swift list"] {
        assert!(greeting.contains(part), "{part} is missing from {greeting}");
    }

    // The admin's key is made once and kept.
    let key = |apus: &mut Apus| {
        let lines = apus.process().said().to_vec();
        lines.iter().find_map(|line| line.trim().strip_prefix("key ").map(|key| key.trim().to_owned())).expect("a key")
    };
    let first = key(&mut apus);
    let admin = apus.swift().login_as("admin:admin", &first);
    admin.make("kept");
    admin.store("kept/o", "kept");
    apus.stop();
    apus.start(None);
    assert_eq!(key(&mut apus), first);
    assert_eq!(apus.swift().login_as("admin:admin", &first).get("kept/o").send().expect(200).text(), "kept");
}
