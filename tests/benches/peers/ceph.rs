//! Ceph: one monitor, one manager, three BlueStore OSDs on files, and its object gateway, asked in the words of Swift.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use apus_tests::cluster::random_loopback;
use apus_tests::swift::TESTER;
use apus_tests::{Session, Swift, tools, wait_until};
use tempfile::TempDir;

use crate::peer::{Daemon, Peer};

const OSDS: usize = 3;
/// The pools that get requests, with as many placement groups as a hundred for each OSD allow; the others are small.
const BUSY_POOLS: [&str; 2] = ["default.rgw.buckets.data", "default.rgw.buckets.index"];

/// A running cluster.
pub(crate) struct CephPeer {
    session: Session,
    // Dropped in this order: who writes there, then the folder.
    daemons: Vec<Daemon>,
    folder: TempDir,
}

impl CephPeer {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let cluster = Files { folder: folder.path() };
        let (monitor, gateway) = addresses();
        cluster.configure(monitor);
        let mut daemons = vec![cluster.daemon("ceph-mon", "a", &[]), cluster.daemon("ceph-mgr", "x", &[])];
        for osd in 0..OSDS {
            daemons.push(cluster.osd(osd));
        }
        wait_until("all OSDs are up", || cluster.ceph(&["osd", "stat"]).contains(&format!("{OSDS} up")));
        for pool in BUSY_POOLS {
            cluster.ceph(&["osd", "pool", "create", pool, "32"]);
            cluster.ceph(&["osd", "pool", "application", "enable", pool, "rgw"]);
        }
        cluster.user();
        // Without that, which is not its default, each answer waits 40 ms for the client to acknowledge its head.
        let frontend = format!("--rgw-frontends=beast endpoint={gateway} tcp_nodelay=1");
        daemons.push(cluster.daemon("radosgw", "gateway", &["-n", "client.gateway", &frontend]));
        wait_until("Ceph's gateway listens", || TcpStream::connect(gateway).is_ok());
        let session = login(gateway);
        Self { session, daemons, folder }
    }
}

impl Peer for CephPeer {
    fn name(&self) -> &'static str {
        "Ceph"
    }

    fn durability(&self) -> &'static str {
        "data and metadata, and the entry of the bucket's index, are flushed in BlueStore's log on all three replicas before the answer"
    }

    fn setup(&self) -> &'static str {
        "Ceph of Debian's packages: one monitor, one manager, three BlueStore OSDs on files, RADOS gateway with the beast front end and `tcp_nodelay`, asked in \
         Swift's API; no cephx; 1 GiB of memory target for each OSD"
    }

    fn session(&self) -> &Session {
        &self.session
    }

    fn roots(&self) -> Vec<u32> {
        self.daemons.iter().map(Daemon::id).collect()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// As Swift's, but for the status.
fn login(gateway: SocketAddr) -> Session {
    let user = format!("{}:{}", TESTER.account, TESTER.name);
    let answer = Swift { address: gateway }.auth(&user, TESTER.key).expect(204);
    Session { address: gateway, account: "/swift/v1".to_owned(), token: answer.need("X-Auth-Token").to_owned() }
}

/// The monitor's and the gateway's, on a loopback address of their own; the others pick a port themselves.
fn addresses() -> (SocketAddr, SocketAddr) {
    let ip = random_loopback();
    let held = [(); 2].map(|()| TcpListener::bind((ip, 0)).expect("a loopback address"));
    let [monitor, gateway] = held.map(|listener| listener.local_addr().expect("its port"));
    (monitor, gateway)
}

/// A cluster's configuration and data.
struct Files<'a> {
    folder: &'a Path,
}

impl Files<'_> {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes what `/etc/ceph` has, and makes the monitor's store. The gateway by itself asks for an encrypted connection to the monitor, which
    /// there is none of without cephx.
    fn configure(&self, monitor: SocketAddr) {
        for name in ["run", "data/mon", "data/mgr"] {
            fs::create_dir_all(self.folder.join(name)).expect("a folder");
        }
        let id = uuid();
        let settings = format!(
            "[global]\nfsid = {id}\nmon_host = v2:{monitor}\npublic_addr = {ip}\ncluster_addr = {ip}\n\
             ms_mon_client_mode = crc\nauth_cluster_required = none\nauth_service_required = none\nauth_client_required = none\n\
             mon_data = {dir}/data/mon\nmgr_data = {dir}/data/mgr\nosd_data = {dir}/data/osd$id\n\
             rgw_data = {dir}/data/rgw\nrun_dir = {dir}/run\nadmin_socket = {dir}/run/$name.asok\n\
             log_file = {dir}/run/$name.log\npid_file =\ncrash_dir = {dir}/run\n\
             osd_pool_default_size = {OSDS}\nosd_pool_default_min_size = 2\nosd_crush_chooseleaf_type = 0\n\
             osd_pool_default_pg_num = 8\nosd_pool_default_pg_autoscale_mode = off\n\
             osd_objectstore = bluestore\nbluestore_block_size = {block}\nosd_memory_target = {memory}\n\
             mon_data_avail_warn = 1\nmon_data_avail_crit = 1\n",
            ip = monitor.ip(),
            dir = self.folder.display(),
            block = 10_u64 << 30,
            memory = 1_u64 << 30,
        );
        fs::write(self.folder.join("ceph.conf"), settings).expect("a configuration");
        let map = self.path("monmap");
        let own = format!("[v2:{monitor}]");
        tools::run(Command::new("monmaptool").args(["--create", "--fsid", &id, "--addv", "a", &own, &map]));
        tools::run(self.command("ceph-mon").args(["-i", "a", "--mkfs", "--monmap", &map]));
    }

    /// A program of Ceph's, told of this cluster.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-c", &self.path("ceph.conf")]);
        command
    }

    fn ceph(&self, arguments: &[&str]) -> String {
        let output = tools::run(self.command("ceph").args(["--connect-timeout", "60"]).args(arguments));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn daemon(&self, program: &str, id: &str, more: &[&str]) -> Daemon {
        let mut command = self.command(program);
        if more.is_empty() {
            command.args(["-i", id]);
        }
        command.arg("-f").args(more);
        Daemon::start(program, command, &self.folder.join("run").join(format!("{program}-{id}.out")))
    }

    fn osd(&self, number: usize) -> Daemon {
        let (id, own) = (number.to_string(), uuid());
        fs::create_dir_all(self.folder.join(format!("data/osd{number}"))).expect("a folder");
        assert_eq!(self.ceph(&["osd", "create", &own]), id, "the OSD's number");
        tools::run(self.command("ceph-osd").args(["-i", &id, "--mkfs", "--osd-uuid", &own]));
        self.daemon("ceph-osd", &id, &[])
    }

    /// The user that logs in as in Swift.
    fn user(&self) {
        let (uid, subuser) = (TESTER.account, format!("{}:{}", TESTER.account, TESTER.name));
        let admin = |arguments: &[&str]| {
            tools::run(self.command("radosgw-admin").args(["-n", "client.gateway"]).args(arguments));
        };
        admin(&["user", "create", "--uid", uid, "--display-name", uid]);
        admin(&["subuser", "create", "--uid", uid, "--subuser", &subuser, "--access", "full"]);
        admin(&["key", "create", "--subuser", &subuser, "--key-type", "swift", "--secret", TESTER.key]);
    }
}

fn uuid() -> String {
    fs::read_to_string("/proc/sys/kernel/random/uuid").expect("a random UUID").trim().to_owned()
}
