//! The folder of `apus up`: made whole at the first start, found again at each further one.
//!
//! ```text
//! DIR/apus.toml     configuration and secrets, readable by the owner only; written last, so a folder that has it is whole
//! DIR/rings/        builder files and rings, which `apus ring` can change
//! DIR/certificates/ a CA of its own, and the certificate of its one node
//! DIR/d1 … dN/      the devices
//! DIR/.lock         locked while a process serves the folder
//! ```
//!
//! A device folder that is missing at a later start is a missing disk: it is not made again behind the operator's back.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use apus_base::hex::hex;
use apus_base::policy::Policies;
use apus_ring_builder::{Builder, NewDevice};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::ca;
use crate::cli::UpArguments;
use crate::error::StartError;
use crate::rings::Addresses;

/// Partitions of a cluster made by `apus up`: plenty for the few devices that one folder stands for.
const PART_POWER: u8 = 8;
const DEFAULT_DEVICES: u16 = 4;
const DEFAULT_REPLICAS: u16 = 3;
const CONFIG: &str = "apus.toml";
/// Where the storage servers of a running `apus up` are.
pub(crate) const ADDRESSES: &str = ".addresses";
/// A cluster in one process has nobody to wait for.
const MIN_PART_HOURS: u32 = 1;

/// The folder of the certificates, and the name of the one node.
const CERTIFICATES: &str = "certificates";
const NODE: &str = "node";

/// The folder.
pub(crate) struct DataFolder {
    root: PathBuf,
    /// Held as long as this process lives: two on one folder would be two on each disk.
    _lock: fs::File,
}

/// How many devices and replicas a new cluster gets.
#[derive(Clone, Copy)]
struct Shape {
    devices: u16,
    replicas: u16,
}

impl Shape {
    fn typed(arguments: &UpArguments) -> Result<Self, StartError> {
        let devices = arguments.devices.unwrap_or(DEFAULT_DEVICES);
        let replicas = arguments.replicas.unwrap_or(DEFAULT_REPLICAS.min(devices));
        if replicas > devices {
            return Err(StartError::TooFewDevices { replicas, devices });
        }
        Ok(Self { devices, replicas })
    }
}

impl DataFolder {
    /// Finds the cluster in a folder, or makes one there.
    pub(crate) fn open(arguments: &UpArguments) -> Result<Self, StartError> {
        let root = arguments.data.clone();
        // What was typed is checked before a folder is made.
        if !root.join(CONFIG).exists() {
            Shape::typed(arguments)?;
        }
        let unusable = |source| StartError::Folder { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(unusable)?;
        let lock = fs::File::create(root.join(".lock")).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StartError::InUse { path: root.clone() },
            TryLockError::Error(source) => unusable(source),
        })?;
        let folder = Self { root, _lock: lock };
        if folder.config().exists() {
            folder.check_shape(arguments)?;
        } else {
            folder.make(Shape::typed(arguments)?)?;
        }
        Ok(folder)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join(CONFIG)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn rings(&self) -> PathBuf {
        self.root.join("rings")
    }

    fn make(&self, Shape { devices, replicas }: Shape) -> Result<(), StartError> {
        let unusable = |source| self.unusable(source);
        fs::create_dir_all(self.rings()).map_err(unusable)?;
        for device in (1..=devices).map(|n| self.root.join(device_name(n))) {
            fs::create_dir_all(&device).map_err(unusable)?;
            apus_object::check_device(&device)?;
        }
        for name in ["account", "container", "object"] {
            self.make_ring(name, devices, replicas)?;
        }
        let certificates = self.root.join(CERTIFICATES);
        ca::create(&certificates)?;
        ca::issue(&certificates, NODE, None)?;
        self.write_config().map_err(unusable)
    }

