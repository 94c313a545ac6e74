//! Telling container servers rows that lay in wait: many in one request, each server at its own pace.
//!
//! A device that does not answer is left alone for a while, longer each time, so that it costs the others nothing; what is
//! for it stays with the caller. Rows may be told again and in any order.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apus_base::client::ClusterClient;
use apus_base::client::pool::{Pool, Timeouts};
use apus_base::client::rows::{Destination, batch_length};
use apus_base::wire::RowUpdate;
use futures_util::StreamExt as _;
use http::StatusCode;

/// Devices told at once.
const CONCURRENCY: usize = 16;
/// How long a device is left alone after its first failure; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// But no longer than this, so that one that is back hears soon.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A row, and the container ring's ids of devices that have it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) update: RowUpdate,
    pub(crate) told: Vec<u32>,
}

/// What became of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The devices that have it, those from before included.
    pub(crate) devices: Vec<u32>,
    /// Whether these are all of the container's primaries.
    pub(crate) everywhere: bool,
    /// Whether all of them say that there is no such container.
    pub(crate) nowhere: bool,
}

/// Tells rows to the primaries of their containers.
pub(crate) struct Teller {
    client: ClusterClient,
    pool: Pool,
    troubles: Mutex<HashMap<Destination, Trouble>>,
}

#[derive(Clone, Copy)]
struct Trouble {
    wait: Duration,
    until: Instant,
}

/// One device's share of the rows, by their places, and its answers.
struct Share {
    id: u32,
    destination: Destination,
    places: Vec<usize>,
    statuses: Vec<Option<StatusCode>>,
}

impl Teller {
    pub(crate) fn new(client: ClusterClient) -> Self {
        let config = client.config();
        let pool = Pool::new(Timeouts { connect: config.conn_timeout, response: config.node_timeout }, client.cluster());
        Self { client, pool, troubles: Mutex::default() }
    }

    pub(crate) fn client(&self) -> &ClusterClient {
        &self.client
    }

    /// Tells rows, and what became of each, in their order.
    pub(crate) async fn tell(&self, mut rows: Vec<Row>) -> Vec<Told> {
        let (shares, primaries) = self.share(&mut rows);
        let rows = Arc::new(rows);
        let telling = shares.into_iter().map(|share| self.tell_one(share, Arc::clone(&rows)));
        let shares: Vec<Share> = futures_util::stream::iter(telling).buffer_unordered(CONCURRENCY).collect().await;
        let mut outcomes: Vec<_> =
            rows.iter().map(|row| Told { devices: row.told.clone(), nowhere: true, ..Told::default() }).collect();
        let mut missing = vec![0; rows.len()];
        for share in shares {
            for (place, status) in share.places.into_iter().zip(share.statuses) {
                match status {
                    Some(status) if status.is_success() => outcomes[place].devices.push(share.id),
                    Some(StatusCode::NOT_FOUND) => missing[place] += 1,
                    _ => {}
                }
            }
        }
        for ((told, missing), primaries) in outcomes.iter_mut().zip(missing).zip(primaries) {
            told.everywhere = primaries.iter().all(|id| told.devices.contains(id));
            told.nowhere = missing == primaries.len();
        }
        outcomes
    }

    /// Deals the rows out to devices, and gives the primaries of each; also writes each row's partition.
    fn share(&self, rows: &mut [Row]) -> (Vec<Share>, Vec<Vec<u32>>) {
        let rings = self.client.rings();
        let salt = &self.client.cluster().hash_path;
        let mut shares: BTreeMap<u32, Share> = BTreeMap::new();
        let mut primaries = Vec::with_capacity(rows.len());
        for (place, row) in rows.iter_mut().enumerate() {
            let hash = salt.container(&row.update.account, &row.update.container);
            row.update.partition = rings.container.partition(&hash.0);
            let devices: Vec<_> = rings.container.primaries(row.update.partition).collect();
            for device in devices.iter().filter(|device| !row.told.contains(&device.id)) {
                let share = shares.entry(device.id).or_insert_with(|| Share {
                    id: device.id,
                    destination: Destination::of(device),
                    places: Vec::new(),
                    statuses: Vec::new(),
                });
                share.places.push(place);
            }
            primaries.push(devices.iter().map(|device| device.id).collect());
        }
        (shares.into_values().collect(), primaries)
    }

    async fn tell_one(&self, mut share: Share, rows: Arc<Vec<Row>>) -> Share {
        while share.statuses.len() < share.places.len() && !self.is_in_trouble(&share.destination) {
            let waiting = share.places[share.statuses.len()..].iter().map(|place| &rows[*place].update);
            let length = batch_length(waiting.clone());
            match share.destination.tell(&self.pool, waiting.take(length).cloned().collect()).await {
                Ok(statuses) if !statuses.iter().any(StatusCode::is_server_error) && statuses.len() == length => {
                    self.forgive(&share.destination);
                    share.statuses.extend(statuses.into_iter().map(Some));
                }
                Ok(statuses) => {
                    tracing::warn!(destination = ?share.destination, status = ?statuses.first(), "a container server refused rows");
                    self.leave_alone(&share.destination);
                    share.statuses.extend((0..length).map(|at| statuses.get(at).copied()));
                }
                Err(error) => {
                    tracing::warn!(destination = ?share.destination, %error, "a container server was not told");
                    self.leave_alone(&share.destination);
                }
            }
        }
        share.statuses.resize(share.places.len(), None);
        share
    }

    fn is_in_trouble(&self, destination: &Destination) -> bool {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(destination).is_some_and(|trouble| trouble.until > Instant::now())
    }

    fn forgive(&self, destination: &Destination) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(destination);
    }

    fn leave_alone(&self, destination: &Destination) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = troubles.get(destination).map_or(FIRST_WAIT, |trouble| (trouble.wait * 2).min(MAX_WAIT));
        troubles.insert(destination.clone(), Trouble { wait, until: Instant::now() + wait });
    }
}
