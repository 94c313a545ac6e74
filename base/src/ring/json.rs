//! JSON as Python's `json.dumps(…, sort_keys=True, ensure_ascii=True)` writes it: ASCII, with spaces after separators.
//!
//! Keys are in order because the structs declare them so.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::Error;

pub(super) fn to_ascii(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, Ascii);
    value.serialize(&mut serializer).map_err(|source| Error::Json { what, source })?;
    Ok(out)
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                write!(to, "{c}")?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(to, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}
