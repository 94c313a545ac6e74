//! The writer: protocol 2, as small as Python's own reader allows.
//!
//! Unlike Python we memoize only the two things that repeat in every `bytes` value (the function `_codecs.encode` and the
//! word `latin1`), which keeps object metadata within the 4 KiB that ext4 gives to xattrs far longer.

use super::{Array, Value};

/// The pickle (protocol 2) of a value. Python 3 reads back the same value; an empty tuple, list or dict stays what it is.
pub fn dumps(value: &Value) -> Vec<u8> {
    let mut writer = Writer { out: vec![0x80, 2], memo: [None; Word::COUNT], used: 0 };
    writer.value(value);
    writer.out.push(b'.');
    writer.out
}

#[derive(Clone, Copy)]
enum Word {
    Encode,
    Latin1,
    Array,
}

impl Word {
    const COUNT: usize = 3;

    fn text(self) -> &'static [u8] {
        match self {
            Word::Encode => b"c_codecs\nencode\n",
            Word::Latin1 => b"X\x06\0\0\0latin1",
            Word::Array => b"carray\narray\n",
        }
    }
}

/// Python's own batch of APPENDS and SETITEMS.
const BATCH_ITEMS: usize = 1000;

struct Writer {
    out: Vec<u8>,
    memo: [Option<u8>; Word::COUNT],
    used: u8,
}

impl Writer {
    fn value(&mut self, value: &Value) {
        match value {
            Value::None => self.out.push(b'N'),
            Value::Bool(true) => self.out.push(0x88),
            Value::Bool(false) => self.out.push(0x89),
            Value::Int(n) => self.int(*n),
            Value::Float(f) => {
                self.out.push(b'G');
                self.out.extend(f.to_be_bytes());
            }
            Value::Str(text) => self.text(text),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::List(items) => self.list(items.iter(), Self::value),
            Value::Tuple(items) => self.tuple(items),
            Value::Dict(pairs) => self.dict(pairs),
            Value::Array(array) => self.array(array),
        }
    }

    fn int(&mut self, n: i64) {
        if let Ok(n) = u8::try_from(n) {
            self.out.extend([b'K', n]);
        } else if let Ok(n) = u16::try_from(n) {
            self.out.push(b'M');
            self.out.extend(n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(n) {
            self.out.push(b'J');
            self.out.extend(n.to_le_bytes());
        } else {
            self.out.extend([0x8a, 8]);
            self.out.extend(n.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        // Protocol 2 cannot say a length past 32 bits. Nothing of ours comes near (metadata is kilobytes, rings are arrays),
        // and a text dropped whole still leaves a pickle that reads back.
        let (text, len) = u32::try_from(text.len()).map_or(("", 0), |len| (text, len));
        self.out.push(b'X');
        self.out.extend(len.to_le_bytes());
        self.out.extend(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(Word::Encode);
        let latin1: String = bytes.iter().map(|b| char::from(*b)).collect();
        self.text(&latin1);
        self.word(Word::Latin1);
        self.out.extend([0x86, b'R']);
    }

    fn word(&mut self, word: Word) {
        match self.memo[word as usize] {
            Some(slot) => self.out.extend([b'h', slot]),
            None => {
                self.out.extend(word.text());
                self.out.extend([b'q', self.used]);
                self.memo[word as usize] = Some(self.used);
                self.used += 1;
            }
        }
    }

    fn list<T>(&mut self, mut items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.out.push(b']');
        while let Some(first) = items.next() {
            self.out.push(b'(');
            write(self, first);
            for item in items.by_ref().take(BATCH_ITEMS - 1) {
                write(self, item);
            }
            self.out.push(b'e');
        }
    }

    fn tuple(&mut self, items: &[Value]) {
        if items.is_empty() {
            return self.out.push(b')');
        }
        let short = match items.len() {
            1 => Some(0x85),
            2 => Some(0x86),
            3 => Some(0x87),
            _ => None,
        };
        if short.is_none() {
            self.out.push(b'(');
        }
        for item in items {
            self.value(item);
        }
        self.out.push(short.unwrap_or(b't'));
    }

    fn dict(&mut self, pairs: &[(Value, Value)]) {
        self.out.push(b'}');
        for batch in pairs.chunks(BATCH_ITEMS) {
            self.out.push(b'(');
            for (key, value) in batch {
                self.value(key);
                self.value(value);
            }
            self.out.push(b'u');
        }
    }

    fn array(&mut self, array: &Array) {
        self.word(Word::Array);
        let int = |w: &mut Self, n: i64| w.int(n);
        match array {
            Array::U8(items) => {
                self.text("B");
                self.list(items.iter().map(|n| i64::from(*n)), int);
            }
            Array::U16(items) => {
                self.text("H");
                self.list(items.iter().map(|n| i64::from(*n)), int);
            }
            Array::U32(items) => {
                self.text("I");
                self.list(items.iter().map(|n| i64::from(*n)), int);
            }
        }
        self.out.extend([0x86, b'R']);
    }
}
