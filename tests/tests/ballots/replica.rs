//! One copy of the object, and what travels to it and back.

use std::collections::BTreeMap;

use apus_base::ballot::{Vote, may_commit, may_enter, may_promise};
use apus_base::timestamp::Timestamp;
use apus_tests::linear::Value;

use super::world::{Fault, World};

/// One copy of the object, and what its server has in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    pub(super) fence: Timestamp,
    pub(super) version: Timestamp,
    pub(super) value: Value,
    pub(super) held: BTreeMap<u64, Value>,
    pub(super) is_down: bool,
}

impl Replica {
    pub(super) fn take(&mut self, version: Timestamp, value: Value) {
        if version > self.version {
            (self.version, self.value) = (version, value);
        }
        if self.fence <= version {
            self.fence = Timestamp::ZERO;
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    Attend {
        ballot: Option<Timestamp>,
    },
    Commit {
        ballot: Timestamp,
        token: u64,
    },
    Write {
        written: Timestamp,
        value: Value,
    },
    Voted {
        vote: Vote,
        value: Value,
    },
    /// Takes a promise back.
    Release {
        ballot: Timestamp,
    },
    Took {
        taken: bool,
        version: Timestamp,
        fence: Timestamp,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub(super) replica: usize,
    pub(super) proxy: usize,
    /// The question to which an answer belongs.
    pub(super) question: u64,
    pub(super) message: Message,
}

impl World {
    /// What a replica does with a request.
    pub(super) fn serve(&mut self, envelope: Envelope) -> Option<Message> {
        let is_forgetful = self.fault == Fault::Forgetful;
        let replica = &mut self.replicas[envelope.replica];
        match envelope.message {
            _ if replica.is_down => None,
            Message::Attend { ballot } => {
                let promised = ballot.filter(|ballot| may_promise(*ballot, replica.fence, replica.version));
                let above_another = promised.is_some() && replica.fence > Timestamp::ZERO;
                replica.fence = promised.unwrap_or(replica.fence);
                let newest = replica.version.max(replica.fence);
                let vote = Vote { version: replica.version, newest, promised: promised.is_some(), above_another };
                Some(Message::Voted { vote, value: replica.value })
            }
            Message::Commit { ballot, token } => {
                let may = may_commit(ballot, replica.fence, replica.version) || is_forgetful;
                let held = if may { replica.held.remove(&token) } else { None };
                held.into_iter().for_each(|value| replica.take(ballot, value));
                // Who asks twice is told twice.
                let taken = held.is_some() || replica.version == ballot;
                Some(Message::Took { taken, version: replica.version, fence: replica.fence })
            }
            Message::Write { written, value } => {
                // A newer plain version is as good as this one having been there before it.
                let taken = may_enter(written, replica.fence, replica.version) || is_forgetful;
                let (version, fence) = (replica.version, replica.fence);
                if taken {
                    replica.take(written, value);
                }
                Some(Message::Took { taken, version, fence })
            }
            Message::Release { ballot } => {
                if replica.fence == ballot {
                    replica.fence = Timestamp::ZERO;
                }
                None
            }
            Message::Voted { .. } | Message::Took { .. } => None,
        }
    }
}
