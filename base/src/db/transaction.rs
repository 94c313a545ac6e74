//! Changes that are not written yet, over what is.

use std::collections::HashMap;

use rocksdb::WriteBatch;

use super::database::Inner;
use super::view::after;
use super::{DbError, Get, key};

/// A value to write, or none to remove the key.
type Value = Option<Vec<u8>>;

/// The changes of one group: each closure sees those of the closures before it, and its own are undone if it fails.
pub struct Transaction<'a> {
    stored: &'a Inner,
    changes: HashMap<Vec<u8>, Value>,
    /// What keys that are removed, however many there are, begin with.
    removed: Vec<Vec<u8>>,
    /// Whether a row number was given.
    numbered: bool,
    /// What the closure that runs now has overwritten in `changes`, last first.
    undo: Vec<(Vec<u8>, Option<Value>)>,
    bytes: usize,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(stored: &'a Inner) -> Self {
        let (changes, undo) = (HashMap::new(), Vec::new());
        Self { stored, changes, removed: Vec::new(), numbered: false, undo, bytes: 0 }
    }

    /// The device's next row number.
    pub fn next_number(&mut self) -> u64 {
        self.numbered = true;
        self.stored.next_number()
    }

    /// Writes a value.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.change(key, Some(value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.change(key, None);
    }

    /// Removes all keys that begin with `prefix`.
    pub(super) fn remove(&mut self, prefix: Vec<u8>) {
        let changed: Vec<_> = self.changes.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        changed.into_iter().for_each(|key| self.change(key, None));
        self.removed.push(prefix);
    }

    fn change(&mut self, key: Vec<u8>, value: Value) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let before = self.changes.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// Runs one closure whole or not at all.
    pub(super) fn attempt<T, E>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.undo.clear();
        let removed = self.removed.len();
        let outcome = change(self);
        if outcome.is_err() {
            self.removed.truncate(removed);
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
        for prefix in self.removed {
            // Before the changes, some of which may have come after it; those from before it are deletions now.
            batch.delete_range(prefix.clone(), after(&prefix));
        }
        if self.numbered {
            batch.put(key::LIFE, self.stored.life().encode());
        }
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
            None if self.removed.iter().any(|prefix| key.starts_with(prefix)) => Ok(None),
            None => self.stored.get(key),
        }
    }
}
