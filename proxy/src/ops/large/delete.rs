//! Deleting a static large object together with its segments.

use std::collections::{BTreeSet, VecDeque};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Method;
use percent_encoding::utf8_percent_encode;

use super::error::LargeError;
use super::expire::{self, Segments};
use super::manifest::{Manifest, ObjectSegment, Segment, name_of};
use super::slo::fetch;
use crate::error::Error;
use crate::ops::Call;
use crate::ops::bulk::single;
use crate::ops::condition::Condition;
use crate::ops::delete::{Deleted, delete_if, delete_version};
use crate::ops::lock;
use crate::ops::resource::{ObjectName, Resource};
use crate::ops::versions::Version;
use crate::swift::response::QUOTED;

/// Who fails so often will not succeed any more: Swift's number.
const MAX_FAILED: usize = 1000;
/// Most segments that wait to be deleted, in manifests' worth: an operator may have lowered the limit.
const MAX_WAITING_MANIFESTS: usize = 10;
/// Most segments that are deleted together, whatever is configured: Swift's limit.
const MAX_CONCURRENCY: usize = 1000;

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
    /// Which version of it, where it is not the current one.
    version: Option<Version>,
}

/// Deletes all segments, those of segments that are large objects themselves too, then the manifest, and tells of each, as
/// `/container/object`, to `done`. Each deletion is the caller's and must be allowed to them.
///
/// # Errors
/// When too many fail, or there are too many to remember. What has begun then is still ended and told of.
pub async fn delete(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    done: impl FnMut(String, Result<(), Error>) + Send,
) -> Result<(), GivenUp> {
    let parts = single(call.parts, Method::DELETE);
    let call = Call { proxy: call.proxy, parts: &parts };
    let config = &call.proxy.config.slo;
    let together = config.delete_concurrency.clamp(1, MAX_CONCURRENCY);
    let most = config.max_manifest_segments.saturating_mul(MAX_WAITING_MANIFESTS);
    let mut deletion = Deletion::new(call, name, version, done);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < together
            && deletion.given_up.is_none()
            && let Some(next) = deletion.waiting.pop_front()
        {
            if next.has_segments {
                deletion.expand(next).await;
            } else {
                running.push(delete_one(call, &name.account, next));
            }
            if deletion.waiting.len() > most {
                deletion.given_up = Some(GivenUp::Segments);
            }
        }
        match running.next().await {
            Some((path, done)) => deletion.note(path, done),
            None => return deletion.given_up.map_or(Ok(()), Err),
        }
    }
}

async fn delete_one(call: Call<'_>, account: &str, doomed: Waiting) -> (String, Result<(), Error>) {
    let done = match name_of(account, &doomed.path) {
        Some(name) => delete_version(call, &name, doomed.version).await,
        None => Err(Error::NotFound),
    };
    (doomed.path, done.and_then(|deleted| if deleted.existed { Ok(()) } else { Err(Error::NotFound) }))
}

/// A deletion under way.
struct Deletion<'a, F> {
    call: Call<'a>,
    account: &'a str,
    waiting: VecDeque<Waiting>,
    done: F,
    failed: usize,
    given_up: Option<GivenUp>,
}

impl<'a, F: FnMut(String, Result<(), Error>) + Send> Deletion<'a, F> {
    fn new(call: Call<'a>, name: &'a ObjectName, version: Option<Version>, done: F) -> Self {
        let path = format!("/{}/{}", name.container, name.object);
        let manifest = Waiting { path, has_segments: true, version };
        Self { call, account: &name.account, waiting: [manifest].into(), done, failed: 0, given_up: None }
    }

    /// Lets the segments of a manifest wait, and after them the manifest itself.
    async fn expand(&mut self, manifest: Waiting) {
        let segments = match name_of(self.account, &manifest.path) {
            Some(name) => segments(self.call, name, manifest.version).await,
            None => Err(LargeError::NoManifest.into()),
        };
        match segments {
            Ok(segments) => {
                let of = |segment: ObjectSegment| Waiting {
                    path: segment.name,
                    has_segments: segment.sub_slo,
                    version: None,
                };
                self.waiting.extend(segments.into_iter().map(of));
                self.waiting.push_back(Waiting { has_segments: false, ..manifest });
            }
            Err(Error::Large(LargeError::NoManifest)) => self.note(manifest.path, Err(Error::NotFound)),
            Err(error) => self.note(manifest.path, Err(error)),
        }
    }

    fn note(&mut self, path: String, done: Result<(), Error>) {
        self.failed += usize::from(!matches!(done, Ok(()) | Err(Error::NotFound)));
        if self.failed >= MAX_FAILED {
            self.given_up = self.given_up.or(Some(GivenUp::Failures));
        }
        (self.done)(path, done);
    }
}

/// The segments of a static large object that are objects, if it may be deleted.
async fn segments(call: Call<'_>, name: ObjectName, version: Option<Version>) -> Result<Vec<ObjectSegment>, Error> {
    lock::check_large(call, &name, version).await?;
    let fetched = fetch(call.owned(), name, version).await;
    let Manifest(segments) = match fetched {
        Err(error) if error.is_not_found() => return Err(LargeError::NoManifest.into()),
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
pub async fn delete_later(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    condition: Option<&Condition>,
) -> Result<Deleted, Error> {
    let segments = segments(call, name.clone(), version).await?;
    let names: Vec<ObjectName> = segments.iter().filter_map(|segment| segment.name_in(&name.account)).collect();
    if let Some(first) = names.first() {
        let containers: BTreeSet<&str> = names.iter().map(|name| &*name.container).collect();
        if containers.len() > 1 {
            return Err(LargeError::SeveralContainers(list(&containers)).into());
        }
        if segments.iter().any(|segment| segment.sub_slo) {
            return Err(LargeError::Nested.into());
        }
        for resource in [name, first] {
            call.authorize(&Method::DELETE, &Resource::Object(resource.clone())).await?;
        }
        let (container, objects) =
            (first.container.to_string(), names.iter().map(|name| name.object.to_string()).collect());
        let segments = Segments { container, objects };
        lock::check_queued(call, name, version, &segments.container, &segments.objects).await?;
        if let Some(condition) = condition {
            // Not before it is known that the object goes. If this process dies in between they stay, and nobody's data is lost.
            let deleted = delete_if(call, name, version, condition).await?;
            expire::enqueue(call, name, &segments).await?;
            return Ok(deleted);
        }
        expire::enqueue(call, name, &segments).await?;
    }
    match condition {
        Some(condition) => delete_if(call, name, version, condition).await,
        None => delete_version(call, name, version).await,
    }
}

fn list(containers: &BTreeSet<&str>) -> String {
    let quoted = |container: &&str| format!("\"{}\"", utf8_percent_encode(container, QUOTED));
    containers.iter().map(quoted).collect::<Vec<_>>().join(", ")
}
