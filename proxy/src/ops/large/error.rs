//! Why a large object cannot be stored, read or deleted.

use super::put::Problem;

/// Why. Texts are what clients of Swift read.
#[derive(Debug, thiserror::Error)]
pub enum LargeError {
    /// The manifest is longer than it may be.
    #[error("Manifest File > {0} bytes")]
    ManifestTooLong(usize),
    /// The manifest has more objects than it may have.
    #[error("Number of object-backed segments must be <= {0}")]
    TooManySegments(usize),
    /// Segments are not what the manifest says, or may not be.
    #[error("segments cannot be used")]
    Problems(Vec<Problem>),
    /// The `ETag` of the request is not the large object's.
    #[error("the ETag is not that of the segments")]
    Etag,
    /// A stored manifest cannot be read.
    #[error("Unable to load SLO manifest")]
    Unreadable,
    /// The first segment is missing, may not be read, or changed since the manifest was stored.
    #[error("a segment is not what the manifest says: {0}")]
    Segment(String),
    /// A part number that is none.
    #[error("Part number must be an integer greater than 0")]
    PartNumber,
    /// A part of a part.
    #[error("Range requests are not supported with part number queries")]
    PartRange,
    /// `X-Object-Manifest` of a PUT that names no prefix.
    #[error("X-Object-Manifest must be in the format container/prefix")]
    DynamicManifest,
    /// What shall be deleted with its segments is not there.
    #[error("SLO manifest not found")]
    NoManifest,
    /// What shall be deleted with its segments has none.
    #[error("Not an SLO manifest")]
    NotAManifest,
    /// Segments to delete in the background are in several containers, which are named.
    #[error("All segments must be in one container. Found segments in {0}")]
    SeveralContainers(String),
    /// Segments to delete in the background have segments themselves.
    #[error("No segments may be large objects.")]
    Nested,
}
