//! The old way of keeping versions: whatever is overwritten is copied to another container of the account, which is an
//! ordinary one that clients see.
//!
//! `X-Versions-Location` is *stack* mode, in which a DELETE brings the previous version back. `X-History-Location` is
//! *history* mode, in which a DELETE leaves a marker beside the versions. A version of `o` is named by the length of
//! `o` in three hexadecimal digits, `o`, a slash and its timestamp. Swift's `versioned_writes/legacy.py`.
//!
//! # What a crash leaves behind
//!
//! The copy is on stable storage before what it was copied from changes, so nothing that was acknowledged is lost. Copied
//! but not yet overwritten: the same version is there twice, and the next PUT makes the same copy again. In stack mode a
//! DELETE restores the version before and then deletes its copy; in between it too is there twice, and a second DELETE,
//! which the client will send because it got no answer, brings back the same version again.

mod delete;
mod settings;

use std::sync::Arc;

use apus_base::body::Body;
use apus_base::client::ContainerInfo;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::TIMESTAMP;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

pub(super) use delete::delete;
pub(super) use settings::{is_kept, set, show};

use super::Call;
use super::duplicate::{duplicate, newest};
use super::put::{Put, Stored};
use super::resource::ObjectName;
use super::versions::{self, Config};
use crate::error::Error;

/// Why a container is not told to keep versions; the texts are Swift's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// Both modes at once: 400.
    #[error("Only one of x-versions-location or x-history-location may be specified")]
    BothModes,
    /// The operator does not allow it: 412.
    #[error("Versioned Writes is disabled")]
    Disabled,
    /// The other container has no name: 412.
    #[error("Container name cannot be empty")]
    Empty,
    /// The other container's name is none: 412.
    #[error("Container name cannot contain slashes")]
    WithSlash,
}

/// What `/info` says.
pub fn info(config: &Config) -> Option<Value> {
    config.allow_versioned_writes.then(|| json!({ "allowed_flags": ["x-versions-location", "x-history-location"] }))
}

/// What a DELETE does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Stack,
    History,
}

/// Where a container keeps its versions, and how.
#[derive(Clone, Debug)]
struct Location {
    container: String,
    mode: Mode,
}

impl Location {
    async fn of(call: Call<'_>, name: &ObjectName) -> Result<Option<Self>, Error> {
        if !call.proxy.config.versioned_writes.allow_versioned_writes {
            return Ok(None);
        }
        let info = call.proxy.client.container_info(&name.account, &name.container).await?;
        Ok(info.found().and_then(Self::said_by))
    }

    fn said_by(info: &Arc<ContainerInfo>) -> Option<Self> {
        let kept = info.sysmeta.get("versions-location").or(info.versions.as_ref())?;
        let decoded = percent_decode_str(kept).decode_utf8().ok()?;
        let container = decoded.split('/').next().filter(|name| !name.is_empty())?.to_owned();
        let is_history = info.sysmeta.get("versions-mode").is_some_and(|mode| mode == "history");
        Some(Self { container, mode: if is_history { Mode::History } else { Mode::Stack } })
    }

    /// A version of an object.
    fn version(&self, of: &ObjectName, written: Timestamp) -> ObjectName {
        let object = format!("{}{}", prefix(&of.object), written.internal());
        ObjectName { account: of.account.clone(), container: self.container.as_str().into(), object: object.into() }
    }
}

/// What the names of an object's versions begin with.
fn prefix(object: &str) -> String {
    format!("{:03x}{object}/", object.len())
}

/// Stores an object, after what was at its name was copied away where versions are kept.
///
/// # Errors
/// As [`versions::put`], and 412 or 503 when the copy cannot be made.
pub(super) async fn put(call: Call<'_>, put: Put) -> Result<Stored, Error> {
    if let Some(location) = Location::of(call, &put.name).await? {
        keep(call, &location, &put.name).await?;
    }
    versions::put(call, put).await
}

/// Copies what is at a name to where versions are kept.
async fn keep(call: Call<'_>, location: &Location, name: &ObjectName) -> Result<(), Error> {
    if let Some(current) = newest(call, name).await.map_err(refused)? {
        let version = location.version(name, written(&current));
        duplicate(call, current, version).await.map_err(refused)?;
    }
    Ok(())
}

fn written(current: &Response<Body>) -> Timestamp {
    let stamp = current.headers().get(TIMESTAMP);
    stamp.and_then(|stamp| stamp.to_str().ok()?.parse().ok()).unwrap_or_default()
}

/// What a step beside the request's own is refused with: 412 if it is the containers' doing, 503 if it is the cluster's.
fn refused(error: Error) -> Error {
    tracing::debug!(%error, "a version cannot be kept");
    match error {
        Error::Body(_) => Error::Unavailable,
        Error::Refused(status, _) if status.is_server_error() => Error::Unavailable,
        Error::Unavailable => error,
        _ => Error::Refused(StatusCode::PRECONDITION_FAILED, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_swifts() {
        let location = Location { container: "v".into(), mode: Mode::Stack };
        let name = ObjectName { account: "a".into(), container: "c".into(), object: "dir/é".into() };
        let version = location.version(&name, "1712345678.12345".parse().unwrap());
        assert_eq!((&*version.container, &*version.object), ("v", "006dir/é/1712345678.12345"));
    }

    #[test]
    fn the_place_is_in_sysmeta_or_where_older_clusters_had_it() {
        let info = |sysmeta: &[(&str, &str)], versions: Option<&str>| {
            let sysmeta = sysmeta.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let info = ContainerInfo { sysmeta, versions: versions.map(str::to_owned), ..ContainerInfo::default() };
            Location::said_by(&Arc::new(info)).map(|l| (l.container, l.mode))
        };
        assert_eq!(info(&[], None), None);
        assert_eq!(info(&[], Some("a%20b/c")), Some(("a b".into(), Mode::Stack)));
        let history = [("versions-location", "v"), ("versions-mode", "history")];
        assert_eq!(info(&history, Some("w")), Some(("v".into(), Mode::History)));
    }
}
