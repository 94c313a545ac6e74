//! Reading a database as of one moment.

use rocksdb::{DB, DBRawIterator, ReadOptions, Snapshot};

use super::DbError;
use super::database::Inner;
use crate::listing::walk::{Bounds, Cursor};

/// What values are read from: a [`View`], or a [`Transaction`](super::Transaction) with its own changes in it.
pub trait Get {
    /// The value of a key, if it has one.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError>;
}

/// The database as it was at one moment, whatever is committed meanwhile.
pub struct View<'a> {
    device: &'a str,
    snapshot: Snapshot<'a>,
}

impl<'a> View<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Self { device: inner.device().name(), snapshot: inner.rocks().snapshot() }
    }

    /// A cursor over the keys that begin with `prefix`, within `bounds` of what follows it. It stands nowhere until it
    /// is sent somewhere.
    pub fn scan(&self, prefix: Vec<u8>, bounds: &Bounds) -> Scan<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound([prefix.as_slice(), &bounds.lower].concat());
        options.set_iterate_upper_bound(match &bounds.upper {
            Some(upper) => [prefix.as_slice(), upper].concat(),
            None => after(&prefix),
        });
        Scan { device: self.device, prefix, iterator: self.snapshot.raw_iterator_opt(options) }
    }
}

impl Get for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        self.snapshot.get(key).map_err(|error| DbError::from_rocks(self.device, &error))
    }
}

/// A cursor over a range of keys, by what follows their common beginning.
pub struct Scan<'a> {
    device: &'a str,
    prefix: Vec<u8>,
    iterator: DBRawIterator<'a>,
}

impl Scan<'_> {
    /// The value where the cursor stands; empty past either end.
    pub fn value(&self) -> &[u8] {
        self.iterator.value().unwrap_or_default()
    }

    /// Whether the cursor stopped because of an error instead of at an end: ask after the last step.
    ///
    /// # Errors
    /// When it did.
    pub fn finish(self) -> Result<(), DbError> {
        self.iterator.status().map_err(|error| DbError::from_rocks(self.device, &error))
    }
}

impl Cursor for Scan<'_> {
    fn seek(&mut self, at: &[u8]) {
        self.iterator.seek([self.prefix.as_slice(), at].concat());
    }

    fn seek_before(&mut self, at: Option<&[u8]>) {
        let Some(at) = at else {
            return self.iterator.seek_to_last();
        };
        let key = [self.prefix.as_slice(), at].concat();
        self.iterator.seek_for_prev(&key);
        if self.iterator.key() == Some(&key) {
            self.iterator.prev();
        }
    }

    fn next(&mut self) {
        self.iterator.next();
    }

    fn previous(&mut self) {
        self.iterator.prev();
    }

    fn name(&self) -> Option<&[u8]> {
        self.iterator.key()?.strip_prefix(self.prefix.as_slice())
    }
}

/// The first key after all that begin with `prefix`. Prefixes begin with a letter, so there is always one.
pub(super) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

/// Reads one key as it is now.
pub(super) fn get(rocks: &DB, device: &str, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
    rocks.get(key).map_err(|error| DbError::from_rocks(device, &error))
}
