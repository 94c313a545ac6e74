//! One container's row, and how two versions of it merge.

use apus_base::db::codec::{Decoder, Encoder, Malformed};
use apus_base::db::info::{Stats, policy};
use apus_base::db::table;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;

/// What an account knows of one container, but for its name, which is in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its newest PUT.
    pub put_timestamp: Timestamp,
    /// Its newest DELETE.
    pub delete_timestamp: Timestamp,
    /// When its counts were taken.
    pub counted_at: Timestamp,
    /// Its objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its storage policy.
    pub policy: PolicyIndex,
}

impl Row {
    fn counted(&self) -> (Timestamp, u64, u64, PolicyIndex) {
        (self.counted_at, self.objects, self.bytes, self.policy)
    }
}

impl table::Row for Row {
    fn encode(&self, to: &mut Encoder) {
        to.timestamp(self.put_timestamp).timestamp(self.delete_timestamp).timestamp(self.counted_at);
        to.number(self.objects).number(self.bytes).number(self.policy.0.into());
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            put_timestamp: from.timestamp()?,
            delete_timestamp: from.timestamp()?,
            counted_at: from.timestamp()?,
            objects: from.number()?,
            bytes: from.number()?,
            policy: policy(from)?,
        })
    }

    fn is_deleted(&self) -> bool {
        self.delete_timestamp > self.put_timestamp && self.objects == 0
    }

    fn counts(&self, _space: PolicyIndex) -> (PolicyIndex, Stats) {
        let live = Stats { rows: 1, objects: self.objects, bytes: self.bytes };
        (self.policy, if self.is_deleted() { Stats::default() } else { live })
    }

    /// Swift lets the counts that arrive last win; here those that were taken last do, so that every order ends alike.
    fn merge(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.put_timestamp = self.put_timestamp.max(other.put_timestamp);
        self.delete_timestamp = self.delete_timestamp.max(other.delete_timestamp);
        if other.counted() > self.counted() {
            (self.counted_at, self.objects, self.bytes) = (other.counted_at, other.objects, other.bytes);
            self.policy = other.policy;
        }
        *self != before
    }

    fn timestamp(&self) -> Timestamp {
        self.put_timestamp.max(self.delete_timestamp)
    }
}
