//! Which headers of a request change a resource, and which are only for its owner. Pure.

use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::constraints::{Level, is_item_of};

/// What only owners see and set: ACLs, and the keys by which others act in the owner's name.
const OWNER_ONLY: [&str; 9] = [
    "x-container-read",
    "x-container-write",
    "x-container-sync-key",
    "x-container-sync-to",
    "x-account-meta-temp-url-key",
    "x-account-meta-temp-url-key-2",
    "x-container-meta-temp-url-key",
    "x-container-meta-temp-url-key-2",
    "x-account-access-control",
];

/// Headers of a container beside its metadata.
const OF_CONTAINERS: [&str; 5] =
    ["x-container-read", "x-container-write", "x-container-sync-key", "x-container-sync-to", "x-versions-location"];

/// Headers of an object beside its metadata, its content type and its expiry.
const OF_OBJECTS: [HeaderName; 7] = [
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    EXPIRES,
    HeaderName::from_static("x-object-manifest"),
    HeaderName::from_static("x-robots-tag"),
];

/// What the listing shows for an object's ETag.
pub const LISTED_ETAG: HeaderName = HeaderName::from_static("x-object-sysmeta-container-update-override-etag");
/// The length that a static large object adds up to.
pub(super) const SLO_SIZE: HeaderName = HeaderName::from_static("x-object-sysmeta-slo-size");
/// Names of metadata; a range of an object that has one of them is not its own, so its servers send all of it.
pub(super) const IGNORE_RANGE: HeaderName = HeaderName::from_static("x-backend-ignore-range-if-metadata-present");

/// Metadata of objects that a POST replaces and clients do not see.
const TRANSIENT_SYSMETA: &str = "x-object-transient-sysmeta-";

/// Takes away what only owners see.
pub fn hide_owners(headers: &mut HeaderMap) {
    for name in OWNER_ONLY {
        headers.remove(name);
    }
}

/// What a request changes in an account or a container: its metadata merges item by item, and an empty value removes
/// one. `X-Remove-Container-Meta-Color` is the same as an empty `X-Container-Meta-Color`.
pub fn changes(request: &HeaderMap, level: Level, owner: bool) -> HeaderMap {
    let mut changes = HeaderMap::new();
    for removed in request.keys().filter_map(removed_by) {
        if is_changeable(&removed, level) {
            changes.insert(removed, HeaderValue::from_static(""));
        }
    }
    for (name, value) in request.iter().filter(|(name, _)| is_changeable(name, level)) {
        changes.insert(name.clone(), value.clone());
    }
    if !owner {
        hide_owners(&mut changes);
    }
    changes
}

fn removed_by(name: &HeaderName) -> Option<HeaderName> {
    let item = name.as_str().strip_prefix("x-remove-")?;
    HeaderName::from_bytes(format!("x-{item}").as_bytes()).ok()
}

fn is_changeable(name: &HeaderName, level: Level) -> bool {
    is_item_of(name, level.meta_prefix())
        || is_item_of(name, level.sysmeta_prefix())
        || (level == Level::Container && OF_CONTAINERS.contains(&name.as_str()))
}

/// What a request stores with an object, its content type and expiry aside.
pub fn stored(request: &HeaderMap) -> HeaderMap {
    let kept = |name: &HeaderName| is_object_meta(name) || OF_OBJECTS.contains(name);
    pick(request, kept)
}

/// Whether it is metadata of an object, the client's or the cluster's own.
pub fn is_object_meta(name: &HeaderName) -> bool {
    is_item_of(name, Level::Object.meta_prefix()) || is_object_sysmeta(name) || is_item_of(name, TRANSIENT_SYSMETA)
}

/// Whether it is metadata that the cluster keeps with an object's data.
pub fn is_object_sysmeta(name: &HeaderName) -> bool {
    is_item_of(name, Level::Object.sysmeta_prefix())
}

