//! Large objects: objects whose bytes are those of other objects, their segments.
//!
//! A *static* large object (SLO) is a manifest that lists its segments, with their lengths and ETags. A *dynamic* one
//! (DLO) is an object with an `X-Object-Manifest` header that names a container and a prefix: its segments are whatever
//! is listed there when it is read. A read goes through `slo`, then `dlo`, then to what is stored; each takes over
//! where what comes from below is one of its own. Segments are read for the same client, who must be allowed to.

mod answer;
mod config;
pub mod delete;
mod dlo;
mod error;
mod examine;
mod expire;
pub mod manifest;
pub mod put;
mod slo;
mod stream;
mod walk;

use std::num::NonZeroU32;

use http::{HeaderMap, HeaderName};

use apus_base::body::Body;
use http::Response;

use super::Call;
use super::get::Read;
use super::headers::{IGNORE_RANGE, LISTED_ETAG, SLO_SIZE, append};
use super::resource::ObjectName;
use super::versions::Version;
use crate::error::Error;

pub use config::{DloConfig, SloConfig};
pub use dlo::check_manifest_header;
pub use error::LargeError;
use manifest::Segment;

/// Says of a stored object that it is the manifest of a static large object.
pub const STATIC: HeaderName = HeaderName::from_static("x-static-large-object");
/// Names the container and the prefix of a dynamic large object's segments.
pub const DYNAMIC: HeaderName = HeaderName::from_static("x-object-manifest");
/// In answers to reads of one part: how many there are.
pub const PARTS_COUNT: HeaderName = HeaderName::from_static("x-parts-count");

/// In answers to reads of one part: its checksum, where the manifest has it.
pub const PART_CHECKSUM: HeaderName = HeaderName::from_static("x-backend-part-checksum");

/// The ETag of a static large object, kept beside its manifest.
pub(super) const SLO_ETAG: HeaderName = HeaderName::from_static("x-object-sysmeta-slo-etag");
/// The ETag that an object has for S3 if it was uploaded in parts there.
pub const S3_ETAG: HeaderName = HeaderName::from_static("x-object-sysmeta-s3api-etag");
/// The checksum that an object has for S3; that of one which was uploaded in parts may be one of their checksums, `…-3`.
pub const S3_CHECKSUM: HeaderName = HeaderName::from_static(S3_CHECKSUM_NAME);
/// Its name.
pub const S3_CHECKSUM_NAME: &str = "x-object-sysmeta-s3api-checksum";
/// The upload that such an object came from.
pub const UPLOAD_ID: HeaderName = HeaderName::from_static("x-object-sysmeta-s3api-upload-id");
/// What the container of a bucket's parts is called behind the bucket's name.
pub const SEGMENTS: &str = "+segments";
/// Where object servers find the ETag that conditions mean.
const ETAG_IS_AT: HeaderName = HeaderName::from_static("x-backend-etag-is-at");

/// How a large object is looked at. For other objects it makes no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// What it stands for.
    #[default]
    Contents,
    /// One segment of a static one, from 1; a number that makes no sense is an error only there.
    Part(Option<NonZeroU32>),
    /// What is stored.
    Manifest,
    /// A static one's manifest, in the form in which clients send it.
    RawManifest,
}

impl View {
    /// Whether what is stored is wanted, not what it stands for.
    fn is_of_manifest(self) -> bool {
        matches!(self, Self::Manifest | Self::RawManifest)
    }
}

/// Reads an object, as [`Read::view`] says.
pub(super) async fn read(call: Call<'_>, read: &Read) -> Result<Response<Body>, Error> {
    slo::read(call, read).await
}

/// The segments of a static large object.
///
/// # Errors
/// As [`get`](super::get::get), and when it is none.
pub async fn segments(call: Call<'_>, name: ObjectName, version: Option<Version>) -> Result<Vec<Segment>, Error> {
    Ok(slo::fetch(call.owned(), name, version).await?.manifest.0)
}

/// Whether an answer is about a static large object or its manifest.
pub fn is_static(headers: &HeaderMap) -> bool {
    crate::constraints::is_true(headers, STATIC.as_str())
}

/// Takes away what makes an object a large one: its copy is none.
pub(super) fn make_plain(headers: &mut HeaderMap) {
    for name in [STATIC, DYNAMIC, SLO_ETAG, SLO_SIZE, LISTED_ETAG, S3_ETAG, UPLOAD_ID] {
        headers.remove(name);
    }
    if headers.get(S3_CHECKSUM).is_some_and(|checksum| checksum.as_bytes().contains(&b'-')) {
        headers.remove(S3_CHECKSUM);
    }
}
