//! What the cluster keeps with an object beside its data, and changes without a new version of it: tags and locks.
//!
//! It is read and written again together with the client's own metadata, because storage servers replace all that they can
//! replace. Of two who do this at once, or of one and a client's POST, the later one wins with all that it read; data,
//! content type and system metadata are never touched. The listing is not told: what it shows does not change.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Call;
use super::get::{Read, get, sealed};
use super::headers::{is_object_sysmeta, pick, stored};
use super::post::{UNLISTED, replace};
use super::put::DELETE_AT;
use super::resource::{ObjectName, Resource};
use super::versions::{self, Version};
use crate::error::Error;

/// The tags of an object.
pub const TAGS: HeaderName = HeaderName::from_static("x-object-transient-sysmeta-s3api-tags");

/// Changes items of an object, or of one of its versions: `change` is given its headers, and those that it will have. Gives
/// the headers that the object had.
///
/// # Errors
/// When the caller may not, there is no such version, it is a link, or too few servers can do it; and those of `change`.
pub async fn annotate(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    change: impl FnOnce(&HeaderMap, &mut HeaderMap) -> Result<(), Error>,
) -> Result<HeaderMap, Error> {
    call.authorize(&Method::POST, &Resource::Object(name.clone())).await?;
    let read = Read { version, newest: true, ..Read::asked(name.clone(), Method::HEAD, &HeaderMap::new(), false) };
    let found = get(call, read).await?;
    let place = versions::place(call, name, found.headers()).await?;
    let mut headers = kept(found.headers());
    change(found.headers(), &mut headers)?;
    headers.insert(UNLISTED, HeaderValue::from_static("true"));
    replace(call, &place, &headers).await?;
    Ok(found.headers().clone())
}

/// A client's POST of what is at a name, with the tags that are there: clients of Swift do not know them, and cannot bring them again.
///
/// # Errors
/// When it is not known what is there.
pub(super) async fn with_tags(call: Call<'_>, name: &ObjectName, request: &HeaderMap) -> Result<HeaderMap, Error> {
    let mut request = request.clone();
    let read = Read::asked(name.clone(), Method::HEAD, &HeaderMap::new(), true);
    match sealed(call, &read).await {
        Ok(found) => request.extend(found.headers().get(&TAGS).map(|tags| (TAGS, tags.clone()))),
        // Who changes it says so.
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    Ok(request)
}

/// What a POST would take away if it did not bring it.
fn kept(found: &HeaderMap) -> HeaderMap {
    let mut headers = pick(&stored(found), |name| !is_object_sysmeta(name));
    if let Some(expiry) = found.get(DELETE_AT) {
        headers.insert(DELETE_AT, expiry.clone());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_post_replaces_is_brought_again() {
        let pairs = [
            ("x-object-meta-a", "1"),
            ("x-object-transient-sysmeta-b", "2"),
            ("content-encoding", "gzip"),
            ("x-delete-at", "4102444800"),
            ("x-object-sysmeta-c", "3"),
            ("content-type", "a/b"),
            ("etag", "e"),
        ];
        let found: HeaderMap =
            pairs.into_iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        let kept = kept(&found);
        let mut names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-encoding", "x-delete-at", "x-object-meta-a", "x-object-transient-sysmeta-b"]);
    }
}
