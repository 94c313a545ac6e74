//! Telling whoever repairs that something was found damaged and moved to quarantine, whoever found it.
//!
//! The store that moves something says so to its [`Device`]; [`Devices::set_aside`] gives the other end to the one task that
//! repairs. Nothing depends on a message's arriving: what was moved has its record on the disk, and who repairs looks there
//! too, later.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::{Device, Devices};

/// Messages that wait for who repairs. A disk that fails in more places at once is not saved by remembering them all.
const MAX_WAITING: usize = 1024;

/// Something that was moved to quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetAside {
    /// The device's name.
    pub device: String,
    /// Where it is now, below the device.
    pub folder: PathBuf,
}

/// The way to whoever repairs, if there is anybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Bell(Arc<OnceLock<mpsc::Sender<SetAside>>>);

impl Devices {
    /// What is moved to quarantine on any device from now on. There is one listener; a second gets nothing.
    pub fn set_aside(&self) -> mpsc::Receiver<SetAside> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let _ = self.bell.0.set(sender);
        receiver
    }
}

impl Device {
    /// Says that something is in quarantine now, in the folder `folder` below this device.
    pub fn tell_set_aside(&self, folder: PathBuf) {
        let message = SetAside { device: self.name().to_owned(), folder };
        if let Some(sender) = self.bell.0.get()
            && let Err(error) = sender.try_send(message)
        {
            tracing::debug!(%error, "who repairs has too much to do, and will look again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_listens_hears_of_every_device() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let devices = Devices::new(root.path(), 1);
        let device = devices.get("d1").unwrap();
        // Nobody listens yet.
        device.tell_set_aside("quarantined/objects/1".into());
        let mut listener = devices.set_aside();
        for n in 0..MAX_WAITING + 7 {
            device.tell_set_aside(format!("quarantined/objects/{n}").into());
        }
        assert_eq!(
            listener.recv().await.unwrap(),
            SetAside { device: "d1".into(), folder: "quarantined/objects/0".into() }
        );
        assert_eq!(listener.len(), MAX_WAITING - 1);
        // A second listener hears nothing.
        assert!(devices.set_aside().recv().await.is_none());
    }
}
