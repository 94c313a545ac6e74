//! Listings as JSON, written entry by entry.

use serde::Serialize;

use crate::db::DbError;

/// A JSON array that grows, with the blank behind its commas that Swift's listings have.
#[derive(Debug)]
pub struct JsonArray(Vec<u8>);

impl Default for JsonArray {
    fn default() -> Self {
        Self(vec![b'['])
    }
}

impl JsonArray {
    /// Adds an entry.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which means that what it came from is damaged.
    pub fn push(&mut self, entry: &impl Serialize) -> Result<(), DbError> {
        if self.0.len() > 1 {
            self.0.extend_from_slice(b", ");
        }
        serde_json::to_writer(&mut self.0, entry).map_err(|error| DbError::Damaged(error.to_string()))
    }

    /// The array.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b']');
        self.0
    }
}

/// A name out of a key.
///
/// # Errors
/// When it is not UTF-8, which means that the key is damaged.
pub fn name(bytes: &[u8]) -> Result<&str, DbError> {
    std::str::from_utf8(bytes).map_err(|_| DbError::Damaged("a row's name is not UTF-8".into()))
}
