use std::sync::Arc;

use apus_base::fs::{Device, Devices, SetAside};
use apus_base::policy::PolicyIndex;

use super::*;

struct Disk {
    _root: tempfile::TempDir,
    devices: Devices,
    device: Arc<Device>,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let devices = Devices::new(root.path(), 1);
        let device = devices.get("d1").unwrap();
        Self { _root: root, devices, device }
    }

    fn shelf(&self) -> Shelf {
        Shelf { device: Arc::clone(&self.device), policy: PolicyIndex(2) }
    }

    fn object(&self, number: u8, files: &[&str]) -> Location {
        let location = self.shelf().object(7, PathHash([number; 16]), "/a/c/o");
        std::fs::create_dir_all(location.folder()).unwrap();
        files.iter().for_each(|file| std::fs::write(location.folder().join(file), file).unwrap());
        location
    }
}

#[test]
fn what_is_moved_says_why_and_whoever_repairs_hears_of_it() {
    let disk = Disk::new();
    let mut heard = disk.devices.set_aside();
    let o = disk.object(1, &["0000000001.00000.data", "0000000002.00000.meta"]);
    let to = quarantine(&o, Timestamp::from_secs(1), Finder::Audit, &"its MD5 is wrong").unwrap().unwrap();

    let folder = Path::new("quarantined/objects-2").join(o.hash.hex());
    assert_eq!(heard.try_recv().unwrap(), SetAside { device: "d1".into(), folder: folder.clone() });
    assert!(to.ends_with(&folder) && to.join("0000000002.00000.meta").exists() && !o.folder().exists());
    let found = look(disk.device.path(), folder).unwrap();
    let reason = found.reason.clone().unwrap();
    assert_eq!((found.hash, reason.partition, reason.by, &*reason.name), (o.hash, 7, Finder::Audit, "/a/c/o"));
    assert!(reason.wants_repair() && reason.why == "its MD5 is wrong");

    // A good copy came.
    found.repaired(disk.device.path(), "d3").unwrap();
    let listed: Vec<_> = quarantined(&disk.shelf()).unwrap().collect();
    assert_eq!(listed[0].reason.as_ref().unwrap().repaired.as_ref().unwrap().from, "d3");
    assert!(!listed[0].reason.as_ref().unwrap().wants_repair());
}

#[test]
fn what_another_has_moved_leaves_nothing_behind() {
    let disk = Disk::new();
    let o = disk.object(1, &["0000000003.00000.data"]);
    assert_eq!(quarantine(&o, Timestamp::from_secs(2), Finder::Request, &"").unwrap(), None);
    assert!(o.folder().join("0000000003.00000.data").exists());
    let gone = disk.shelf().object(7, PathHash([9; 16]), "");
    assert_eq!(quarantine(&gone, Timestamp::from_secs(2), Finder::Request, &"").unwrap(), None);
    assert_eq!(quarantine_folder(&gone, Finder::Request, &"").unwrap(), None);
    assert_eq!(quarantined(&disk.shelf()).unwrap().count(), 0);
}

#[test]
fn what_swift_moved_is_listed_too_and_other_things_are_not() {
    let disk = Disk::new();
    assert_eq!(quarantined(&disk.shelf()).unwrap().count(), 0);
    let folder = disk.device.path().join("quarantined/objects-2");
    let hash = PathHash([3; 16]).hex();
    for name in [hash.clone(), format!("{hash}-0a1b"), "not a hash".into()] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    std::fs::write(folder.join(&hash).join(".reason"), "{half").unwrap();
    let listed: Vec<_> = quarantined(&disk.shelf()).unwrap().collect();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|one| one.reason.is_none() && one.hash == PathHash([3; 16])));
}
