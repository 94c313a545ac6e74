//! The places, in order, where the crash tests kill a server that writes.

/// The points of one kind of write.
#[derive(Debug)]
pub(super) struct Points {
    /// The body is in the page cache of a file without a name.
    pub(super) written: &'static str,
    /// The metadata too.
    pub(super) described: &'static str,
    /// The object's folder is made.
    pub(super) folder_made: &'static str,
    /// The file is on stable storage, still without a name.
    pub(super) file_flushed: &'static str,
    /// The way to the folder is on stable storage.
    pub(super) folder_flushed: &'static str,
    /// The file has its name.
    pub(super) linked: &'static str,
    /// The name is on stable storage: from here on the new version is read.
    pub(super) link_flushed: &'static str,
    /// The older files are gone.
    pub(super) cleaned: &'static str,
}

macro_rules! points {
    ($name:ident, $write:literal) => {
        pub(super) const $name: Points = Points {
            written: concat!("object.", $write, ".written"),
            described: concat!("object.", $write, ".described"),
            folder_made: concat!("object.", $write, ".folder_made"),
            file_flushed: concat!("object.", $write, ".file_flushed"),
            folder_flushed: concat!("object.", $write, ".folder_flushed"),
            linked: concat!("object.", $write, ".linked"),
            link_flushed: concat!("object.", $write, ".link_flushed"),
            cleaned: concat!("object.", $write, ".cleaned"),
        };
    };
}

points!(PUT, "put");
points!(POST, "post");
points!(DELETE, "delete");
points!(RECEIVE, "receive");

/// New metadata of a version is on stable storage, without a name.
pub(super) const REWRAP_FILE_FLUSHED: &str = "object.rewrap.file_flushed";
/// It has its name.
pub(super) const REWRAP_LINKED: &str = "object.rewrap.linked";
/// Its name is on stable storage: from here on it is read.
pub(super) const REWRAP_LINK_FLUSHED: &str = "object.rewrap.link_flushed";
/// The version's own metadata is gone, the new not yet in its place.
pub(super) const REWRAP_HALF_CLEANED: &str = "object.rewrap.half_cleaned";
/// The new is in its place, and on stable storage.
pub(super) const REWRAP_CLEANED: &str = "object.rewrap.cleaned";

/// A fence is on stable storage, without a name.
pub(super) const FENCE_FLUSHED: &str = "object.fence.file_flushed";
/// It has its name.
pub(super) const FENCE_LINKED: &str = "object.fence.linked";
/// Its name is on stable storage: from here on the promise stands.
pub(super) const FENCE_LINK_FLUSHED: &str = "object.fence.link_flushed";

/// A body is held for a commit, and nobody has been told.
pub(crate) const HELD: &str = "object.hold.held";

/// Before a container update is sent, the object being on stable storage.
pub(crate) const BEFORE_UPDATE: &str = "object.update.before";
/// A container update is to be kept, and its file is on stable storage without a name.
pub(super) const PENDING_FLUSHED: &str = "object.pending.file_flushed";
/// Its file has its name.
pub(super) const PENDING_LINKED: &str = "object.pending.linked";
/// Its name is on stable storage.
pub(super) const PENDING_LINK_FLUSHED: &str = "object.pending.link_flushed";
/// All is done; nothing is acknowledged yet.
pub(crate) const BEFORE_ANSWER: &str = "object.answer.before";

/// Every point, so that the crash tests can go through them.
pub const CRASH_POINTS: &[&str] = &[
    PUT.written,
    PUT.described,
    PUT.folder_made,
    PUT.file_flushed,
    PUT.folder_flushed,
    PUT.linked,
    PUT.link_flushed,
    PUT.cleaned,
    POST.written,
    POST.described,
    POST.folder_made,
    POST.file_flushed,
    POST.folder_flushed,
    POST.linked,
    POST.link_flushed,
    POST.cleaned,
    DELETE.written,
    DELETE.described,
    DELETE.folder_made,
    DELETE.file_flushed,
    DELETE.folder_flushed,
    DELETE.linked,
    DELETE.link_flushed,
    DELETE.cleaned,
    REWRAP_FILE_FLUSHED,
    REWRAP_LINKED,
    REWRAP_LINK_FLUSHED,
    REWRAP_HALF_CLEANED,
    REWRAP_CLEANED,
    HELD,
    FENCE_FLUSHED,
    FENCE_LINKED,
    FENCE_LINK_FLUSHED,
    BEFORE_UPDATE,
    PENDING_FLUSHED,
    PENDING_LINKED,
    PENDING_LINK_FLUSHED,
    BEFORE_ANSWER,
];

/// The points of a batch of files that another node pushes.
pub const RECEIVE_CRASH_POINTS: &[&str] = &[
    RECEIVE.written,
    RECEIVE.folder_made,
    RECEIVE.folder_flushed,
    RECEIVE.linked,
    RECEIVE.link_flushed,
    RECEIVE.cleaned,
];

#[cfg(test)]
mod tests;
