//! The checksum that is kept with an object: `CRC32 sOO8/Q==` in its system metadata, and how answers show it.
//!
//! Of an upload in parts it is that of all bytes, or one of the checksums of its parts, which then ends in their number:
//! `CRC32 sOO8/Q==-3`.

use apus_base::client::Footers;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::auth::header;
use super::metadata::set;
use super::payload::checked::Measure;
use super::payload::checksum::Algorithm;
use super::xml::Xml;
use crate::ops::copy::Terms;
use crate::ops::large::{S3_CHECKSUM, S3_CHECKSUM_NAME};

/// In answers: what a value is one of.
pub(super) const KIND: &str = "x-amz-checksum-type";
pub(super) const COMPOSITE: &str = "COMPOSITE";
pub(super) const FULL_OBJECT: &str = "FULL_OBJECT";

/// A checksum that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How it is computed.
    pub algorithm: Algorithm,
    /// In base64, and perhaps of how many parts it is.
    pub value: String,
}

impl Kept {
    /// That of an object.
    pub(super) fn of(stored: &HeaderMap) -> Option<Self> {
        Self::parse(header(stored, S3_CHECKSUM.as_str()))
    }

    /// Reads what is stored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(' ')?;
        Some(Self { algorithm: Algorithm::named(name)?, value: value.to_owned() })
    }

    /// What is stored.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.algorithm.name(), self.value)
    }

    /// Whether it is one of the checksums of parts.
    pub(super) fn is_composite(&self) -> bool {
        // Base64 has no dash.
        self.value.contains('-')
    }

    /// Shows it in the head of an answer.
    pub(super) fn show(&self, headers: &mut HeaderMap) {
        self.show_value(headers);
        headers.insert(KIND, HeaderValue::from_static(self.kind()));
    }

    /// The same for a part, whose checksum goes without saying what it is of.
    pub(super) fn show_value(&self, headers: &mut HeaderMap) {
        set(headers, HeaderName::from_static(self.algorithm.header()), &self.value);
    }

    /// Shows it in a document.
    pub(super) fn write(&self, xml: &mut Xml) {
        xml.text(self.algorithm.element(), &self.value).text("ChecksumType", self.kind());
    }

    fn kind(&self) -> &'static str {
        if self.is_composite() { COMPOSITE } else { FULL_OBJECT }
    }
}

/// What keeps a checksum with an object that is known when its body has ended.
pub(super) fn behind(kept: impl FnOnce() -> Option<Kept> + Send + 'static) -> Footers {
    let make = move || {
        let mut headers = HeaderMap::new();
        if let Some(kept) = kept() {
            set(&mut headers, S3_CHECKSUM, &kept.text());
        }
        Ok(headers)
    };
    Footers { names: vec![S3_CHECKSUM_NAME], make: Box::new(make) }
}

/// The terms of a copy whose checksum is to be known and kept.
pub(super) fn measured(measure: &Measure) -> Terms {
    let (through, known) = (measure.clone(), measure.clone());
    let through = Box::new(move |body| through.of(body));
    Terms { through: Some(through), behind: Some(behind(move || known.kept())), ..Terms::default() }
}

/// Makes a copy of other bytes have no checksum.
pub(super) fn forget(headers: &mut HeaderMap) {
    headers.insert(S3_CHECKSUM, HeaderValue::from_static(""));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_shown() {
        let shown = |text: &str| {
            let mut headers = HeaderMap::new();
            Kept::parse(text).unwrap().show(&mut headers);
            (header(&headers, "x-amz-checksum-crc32").to_owned(), header(&headers, KIND).to_owned())
        };
        assert_eq!(shown("CRC32 sOO8/Q=="), ("sOO8/Q==".into(), FULL_OBJECT.into()));
        assert_eq!(shown("CRC32 sOO8/Q==-3"), ("sOO8/Q==-3".into(), COMPOSITE.into()));
        assert_eq!(Kept::parse("CRC32C a").unwrap().text(), "CRC32C a");
        assert_eq!((Kept::parse(""), Kept::parse("MD4 x")), (None, None));
    }
}
