//! The names of versions. They begin with the byte that no client's name holds. Pure.
//!
//! The versions of `a/c/o` are in the container `a/\0versions\0c`, as `\0o\0` and their timestamp counted backwards, so
//! that a listing has the newest first. Swift's names, to the byte.

use std::fmt;
use std::str::FromStr;

use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};

/// What names of the cluster's own begin with.
pub(super) const RESERVED: char = '\0';
/// The last instant that a timestamp can say, from which versions count back.
const LAST_TICKS: u64 = 10_000_000_000 * TICKS_PER_SECOND - 1;

/// One of an object's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that was stored while versioning was off.
    Null,
    /// The one that was stored then.
    Id(Timestamp),
}

/// Why a text names no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid version parameter")]
pub struct InvalidVersion;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Id(timestamp) => timestamp.fmt(f),
        }
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if text == "null" { Ok(Self::Null) } else { text.parse().map(Self::Id).map_err(|_| InvalidVersion) }
    }
}

/// Where the versions of a container's objects are.
pub(super) fn archive(container: &str) -> String {
    format!("{RESERVED}versions{RESERVED}{container}")
}

/// The container whose archive that is.
pub(super) fn archived(archive: &str) -> Option<&str> {
    archive.strip_prefix(RESERVED)?.strip_prefix("versions")?.strip_prefix(RESERVED)
}

/// What the names of an object's versions begin with.
pub(super) fn prefix(object: &str) -> String {
    format!("{RESERVED}{object}{RESERVED}")
}

/// The name of an object's version.
pub(super) fn version(object: &str, id: Timestamp) -> String {
    format!("{}{}", prefix(object), backwards(id).internal())
}

/// The object and the version that a name is of.
pub(super) fn parse(name: &str) -> Option<(&str, Timestamp)> {
    let (object, id) = name.strip_prefix(RESERVED)?.split_once(RESERVED)?;
    Some((object, backwards(id.parse().ok()?)))
}

/// Its own inverse.
fn backwards(t: Timestamp) -> Timestamp {
    let ticks = LAST_TICKS - t.ticks();
    match t.offset() {
        0 => Timestamp::from_ticks(ticks),
        offset => Timestamp::from_ticks(ticks.saturating_sub(1)).with_offset(offset.wrapping_neg()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_swifts() {
        let id: Timestamp = "1712345678.12345".parse().unwrap();
        assert_eq!(version("o/p", id), "\0o/p\x008287654321.87654");
        assert_eq!(version("o", id.with_offset(1)), "\0o\x008287654321.87653_ffffffffffffffff");
        assert_eq!(parse("\0o/p\x008287654321.87654"), Some(("o/p", id)));
        assert_eq!((archive("c").as_str(), archived("\0versions\0c")), ("\0versions\0c", Some("c")));
        for none in ["o", "\0o", "\0o\0", "\0o\0x", "\0o\x001\x002", ""] {
            assert_eq!(parse(none), None, "{none:?}");
        }
        assert_eq!(archived("\0other\0c"), None);
    }

    #[test]
    fn versions_in_queries() {
        assert_eq!("null".parse(), Ok(Version::Null));
        assert_eq!("1712345678.12345".parse::<Version>().unwrap().to_string(), "1712345678.12345");
        for bad in ["", "Null", "bad", "-1", "1_", "1e400"] {
            assert_eq!(bad.parse::<Version>(), Err(InvalidVersion), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_made_and_newer_is_before(object in "[^\0]{1,9}", a in 0..LAST_TICKS, b in 0..LAST_TICKS, offset: u64) {
            let (one, other) = (Timestamp::from_ticks(a).with_offset(offset), Timestamp::from_ticks(b));
            let (name, other_name) = (version(&object, one), version(&object, other));
            prop_assert_eq!(parse(&name), Some((object.as_str(), one)));
            prop_assert_eq!(one.cmp(&other), other_name.cmp(&name));
        }
    }
}
