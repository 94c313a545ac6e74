//! The rows of listings on their way from the container servers to whoever asked: cut out of the JSON as it arrives,
//! changed one by one, and never held all at once by those who only pass them on.

mod cut;
mod object;
mod stream;

pub(crate) use cut::{BadListing, Rows};
pub(super) use object::{Entry, Hash, Object, shaped};
pub(super) use stream::{Written, collect, map};
