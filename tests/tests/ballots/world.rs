//! The world of a schedule: its clock and its messages, and what goes wrong in it.

use apus_base::ballot::may_enter;
use apus_tests::linear::{Ask, Operation, Said};
use fastrand::Rng;

use super::proxy::Proxy;
use super::replica::{Envelope, Message, Replica};

/// Operations of one schedule.
const OPERATIONS: usize = 9;
/// Events of one schedule, before all is mended.
const EVENTS: usize = 400;
/// Deliveries within which a read ends when all is mended.
const DELIVERIES: usize = 10_000;
/// Ticks between two events, so that a ballot a tick above another is below the next event.
const TICKS: u64 = 100;

/// What is not as it should be: the checker has to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Promises are given and not kept.
    Forgetful,
    /// A version of a minority is as good as any.
    Hasty,
    /// A deletion is done again, though some have taken it.
    Repeats,
    /// Promises are taken back that stand in place of others.
    Careless,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) fault: Fault,
    /// How far clocks differ, in events. Plain PUTs go by their clock, so there are none then.
    pub(super) skew: u64,
    pub(super) now: u64,
    pub(super) tokens: u64,
    pub(super) replicas: Vec<Replica>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) messages: Vec<Envelope>,
}

impl World {
    pub(super) fn new(seed: u64, fault: Fault) -> Self {
        let mut rng = Rng::with_seed(seed);
        let skew = if rng.bool() { 40 } else { 0 };
        let (proxies, messages) = (Vec::new(), Vec::new());
        Self { rng, fault, skew, now: 0, tokens: 0, replicas: vec![Replica::default(); 3], proxies, messages }
    }

    /// What a proxy's clock shows.
    pub(super) fn clock(&mut self) -> u64 {
        (10 + self.now + self.rng.u64(..=self.skew)) * TICKS
    }

    /// Lives through a schedule, and gives what clients know.
    pub(super) fn run(&mut self) -> Vec<Operation> {
        for _ in 0..EVENTS {
            self.now += 1;
            match self.rng.usize(..100) {
                0..4 if self.proxies.len() < OPERATIONS => self.begin(None),
                0..5 => self.crash(),
                5..8 => self.replicate(),
                8..12 => self.lose_patience(),
                _ => self.deliver(),
            }
        }
        self.replicas.iter_mut().for_each(|replica| replica.is_down = false);
        self.proxies.iter_mut().for_each(|proxy| proxy.is_dead = true);
        self.now += 1;
        self.begin(Some(Ask::Read));
        for _ in 0..DELIVERIES {
            self.now += 1;
            self.deliver();
        }
        self.proxies.iter().filter_map(operation).collect()
    }

    /// A replica dies or comes back, or a proxy dies.
    fn crash(&mut self) {
        let (replica, proxy) = (self.rng.usize(..3), self.rng.usize(..OPERATIONS));
        if self.rng.usize(..4) == 0 {
            self.proxies.get_mut(proxy).into_iter().for_each(|proxy| proxy.is_dead = true);
        } else {
            let replica = &mut self.replicas[replica];
            replica.is_down = !replica.is_down;
            replica.held.clear();
        }
    }

    fn replicate(&mut self) {
        let (from, to) = (self.replicas[self.rng.usize(..3)].clone(), self.rng.usize(..3));
        let to = &mut self.replicas[to];
        let may = !from.is_down && !to.is_down && from.version > to.version;
        if may && (may_enter(from.version, to.fence, to.version) || self.fault == Fault::Forgetful) {
            to.take(from.version, from.value);
        }
    }

    /// A proxy goes on with what it has heard.
    fn lose_patience(&mut self) {
        let at_work: Vec<_> = (0..self.proxies.len()).filter(|i| self.proxies[*i].is_at_work()).collect();
        if !at_work.is_empty() {
            let drawn = self.rng.usize(..at_work.len());
            self.conclude(at_work[drawn]);
        }
    }

    /// A message arrives, or is lost, or arrives and will again.
    fn deliver(&mut self) {
        if self.messages.is_empty() {
            return self.lose_patience();
        }
        let envelope = self.messages.swap_remove(self.rng.usize(..self.messages.len()));
        match self.rng.usize(..20) {
            0 => return,
            // A connection delivers a write once, and nobody sends the same again.
            1 if !matches!(envelope.message, Message::Commit { .. } | Message::Write { .. }) => {
                self.messages.push(envelope);
            }
            _ => {}
        }
        match envelope.message {
            Message::Voted { .. } | Message::Took { .. } => self.hear(envelope),
            _ => {
                let answer = self.serve(envelope);
                self.messages.extend(answer.map(|message| Envelope { message, ..envelope }));
            }
        }
    }
}

/// What a client knows.
fn operation(proxy: &Proxy) -> Option<Operation> {
    let (said, end) = proxy.answer.unwrap_or((Some(Said::Perhaps), u64::MAX));
    Some(Operation { start: proxy.start, end, ask: proxy.ask, said: said? })
}
