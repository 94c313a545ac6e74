//! What a link says: read from a request or from what is stored, and written into what is to be stored. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::EMPTY_MD5;
use crate::ops::headers::LISTED_ETAG;
use crate::ops::resource::ObjectName;
use crate::ops::rows::Hash;
use crate::swift::response::QUOTED;

/// By which clients set and see a link. Names in them are percent-encoded.
const TARGET: HeaderName = HeaderName::from_static("x-symlink-target");
const TARGET_ACCOUNT: HeaderName = HeaderName::from_static("x-symlink-target-account");
const TARGET_ETAG: HeaderName = HeaderName::from_static("x-symlink-target-etag");
const TARGET_BYTES: HeaderName = HeaderName::from_static("x-symlink-target-bytes");

/// Where it is kept.
pub(super) const KEPT_TARGET: HeaderName = HeaderName::from_static("x-object-sysmeta-symlink-target");
const KEPT_ACCOUNT: HeaderName = HeaderName::from_static("x-object-sysmeta-symlink-target-account");
const KEPT_ETAG: HeaderName = HeaderName::from_static("x-object-sysmeta-symlink-target-etag");
const KEPT_BYTES: HeaderName = HeaderName::from_static("x-object-sysmeta-symlink-target-bytes");
/// Links of the cluster's own: one that does not count as a step from link to link, and one to a reserved name.
const EXTENDS: HeaderName = HeaderName::from_static("x-object-sysmeta-symloop-extend");
const RESERVED: HeaderName = HeaderName::from_static("x-object-sysmeta-allow-reserved-names");

const SHOWN: [(HeaderName, HeaderName); 4] =
    [(TARGET, KEPT_TARGET), (TARGET_ACCOUNT, KEPT_ACCOUNT), (TARGET_ETAG, KEPT_ETAG), (TARGET_BYTES, KEPT_BYTES)];

/// Why a request's link makes no sense; the texts are Swift's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    /// 412.
    #[error("X-Symlink-Target header must be of the form <container name>/<object name>")]
    Target,
    /// 412.
    #[error("Account name cannot be empty")]
    NoAccount,
    /// 412.
    #[error("Account name cannot contain slashes")]
    AccountWithSlash,
    /// 400.
    #[error("Symlink cannot target itself")]
    Itself,
    /// 400.
    #[error("Bad X-Symlink-Target-Etag format")]
    Etag,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// `container/object`, percent-encoded.
    pub target: String,
    /// The target's account, percent-encoded, if it is not the link's own.
    pub account: Option<String>,
    /// What a static link says of its target: its ETag,
    pub etag: Option<String>,
    /// and its length.
    pub bytes: Option<u64>,
    /// Whether it does not count as a step from link to link.
    pub extends: bool,
    /// Whether it may point to a reserved name. Who may read it may read its target.
    pub reserved: bool,
}

