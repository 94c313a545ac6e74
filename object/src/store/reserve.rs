//! How much of a device stays free, so that deletions, metadata and replication still find room.

use std::os::fd::AsFd;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Swift's `fallocate_reserve`: a number of bytes, or `"N%"` of the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reserve {
    /// That many bytes.
    Bytes(u64),
    /// That share of the device, 0 to 100.
    Percent(f64),
}

/// Why a text is not a reserve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a reserve: {0:?}; write a number of bytes, as in 1000000000, or a share of the device, as in \"1%\"")]
pub struct InvalidReserve(String);

impl Default for Reserve {
    fn default() -> Self {
        Self::Percent(1.0)
    }
}

impl std::str::FromStr for Reserve {
    type Err = InvalidReserve;

    fn from_str(text: &str) -> Result<Self, InvalidReserve> {
        let parsed = match text.strip_suffix('%') {
            Some(share) => {
                share.parse().ok().filter(|p: &f64| p.is_finite() && (0.0..=100.0).contains(p)).map(Self::Percent)
            }
            None => text.parse().ok().map(Self::Bytes),
        };
        parsed.ok_or_else(|| InvalidReserve(text.to_owned()))
    }
}

impl Reserve {
    /// Whether the filesystem that `file` is on keeps its reserve when `needed` more bytes are taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn leaves_room(self, file: impl AsFd, needed: u64) -> std::io::Result<bool> {
        let stat = rustix::fs::fstatvfs(file)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        Ok(self.allows(free, total, needed))
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of the device need not be exact to the byte")]
    fn allows(self, free: u64, total: u64, needed: u64) -> bool {
        let Some(left) = free.checked_sub(needed) else {
            return false;
        };
        match self {
            Self::Bytes(bytes) => left >= bytes,
            Self::Percent(percent) => left as f64 >= total as f64 * percent / 100.0,
        }
    }
}

impl Serialize for Reserve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => serializer.serialize_u64(*bytes),
            Self::Percent(percent) => serializer.serialize_str(&format!("{percent}%")),
        }
    }
}

impl<'de> Deserialize<'de> for Reserve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self::Bytes(bytes)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_or_a_share() {
        assert_eq!("10%".parse(), Ok(Reserve::Percent(10.0)));
        assert_eq!("1000".parse(), Ok(Reserve::Bytes(1000)));
        for bad in ["", "%", "-1%", "101%", "NaN%", "1GB", "-5"] {
            assert!(bad.parse::<Reserve>().is_err(), "{bad}");
        }
        assert!(Reserve::Percent(10.0).allows(200, 1000, 100));
        assert!(!Reserve::Percent(10.0).allows(200, 1000, 101));
        assert!(!Reserve::Bytes(0).allows(200, 1000, 201));
    }
}
