//! The real OpenStack Swift, as its sample configuration has it: a proxy, account, container and object servers, memcached.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use apus_tests::cluster::random_loopback;
use apus_tests::swift::TESTER;
use apus_tests::{Session, Swift, tools, wait_until};
use tempfile::TempDir;

use crate::peer::{Daemon, Peer};
use crate::rows::Rows;

/// The servers, and how many workers each has: as many as there are cores where the work is.
const SERVERS: [(&str, usize); 4] = [("account", 1), ("container", 2), ("object", 2), ("proxy", 2)];
const REPLICAS: usize = 3;
/// Its sample's pipeline, without what needs another cluster.
const MIDDLEWARE: &str = "catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl ratelimit \
                          tempauth copy container-quotas account-quotas slo dlo versioned_writes symlink";

/// A running Swift.
pub(crate) struct SwiftPeer {
    session: Session,
    // Dropped in this order: who writes there, then the folder.
    daemons: Vec<Daemon>,
    folder: TempDir,
}

/// Where each server listens.
struct Addresses {
    servers: Vec<SocketAddr>,
    memcached: SocketAddr,
}

impl Addresses {
    /// A loopback address of its own, and ports that the kernel picks.
    fn pick() -> Self {
        let ip: Ipv4Addr = random_loopback();
        // All are held until all are known, or the kernel might give the same port twice.
        let held: Vec<_> =
            (0..=SERVERS.len()).map(|_| TcpListener::bind((ip, 0)).expect("a loopback address")).collect();
        let mut servers: Vec<_> = held.iter().map(|listener| listener.local_addr().expect("its port")).collect();
        let memcached = servers.pop().expect("one more than servers");
        Self { servers, memcached }
    }

    fn proxy(&self) -> SocketAddr {
        self.servers[SERVERS.len() - 1]
    }
}

impl SwiftPeer {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let addresses = Addresses::pick();
        configure(folder.path(), &addresses);
        let log = |name: &str| folder.path().join(format!("{name}.log"));
        let mut daemons = vec![Daemon::start("memcached", memcached(addresses.memcached), &log("memcached"))];
        for (name, _) in SERVERS {
            let mut command = Command::new(tools::python_program(&format!("swift-{name}-server")));
            command.arg(folder.path().join(format!("{name}-server.conf")));
            daemons.push(Daemon::start(name, command, &log(name)));
        }
        for address in addresses.servers.iter().chain([&addresses.memcached]) {
            wait_until("a server of Swift listens", || TcpStream::connect(address).is_ok());
        }
        let session = Swift { address: addresses.proxy() }.login(TESTER);
        Self { session, daemons, folder }
    }
}

impl Peer for SwiftPeer {
    fn name(&self) -> &'static str {
        "Swift"
    }

    fn durability(&self) -> &'static str {
        "data with metadata and the folders of an object are flushed on two of three replicas at least before the answer; \
         a container's row is in a file that is not flushed, later in SQLite with `synchronous = NORMAL`"
    }

    fn setup(&self) -> &'static str {
        "OpenStack Swift 2.38.3 with the pipeline of its sample configuration: proxy, container and object servers of two workers each, one \
         of an account server, memcached; none of its background daemons; only errors are logged, to nobody"
    }

    fn session(&self) -> &Session {
        &self.session
    }

    fn roots(&self) -> Vec<u32> {
        self.daemons.iter().map(Daemon::id).collect()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("devices")
    }

    fn fill(&self, rows: &Rows) -> &'static str {
        self.session.make(rows.container());
        let script = tools::checkout().join("tests/benches/peers/rows.py");
        let mut python = Command::new(tools::python_program("python"));
        python.arg(script).arg(self.data()).arg(rows.container());
        let filled = tools::run(python.args([rows.folders().len().to_string(), rows.in_each().to_string()]));
        let filled = String::from_utf8_lossy(&filled.stdout).trim().to_owned();
        assert_eq!(filled, REPLICAS.to_string(), "replicas of the container that is listed");
        "through its own ContainerBroker, into each replica's database"
    }
}

fn memcached(address: SocketAddr) -> Command {
    let mut command = Command::new("memcached");
    command.args(["-l", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "0", "-u", &user()]);
    command
}

/// Who runs this, which Swift wants to be told.
fn user() -> String {
    String::from_utf8_lossy(&tools::run(Command::new("id").arg("-un")).stdout).trim().to_owned()
}

/// Writes what `/etc/swift` has, and makes the devices' folders.
fn configure(folder: &Path, addresses: &Addresses) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a configuration");
    for device in devices() {
        fs::create_dir_all(folder.join("devices").join(device)).expect("a device's folder");
    }
    let suffix = "[swift-hash]\nswift_hash_path_suffix = changeme\n";
    write("swift.conf", format!("{suffix}[storage-policy:0]\nname = gold\ndefault = yes\n"));
    for ((name, workers), address) in SERVERS.iter().zip(&addresses.servers) {
        let common = format!(
            "[DEFAULT]\nswift_dir = {dir}\nuser = {user}\ndevices = {dir}/devices\nmount_check = false\nbind_ip = {ip}\n\
             bind_port = {port}\nworkers = {workers}\nlog_level = ERROR\n",
            dir = folder.display(),
            user = user(),
            ip = address.ip(),
            port = address.port(),
        );
        let rest = if *name == "proxy" { proxy(addresses.memcached) } else { storage(folder, name) };
        write(&format!("{name}-server.conf"), common + &rest);
        if *name != "proxy" {
            ring(folder, name, *address);
        }
    }
}

fn devices() -> impl Iterator<Item = String> {
    (1..=REPLICAS).map(|number| format!("d{number}"))
}

fn storage(folder: &Path, name: &str) -> String {
    format!(
        "[pipeline:main]\npipeline = healthcheck recon {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n\
         [filter:healthcheck]\nuse = egg:swift#healthcheck\n\
         [filter:recon]\nuse = egg:swift#recon\nrecon_cache_path = {}\n",
        folder.display()
    )
}

fn proxy(memcached: SocketAddr) -> String {
    let mut text = format!(
        "[pipeline:main]\npipeline = {MIDDLEWARE} proxy-logging proxy-server\n\
         [app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
    );
    for name in MIDDLEWARE.split_whitespace() {
        text += &format!("[filter:{name}]\nuse = egg:swift#{}\n", entry_point(name));
        text += &match name {
            "cache" => format!("memcache_servers = {memcached}\n"),
            "tempauth" => format!("user_{}_{} = {} .admin\n", TESTER.account, TESTER.name, TESTER.key),
            _ => String::new(),
        };
    }
    text
}

/// What a middleware of the pipeline is called in the package.
fn entry_point(name: &str) -> String {
    if name == "cache" { "memcache".to_owned() } else { name.replace('-', "_") }
}

/// Three devices, a zone each.
fn ring(folder: &Path, name: &str, address: SocketAddr) {
    let verb = |arguments: &[&str]| {
        let mut command = Command::new(tools::python_program("swift-ring-builder"));
        tools::run(command.arg(folder.join(format!("{name}.builder"))).args(arguments));
    };
    verb(&["create", "10", &REPLICAS.to_string(), "0"]);
    for (zone, device) in devices().enumerate() {
        verb(&["add", &format!("r1z{zone}-{address}/{device}"), "100"]);
    }
    verb(&["rebalance"]);
}
