//! Which nodes a request may ask, in order: the primaries, then the handoffs. Those that are error limited are left out,
//! unless too few others are there for a quorum: then a node in trouble is a better hope than a sure refusal, and a small
//! cluster that had one bad moment does not refuse everything until its nodes are forgiven.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Inner;
use super::order::SortingMethod;
use super::target::Target;
use crate::quorum::quorum_size;
use crate::ring::{Device, Ring};

/// One device and where its server answers.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// `ip:port/device`, for logs and error limiting.
    pub(super) name: String,
    /// `ip:port`, an IPv6 address in brackets.
    pub(super) authority: String,
    pub(super) ip: String,
    pub(super) device: String,
    /// Whether it stands in for a primary.
    pub(super) is_handoff: bool,
}

impl Node {
    pub(super) fn new(device: &Device, is_handoff: bool) -> Self {
        let authority = authority(&device.ip, device.port);
        Self {
            name: format!("{authority}/{}", device.device),
            authority,
            ip: device.ip.clone(),
            device: device.device.clone(),
            is_handoff,
        }
    }
}

/// `ip:port`, as it stands in a URI.
pub(super) fn authority(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// A device of the ring, by its id. A node is made of it when its turn comes: most requests ask one.
#[derive(Clone, Copy)]
struct Place {
    id: u32,
    is_handoff: bool,
}

/// Yields nodes until as many were asked as a request may ask. A node that turned out to be error limited does not count.
pub(super) struct NodeIter {
    inner: Arc<Inner>,
    ring: Arc<Ring>,
    partition: u32,
    server: &'static str,
    primaries: VecDeque<Place>,
    handoffs: VecDeque<Place>,
    /// How many of the ring's handoffs were fetched.
    fetched: usize,
    left: usize,
    given: usize,
    last: Option<String>,
    /// Handoffs that come among the primaries, because they are near.
    preferred: Vec<u32>,
    /// Primaries and handoffs that were passed over.
    limited: VecDeque<Node>,
    /// How many more nodes without trouble a quorum needs.
    wanted: usize,
}

impl NodeIter {
    pub(super) fn new(inner: &Arc<Inner>, ring: Arc<Ring>, partition: u32, target: &Target<'_>) -> Self {
        let mut primaries: Vec<_> = ring.primaries(partition).map(|device| (inner.rank(device), device)).collect();
        inner.random.shuffle(&mut primaries);
        primaries.sort_by_key(|(rank, _)| *rank);
        let place = |(_, device): (_, &Device)| Place { id: device.id, is_handoff: false };
        let primaries: VecDeque<_> = primaries.into_iter().map(place).collect();
        Self {
            inner: Arc::clone(inner),
            left: inner.config.request_node_count.of(primaries.len()),
            given: 0,
            wanted: quorum_size(primaries.len()),
            limited: VecDeque::new(),
            partition,
            server: target.server(),
            primaries,
            handoffs: VecDeque::new(),
            fetched: 0,
            last: None,
            preferred: Vec::new(),
            ring,
        }
    }

    /// The same for a write of an object: with `write_affinity`, near devices first, handoffs among them.
    pub(super) fn near_first(mut self, write: NearFirst) -> Self {
        let near = &self.inner.config.write_affinity;
        if near.is_empty() {
            return self;
        }
        let is_near = |device: &&Device| near.has(device.region, device.zone);
        let primaries: Vec<_> = self.ring.primaries(self.partition).collect();
        let (near_primaries, far): (Vec<&Device>, Vec<&Device>) = primaries.iter().copied().partition(is_near);
        let first =
            self.inner.config.write_affinity_node_count.of(primaries.len()).saturating_sub(near_primaries.len());
        let handoffs = match write {
            NearFirst::Put => first,
            NearFirst::Delete => self.inner.near_handoffs(&primaries),
        };
        let handoffs: Vec<_> = self.ring.handoffs(self.partition).filter(is_near).take(handoffs).collect();
        let place = |is_handoff| move |device: &&Device| Place { id: device.id, is_handoff };
        let (near_primaries, far) = (near_primaries.iter().map(place(false)), far.iter().map(place(false)));
        let between = handoffs.iter().map(place(true));
        let order: VecDeque<_> = match write {
            NearFirst::Put => near_primaries.chain(between).chain(far).collect(),
            NearFirst::Delete => near_primaries.chain(far).chain(between).collect(),
        };
        self.preferred = handoffs.iter().map(|device| device.id).collect();
        self.primaries = order;
        self
    }

    /// How many nodes it has given so far.
    pub(super) fn given(&self) -> usize {
        self.given
    }

    fn next_handoff(&mut self) -> Option<Place> {
        if self.handoffs.is_empty() {
            // Fetched as many as could be needed at once: each fetch walks the ring from its start.
            let batch: Vec<_> = self.ring.handoffs(self.partition).skip(self.fetched).take(self.fetch_size()).collect();
            self.fetched += batch.len();
            let others = batch.into_iter().filter(|device| !self.preferred.contains(&device.id));
            self.handoffs = others.map(|device| Place { id: device.id, is_handoff: true }).collect();
        }
        self.handoffs.pop_front()
    }

    /// Those that come among the primaries are fetched again, and left out.
    fn fetch_size(&self) -> usize {
        self.left + self.preferred.len()
    }

    /// The next node without trouble.
    fn next_sound(&mut self) -> Option<Node> {
        loop {
            let place = self.primaries.pop_front().or_else(|| self.next_handoff())?;
            let Some(device) = self.ring.device(place.id) else { continue };
            let node = Node::new(device, place.is_handoff);
            if !self.inner.limiter.is_limited(&node.name) {
                self.wanted = self.wanted.saturating_sub(1);
                return Some(node);
            }
            self.limited.push_back(node);
        }
    }

    /// When there are not enough of those: one that was passed over.
    fn next_limited(&mut self) -> Option<Node> {
        self.wanted = self.wanted.checked_sub(1)?;
        self.limited.pop_front()
    }
}

impl Iterator for NodeIter {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        if self.last.take().is_some_and(|last| !self.inner.limiter.is_limited(&last)) {
            self.left -= 1;
        }
        if self.left == 0 {
            return None;
        }
        let node = self.next_sound().or_else(|| self.next_limited())?;
        if node.is_handoff {
            self.inner.stats.handoff(self.server);
        }
        self.last = Some(node.name.clone());
        self.given += 1;
        Some(node)
    }
}

