//! What containers are told about keeping versions, and what they tell of it. Pure.

use apus_base::client::ContainerInfo;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Config, HistoryError};

const LOCATION: HeaderName = HeaderName::from_static("x-versions-location");
const HISTORY: HeaderName = HeaderName::from_static("x-history-location");
const REMOVE: [&str; 2] = ["x-remove-versions-location", "x-remove-history-location"];
const KEPT_LOCATION: HeaderName = HeaderName::from_static("x-container-sysmeta-versions-location");
const KEPT_MODE: HeaderName = HeaderName::from_static("x-container-sysmeta-versions-mode");

/// Whether a container keeps versions in this way.
pub(in crate::ops) fn is_kept(info: &ContainerInfo) -> bool {
    info.versions.is_some() || info.sysmeta.get("versions-location").is_some_and(|location| !location.is_empty())
}

/// Writes what a request wants into the container's new metadata, `headers`.
///
/// # Errors
/// When it makes no sense or is not allowed.
pub(in crate::ops) fn set(config: &Config, request: &HeaderMap, headers: &mut HeaderMap) -> Result<(), HistoryError> {
    let asked = |name: &HeaderName| request.get(name);
    let (location, mode) = match (asked(&LOCATION), asked(&HISTORY)) {
        (Some(stack), Some(history)) if !stack.is_empty() && !history.is_empty() => {
            return Err(HistoryError::BothModes);
        }
        (Some(stack), history) if history.is_none_or(HeaderValue::is_empty) => (Some(stack), "stack"),
        (_, history) => (history, "history"),
    };
    if let Some(location) = location.filter(|location| !location.is_empty()) {
        if !config.allow_versioned_writes {
            return Err(HistoryError::Disabled);
        }
        write(headers, check(location)?, mode);
    } else if location.is_some() || REMOVE.iter().any(|name| request.get(*name).is_some_and(|v| !v.is_empty())) {
        write(headers, HeaderValue::from_static(""), "");
    }
    Ok(())
}

fn check(location: &HeaderValue) -> Result<HeaderValue, HistoryError> {
    let name = location.as_bytes().trim_ascii();
    match name {
        [] => Err(HistoryError::Empty),
        name if name.contains(&b'/') => Err(HistoryError::WithSlash),
        _ => Ok(location.clone()),
    }
}

/// What older clusters kept under the client's own header is removed: there is one place.
fn write(headers: &mut HeaderMap, location: HeaderValue, mode: &'static str) {
    headers.insert(KEPT_LOCATION, location);
    headers.insert(KEPT_MODE, HeaderValue::from_static(mode));
    headers.insert(LOCATION, HeaderValue::from_static(""));
}

/// Shows in the answer about a container where it keeps versions.
pub(in crate::ops) fn show(headers: &mut HeaderMap) {
    if let Some(location) = headers.get(KEPT_LOCATION).filter(|location| !location.is_empty()).cloned() {
        let is_history = headers.get(KEPT_MODE).is_some_and(|mode| mode == "history");
        headers.insert(if is_history { HISTORY } else { LOCATION }, location);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    /// A request, and the location and mode that it sets, or why not.
    type Case = (&'static [(&'static str, &'static str)], Result<Option<(&'static str, &'static str)>, HistoryError>);

    #[test]
    fn requests() {
        const STACK: &str = "x-versions-location";
        const HISTORY: &str = "x-history-location";
        let cases: [Case; 11] = [
            (&[], Ok(None)),
            (&[(STACK, "v%20w")], Ok(Some(("v%20w", "stack")))),
            (&[(HISTORY, "v")], Ok(Some(("v", "history")))),
            (&[(STACK, "v"), (HISTORY, "w")], Err(HistoryError::BothModes)),
            (&[(STACK, ""), (HISTORY, "w")], Ok(Some(("w", "history")))),
            (&[(STACK, "v"), (HISTORY, "")], Ok(Some(("v", "stack")))),
            (&[(STACK, "")], Ok(Some(("", "")))),
            (&[("x-remove-history-location", "x")], Ok(Some(("", "")))),
            (&[("x-remove-versions-location", "x"), (STACK, "v")], Ok(Some(("v", "stack")))),
            (&[(STACK, "v/w")], Err(HistoryError::WithSlash)),
            (&[("x-remove-versions-location", "")], Ok(None)),
        ];
        for (request, expected) in cases {
            let mut changed = HeaderMap::new();
            let set = set(&Config::default(), &headers(request), &mut changed).map(|()| {
                let text = |name: &HeaderName| changed.get(name).map(|value| value.to_str().unwrap().to_owned());
                text(&KEPT_LOCATION).map(|location| (location, text(&KEPT_MODE).unwrap()))
            });
            assert_eq!(set, expected.map(|found| found.map(|(l, m)| (l.to_owned(), m.to_owned()))), "{request:?}");
        }
        let off = Config { allow_versioned_writes: false, ..Config::default() };
        let location = headers(&[(STACK, "v")]);
        assert_eq!(set(&off, &location, &mut HeaderMap::new()), Err(HistoryError::Disabled));
    }
}
