//! Deleting a static large object together with its segments.

use std::collections::{BTreeSet, VecDeque};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, Method};
use percent_encoding::utf8_percent_encode;

use super::error::LargeError;
use super::expire::{self, Segments};
use super::manifest::{Manifest, ObjectSegment, Segment, name_of};
use super::slo::fetch;
use crate::error::Error;
use crate::ops::Call;
use crate::ops::delete::delete as delete_object;
use crate::ops::resource::{ObjectName, Resource};
use crate::swift::response::QUOTED;

/// Who fails so often will not succeed any more: Swift's number.
const MAX_FAILED: usize = 1000;
/// Most segments that wait to be deleted, in manifests' worth: an operator may have lowered the limit.
const MAX_WAITING_MANIFESTS: usize = 10;
/// Most segments that are deleted together, whatever is configured: Swift's limit.
const MAX_CONCURRENCY: usize = 1000;

/// What became of a deletion.
#[derive(Debug, Default)]
pub struct Deleted {
    /// Objects that were deleted.
    pub deleted: u64,
    /// Objects that were not there.
    pub not_found: u64,
    /// Objects, as `/container/object`, that could not be deleted, and why.
    pub failed: Vec<(String, Error)>,
    /// Why the deletion was given up.
    pub given_up: Option<GivenUp>,
}

/// Why a deletion was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// Too many objects could not be deleted.
    #[error("Max delete failures exceeded")]
    Failures,
    /// Its manifests have too many segments.
    #[error("Too many buffered slo segments to delete.")]
    Segments,
}

/// What waits to be deleted.
struct Waiting {
    /// `/container/object`.
    path: String,
    /// Whether its segments have to go first.
    has_segments: bool,
}

/// Deletes all segments, those of segments that are large objects themselves too, then the manifest. Each deletion is the
/// caller's and must be allowed to them.
pub async fn delete(call: Call<'_>, name: &ObjectName) -> Deleted {
    let config = &call.proxy.config.slo;
    let together = config.delete_concurrency.clamp(1, MAX_CONCURRENCY);
    let most = config.max_manifest_segments.saturating_mul(MAX_WAITING_MANIFESTS);
    let mut outcome = Deleted::default();
    let mut waiting =
        VecDeque::from([Waiting { path: format!("/{}/{}", name.container, name.object), has_segments: true }]);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < together
            && outcome.given_up.is_none()
            && let Some(next) = waiting.pop_front()
        {
            if next.has_segments {
                outcome.expand(call, &name.account, next, &mut waiting).await;
            } else {
                running.push(delete_one(call, &name.account, next.path));
            }
            if waiting.len() > most {
                outcome.given_up = Some(GivenUp::Segments);
            }
        }
        match running.next().await {
            Some((path, done)) => outcome.note(path, done),
            None => return outcome,
        }
    }
}

async fn delete_one(call: Call<'_>, account: &str, path: String) -> (String, Result<(), Error>) {
    let done = match name_of(account, &path) {
        Some(name) => delete_object(call, &name).await,
        None => Err(Error::NotFound),
    };
    (path, done)
}

impl Deleted {
    /// Lets the segments of a manifest wait, and after them the manifest itself.
    async fn expand(&mut self, call: Call<'_>, account: &str, manifest: Waiting, waiting: &mut VecDeque<Waiting>) {
        let segments = match name_of(account, &manifest.path) {
            Some(name) => segments(call, name).await,
            None => Err(LargeError::NoManifest.into()),
        };
        match segments {
            Ok(segments) => {
                let of = |segment: ObjectSegment| Waiting { path: segment.name, has_segments: segment.sub_slo };
                waiting.extend(segments.into_iter().map(of));
                waiting.push_back(Waiting { has_segments: false, ..manifest });
            }
            Err(Error::Large(LargeError::NoManifest)) => self.note(manifest.path, Err(Error::NotFound)),
            Err(error) => self.note(manifest.path, Err(error)),
        }
    }

    fn note(&mut self, path: String, done: Result<(), Error>) {
        match done {
            Ok(()) => self.deleted += 1,
            Err(Error::NotFound) => self.not_found += 1,
            Err(error) => self.failed.push((path, error)),
        }
        if self.failed.len() >= MAX_FAILED {
            self.given_up = self.given_up.or(Some(GivenUp::Failures));
        }
    }
}

/// The segments of a static large object that are objects.
async fn segments(call: Call<'_>, name: ObjectName) -> Result<Vec<ObjectSegment>, Error> {
    let fetched = fetch(call.owned(), name, HeaderMap::new()).await;
    let Manifest(segments) = match fetched {
        Err(Error::NotFound) => return Err(LargeError::NoManifest.into()),
        fetched => fetched?.manifest,
    };
    let object = |segment| match segment {
        Segment::Object(object) => Some(object),
        Segment::Data { .. } => None,
    };
    Ok(segments.into_iter().filter_map(object).collect())
}

/// Leaves the deletion of all segments to the expirer, then deletes the manifest.
///
/// # Errors
/// When it is no static large object, the caller may not delete it or its segments, the segments are in several
/// containers or are large objects themselves, or too few servers can do it.
pub async fn delete_later(call: Call<'_>, name: &ObjectName) -> Result<(), Error> {
    let segments = segments(call, name.clone()).await?;
    let names: Vec<ObjectName> = segments.iter().filter_map(|segment| segment.name_in(&name.account)).collect();
    if let Some(first) = names.first() {
        let containers: BTreeSet<&str> = names.iter().map(|name| name.container.as_str()).collect();
        if containers.len() > 1 {
            return Err(LargeError::SeveralContainers(list(&containers)).into());
        }
        if segments.iter().any(|segment| segment.sub_slo) {
            return Err(LargeError::Nested.into());
        }
        for resource in [name, first] {
            call.authorize(&Method::DELETE, &Resource::Object(resource.clone())).await?;
        }
        let (container, objects) = (first.container.clone(), names.into_iter().map(|name| name.object).collect());
        expire::enqueue(call, name, &Segments { container, objects }).await?;
    }
    delete_object(call, name).await
}

fn list(containers: &BTreeSet<&str>) -> String {
    let quoted = |container: &&str| format!("\"{}\"", utf8_percent_encode(container, QUOTED));
    containers.iter().map(quoted).collect::<Vec<_>>().join(", ")
}
