//! Where a name lives: the MD5 of its path, salted with the cluster's prefix and suffix.
//!
//! `md5(prefix ‖ "/" ‖ account [ "/" container [ "/" object ]] ‖ suffix)`, from Swift's `common/utils`, to the byte.
//! The salt is a secret of the cluster: without it nobody can choose names that fall on one partition.

use std::fmt;

use md5::{Digest as _, Md5};

/// The salt of a cluster, `swift_hash_path_prefix` and `swift_hash_path_suffix` of `swift.conf`.
///
/// Changing either makes every stored object unfindable.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HashPath {
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

/// The MD5 of a path; its first four bytes choose the partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathHash(pub [u8; 16]);

impl HashPath {
    /// A salt from its two halves.
    pub fn new(prefix: impl Into<Vec<u8>>, suffix: impl Into<Vec<u8>>) -> Self {
        Self { prefix: prefix.into(), suffix: suffix.into() }
    }

    /// The hash of an account.
    pub fn account(&self, account: &str) -> PathHash {
        self.hash(&[account])
    }

    /// The hash of a container.
    pub fn container(&self, account: &str, container: &str) -> PathHash {
        self.hash(&[account, container])
    }

    /// The hash of an object.
    pub fn object(&self, account: &str, container: &str, object: &str) -> PathHash {
        self.hash(&[account, container, object])
    }

    /// The hash of an object by its whole path, `/account/container/object`; `None` when that is none.
    pub fn of_object_path(&self, path: &str) -> Option<PathHash> {
        let mut parts = path.strip_prefix('/')?.splitn(3, '/');
        let (account, container, object) = (parts.next()?, parts.next()?, parts.next()?);
        Some(self.object(account, container, object))
    }

    fn hash(&self, parts: &[&str]) -> PathHash {
        let mut md5 = Md5::new();
        md5.update(&self.prefix);
        for part in parts {
            md5.update(b"/");
            md5.update(part.as_bytes());
        }
        md5.update(&self.suffix);
        PathHash(md5.finalize().into())
    }
}

impl fmt::Debug for HashPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashPath(secret)")
    }
}

impl PathHash {
    /// Reads what [`PathHash::hex`] writes.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let is_hex = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        u128::from_str_radix(is_hex.then_some(hex)?, 16).ok().map(|number| Self(number.to_be_bytes()))
    }

    /// 32 hexadecimal digits: the name of an object's folder.
    pub fn hex(&self) -> String {
        self.to_string()
    }

    /// The last three hexadecimal digits: the name of the suffix folder.
    pub fn suffix(&self) -> String {
        format!("{:03x}", u16::from_be_bytes([self.0[14], self.0[15]]) & 0xfff)
    }
}

impl fmt::Display for PathHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for PathHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from `swift.common.utils.hash_path` with the same salt.
    #[test]
    fn as_swift_does() {
        let salt = HashPath::new("", "endcap");
        assert_eq!(salt.account("a").hex(), "1c84525acb02107ea475dcd3d09c2c58");
        assert_eq!(salt.container("a", "c").hex(), "33379ecb053aa5c9e356c68997cbb59e");
        let object = salt.object("a", "c", "o");
        assert_eq!((object.hex().as_str(), object.suffix().as_str()), ("06fbf0b514e5199dfc4e00f42eb5ea83", "a83"));
    }
}