impl Link {
    /// The link that a request wants to be at `name`, if it wants one.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn asked(request: &HeaderMap, name: &ObjectName) -> Result<Option<Self>, InvalidLink> {
        let Some(value) = request.get(TARGET) else {
            return Ok(None);
        };
        let (container, object) = target(value).ok_or(InvalidLink::Target)?;
        let account = request.get(TARGET_ACCOUNT).map(account).transpose()?;
        let own = (&*name.account, &*name.container, &*name.object);
        if (account.as_deref().unwrap_or(own.0), &*container, &*object) == own {
            return Err(InvalidLink::Itself);
        }
        let etag = request.get(TARGET_ETAG).map(etag).transpose()?.filter(|etag| !etag.is_empty());
        let account = account.map(|account| quoted(&account));
        Ok(Some(Self { target: quoted(&format!("{container}/{object}")), account, etag, ..Self::default() }))
    }

    /// A link of the cluster's own to an object that clients cannot name.
    pub fn to_reserved(name: &ObjectName, etag: String, bytes: u64) -> Self {
        let target = quoted(&format!("{}/{}", name.container, name.object));
        Self { target, account: None, etag: Some(etag), bytes: Some(bytes), extends: true, reserved: true }
    }

    /// The link that an object with these headers is, if it is one.
    pub fn of(stored: &HeaderMap) -> Option<Self> {
        Some(Self {
            target: text(stored, &KEPT_TARGET)?,
            account: text(stored, &KEPT_ACCOUNT),
            etag: text(stored, &KEPT_ETAG),
            bytes: text(stored, &KEPT_BYTES).and_then(|bytes| bytes.parse().ok()),
            extends: crate::constraints::is_true(stored, EXTENDS.as_str()),
            reserved: stored.contains_key(RESERVED),
        })
    }

    /// Whether a request says anything of a target.
    pub fn is_asked(request: &HeaderMap) -> bool {
        request.contains_key(TARGET)
    }

    /// Whether it is one of the headers by which a request says what link it wants.
    pub fn is_of_request(name: &HeaderName) -> bool {
        [TARGET, TARGET_ACCOUNT, TARGET_ETAG].contains(name)
    }

    /// Shows clients what is kept, where they set it.
    pub(super) fn show(headers: &mut HeaderMap) {
        for (shown, kept) in &SHOWN {
            if let Some(value) = headers.remove(kept) {
                headers.insert(shown, value);
            }
        }
    }

    /// Its target, seen from a link in `own_account`. `None` if what is stored names nothing.
    pub fn points_to(&self, own_account: &str) -> Option<ObjectName> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let target = decode(self.target.trim_start_matches('/'))?;
        let (container, object) = target.split_once('/').filter(|(c, o)| !c.is_empty() && !o.is_empty())?;
        let account = self.account.as_deref().map_or(Some(own_account.to_owned()), decode)?;
        Some(ObjectName { account: account.into(), container: container.into(), object: object.into() })
    }

    /// The path of its target in the API, percent-encoded.
    pub fn path(&self, own_account: &str) -> String {
        let account = self.account.clone().unwrap_or_else(|| quoted(own_account));
        format!("{}/{account}/{}", super::ROOT, self.target.trim_start_matches('/'))
    }

    /// Writes it into the headers of the object that shall be it, and for the listing behind its hash.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        [TARGET, TARGET_ACCOUNT, TARGET_ETAG].iter().for_each(|name| drop(headers.remove(name)));
        let listed = headers.get(LISTED_ETAG).and_then(|etag| etag.to_str().ok());
        let mut listed = Hash::parse(listed.unwrap_or(EMPTY_MD5)).without("symlink_target");
        let bytes = self.bytes.map(|bytes| bytes.to_string());
        let items = [
            (KEPT_TARGET, "symlink_target", Some(&self.target)),
            (KEPT_ACCOUNT, "symlink_target_account", self.account.as_ref()),
            (KEPT_ETAG, "symlink_target_etag", self.etag.as_ref()),
            (KEPT_BYTES, "symlink_target_bytes", bytes.as_ref()),
        ];
        for (kept, parameter, value) in items {
            headers.remove(&kept);
            if let Some(value) = value {
                insert(headers, kept, value);
                listed.push(parameter, value);
            }
        }
        // A copy of one of the cluster's own links is the client's: what it has of the source's rights goes.
        for (name, is) in [(EXTENDS, self.extends), (RESERVED, self.reserved)] {
            headers.remove(&name);
            if is {
                headers.insert(name, HeaderValue::from_static("true"));
            }
        }
        insert(headers, LISTED_ETAG, &listed.to_string());
    }
}

/// A text that came in a header, or is percent-encoded, fits one.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn quoted(name: &str) -> String {
    utf8_percent_encode(name, QUOTED).to_string()
}

fn decoded(value: &HeaderValue) -> Option<String> {
    let text = percent_encoding::percent_decode(value.as_bytes()).decode_utf8().ok()?;
    (!text.contains('\0')).then(|| text.into_owned())
}

fn target(value: &HeaderValue) -> Option<(String, String)> {
    let decoded = decoded(value)?;
    let (container, object) = decoded.split_once('/').filter(|(c, o)| !c.is_empty() && !o.is_empty())?;
    Some((container.to_owned(), object.to_owned()))
}

fn account(value: &HeaderValue) -> Result<String, InvalidLink> {
    let account = decoded(value).filter(|account| !account.is_empty()).ok_or(InvalidLink::NoAccount)?;
    if account.contains('/') { Err(InvalidLink::AccountWithSlash) } else { Ok(account) }
}

