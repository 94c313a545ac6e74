//! Where an object is: `<device>/objects[-N]/<partition>/<suffix>/<hash>/`.

use std::path::PathBuf;
use std::sync::Arc;

use apus_base::fs::Device;
use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;

/// The folder of one object on one device.
#[derive(Clone, Debug)]
pub struct Location {
    /// The device.
    pub device: Arc<Device>,
    /// The policy, which is in the name of the first folder.
    pub policy: PolicyIndex,
    /// The partition that the ring gave.
    pub partition: u32,
    /// The hash of the object's path.
    pub hash: PathHash,
    /// The object's path, `/account/container/object`.
    pub name: String,
}

impl Location {
    /// The folder below the device.
    pub fn relative(&self) -> PathBuf {
        let (objects, hash) = (self.policy.suffixed("objects"), self.hash);
        format!("{objects}/{}/{}/{hash}", self.partition, hash.suffix()).into()
    }

    /// The whole path of the folder.
    pub fn folder(&self) -> PathBuf {
        self.device.path().join(self.relative())
    }
}
