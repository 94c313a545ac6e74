//! Who a device's database is, and how many row numbers it has given.
//!
//! The number of every group is written with it, so what is read at one moment holds all rows up to the number that is
//! read at that moment, and no other: that is what makes one number enough to say what another device knows.

use rocksdb::{DB, WriteOptions};

use super::codec::{Decoder, Encoder, Malformed};
use super::info::sixteen;
use super::{DbError, Get, key, view};
pub use crate::wire::listings::Life;

const LIFE_VERSION: u8 = 1;

impl Life {
    /// Reads it as of the moment of a view.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(from: &impl Get) -> Result<Self, DbError> {
        let value = from.get(key::LIFE)?.ok_or_else(|| DbError::Damaged("it does not say who it is".into()))?;
        Ok(Self::decode(&value)?)
    }

    /// Reads it, or makes a new one and flushes it.
    pub(super) fn load_or_make(rocks: &DB, device: &str) -> Result<Self, DbError> {
        if let Some(value) = view::get(rocks, device, key::LIFE)? {
            return Ok(Self::decode(&value)?);
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| DbError::Io(format!("there is no randomness: {error}")))?;
        let new = Self { id, number: 0 };
        let mut options = WriteOptions::default();
        options.set_sync(true);
        rocks.put_opt(key::LIFE, new.encode(), &options).map_err(|error| DbError::from_rocks(device, &error))?;
        Ok(new)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(LIFE_VERSION);
        to.bytes(&self.id).number(self.number);
        to.finish()
    }

    fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(value, LIFE_VERSION)?;
        let life = Self { id: sixteen(&mut from)?, number: from.number()? };
        from.finish()?;
        Ok(life)
    }
}