/// An ETag, quoted or not. It becomes a parameter in the listing, so what ends a parameter is not in it.
fn etag(value: &HeaderValue) -> Result<String, InvalidLink> {
    let text = value.to_str().map_err(|_| InvalidLink::Etag)?;
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = inner.unwrap_or(text);
    if text.contains([';', '"', '\\']) { Err(InvalidLink::Etag) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_str(v).unwrap())).collect()
    }

    fn name() -> ObjectName {
        ObjectName { account: "a".into(), container: "c".into(), object: "o".into() }
    }

    fn asked(pairs: &[(&'static str, &str)]) -> Result<Option<Link>, InvalidLink> {
        Link::asked(&headers(pairs), &name())
    }

    #[test]
    fn requests() {
        assert_eq!(asked(&[("x-symlink-target-etag", "e")]), Ok(None));
        let link = asked(&[("x-symlink-target", "c/dir%2Fo p"), ("x-symlink-target-etag", "\"e\"")]).unwrap().unwrap();
        assert_eq!((link.target.as_str(), link.etag.as_deref()), ("c/dir/o%20p", Some("e")));
        assert_eq!((link.path("A b").as_str(), link.bytes), ("/v1/A%20b/c/dir/o%20p", None));
        let link = asked(&[("x-symlink-target", "c/o"), ("x-symlink-target-account", "b%20")]).unwrap().unwrap();
        assert_eq!(link.points_to("a").unwrap(), ObjectName { account: "b ".into(), ..name() });
        for (target, account, etag, why) in [
            ("/c/o", "b", "", InvalidLink::Target),
            ("c", "b", "", InvalidLink::Target),
            ("c/", "b", "", InvalidLink::Target),
            ("%00c/%00o", "b", "", InvalidLink::Target),
            ("c/%ff", "b", "", InvalidLink::Target),
            ("c/o", "", "", InvalidLink::NoAccount),
            ("c/o", "b%2Fc", "", InvalidLink::AccountWithSlash),
            ("c/o", "a", "", InvalidLink::Itself),
            ("c/p", "a", "a;b", InvalidLink::Etag),
            ("c/p", "a", "\"", InvalidLink::Etag),
        ] {
            let pairs =
                [("x-symlink-target", target), ("x-symlink-target-account", account), ("x-symlink-target-etag", etag)];
            assert_eq!(asked(&pairs), Err(why), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_stored_is_swifts() {
        let mut stored = headers(&[(
            "x-object-sysmeta-container-update-override-etag",
            "m; slo_etag=s; symlink_target=old; symlink_target_etag=x",
        )]);
        let hidden = ObjectName { account: "a".into(), container: "\0c".into(), object: "\0o".into() };
        let link = Link::to_reserved(&hidden, "e".into(), 7);
        link.write(&mut stored);
        let listed = "m; slo_etag=s; symlink_target=%00c/%00o; symlink_target_etag=e; symlink_target_bytes=7";
        assert_eq!(stored[LISTED_ETAG], listed);
        assert_eq!(stored["x-object-sysmeta-symlink-target"], "%00c/%00o");
        assert_eq!((Link::of(&stored), link.points_to("a")), (Some(link.clone()), Some(hidden)));
        Link::show(&mut stored);
        assert_eq!(
            (&stored["x-symlink-target"], &stored["x-symlink-target-bytes"]),
            (&"%00c/%00o".parse().unwrap(), &HeaderValue::from(7))
        );
        assert_eq!(Link::of(&stored), None);
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(target in "[ -~]{0,30}|[a-c/%0F]{0,12}", account in "[ -~]{0,9}", etag in "[ -~]{0,9}") {
            let pairs = [("x-symlink-target", target.as_str()), ("x-symlink-target-account", &account), ("x-symlink-target-etag", &etag)];
            if let Ok(Some(link)) = asked(&pairs) {
                let mut stored = HeaderMap::new();
                link.write(&mut stored);
                prop_assert!(link.points_to("a").is_some());
                prop_assert_eq!(Link::of(&stored), Some(link));
            }
        }
    }
}
