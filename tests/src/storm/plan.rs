//! What a storm breaks, and when: a pure function of the seed.
//!
//! A storm goes in rounds, and one rule keeps the damage below what three copies can bear. An *outage* takes a node or its
//! disk away for a while and destroys nothing; any number may happen at once. An *injury* destroys copies: a round has at
//! most one injured node, and the next round begins only after all nodes were up, every damaged file was looked at, and
//! a replication pass on every node found all peers and had nothing left to do. A write that was acknowledged is on two
//! devices at least; one of them is not the injured one, and before another is injured the passes have brought it to three.

use std::time::Duration;

use fastrand::Rng;

/// Something that goes away and comes back as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// SIGKILL, and a new process later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Freeze,
    /// The device's folder is renamed away under the running process, and back later.
    TakeAway,
    /// The link of the node is down.
    Cut,
    /// The node cannot send to the next one, which can send to it.
    Silence,
    /// The disk is filled to its last byte, and emptied of what filled it later.
    Fill,
}

/// Something that destroys copies on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injury {
    /// One bit of each of that many files.
    Flip(usize),
    /// The ends of that many files.
    Truncate(usize),
    /// One bit of the metadata of each of that many files.
    Scramble(usize),
    /// All objects, under the running process.
    Empty,
    /// The device comes back as an empty disk.
    Replace,
}

/// A trouble of one node with its times from the round's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Whose; the numbers behind the last storage node are proxies, which are killed or frozen only.
    pub node: usize,
    /// What.
    pub trouble: Trouble,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
}

/// What happens between two states of full redundancy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// At most one for each node.
    pub outages: Vec<Outage>,
    /// The only node that is injured.
    pub injured: usize,
    /// When, and how.
    pub injuries: Vec<(Duration, Injury)>,
    /// Chooses the files that are injured.
    pub seed: u64,
}

/// One thing to do in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// An outage begins.
    Begin(Outage),
    /// It ends.
    End(Outage),
    /// A device is injured.
    Injure(usize, Injury),
}

/// One in so many rounds ends all nodes at once.
const BLACKOUT: usize = 8;
/// One in so many rounds ends or freezes a proxy.
const PROXY: usize = 3;
/// Most files injured at once.
const MOST_FILES: usize = 40;

impl Round {
    /// The round of that number, in the storm of that seed.
    pub fn new(seed: u64, number: u64, (nodes, proxies): (usize, usize), length: Duration) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(32) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut outages = if rng.usize(..BLACKOUT) == 0 {
            let (from, until) = window(&mut rng, length);
            (0..nodes).map(|node| Outage { node, trouble: Trouble::Kill, from, until }).collect()
        } else {
            some_outages(&mut rng, nodes, length)
        };
        if rng.usize(..PROXY) == 0 {
            let trouble = if rng.bool() { Trouble::Kill } else { Trouble::Freeze };
            let (from, until) = window(&mut rng, length);
            outages.push(Outage { node: nodes + rng.usize(..proxies), trouble, from, until });
        }
        let injured = rng.usize(..nodes);
        let is_away =
            outages.iter().any(|o| o.node == injured && matches!(o.trouble, Trouble::TakeAway | Trouble::Fill));
        let many = if is_away { 0 } else { rng.usize(..3) };
        let mut injuries: Vec<_> = (0..many).map(|_| (moment(&mut rng, length), injury(&mut rng))).collect();
        injuries.sort_by_key(|(at, _)| *at);
        Self { outages, injured, injuries, seed: rng.u64(..) }
    }

    /// Everything in its order.
    pub fn acts(&self) -> Vec<(Duration, Act)> {
        let begins = self.outages.iter().map(|&outage| (outage.from, Act::Begin(outage)));
        let ends = self.outages.iter().map(|&outage| (outage.until, Act::End(outage)));
        let injuries = self.injuries.iter().map(|&(at, injury)| (at, Act::Injure(self.injured, injury)));
        let mut acts: Vec<_> = begins.chain(ends).chain(injuries).collect();
        acts.sort_by_key(|(at, _)| *at);
        acts
    }
}

fn some_outages(rng: &mut Rng, nodes: usize, length: Duration) -> Vec<Outage> {
    let mut places: Vec<usize> = (0..nodes).collect();
    rng.shuffle(&mut places);
    places.truncate(rng.usize(1..=3.min(nodes)));
    places.into_iter().map(|node| outage(rng, node, length)).collect()
}

fn outage(rng: &mut Rng, node: usize, length: Duration) -> Outage {
    let kinds = [
        Trouble::Kill,
        Trouble::Kill,
        Trouble::Freeze,
        Trouble::TakeAway,
        Trouble::Cut,
        Trouble::Silence,
        Trouble::Fill,
    ];
    let trouble = kinds[rng.usize(..kinds.len())];
    let (from, until) = window(rng, length);
    Outage { node, trouble, from, until }
}

fn injury(rng: &mut Rng) -> Injury {
    match rng.usize(..6) {
        0 | 1 => Injury::Flip(rng.usize(1..=MOST_FILES)),
        2 => Injury::Truncate(rng.usize(1..=MOST_FILES)),
        3 => Injury::Scramble(rng.usize(1..=MOST_FILES)),
        4 => Injury::Empty,
        _ => Injury::Replace,
    }
}

fn moment(rng: &mut Rng, length: Duration) -> Duration {
    length.mul_f64(rng.f64())
}

fn window(rng: &mut Rng, length: Duration) -> (Duration, Duration) {
    let (one, other) = (moment(rng, length), moment(rng, length));
    (one.min(other), one.max(other))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(8);

    #[test]
    fn a_seed_gives_the_same_plan_and_another_seed_another() {
        let plan = |seed| (0..20).map(|number| Round::new(seed, number, (5, 2), LENGTH)).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn one_node_is_injured_at_most_and_everything_that_goes_comes_back() {
        for number in 0..2000 {
            let round = Round::new(number / 100, number, (5, 2), LENGTH);
            let nodes: BTreeSet<_> = round.outages.iter().map(|o| o.node).collect();
            assert_eq!(nodes.len(), round.outages.len(), "two outages of one node: {round:?}");
            let mut away = BTreeSet::new();
            for (at, act) in round.acts() {
                assert!(at <= LENGTH && round.injured < 5);
                match act {
                    Act::Begin(outage) => assert!(away.insert(outage.node)),
                    Act::End(outage) => assert!(away.remove(&outage.node)),
                    Act::Injure(node, _) => assert_eq!(node, round.injured),
                }
            }
            assert!(away.is_empty(), "{round:?}");
        }
    }
}
