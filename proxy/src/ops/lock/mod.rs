//! Object lock: versions that nobody removes before their time ([`apus_base::object_lock`]).
//!
//! A container with object lock keeps versions for ever ([`versions`](super::versions)), so that nothing is overwritten: what
//! could take a version away is only its deletion by its id. It is refused here, below both faces, so that it makes no
//! difference who asks, and how: one by one, in bulk, together with segments, or by S3.
//!
//! # What is promised
//!
//! While a version is locked,
//!
//! - no request through either face removes it, whoever sends it; what governance retains, those may who have the right to
//!   and say so (S3 only);
//! - its lock stays through any change of its metadata: a POST brings it again. What it was written with is kept with its
//!   data, which no POST touches at all;
//! - it does not expire. Versions never do; one from before versions were kept loses its expiry when it is locked, and gets
//!   no new one. An `X-Delete-At` of the current version takes its name away, not the version;
//! - its parts stay, if it was uploaded in parts through S3: through the containers of parts (`bucket+segments`) nobody writes
//!   but uploads themselves, and parts go with the object only that they were uploaded for. What a large object of *Swift's*
//!   clients is made of are objects of their own: they are locked if their own container has object lock;
//! - its container cannot be deleted, since it is not empty; versions stay switched on, and container sync, like the old way of
//!   keeping versions, stays off.
//!
//! Whoever deletes an *account* (only those who may do everything do) deletes what is locked in it too: the reaper asks
//! nobody. That is so on AWS as well. Operators who remove files from disks are not stopped by anything.
//!
//! # A lock is put while a deletion is under way
//!
//! A deletion asks a majority of the primaries what keeps the version, and then removes it. Whoever puts a lock has it
//! written by a majority, and then asks a majority whether the version is still there. So
//!
//! - a deletion that begins after a lock was acknowledged is refused, also while a minority of the primaries is down; with
//!   less than a majority it is 503;
//! - a lock that is put after a deletion was acknowledged is refused: 404;
//! - of two that overlap, nearly always one is refused. The rest is a deletion that has asked just before the lock was
//!   written, and removes just after the lock's last look: then both are acknowledged and the version is gone, as if the
//!   lock had come first and ended at once. What was written *with* a lock is never in this race: there is no moment without it.
//!
//! # Two changes of metadata at once
//!
//! Locks, tags and POSTs are read and written again as a whole ([`annotate`](super::annotate)), and of two at once the later
//! one wins with all that it read. Whoever puts a lock looks whether it is there afterwards, and answers 409 if not; but a
//! change that has read before the lock was written and is written after that look undoes the *change* of the lock. Then
//! what was there before it counts, and never less than the version was written with. A version from before versions were
//! kept is copied when it is first overwritten, and a lock that is put just then may not be copied with it; whoever puts it
//! hears 409, unless the copy was read before the lock was written and its name changes after the lock's last look.
//!
//! # A rule is put while objects are written
//!
//! Proxies remember what containers say for a minute. Until then another proxy may write without the container's default, and
//! not yet know that the container has object lock; to remove a version by its id it always asks for its lock.

mod change;
mod guard;
mod rule;

use http::StatusCode;
use http::request::Parts;

pub use apus_base::object_lock::{Lock, Mode, Retention};
pub use change::change;
pub(super) use guard::{at_write, check, check_container, check_large, check_parts, check_queued, is_protected, kept};
pub use rule::{BadPeriod, KEPT, Period, Rule};

/// Why something is not done to what is locked, or where locks are. The texts are those of AWS, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It is locked.
    #[error("Access Denied because object protected by object lock.")]
    Locked,
    /// Parts of uploads are changed by uploads only.
    #[error("Access Denied because the parts of objects are protected by object lock.")]
    Parts,
    /// There are no locks without object lock.
    #[error("Bucket is missing Object Lock Configuration")]
    NotEnabled,
    /// Versions are kept for ever.
    #[error("An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")]
    Versioning,
    /// Nothing but the cluster's own way of keeping versions goes with it.
    #[error("The bucket keeps versions in another way too, or is copied elsewhere, and cannot have object lock.")]
    Unfit,
    /// Another write came between: it may be tried again.
    #[error("A conflicting operation is under way on the object. Try again.")]
    Overtaken,
}

impl LockError {
    /// The status of an answer with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Locked | Self::Parts => StatusCode::FORBIDDEN,
            Self::NotEnabled => StatusCode::BAD_REQUEST,
            Self::Versioning | Self::Unfit | Self::Overtaken => StatusCode::CONFLICT,
        }
    }
}

/// In the extensions of a request: who sends it has the right to remove what governance retains, and says so.
#[derive(Clone, Copy, Debug)]
struct Bypass;

/// In the extensions of a request: it is one about an upload in parts.
#[derive(Clone, Copy, Debug)]
struct OfUpload;

/// The request, with the right to remove what governance retains.
pub fn bypassing(mut parts: Parts) -> Parts {
    parts.extensions.insert(Bypass);
    parts
}

/// The request, which may write where parts of uploads are.
pub fn of_upload(parts: &Parts) -> Parts {
    let mut parts = parts.clone();
    parts.extensions.insert(OfUpload);
    parts
}

fn has_bypass(parts: &Parts) -> bool {
    parts.extensions.get::<Bypass>().is_some()
}