/// Which write asks for near devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NearFirst {
    /// Near ones before all others.
    Put,
    /// All primaries, then the near handoffs where a PUT may have left the object.
    Delete,
}

impl Inner {
    /// How many near handoffs get an object's DELETE besides the primaries.
    pub(super) fn near_handoffs(&self, primaries: &[&Device]) -> usize {
        let near = &self.config.write_affinity;
        if near.is_empty() {
            return 0;
        }
        let far = primaries.iter().filter(|device| !near.has(device.region, device.zone)).count();
        self.config.write_affinity_handoff_delete_count.unwrap_or(far)
    }

    /// Lower ranks are asked first.
    fn rank(&self, device: &Device) -> u128 {
        match self.config.sorting_method {
            SortingMethod::Shuffle => 0,
            SortingMethod::Timing => self.timings.get(&device.ip).map_or(0, |took| took.as_millis() + 1),
            SortingMethod::Affinity => self.config.read_affinity.priority(device.region, device.zone).into(),
        }
    }
}

/// Random numbers for spreading load, not for secrets (splitmix64).
#[derive(Debug)]
pub(super) struct Random(AtomicU64);

impl Random {
    /// Seeded by the system, so that two proxies do not go in step.
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(getrandom::u64().unwrap_or_default()))
    }

    pub(super) fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn shuffle<T>(&self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            #[expect(clippy::cast_possible_truncation, reason = "the remainder is at most i, a usize")]
            let j = (self.next() % (i as u64 + 1)) as usize;
            items.swap(i, j);
        }
    }
}
