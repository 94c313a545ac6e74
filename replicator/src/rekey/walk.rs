//! Through all devices, containers and objects.

use std::collections::BTreeMap;

use apus_base::body;
use apus_base::client::{ObjectPath, Target};
use apus_base::crypto::is_outdated;
use apus_base::ring::Device;
use apus_base::wire::{Inventory, InventoryItem};
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::Rekey;
use super::state::{BadState, Counts, State};

/// Rows of one page of a listing.
const PAGE: usize = 500;
/// The longest page: rows with the longest names, their paths in key ids and all of it escaped.
const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;
/// Objects in work at once, so that the pass is quick and yet no burden.
const CONCURRENCY: usize = 8;

/// A row of a listing, undecrypted.
#[derive(Deserialize)]
struct Row {
    name: String,
    #[serde(default)]
    hash: String,
}

impl Rekey {
    /// One round, from the place of `state` on.
    pub(super) async fn walk(&self, state: &mut State, mut tell: impl FnMut(&State)) -> Result<(), BadState> {
        let devices: Vec<Device> = self.client.rings().container.devices().iter().flatten().cloned().collect();
        while let Some(device) = devices.get(state.device) {
            let Some(page) = self.inventory(device, state.marker.as_deref()).await else {
                state.counts.unreachable += 1;
                (state.device, state.marker) = (state.device + 1, None);
                continue;
            };
            for item in &page.containers {
                if self.is_first(device, item).await {
                    self.container(item, state, &mut tell).await?;
                }
            }
            state.marker = page.next;
            if state.marker.is_none() {
                state.device += 1;
            }
            state.save()?;
        }
        Ok(())
    }

    async fn inventory(&self, device: &Device, marker: Option<&str>) -> Option<Inventory> {
        let response = self.client.ask_device(device, &format!("marker={}", marker.unwrap_or_default())).await?;
        let is_there = response.status() == StatusCode::OK;
        let bytes = body::read_to_end(response.into_body(), MAX_PAGE_BYTES).await.ok().filter(|_| is_there)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether no primary before this device has the container, so that it is this one's turn.
    async fn is_first(&self, device: &Device, item: &InventoryItem) -> bool {
        let target = Target::Container { account: &item.account, container: &item.container };
        for (replica, primary) in self.client.replica_devices(&target).iter().enumerate() {
            if primary.id == device.id {
                return true;
            }
            let head = self.client.ask_replica(replica, Method::HEAD, &target, None, &HeaderMap::new()).await;
            if head.is_some_and(|head| head.status().is_success()) {
                return false;
            }
        }
        true
    }

    async fn container(
        &self,
        item: &InventoryItem,
        state: &mut State,
        tell: &mut impl FnMut(&State),
    ) -> Result<(), BadState> {
        let begun = state.begun.take().filter(|(a, c, _)| (a, c) == (&item.account, &item.container));
        let mut marker = begun.map_or(String::new(), |(_, _, object)| object);
        loop {
            let (rows, ended) = self.rows(item, &marker, &mut state.counts).await;
            let path =
                |object| ObjectPath { policy: item.policy, account: &item.account, container: &item.container, object };
            let work = stream::iter(rows.iter()).map(|(name, outdated)| self.object(path(name), *outdated));
            let done: Vec<Counts> = work.buffer_unordered(CONCURRENCY).collect().await;
            done.iter().for_each(|done| state.counts.add(done));
            match rows.into_keys().next_back() {
                Some(last) if !ended => marker = last,
                _ => break,
            }
            state.begun = Some((item.account.clone(), item.container.clone(), marker.clone()));
            state.save()?;
            tell(state);
        }
        state.begun = None;
        state.counts.containers += 1;
        tell(state);
        Ok(())
    }

    /// The next objects of a container, as all replicas of its listing have them together: whether a row of it is under
    /// another secret. And whether these are the last.
    async fn rows(&self, item: &InventoryItem, marker: &str, counts: &mut Counts) -> (BTreeMap<String, bool>, bool) {
        let target = Target::Container { account: &item.account, container: &item.container };
        let (mut all, mut horizon) = (BTreeMap::new(), None::<String>);
        for replica in 0..self.client.replica_count(&target) {
            let Some(rows) = self.page(replica, &target, marker).await else {
                counts.unreachable += 1;
                continue;
            };
            // Names after the end of a page may be missing from it only because it is full.
            if let Some(last) = rows.last().filter(|_| rows.len() == PAGE) {
                horizon = Some(horizon.map_or(last.name.clone(), |horizon| horizon.min(last.name.clone())));
            }
            for row in rows {
                // What cannot be read cannot be called new.
                let outdated = is_outdated(&self.keymaster, &row.hash).unwrap_or(true);
                *all.entry(row.name).or_insert(false) |= outdated;
            }
        }
        if let Some(horizon) = &horizon {
            all.retain(|name, _| name <= horizon);
        }
        (all, horizon.is_none())
    }

    /// A page of one replica's listing; nothing if it does not have the container.
    async fn page(&self, replica: usize, target: &Target<'_>, marker: &str) -> Option<Vec<Row>> {
        let query = format!("format=json&limit={PAGE}&marker={}", utf8_percent_encode(marker, NON_ALPHANUMERIC));
        let mut headers = HeaderMap::new();
        headers.insert("x-backend-allow-reserved-names", http::HeaderValue::from_static("true"));
        let response = self.client.ask_replica(replica, Method::GET, target, Some(&query), &headers).await?;
        match response.status() {
            StatusCode::NOT_FOUND => return Some(Vec::new()),
            status if !status.is_success() => return None,
            _ => {}
        }
        let bytes = body::read_to_end(response.into_body(), MAX_PAGE_BYTES).await.ok()?;
        if bytes.is_empty() { Some(Vec::new()) } else { serde_json::from_slice(&bytes).ok() }
    }
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.containers += more.containers;
        self.objects += more.objects;
        self.rewrapped += more.rewrapped;
        self.failed += more.failed;
        self.unreachable += more.unreachable;
    }
}