/// The headers whose names satisfy `kept`.
pub fn pick(headers: &HeaderMap, kept: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    headers.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The content type of an object: the request's, or what its name suggests when there is none or the client asks to.
pub fn content_type(request: &HeaderMap, object: &str, detect: bool) -> HeaderValue {
    let given = request.get(CONTENT_TYPE).filter(|value| !value.is_empty() && !detect);
    given.cloned().unwrap_or_else(|| HeaderValue::from_static(guess(object)))
}

/// A content type without the `swift_bytes` that the cluster keeps at its end.
pub fn plain_content_type(value: &HeaderValue) -> HeaderValue {
    let bytes = value.as_bytes();
    let at = bytes.iter().rposition(|b| *b == b';');
    let own = at.filter(|at| bytes[at + 1..].trim_ascii_start().starts_with(b"swift_bytes="));
    own.and_then(|at| HeaderValue::from_bytes(&bytes[..at]).ok()).unwrap_or_else(|| value.clone())
}

/// A content type without any parameters.
pub fn bare_type(value: &HeaderValue) -> HeaderValue {
    let bare = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    HeaderValue::from_bytes(bare.trim_ascii()).unwrap_or_else(|_| value.clone())
}

/// The type that the end of a name suggests. Compression is no type: `a.tar.gz` is a tar.
fn guess(name: &str) -> &'static str {
    const COMPRESSED: [&str; 5] = [".gz", ".bz2", ".xz", ".Z", ".br"];
    let base = COMPRESSED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    // The one common type for which Python, and so Swift and its tests, has another name.
    if base.len() > 4 && base.to_ascii_lowercase().ends_with(".wav") {
        return "audio/x-wav";
    }
    mime_guess::from_path(base).first_raw().unwrap_or("application/octet-stream")
}

/// Adds an item to a header that is a list.
pub(super) fn append(headers: &mut HeaderMap, name: HeaderName, item: &str) {
    let old = headers.get(&name).and_then(|value| value.to_str().ok()).filter(|old| !old.is_empty());
    let new = old.map_or_else(|| item.to_owned(), |old| format!("{old},{item}"));
    // Names of headers, separated by commas, fit one.
    if let Ok(new) = HeaderValue::try_from(new) {
        headers.insert(name, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    /// A request says, a container changes: (request, owner, changes).
    #[test]
    fn containers() {
        let cases: [(&[_], bool, &[_]); 6] = [
            (&[("x-container-meta-a", "1"), ("x-account-meta-b", "2")], true, &[("x-container-meta-a", "1")]),
            (&[("x-remove-container-meta-a", "x")], true, &[("x-container-meta-a", "")]),
            // Setting wins over removing.
            (&[("x-container-meta-a", "1"), ("x-remove-container-meta-a", "x")], true, &[("x-container-meta-a", "1")]),
            (
                &[("x-remove-container-read", "x"), ("x-container-write", "g")],
                true,
                &[("x-container-read", ""), ("x-container-write", "g")],
            ),
            (&[("x-remove-container-read", "x"), ("x-container-meta-temp-url-key", "k")], false, &[]),
            (&[("x-container-meta-", "1"), ("x-auth-token", "t"), ("x-timestamp", "1")], true, &[]),
        ];
        for (request, owner, expected) in cases {
            assert_eq!(changes(&headers(request), Level::Container, owner), headers(expected), "{request:?}");
        }
        let acl = headers(&[("x-container-read", "g"), ("x-account-meta-a", "1")]);
        assert_eq!(changes(&acl, Level::Account, true), headers(&[("x-account-meta-a", "1")]));
    }

    #[test]
    fn objects() {
        let request = headers(&[
            ("x-object-meta-a", "1"),
            ("x-object-sysmeta-b", "2"),
            ("x-object-transient-sysmeta-c", "3"),
            ("content-encoding", "gzip"),
            ("x-object-manifest", "c/o"),
            ("x-static-large-object", "True"),
            ("x-auth-token", "t"),
            ("cookie", "c"),
            ("content-type", "a/b"),
            ("etag", "e"),
        ]);
        let kept = stored(&request);
        let mut names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "content-encoding",
            "x-object-manifest",
            "x-object-meta-a",
            "x-object-sysmeta-b",
            "x-object-transient-sysmeta-c",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn types_are_guessed_by_name() {
        let none = HeaderMap::new();
        let given = headers(&[("content-type", "a/b")]);
        for (request, name, detect, expected) in [
            (&given, "o.txt", false, "a/b"),
            (&given, "o.txt", true, "text/plain"),
            (&none, "dir/o.html", false, "text/html"),
            (&none, "o.tar.gz", false, "application/x-tar"),
            (&none, "o.WAV", false, "audio/x-wav"),
            (&none, "o", false, "application/octet-stream"),
            (&none, ".gz", false, "application/octet-stream"),
            (&headers(&[("content-type", "")]), "o.png", false, "image/png"),
        ] {
            assert_eq!(content_type(request, name, detect), expected, "{name}");
        }
    }
}
