//! The operator's view: what `apus recon`, `inspect`, `status` and `dispersion` say of a cluster that is well, and of one that is
//! not, beside what Swift's own tools say of the same.

mod dispersion;
mod inspect;
mod recon;
mod status;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use apus_base::ring::Ring;
use apus_tests::{Cluster, disk, tools};
use tempfile::TempDir;

/// What a command said and whether it was content.
struct Said {
    text: String,
    ok: bool,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { text: String::from_utf8(text).expect("text"), ok: output.status.success() }
    }

    #[track_caller]
    fn has(&self, what: &str) -> &Self {
        assert!(self.text.contains(what), "{what:?} is not in:\n{}", self.text);
        self
    }

    #[track_caller]
    fn is_well(&self) -> &Self {
        assert!(self.ok, "{}", self.text);
        self
    }

    #[track_caller]
    fn is_not_well(&self) -> &Self {
        assert!(!self.ok, "{}", self.text);
        self
    }
}

/// Runs `apus ARGUMENTS --config` with the configuration of a cluster's first node.
fn apus(cluster: &mut Cluster, arguments: &[&str]) -> Said {
    apus_of(&cluster.node(0).config(), arguments)
}

/// The same with a configuration.
fn apus_of(config: &Path, arguments: &[&str]) -> Said {
    Said::of(Command::new(tools::binary()).args(arguments).arg("--config").arg(config).output().expect("apus"))
}

/// Runs one of Swift's tools.
fn swift(name: &str, arguments: &[&str]) -> Said {
    Said::of(Command::new(tools::python_program(name)).args(arguments).output().expect("a tool of Swift's"))
}

/// Runs the main function of one of Swift's tools that look for swift.conf in `/etc/swift` whatever they are told, and has them
/// look in `dir`.
fn swift_in(dir: &Path, module: &str, arguments: &[&str]) -> Said {
    let code = "import importlib, sys\n\
                import swift.common.utils as utils\n\
                utils.set_swift_dir(sys.argv[2])\n\
                module = importlib.import_module(sys.argv[1])\n\
                module.SWIFT_CONF_FILE = utils.SWIFT_CONF_FILE\n\
                sys.argv = [sys.argv[1]] + sys.argv[3:]\n\
                module.main()\n";
    let mut python = Command::new(tools::python_program("python"));
    python.args(["-c", code, module]).arg(dir).args(arguments);
    Said::of(python.output().expect("a tool of Swift's"))
}

/// A folder as Swift's tools want it, `/etc/swift`: its swift.conf, and later the rings.
fn swift_folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let conf = "[swift-hash]\nswift_hash_path_suffix = changeme\n\
                [storage-policy:0]\nname = gold\ndefault = yes\n";
    fs::write(folder.path().join("swift.conf"), conf).expect("swift.conf");
    folder
}

fn give_rings(cluster: &Cluster, folder: &Path) {
    for name in ["account.ring.gz", "container.ring.gz", "object.ring.gz"] {
        fs::copy(cluster.rings().join(name), folder.join(name)).expect("a ring");
    }
}

fn ring(cluster: &Cluster, name: &str) -> Ring {
    Ring::from_bytes(&fs::read(cluster.rings().join(format!("{name}.ring.gz"))).expect("a ring")).expect("a ring")
}

/// The files of one kind on a node's disk.
fn files(cluster: &mut Cluster, node: usize, suffix: &str) -> Vec<PathBuf> {
    disk::with_suffix(&cluster.node(node).devices(), suffix)
}
