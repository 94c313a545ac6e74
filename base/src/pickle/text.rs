//! The opcodes of protocol 0, all text, in which Swift keeps the container updates that it could not deliver
//! (`write_pickle` in `swift/common/utils/pickle.py` has no other default).

use super::Error;

/// What a `V` line says: Latin-1 with `\uXXXX` and `\UXXXXXXXX` for what that has not, newlines and backslashes among it.
pub(super) fn unicode(line: &[u8]) -> Result<String, Error> {
    let (mut text, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(byte));
                rest = after;
                continue;
            }
        };
        let code = after.get(1..=digits).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        text.push(code.ok_or(Error::Text)?);
        rest = &after[digits + 1..];
    }
    Ok(text)
}

/// What an `S` line says: a string as Python 2 shows it, in quotes and with escapes.
pub(super) fn quoted(line: &[u8]) -> Result<Vec<u8>, Error> {
    let malformed = Error::Malformed("a string that is not in quotes");
    let inner = match line {
        [quote @ (b'\'' | b'"'), inner @ .., last] if quote == last => inner,
        _ => return Err(malformed),
    };
    let (mut bytes, mut rest) = (Vec::with_capacity(inner.len()), inner.iter());
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let byte = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                byte.ok_or(Error::Text)?
            }
            Some(&same @ (b'\\' | b'\'' | b'"')) => same,
            _ => return Err(Error::Malformed("an escape that Python does not write")),
        });
    }
    Ok(bytes)
}

/// What an `I` or `L` line says; `I` has two words for yes and no.
pub(super) enum Number {
    Bool(bool),
    Int(i64),
}

pub(super) fn number(line: &str) -> Result<Number, Error> {
    match line {
        "00" => Ok(Number::Bool(false)),
        "01" => Ok(Number::Bool(true)),
        digits => {
            digits.trim_end_matches('L').parse().map(Number::Int).map_err(|_| Error::Malformed("a number that is none"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Value, loads};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_kept_update_as_the_real_swift_writes_it() {
        // pickle.dumps({'obj': 'a\nb\\é☃', 'headers': HeaderKeyDict({'X-Size': '5'}), 'db_state': None, 'successes': [1, -2],
        // 'yes': True, 'big': 2**40, 'f': 1.5}, 0) by Python 3.11.
        let pickle = b"(dp0\nVobj\np1\nVa\\u000ab\\u005c\xe9\\u2603\np2\nsVheaders\np3\nccopy_reg\n_reconstructor\np4\n(c\
            swift.common.header_key_dict\nHeaderKeyDict\np5\nc__builtin__\ndict\np6\n(dp7\nVX-Size\np8\nV5\np9\nstp10\nRp11\n\
            sVdb_state\np12\nNsVsuccesses\np13\n(lp14\nI1\naI-2\nasVyes\np15\nI01\nsVbig\np16\nL1099511627776L\nsVf\np17\nF1.5\ns.";
        let value = loads(pickle).unwrap();
        let is = |key: &str, expected: Value| assert_eq!(value.get(key), Some(&expected), "{key}");
        is("obj", Value::Str("a\nb\\é☃".into()));
        is("headers", Value::Dict(vec![(Value::Str("X-Size".into()), Value::Str("5".into()))]));
        is("db_state", Value::None);
        is("successes", Value::List(vec![Value::Int(1), Value::Int(-2)]));
        is("yes", Value::Bool(true));
        is("big", Value::Int(1 << 40));
        is("f", Value::Float(1.5));
        for end in 0..pickle.len() {
            assert!(loads(&pickle[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn strings_of_python_2() {
        assert_eq!(loads(b"S'a\\xc3\\xa9\\'\\n'\np0\n."), Ok(Value::Bytes(b"a\xc3\xa9'\n".to_vec())));
        for bad in [&b"S'a\n."[..], b"Sa\n.", b"S'\\q'\n.", b"S'\\x1'\n.", b"S'\n."] {
            assert!(loads(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_dicts_of_headers_are_reconstructed() {
        for class in ["__builtin__\ndict", "array\narray"] {
            let pickle = format!("ccopy_reg\n_reconstructor\n(c{class}\nc__builtin__\ndict\n(dtR.");
            assert!(matches!(loads(pickle.as_bytes()), Err(Error::Malformed(_))), "{class}");
        }
    }

    proptest! {
        #[test]
        fn any_lines_are_read_or_refused(lines in "([(dlpgVISLFNsatR.][a-z0-9'\\\\u]{0,6}\n?){0,12}") {
            let _ = loads(lines.as_bytes());
        }
    }
}
