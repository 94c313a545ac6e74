//! The rows of listings on their way from the container servers to whoever asked: cut out of the JSON as it arrives,
//! changed one by one, and never held all at once by those who only pass them on.

use apus_base::wire::header::PLAIN_ROWS;
use http::HeaderMap;

mod cut;
mod object;
mod stream;

pub(crate) use cut::{BadListing, Rows};
pub(crate) use object::{Entry, Object};
pub(super) use object::{Hash, shaped};
pub(crate) use stream::collect;
pub(super) use stream::{Written, map};

/// Whether a container server says that nothing has to be done to the rows that it lists.
pub(crate) fn are_plain(headers: &HeaderMap) -> bool {
    headers.contains_key(PLAIN_ROWS)
}
