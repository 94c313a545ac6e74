//! JSON as Python's `json.dumps` writes it, to the byte: clients compare the MD5 of manifests, and people their look.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// A space after each comma and colon, and nothing but ASCII.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: Write + ?Sized>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }

    fn write_string_fragment<W: Write + ?Sized>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        for run in fragment.split_inclusive(|c: char| c >= '\x7f') {
            let last = run.chars().next_back().filter(|c| *c >= '\x7f');
            let plain = last.map_or(run, |c| &run[..run.len() - c.len_utf8()]);
            to.write_all(plain.as_bytes())?;
            for unit in last.into_iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(to, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// Writes a value.
///
/// # Errors
/// When a map has keys that are no texts.
pub fn to_python<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut json, Python))?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn spaces_and_escapes() {
        let value = json!([{ "a": "é☃\u{1f600}\u{7f}\n\"" }, 1, null, [], {}]);
        let expected = r#"[{"a": "\u00e9\u2603\ud83d\ude00\u007f\n\""}, 1, null, [], {}]"#;
        assert_eq!(String::from_utf8(to_python(&value).unwrap()).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,30}") {
            let json = to_python(&json!([text, text])).unwrap();
            prop_assert!(json.is_ascii());
            prop_assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), json!([text, text]));
        }
    }
}
