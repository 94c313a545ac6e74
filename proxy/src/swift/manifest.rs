//! Reading the manifest that a client sends for a static large object. Pure.
//!
//! It is a JSON list, read entry by entry, so that nonsense takes no more room than it has. All that is wrong is said at
//! once, a line for each entry.

use std::fmt;

use apus_base::range;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::json::to_python;
use crate::ops::large::manifest::{Asked, AskedObject, name_of};
use crate::ops::resource::ObjectName;

/// Most entries that are complained of; who has that many wrong does not read on.
const MAX_ERRORS: usize = 1000;

/// What an entry with a `path` may have beside it.
const WITH_PATH: [&str; 4] = ["etag", "path", "range", "size_bytes"];

/// Base64 whose padding was taken off; as in Python, the last digit may have bits to spare.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Why a manifest is refused; what the client reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadManifest {
    /// It is no JSON.
    #[error("Manifest must be valid JSON.\n")]
    Json,
    /// It is JSON, but no list.
    #[error("Manifest must be a list.\n")]
    NotAList,
    /// Entries are wrong, a line for each.
    #[error("{0}")]
    Entries(String),
}

/// Reads a manifest for the large object `name`.
///
/// # Errors
/// When it is not a list of segments.
pub(super) fn parse(json: &[u8], name: &ObjectName) -> Result<Vec<Asked>, BadManifest> {
    let mut reader =
        Reader { name, index: 0, asked: Vec::new(), errors: Vec::new(), has_entries: false, all_data: true };
    let mut json = serde_json::Deserializer::from_slice(json);
    let is_list = json.deserialize_any(Entries(&mut reader)).map_err(|_| BadManifest::Json)?;
    json.end().map_err(|_| BadManifest::Json)?;
    if !is_list {
        return Err(BadManifest::NotAList);
    }
    if reader.has_entries && reader.all_data {
        reader.errors.push("Inline data segments require at least one object-backed segment.".into());
    }
    if reader.errors.is_empty() {
        return Ok(reader.asked);
    }
    Err(BadManifest::Entries(reader.errors.iter().map(|error| format!("{error}\n")).collect()))
}

struct Reader<'a> {
    name: &'a ObjectName,
    index: usize,
    asked: Vec<Asked>,
    errors: Vec<String>,
    has_entries: bool,
    /// Whether all entries so far have `data`.
    all_data: bool,
}

impl Reader<'_> {
    fn take(&mut self, entry: &Value, is_last: bool) {
        self.has_entries = true;
        self.all_data &= entry.get("data").is_some();
        match self.entry(entry, is_last) {
            Ok(asked) => self.asked.push(asked),
            Err(error) => self.errors.push(format!("Index {}: {error}", self.index)),
        }
        self.index += 1;
    }

    fn entry(&self, entry: &Value, is_last: bool) -> Result<Asked, String> {
        let entry = entry.as_object().ok_or("not a JSON object")?;
        let known: &[&str] = match (entry.contains_key("data"), entry.contains_key("path")) {
            (true, _) => &["data"],
            (false, true) => &WITH_PATH,
            (false, false) => return Err("expected keys to include one of 'data' or 'path'".into()),
        };
        let mut unknown: Vec<&String> = entry.keys().filter(|key| !known.contains(&key.as_str())).collect();
        unknown.sort_unstable();
        if !unknown.is_empty() {
            let shown =
                unknown.iter().map(|key| String::from_utf8(to_python(key).unwrap_or_default()).unwrap_or_default());
            return Err(format!("extraneous keys {}", shown.collect::<Vec<_>>().join(", ")));
        }
        match entry.get("data") {
            Some(data) => self::data(data),
            None => self.object(entry, is_last),
        }
    }

    fn object(&self, entry: &Map<String, Value>, is_last: bool) -> Result<Asked, String> {
        let path = entry.get("path").and_then(Value::as_str).ok_or("\"path\" must be a string")?;
        let etag = match entry.get("etag") {
            None | Some(Value::Null) => None,
            Some(Value::String(etag)) => Some(etag.clone()),
            Some(_) => return Err("\"etag\" must be a string or null (if provided)".into()),
        };
        if !path.trim_matches('/').contains('/') {
            return Err("path does not refer to an object. Path must be of the form /container/object.".into());
        }
        let size = size(entry.get("size_bytes"))?;
        if size.is_some_and(|size| size < 1) && !is_last {
            return Err("too small; each segment must be at least 1 byte.".into());
        }
        if name_of(&self.name.account, path).as_ref() == Some(self.name) {
            return Err("manifest must not include itself as a segment".into());
        }
        let range = range_of(entry.get("range"))?;
        // If the size is a lie, that is noticed later.
        let length = size.map(|size| u64::try_from(size).unwrap_or(0));
        if let (Some(range), Some(length)) = (range, length)
            && range.within(length).is_none()
        {
            return Err("unsatisfiable range".into());
        }
        Ok(Asked::Object(AskedObject { path: path.to_owned(), etag, size, range }))
    }
}

fn data(value: &Value) -> Result<Asked, String> {
    let text = value.as_str().ok_or("data must be valid base64")?;
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let is_padded = padding >= (4 - digits.len() % 4) % 4;
    let bytes = BASE64.decode(digits).ok().filter(|_| is_padded).ok_or("data must be valid base64")?;
    if bytes.is_empty() {
        return Err("too small; each segment must be at least 1 byte.".into());
    }
    Ok(Asked::Data(Bytes::from(bytes)))
}

/// A length, as Python's `int` takes it from a number or a text.
fn size(value: Option<&Value>) -> Result<Option<i64>, String> {
    let invalid = || "invalid size_bytes".to_owned();
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(i64::from(*value))),
        Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| invalid()),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(size), _) => Ok(Some(size)),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a fraction is cut off, what is too large is the largest"
            )]
            (None, Some(size)) => Ok(Some(size as i64)),
            (None, None) => Err(invalid()),
        },
        Some(Value::Array(_) | Value::Object(_)) => Err(invalid()),
    }
}

/// A range; what Python takes for false is none.
fn range_of(value: Option<&Value>) -> Result<Option<range::Spec>, String> {
    let text = match value {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(items)) if items.is_empty() => return Ok(None),
        Some(Value::Object(items)) if items.is_empty() => return Ok(None),
        Some(_) => return Err("invalid range".into()),
    };
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    match range::parse(&format!("bytes={text}")).as_deref() {
        None => Err("invalid range".into()),
        Some([range]) => Ok(Some(*range)),
        Some(_) => Err("multiple ranges (only one allowed)".into()),
    }
}

/// Feeds the entries of a list to a reader and says whether it is a list.
struct Entries<'a, 'b>(&'a mut Reader<'b>);

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of segments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let mut waiting: Option<Value> = None;
        while self.0.errors.len() < MAX_ERRORS {
            let next = entries.next_element()?;
            if let Some(entry) = &waiting {
                self.0.take(entry, next.is_none());
            }
            waiting = next;
            if waiting.is_none() {
                return Ok(true);
            }
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
