//! The assignment table: for each replica (row) and partition (column) a device id, in two or four bytes.
//!
//! All rows lie in one block of memory. Every row is full except perhaps the last, which then covers the lower partitions
//! only: that is how 2.5 replicas are kept. A part power of 20 with 3 replicas takes 6 MiB.

use super::gzip::MAX_RING_BYTES;
use super::{Error, MAX_PART_POWER};

/// No cluster keeps more copies or fragments of one object, duplicated erasure coding included.
pub const MAX_REPLICA_ROWS: usize = 256;

/// How wide a device id is in the table. The widest number of each means "nobody" and is never valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdWidth {
    /// 65,534 is the highest id.
    TwoBytes,
    /// For the rest of us.
    FourBytes,
}

impl IdWidth {
    /// The narrowest width that fits ids up to `max_id`.
    pub fn for_max_id(max_id: u32) -> IdWidth {
        if max_id < u32::from(u16::MAX) { IdWidth::TwoBytes } else { IdWidth::FourBytes }
    }

    /// The width in bytes.
    pub fn bytes(self) -> usize {
        match self {
            IdWidth::TwoBytes => 2,
            IdWidth::FourBytes => 4,
        }
    }

    /// The number that means "assigned to nobody".
    pub fn none_id(self) -> u32 {
        match self {
            IdWidth::TwoBytes => u32::from(u16::MAX),
            IdWidth::FourBytes => u32::MAX,
        }
    }
}

/// The assignments of a ring.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    part_power: u8,
    ids: Ids,
}

#[derive(Debug, Clone, PartialEq)]
enum Ids {
    Two(Vec<u16>),
    Four(Vec<u32>),
}

impl Table {
    /// A table from ids, row after row.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is not one full row or the part power is past 32, [`Error::Limit`] if there are more
    /// than [`MAX_REPLICA_ROWS`] rows, or if the ring could not be read back because it is too large.
    pub fn new(part_power: u8, width: IdWidth, ids: impl Iterator<Item = u32>) -> Result<Table, Error> {
        let ids = match width {
            // An id that does not fit becomes "nobody", which the ring refuses.
            IdWidth::TwoBytes => Ids::Two(ids.map(|id| u16::try_from(id).unwrap_or(u16::MAX)).collect()),
            IdWidth::FourBytes => Ids::Four(ids.collect()),
        };
        Table { part_power, ids }.checked()
    }

    fn checked(self) -> Result<Table, Error> {
        if self.part_power > MAX_PART_POWER {
            return Err(Error::Malformed("a partition power past 32"));
        }
        match self.cells() {
            cells if cells < self.part_count() => Err(Error::Malformed("the assignments do not fill one replica")),
            cells if cells.div_ceil(self.part_count()) > MAX_REPLICA_ROWS => Err(Error::Limit("256 replicas")),
            _ if self.bytes() > MAX_RING_BYTES => Err(Error::Limit("256 MiB of assignments")),
            _ => Ok(self),
        }
    }

    /// The size of the assignments in a file.
    pub(super) fn bytes(&self) -> usize {
        self.cells() * self.width().bytes()
    }

    fn cells(&self) -> usize {
        match &self.ids {
            Ids::Two(ids) => ids.len(),
            Ids::Four(ids) => ids.len(),
        }
    }

    fn cell(&self, at: usize) -> Option<u32> {
        match &self.ids {
            Ids::Two(ids) => ids.get(at).map(|id| u32::from(*id)),
            Ids::Four(ids) => ids.get(at).copied(),
        }
    }

    /// How wide the ids are.
    pub fn width(&self) -> IdWidth {
        match self.ids {
            Ids::Two(_) => IdWidth::TwoBytes,
            Ids::Four(_) => IdWidth::FourBytes,
        }
    }

    /// log2 of the number of partitions.
    pub fn part_power(&self) -> u8 {
        self.part_power
    }

    /// The number of partitions.
    pub fn part_count(&self) -> usize {
        1 << self.part_power
    }

    /// The number of rows; the last one may be shorter than the others.
    pub fn row_count(&self) -> usize {
        self.cells().div_ceil(self.part_count())
    }

    /// Replicas per partition on average.
    #[expect(clippy::cast_precision_loss, reason = "both numbers are far below 2^52")]
    pub fn replica_count(&self) -> f64 {
        self.cells() as f64 / self.part_count() as f64
    }

    /// The device that holds replica `row` of partition `part`.
    pub fn get(&self, row: usize, part: usize) -> Option<u32> {
        let inside = part < self.part_count() && row < MAX_REPLICA_ROWS;
        inside.then(|| self.cell(row * self.part_count() + part)).flatten()
    }

    /// The device ids of one partition, row after row.
    pub fn replicas(&self, part: usize) -> impl Iterator<Item = u32> + '_ {
        (0..MAX_REPLICA_ROWS).map_while(move |row| self.get(row, part))
    }

    /// All ids, row after row.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.cells()).map_while(|at| self.cell(at))
    }
}
