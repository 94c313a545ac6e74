//! Room that is left free on every device: `fallocate_reserve`.
//!
//! A filesystem that runs full fails in the middle of things, and cannot even be tidied. Writes stop before.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::device::{Device, DeviceError};

/// How much of a device stays free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reserve {
    /// A share of its size, in percent.
    Percent(f64),
    /// Bytes.
    Bytes(u64),
}

impl Default for Reserve {
    /// Swift's 1 %.
    fn default() -> Self {
        Self::Percent(1.0)
    }
}

impl Reserve {
    /// Whether a device has more free than the reserve. One `statvfs`; a device that cannot say is taken at its word
    /// when it fails.
    ///
    /// # Errors
    /// `Full` when it has not.
    pub fn check(&self, device: &Device) -> Result<(), DeviceError> {
        self.check_for(device, 0)
    }

    /// As [`Reserve::check`], after `needed` more bytes are taken.
    ///
    /// # Errors
    /// `Full` when it would not.
    pub fn check_for(&self, device: &Device, needed: u64) -> Result<(), DeviceError> {
        let Ok(stat) = rustix::fs::statvfs(device.path()) else {
            return Ok(());
        };
        let (free, all) = (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize));
        if self.leaves_room(free.saturating_sub(needed), all) {
            Ok(())
        } else {
            Err(DeviceError::Full(device.name().to_owned()))
        }
    }

    fn leaves_room(&self, free: u64, all: u64) -> bool {
        match self {
            Self::Bytes(bytes) => free > *bytes,
            #[expect(clippy::cast_precision_loss, reason = "a share in percent needs no exact bytes")]
            Self::Percent(percent) => free as f64 * 100.0 > all as f64 * percent,
        }
    }
}

impl Serialize for Reserve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Percent(percent) => serializer.serialize_str(&format!("{percent}%")),
            Self::Bytes(bytes) => serializer.serialize_u64(*bytes),
        }
    }
}

impl<'de> Deserialize<'de> for Reserve {
    /// `"1%"`, or a number of bytes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Typed {
            Bytes(u64),
            Text(String),
        }
        let invalid = || serde::de::Error::custom("expected bytes, or a share like \"1%\" below 100%");
        match Typed::deserialize(deserializer).map_err(|_| invalid())? {
            Typed::Bytes(bytes) => Ok(Self::Bytes(bytes)),
            Typed::Text(text) => {
                let percent = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
                percent.filter(|percent| (0.0..100.0).contains(percent)).map(Self::Percent).ok_or_else(invalid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let read = |json: &str| serde_json::from_str::<Reserve>(json);
        assert_eq!(read("\"1%\"").unwrap(), Reserve::Percent(1.0));
        assert_eq!(read("4096").unwrap(), Reserve::Bytes(4096));
        for bad in ["\"1\"", "\"100%\"", "\"-1%\"", "\"nan%\"", "-1", "true"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn room() {
        assert!(Reserve::Percent(1.0).leaves_room(11, 1000) && !Reserve::Percent(1.0).leaves_room(10, 1000));
        assert!(Reserve::Bytes(10).leaves_room(11, 1000) && !Reserve::Bytes(10).leaves_room(10, 1000));
        assert!(!Reserve::Bytes(0).leaves_room(0, 1000));
    }
}
