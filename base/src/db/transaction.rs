//! Changes that are not written yet, over what is.

use std::collections::HashMap;

use rocksdb::WriteBatch;

use super::database::Inner;
use super::{DbError, Get};

/// A value to write, or none to remove the key.
type Value = Option<Vec<u8>>;

/// The changes of one group: each closure sees those of the closures before it, and its own are undone if it fails.
pub struct Transaction<'a> {
    stored: &'a Inner,
    changes: HashMap<Vec<u8>, Value>,
    /// What the closure that runs now has overwritten in `changes`, last first.
    undo: Vec<(Vec<u8>, Option<Value>)>,
    bytes: usize,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(stored: &'a Inner) -> Self {
        Self { stored, changes: HashMap::new(), undo: Vec::new(), bytes: 0 }
    }

    /// Writes a value.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.change(key, Some(value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.change(key, None);
    }

    fn change(&mut self, key: Vec<u8>, value: Value) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let before = self.changes.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// Runs one closure whole or not at all.
    pub(super) fn attempt<T, E>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.undo.clear();
        let outcome = change(self);
        if outcome.is_err() {
            while let Some((key, before)) = self.undo.pop() {
                match before {
                    Some(value) => self.changes.insert(key, value),
                    None => self.changes.remove(&key),
                };
            }
        }
        outcome
    }

    /// About how much there is to write.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn into_batch(self) -> WriteBatch {
        let mut batch = WriteBatch::with_capacity_bytes(self.bytes + 16 * self.changes.len());
        for (key, value) in self.changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        batch
    }
}

impl Get for Transaction<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.stored.get(key),
        }
    }
}
