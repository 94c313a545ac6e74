//! What this node's container servers know of misplaced rows, put into the queue.

use std::collections::{BTreeMap, BTreeSet};

use apus_base::body;
use apus_base::pass::{Filter, Progress};
use apus_base::ring::Device;
use apus_base::wire::{MisplacedRows, ObjectRow};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::Reconciler;
use super::entry::{self, Entry};

/// The longest page: every name as long as it may be, and escaped.
const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;

impl Reconciler {
    /// Puts what is misplaced into the queue, and gives the queue's containers that got any. The servers mark such containers until they
    /// are told that all of it is in.
    pub(super) async fn feed(
        &self,
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> BTreeSet<String> {
        let rings = self.client().rings();
        let mut fed = BTreeSet::new();
        let own = rings.container.devices().iter().flatten().filter(|device| self.here.has(device));
        for device in own.filter(|device| filter.device(&device.device)) {
            let mut query = "misplaced=".to_owned();
            while !stop.is_cancelled() {
                let Some(page) = self.misplaced(device, &query).await else {
                    tracing::warn!(device = device.device, "it is not known what is misplaced on a device");
                    progress.fail();
                    break;
                };
                let Some(page) = page else { break };
                if !self.enqueue(&page, &mut fed, progress).await {
                    progress.fail();
                    query = format!("misplaced={}", page.hash);
                    continue;
                }
                query = match page.next {
                    Some(next) => format!("misplaced={}&after={next}", page.hash),
                    None => {
                        // If this is not heard, the same is put in once more.
                        let noted = format!("misplaced={}&state={}", page.hash, page.state);
                        let _ = self.client().tell_device(device, &noted).await;
                        format!("misplaced={}", page.hash)
                    }
                };
            }
        }
        fed
    }

    async fn misplaced(&self, device: &Device, query: &str) -> Option<Option<MisplacedRows>> {
        let response = self.client().ask_device(device, query).await?;
        let is_there = response.status() == StatusCode::OK;
        let json = body::read_to_end(response.into_body(), MAX_PAGE_BYTES).await.ok().filter(|_| is_there)?;
        serde_json::from_slice(&json).ok()
    }

    /// Whether all of it is in the queue.
    async fn enqueue(&self, page: &MisplacedRows, fed: &mut BTreeSet<String>, progress: &Progress) -> bool {
        let mut queues: BTreeMap<String, Vec<ObjectRow>> = BTreeMap::new();
        for row in &page.rows {
            let entry = Entry {
                policy: row.policy,
                account: page.account.clone(),
                container: page.container.clone(),
                object: row.name.clone(),
                at: row.timestamps.data,
                deleted: row.deleted,
            };
            queues.entry(entry.queue()).or_default().push(entry.row());
        }
        for (queue, rows) in queues {
            let many = rows.len() as u64;
            if let Err(error) = self.client().add_rows(entry::ACCOUNT, &queue, rows).await {
                tracing::warn!(%error, container = page.container, "misplaced objects are not in the queue yet");
                return false;
            }
            progress.add("queued", many);
            fed.insert(queue);
        }
        true
    }
}
