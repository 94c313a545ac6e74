//! Swift's handoff order, lazily.
//!
//! The walk starts at a partition drawn from the partition's own number, so that the load of a dead device spreads over
//! all others, and goes around the table in four passes: first only devices in a region not used yet, then in a zone
//! not used yet, then on a server not used yet, then any. `swift/common/ring/ring.py::get_more_nodes` is the rule, and
//! is followed to the letter, its second half-turn included: that one begins at `inc - (rest % inc)`, so that with a
//! step of one, partition 0 is passed over unless the walk starts there.

use md5::{Digest, Md5};

use super::tiers::LEVELS;
use super::{Device, Ring};

/// One step in this many partitions: large tables are sampled, or the walk would take too long.
const STEPS: usize = 65536;

/// The handoffs of one partition. See [`Ring::handoffs`].
#[derive(Debug, Clone)]
pub struct Handoffs<'r> {
    ring: &'r Ring,
    start: usize,
    step: usize,
    level: usize,
    at: Option<usize>,
    row: usize,
    wrapped: bool,
    used: Vec<u64>,
    /// Domains of each level that were not used yet; a pass ends when its own are.
    left: [u32; LEVELS],
}

impl<'r> Handoffs<'r> {
    pub(super) fn new(ring: &'r Ring, part: u32) -> Handoffs<'r> {
        let start = ring.partition(&Md5::digest(part.to_string()).into()) as usize;
        let bits: u32 = ring.tiers.domains.iter().sum();
        let mut handoffs = Handoffs {
            ring,
            start,
            step: (ring.part_count() / STEPS).max(1),
            level: 0,
            at: Some(start),
            row: 0,
            wrapped: false,
            used: vec![0; bits.div_ceil(u64::BITS) as usize],
            left: ring.tiers.domains,
        };
        for primary in ring.primaries(part) {
            if let Some(bits) = ring.tiers.of(primary.id) {
                handoffs.mark(bits);
            }
        }
        handoffs
    }

    fn is_used(&self, bit: u32) -> bool {
        let word = self.used.get((bit / u64::BITS) as usize);
        word.is_some_and(|word| word >> (bit % u64::BITS) & 1 == 1)
    }

    fn mark(&mut self, bits: [u32; LEVELS]) {
        for (level, bit) in bits.into_iter().enumerate() {
            if !self.is_used(bit) {
                self.left[level] -= 1;
                self.used[(bit / u64::BITS) as usize] |= 1 << (bit % u64::BITS);
            }
        }
    }

    /// The next cell of the walk: its partition and row, or the end of the pass.
    fn next_cell(&mut self) -> Option<u32> {
        loop {
            let part = self.at?;
            if let Some(id) = self.ring.table.get(self.row, part) {
                self.row += 1;
                return Some(id);
            }
            self.row = 0;
            self.at = self.part_after(part);
        }
    }

    fn part_after(&mut self, part: usize) -> Option<usize> {
        let parts = self.ring.part_count();
        let mut next = part + self.step;
        if !self.wrapped && next >= parts {
            self.wrapped = true;
            next = self.step - (parts - self.start) % self.step;
        }
        let end = if self.wrapped { self.start } else { parts };
        (next < end).then_some(next)
    }

    fn next_pass(&mut self) {
        self.level += 1;
        self.at = Some(self.start);
        self.row = 0;
        self.wrapped = false;
    }
}

impl<'r> Iterator for Handoffs<'r> {
    type Item = &'r Device;

    fn next(&mut self) -> Option<&'r Device> {
        while self.level < LEVELS {
            while self.left[self.level] > 0 {
                let Some(id) = self.next_cell() else { break };
                let Some(bits) = self.ring.tiers.of(id) else {
                    continue;
                };
                if !self.is_used(bits[LEVELS - 1]) && !self.is_used(bits[self.level]) {
                    self.mark(bits);
                    return self.ring.device(id);
                }
            }
            self.next_pass();
        }
        None
    }
}

impl std::iter::FusedIterator for Handoffs<'_> {}
