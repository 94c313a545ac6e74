//! Placement: which device holds which replica of which partition, given the plan.
//!
//! Two rules bound everything: a domain of the tree holds its quota of replicas altogether, and between `low` and `high`
//! replicas of any one partition (its quota per partition, rounded down and up). A first placement meets both exactly
//! ([`initial`]). Later ones repair what devices came, went or changed weight have made wrong, with as few moves as
//! possible and at most one per partition:
//!
//! 1. [`repair::place_homeless`]: replicas whose device is gone, or that are new;
//! 2. [`repair::disperse`]: partitions with too many replicas in one domain;
//! 3. [`balance::shed`]: from devices above their quota straight to devices below;
//! 4. [`chain::connect`]: what is left, through a third device, along shortest chains.

mod balance;
mod chain;
mod initial;
mod repair;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use state::{Limits, NOBODY, Placement};

use crate::random::Random;

/// Fills an empty table.
pub(crate) fn first(placement: &mut Placement<'_>, random: &mut Random) {
    initial::fill(placement, random);
    initial::mix(placement, random);
}

/// Brings an existing table to the plan, as far as one move per partition goes.
pub(crate) fn again(placement: &mut Placement<'_>, random: &mut Random) {
    repair::place_homeless(placement, random);
    repair::disperse(placement, random);
    balance::shed(placement, random);
    chain::connect(placement, random);
}
