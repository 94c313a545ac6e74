//! Which of two policies a container has, when the two sides of a split network made it with one each: Swift's rule.

use std::cmp::Ordering;

use super::PolicyIndex;
use crate::timestamp::Timestamp;

/// What one copy of a container says for its policy.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The policy.
    pub policy: PolicyIndex,
    /// Its newest PUT.
    pub put: Timestamp,
    /// Its newest DELETE.
    pub delete: Timestamp,
    /// When it last came to be, or ceased.
    pub changed: Timestamp,
    /// Whether it is deleted and holds nothing.
    pub deleted: bool,
}

impl Claim {
    fn recreated(&self) -> bool {
        self.put > self.delete && self.delete > Timestamp::ZERO
    }

    /// Which of two has the policy that counts; `Less` is the first. One that is there comes before one that is deleted; of those
    /// that were deleted and made again the newer life; otherwise the one that was first.
    pub fn better(&self, other: &Self) -> Ordering {
        let by_life = match (self.deleted, other.deleted) {
            (true, true) => other.changed.cmp(&self.changed),
            (false, true) => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, false) => self.better_live(other),
        };
        // Where Swift leaves both as they are, here one of them has to give way.
        by_life.then(self.policy.cmp(&other.policy))
    }

    fn better_live(&self, other: &Self) -> Ordering {
        let last_delete = self.delete.max(other.delete);
        match (self.recreated(), other.recreated()) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) if self.put < last_delete => Ordering::Greater,
            (true, true) if other.put < last_delete => Ordering::Less,
            _ => self.changed.cmp(&other.changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of policy 0 the first, of policy 1 the second.
    fn claim(policy: u32, put: u64, delete: u64, changed: u64) -> Claim {
        let at = Timestamp::from_secs;
        let deleted = delete > put;
        Claim { policy: PolicyIndex(policy), put: at(put), delete: at(delete), changed: at(changed), deleted }
    }

    #[test]
    fn the_policy_of_the_first_or_of_the_newest_life_wins() {
        let cases = [
            // Never deleted: the first.
            (claim(0, 5, 0, 5), claim(1, 6, 0, 6), Ordering::Less),
            // Deleted on one side only, unless it still has rows.
            (claim(0, 5, 7, 7), claim(1, 6, 0, 6), Ordering::Greater),
            (Claim { deleted: false, ..claim(0, 1, 5, 1) }, claim(1, 2, 0, 2), Ordering::Less),
            // Deleted on both: the last.
            (claim(0, 5, 7, 7), claim(1, 6, 8, 8), Ordering::Greater),
            // Made again on one side.
            (claim(0, 5, 0, 5), claim(1, 9, 7, 9), Ordering::Greater),
            // Made again on both sides, one of them before the other's deletion.
            (claim(0, 6, 5, 6), claim(1, 9, 7, 9), Ordering::Greater),
            // Made again on both sides after both deletions: the first.
            (claim(0, 9, 5, 9), claim(1, 8, 7, 8), Ordering::Greater),
            // Nothing tells them apart: the same one everywhere.
            (claim(0, 5, 0, 5), claim(1, 5, 0, 5), Ordering::Less),
        ];
        for (i, (one, other, expected)) in cases.iter().enumerate() {
            assert_eq!(one.better(other), *expected, "case {i}");
            assert_eq!(other.better(one), expected.reverse(), "case {i}, the other way round");
        }
    }
}
