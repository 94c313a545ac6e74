//! Making containers and objects on a share of the partitions.

use std::collections::BTreeSet;
use std::time::Instant;

use apus_base::ring::Ring;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::user::UserError;
use super::{DispersionError, Work, spread};
use crate::cli;
use crate::error::StartError;
use crate::recon::report::elapsed;

/// How much to make.
pub(super) struct Extent {
    /// Percent of the partitions.
    pub(super) coverage: f64,
    pub(super) no_overlap: bool,
    /// The first numbers in the names of containers and of objects that are made; those before count as made.
    pub(super) first: [u64; 2],
}

pub(super) async fn populate(work: &Work, extent: &Extent) -> Result<(), StartError> {
    let done = async {
        if work.containers {
            containers(work, extent).await?;
        }
        if work.objects {
            objects(work, extent).await?;
        }
        Ok::<_, UserError>(())
    };
    Ok(done.await.map_err(DispersionError::from)?)
}

async fn containers(work: &Work, extent: &Extent) -> Result<(), UserError> {
    let (ring, account, prefix) = (&work.view.rings.container, work.user.account(), work.container_prefix());
    let salt = &work.view.cluster.hash_path;
    let place = |name: &str| ring.partition(&salt.container(&account, name).0);
    let taken = match extent.no_overlap {
        true => work.user.list("", &prefix).await?.iter().map(|name| place(name)).collect(),
        false => BTreeSet::new(),
    };
    let numbers = chosen(ring, extent, &taken, |number| place(&format!("{prefix}{number}")));
    let paths = numbers.iter().filter(|number| **number >= extent.first[0]).map(|number| format!("{prefix}{number}"));
    let headers = policy(work);
    make(work, "containers", paths.collect(), |path| (headers.clone(), path)).await?;
    covered(ring, extent, "container", taken.len() + numbers.len());
    Ok(())
}

async fn objects(work: &Work, extent: &Extent) -> Result<(), UserError> {
    let (account, container) = (work.user.account(), work.object_container());
    let Some(ring) = work.view.rings.objects.get(&work.policy) else { return Ok(()) };
    work.user.put(&container, &policy(work), "").await?;
    let salt = &work.view.cluster.hash_path;
    let place = |name: &str| ring.partition(&salt.object(&account, &container, name).0);
    let taken = match extent.no_overlap {
        true => work.user.list(&container, "dispersion_").await?.iter().map(|name| place(name)).collect(),
        false => BTreeSet::new(),
    };
    let numbers = chosen(ring, extent, &taken, |number| place(&format!("dispersion_{number}")));
    let made = numbers.iter().filter(|number| **number >= extent.first[1]);
    let paths = made.map(|number| format!("{container}/dispersion_{number}"));
    make(work, "objects", paths.collect(), |path| {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&name) {
            headers.insert(HeaderName::from_static("x-object-meta-dispersion"), value);
        }
        (headers, name)
    })
    .await?;
    covered(ring, extent, "object", taken.len() + numbers.len());
    Ok(())
}

fn chosen(ring: &Ring, extent: &Extent, taken: &BTreeSet<u32>, place: impl Fn(u64) -> u32) -> Vec<u64> {
    let wanted = spread::share(ring.part_count(), extent.coverage);
    spread::choose(ring.part_count(), taken.clone(), wanted, place)
}

fn policy(work: &Work) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(name) = HeaderValue::from_str(&work.policy_name()) {
        headers.insert(HeaderName::from_static("x-storage-policy"), name);
    }
    headers
}

/// PUTs all of them, with what `with` says: headers and body.
async fn make(
    work: &Work,
    what: &str,
    paths: Vec<String>,
    with: impl Fn(String) -> (HeaderMap, String),
) -> Result<(), UserError> {
    let (started, many) = (Instant::now(), paths.len());
    let puts: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let (headers, body) = with(path.clone());
            async move { work.user.put(&path, &headers, &body).await }
        })
        .collect();
    let retries: u32 =
        stream::iter(puts).buffer_unordered(work.concurrency).try_fold(0, async |all, one| Ok(all + one)).await?;
    let took = elapsed(started.elapsed().as_secs_f64());
    cli::say(&format!("Created {many} {what} for dispersion reporting, {took}, {retries} retries"));
    Ok(())
}

fn covered(ring: &Ring, extent: &Extent, what: &str, partitions: usize) {
    if extent.no_overlap {
        #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
        let percent = partitions as f64 / ring.part_count() as f64 * 100.0;
        cli::say(&format!("Total {what} coverage is now {percent:.2}%."));
    }
}