    fn make_ring(&self, name: &str, devices: u16, replicas: u16) -> Result<(), StartError> {
        let builder = self.rings().join(format!("{name}.builder"));
        let ring = self.rings().join(format!("{name}.ring.gz"));
        let failed = |e: &dyn std::fmt::Display| StartError::Ring { path: builder.clone(), message: e.to_string() };
        let made = build(devices, replicas).map_err(|e| failed(&e))?;
        let bytes =
            made.to_ring().map_err(|e| failed(&e))?.to_v1_bytes(&format!("{name}.ring")).map_err(|e| failed(&e))?;
        write_synced(&builder, &made.to_bytes(), 0o644).map_err(|source| self.unusable(source))?;
        write_synced(&ring, &bytes, 0o644).map_err(|source| self.unusable(source))
    }

    fn write_config(&self) -> io::Result<()> {
        let text = format!(
            r#"# Made by the first `apus up`. It holds secrets: keep it, and keep it to yourself.

[cluster]
# Salts the place of every object. Changing it loses them all.
hash_path_suffix = "{salt}"

[node]
devices = "."
rings = "rings"

[listen]
proxy = "127.0.0.1:8080"

[replication]
certificate = "{CERTIFICATES}/{NODE}.pem"
key = "{CERTIFICATES}/{NODE}.key"
ca = "{CERTIFICATES}/ca.pem"

[proxy]
# Signs the tokens that users get, so that they stay good over a restart.
token_secret = "{secret}"

# Every server is in this process. One that is slow is a disk that is, and is waited for: listings show what was just stored.
[proxy.client]
post_quorum_timeout = 10

[object]
container_update_timeout = 8
node_timeout = 8

[proxy.encryption]
# Encrypts what clients of S3, or their buckets, ask to have encrypted. Whoever loses it loses that.
root_secret = "{root}"
disable_encryption = true

[[proxy.users]]
account = "admin"
user = "admin"
key = "{key}"
groups = [".admin"]
"#,
            salt = hex(&random::<16>()?),
            secret = hex(&random::<32>()?),
            root = BASE64_STANDARD.encode(random::<32>()?),
            key = hex(&random::<10>()?),
        );
        write_synced(&self.config(), text.as_bytes(), 0o600)
    }

    /// Refuses `--devices` and `--replicas` that contradict what the folder already is.
    fn check_shape(&self, arguments: &UpArguments) -> Result<(), StartError> {
        if arguments.devices.is_none() && arguments.replicas.is_none() {
            return Ok(());
        }
        let rings = crate::rings::read_all(&self.rings(), &Policies::default(), &Addresses::default())?;
        let ring = &rings.account;
        let devices = ring.devices().iter().flatten().count() as u64;
        let other = |what, found| Err(StartError::OtherShape { path: self.root.clone(), what, found });
        if arguments.devices.is_some_and(|n| u64::from(n) != devices) {
            return other("devices", devices);
        }
        let rows = ring.table().row_count() as u64;
        if arguments.replicas.is_some_and(|n| u64::from(n) != rows) {
            return other("replicas", rows);
        }
        Ok(())
    }

    fn unusable(&self, source: io::Error) -> StartError {
        StartError::Folder { path: self.root.clone(), source }
    }
}

/// Each device is a zone of its own. The addresses are placeholders: each start listens on fresh ports.
fn build(devices: u16, replicas: u16) -> Result<Builder, apus_ring_builder::Error> {
    let mut builder = Builder::create(PART_POWER, f64::from(replicas), MIN_PART_HOURS)?;
    for n in 1..=devices {
        builder.add_device(NewDevice {
            region: 1,
            zone: u32::from(n),
            ip: "127.0.0.1".into(),
            port: 6200,
            replication_ip: "127.0.0.1".into(),
            replication_port: 6200,
            device: device_name(n),
            weight: 100.0,
            meta: String::new(),
        })?;
    }
    builder.rebalance(0, apus_base::clock::now().secs())?;
    Ok(builder)
}

/// Makes a file appear whole and flushed.
pub(crate) fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn device_name(n: u16) -> String {
    format!("d{n}")
}

fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random)
}
