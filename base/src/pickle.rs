//! The small part of Python's pickle (protocols 2 and 0) that Swift keeps on disk, read and written without Python.
//!
//! Three files need it: object metadata in xattrs (a dict of bytes to bytes, `swift/obj/diskfile.py`), container updates
//! kept for later (a dict of strings with a dict of headers in it) and ring builder files (a dict holding numbers,
//! strings, lists and `array.array`s). General pickle is a program that can call any function; this reader knows some
//! forty opcodes and exactly six names (`_codecs.encode`, `bytes`, `array.array`, and for Swift's `HeaderKeyDict`, which is
//! read as a dict, its own, `dict` and `copyreg._reconstructor`), and refuses everything else with the opcode or the name it met.
//!
//! Everything read is bounded: an opcode makes at most one value, so memory follows the length of the input, and the
//! tree handed back (where Python shares an object, we copy it) is held to [`Limits`]. Nothing here panics on any input.
//!
//! Python's `str` with lone surrogates has no Rust equal and is refused; Swift stores names as UTF-8 bytes.

mod read;
#[cfg(test)]
mod tests;
mod text;
mod unfold;
mod write;

pub use read::{Limits, loads, loads_with};
pub use write::dumps;

/// A Python value. Dicts keep the order of the file; if a key comes twice the last one counts, as in Python.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// `int`, as far as 64 bits hold it
    Int(i64),
    /// `float`
    Float(f64),
    /// `str`
    Str(String),
    /// `bytes` (and Python 2's `str`)
    Bytes(Vec<u8>),
    /// `list`
    List(Vec<Value>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `dict`
    Dict(Vec<(Value, Value)>),
    /// `array.array`
    Array(Array),
}

/// An `array.array` of unsigned items; the typecode is Python's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Array {
    /// typecode `B`
    U8(Vec<u8>),
    /// typecode `H`
    U16(Vec<u16>),
    /// typecodes `I` and `L`
    U32(Vec<u32>),
}

impl Value {
    /// The value under a string key of a dict, whether Python wrote the key as `str` or as `bytes`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Dict(items) = self else {
            return None;
        };
        let same = |k: &Value| match k {
            Value::Str(s) => s == key,
            Value::Bytes(b) => b == key.as_bytes(),
            _ => false,
        };
        items.iter().rev().find(|(k, _)| same(k)).map(|(_, v)| v)
    }

    /// The integer in this value (a bool counts, as in Python).
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// The number in this value as a float.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(f) => Some(*f),
            #[expect(clippy::cast_precision_loss, reason = "Python's own int to float conversion")]
            other => other.as_int().map(|n| n as f64),
        }
    }

    /// The text in this value; bytes count if they are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            Value::Bytes(b) => std::str::from_utf8(b).ok(),
            _ => None,
        }
    }

    /// The raw bytes of a `bytes` or `str` value.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(s) => Some(s.as_bytes()),
            Value::Bytes(b) => Some(b),
            _ => None,
        }
    }

    /// The items of a list or a tuple.
    pub fn as_items(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }
}

/// Why a pickle was refused. All of these are the fault of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input ends inside an opcode, or without the STOP opcode.
    #[error("the pickle is cut off")]
    Truncated,
    /// An opcode outside the supported set.
    #[error("pickle opcode {0:#04x} is not allowed here")]
    Opcode(u8),
    /// A protocol other than 2 (or lower).
    #[error("pickle protocol {0} is not supported, only 2 and below")]
    Protocol(u8),
    /// A callable other than the known ones.
    #[error("the pickle names {0:?}, which is not allowed here")]
    Global(String),
    /// An opcode met operands it cannot work on.
    #[error("the pickle is malformed: {0}")]
    Malformed(&'static str),
    /// Text that is not UTF-8.
    #[error("the pickle holds text that is not valid UTF-8")]
    Text,
    /// The value would be deeper or larger than allowed.
    #[error("the pickle holds more than {0} allowed")]
    Limit(&'static str),
}
