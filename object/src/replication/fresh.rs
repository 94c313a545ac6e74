//! Digests for peers that ask: as fresh as each question, and yet not made for each.
//!
//! A large cluster has many peers, and bringing an index up to date ends with a flush. So peers that ask while one is being
//! made for others, or soon after, wait and share the next one: whoever asks gets an index that was begun after its question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apus_base::wire::replication::Place;
use tokio::time::Instant;

use crate::store::StoreError;
use crate::store::index::{self, Shelf, Table};

/// How long after one index was begun the next one is.
const PAUSE: Duration = Duration::from_millis(250);

/// The last index of each device and policy that was asked for: as many as there are, since others are refused before.
#[derive(Default)]
pub(super) struct Fresh(Mutex<HashMap<Place, Arc<tokio::sync::Mutex<Last>>>>);

/// When an index was begun, and what it said.
type Last = Option<(Instant, Arc<Table>)>;

impl Fresh {
    /// The digests of a shelf, as of now or later.
    pub(super) async fn table(&self, place: &Place, shelf: &Shelf) -> Result<Arc<Table>, StoreError> {
        let asked = Instant::now();
        let slot = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(place.clone()).or_default());
        let mut last = slot.lock().await;
        if let Some((begun, table)) = &*last {
            if *begun >= asked {
                return Ok(Arc::clone(table));
            }
            tokio::time::sleep_until(*begun + PAUSE).await;
        }
        let begun = Instant::now();
        let table = Arc::new(index::refresh(shelf).await?);
        *last = Some((begun, Arc::clone(&table)));
        Ok(table)
    }
}
