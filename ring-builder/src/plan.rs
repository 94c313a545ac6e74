//! The plan of a rebalance: how many partitions each failure domain should hold, and how many replicas of one partition.
//!
//! Pure arithmetic over the tree of domains, in two steps. [`share`] decides in real numbers (weights against dispersion,
//! traded by the overload). [`quota`] rounds them to whole partitions so that every domain of the tree gets its share
//! rounded down or up, the worst device is off by as little as can be, and as few partitions as possible have to move.

pub(crate) mod quota;
pub(crate) mod share;
#[cfg(test)]
mod tests;
