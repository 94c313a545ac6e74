//! Which rows of a queue are whose. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use apus_base::ring::Ring;
use md5::{Digest as _, Md5};

use apus_base::here::Here;

/// A row that waits longer than so many intervals is anybody's: the one whose it was is down.
const TAKEN_OVER_AFTER: u32 = 5;

/// One server's share of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of it.
    Everything,
    /// As the operator has set it, Swift's `process` of `processes`.
    Fixed {
        /// Which one this is, from 0.
        process: u64,
        /// How many there are.
        processes: u64,
    },
    /// That of one of several servers, and what another has left too long.
    Fair {
        /// Which one this is, from 0.
        process: u64,
        /// How many there are.
        processes: u64,
    },
}

impl Share {
    /// The share of the server that is `here` among all of the ring; one that is not among them does all.
    pub fn fair(here: &Here, ring: &Ring) -> Self {
        let devices: BTreeMap<_, _> =
            ring.devices().iter().flatten().map(|device| ((device.ip.as_str(), device.port), device)).collect();
        match devices.values().position(|device| here.has(device)) {
            Some(process) => Self::Fair { process: process as u64, processes: devices.len() as u64 },
            None => Self::Everything,
        }
    }

    /// Whether a row is to be done here.
    pub(crate) fn is_mine(self, container: &str, row: &str, overdue: Duration, interval: Duration) -> bool {
        match self {
            Self::Everything => true,
            Self::Fixed { process, processes } => assigned(container, row, processes) == process,
            Self::Fair { process, processes } => {
                assigned(container, row, processes) == process || overdue > interval * TAKEN_OVER_AFTER
            }
        }
    }
}

/// As in Swift: the MD5 of `container/row`, as a number.
fn assigned(container: &str, row: &str, processes: u64) -> u64 {
    let digest = Md5::new().chain_update(container).chain_update("/").chain_update(row).finalize();
    let number = u128::from_be_bytes(digest.into());
    // A remainder is less than what it was divided by.
    u64::try_from(number % u128::from(processes.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_somebodys_and_a_left_one_anybodys() {
        let shares = [0, 1, 2].map(|process| Share::Fair { process, processes: 3 });
        let interval = Duration::from_secs(60);
        for n in 0..100 {
            let row = format!("1712345678-a/c/{n}");
            let mine = |share: &&Share| share.is_mine("1712275145", &row, Duration::ZERO, interval);
            assert_eq!(shares.iter().filter(mine).count(), 1, "{row}");
            assert!(shares.iter().all(|share| share.is_mine("1712275145", &row, interval * 6, interval)));
        }
        // md5("c/r") ends in an even digit, by Python.
        // int(md5(b"c/r").hexdigest(), 16) % 7 in Python.
        let mine = |process| Share::Fixed { process, processes: 7 }.is_mine("c", "r", interval * 99, interval);
        assert_eq!((0..7).filter(|process| mine(*process)).collect::<Vec<_>>(), [1]);
    }
}
