//! The queue of objects that expire, as Swift keeps it: rows in containers of a hidden account. Pure.
//!
//! A container is named after the day on which its objects expire, less a few seconds that the object's hash chooses, so
//! that a day's rows spread over a hundred containers. A row is named `<when>-<account>/<container>/<object>`; nothing else
//! stands behind it. Object servers add and remove rows, the expirer deletes what they name.

use crate::hash_path::PathHash;
use crate::timestamp::Timestamp;

/// The hidden account.
pub const ACCOUNT: &str = ".expiring_objects";
/// The content type of rows for objects that shall go whatever their own expiry is.
pub const ASYNC_DELETED: &str = "application/async-deleted";
/// The content type of all other rows; a parameter tells how many bytes will be free.
pub const CONTENT_TYPE: &str = "text/plain";

/// A container of the queue is for one day.
const SECONDS_PER_CONTAINER: u64 = 86_400;
/// Each day has so many, so that no container gets all of a day's rows.
const CONTAINERS_PER_DAY: u128 = 100;

/// The container for what expires `at`, in seconds since 1970; `hash` is that of the object's path.
pub fn container(at: u64, hash: &PathHash) -> String {
    // A remainder of a hundred is a small number.
    let offset = u64::try_from(u128::from_be_bytes(hash.0) % CONTAINERS_PER_DAY).unwrap_or(0);
    let day = at / SECONDS_PER_CONTAINER * SECONDS_PER_CONTAINER;
    seconds(day.saturating_sub(offset))
}

/// What one row of the queue asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// When the object expires.
    pub at: Timestamp,
    /// Its account.
    pub account: String,
    /// Its container.
    pub container: String,
    /// The object.
    pub object: String,
}

impl Task {
    /// The name of the row for an expiry in whole seconds.
    pub fn name(at: u64, account: &str, container: &str, object: &str) -> String {
        format!("{}-{account}/{container}/{object}", seconds(at))
    }

    /// Reads a row's name; `None` for what is no task.
    pub fn parse(name: &str) -> Option<Self> {
        let (at, path) = name.split_once('-')?;
        let mut names = path.splitn(3, '/').filter(|part| !part.is_empty()).map(str::to_owned);
        let (account, container, object) = (names.next()?, names.next()?, names.next()?);
        Some(Self { at: at.parse().ok()?, account, container, object })
    }
}

/// Ten digits, whatever the number.
fn seconds(at: u64) -> String {
    format!("{:010}", at.min(9_999_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_queue_is_swifts() {
        // 0x…0163 is 355, which leaves 55; the day began at 1712275200.
        let mut hash = [0; 16];
        hash[14..].copy_from_slice(&355_u16.to_be_bytes());
        assert_eq!(container(1_712_345_678, &PathHash(hash)), "1712275145");
        assert_eq!(container(7, &PathHash(hash)), "0000000000");
        assert_eq!(Task::name(1_712_345_678, "AUTH_a", "c", "o/p"), "1712345678-AUTH_a/c/o/p");
        let precise = Task::parse("1712345678.12345-AUTH_a/c/o/p").unwrap();
        assert_eq!((precise.at.normal(), precise.object), ("1712345678.12345".into(), "o/p".into()));
        for other in ["", "1712345678", "1712345678-a/c", "1712345678-a//o", "soon-a/c/o"] {
            assert_eq!(Task::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_or_refused(name in "\\PC{0,30}|[0-9]{10}-[a/]{0,8}") {
            let _ = Task::parse(&name);
        }

        #[test]
        fn names_come_back(at in 0..10_000_000_000_u64, a in "[^/]{1,9}", c in "[^/]{1,9}", o in "\\PC{1,20}") {
            let task = Task { at: Timestamp::from_secs(at), account: a, container: c, object: o };
            let parsed = Task::parse(&Task::name(at, &task.account, &task.container, &task.object));
            prop_assert_eq!(parsed, Some(task));
        }
    }
}
