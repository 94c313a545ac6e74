//! The reader: a stack machine over an arena, which [`Unfold`] then copies into a [`Value`] tree.
//!
//! Python memoizes a container while it is still empty and fills it later, so values live in an arena (`heap`) and the
//! stack and the memo hold small [`Item`]s that point into it.

use std::collections::HashMap;

use super::text::{self, Number};
use super::unfold::Unfold;
use super::{Array, Error, Value};

/// How much a pickle may unfold to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nesting of containers.
    pub depth: usize,
    /// Values in the whole tree, where items of an `array.array` count for nothing (the input's length bounds them).
    pub values: usize,
}

impl Default for Limits {
    /// Swift's metadata nests once and holds a few hundred values; a builder of 60,000 devices under a million.
    fn default() -> Self {
        Limits { depth: 32, values: 4_000_000 }
    }
}

/// Reads one pickle with the default [`Limits`]. Bytes after the end of the pickle are ignored, as Python does.
///
/// # Errors
/// Any [`Error`]: the bytes are malformed, or ask for what is not allowed.
pub fn loads(bytes: &[u8]) -> Result<Value, Error> {
    loads_with(bytes, Limits::default())
}

/// [`loads`] with chosen limits.
///
/// # Errors
/// Any [`Error`].
pub fn loads_with(bytes: &[u8], limits: Limits) -> Result<Value, Error> {
    let mut machine =
        Machine { input: bytes, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), heap: Vec::new() };
    let root = machine.run()?;
    Unfold { heap: &mut machine.heap, values_left: limits.values }.value(root, limits.depth)
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Callable(Callable),
    Heap(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Callable {
    /// `_codecs.encode(text, 'latin1')`: how Python 3 writes `bytes` in protocol 2.
    Encode,
    /// `bytes()`: how it writes the empty one.
    Bytes,
    /// `array.array(typecode, list)`.
    Array,
    /// The dict of headers in a container update that Swift keeps for later: here a dict as any other.
    HeaderKeyDict,
    /// Its base class.
    Dict,
    /// `copyreg._reconstructor(HeaderKeyDict, dict, {...})`: how protocol 0 writes one.
    Reconstructor,
}

pub(super) enum Node {
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Item>),
    Tuple(Vec<Item>),
    Dict(Vec<(Item, Item)>),
    Array(Array),
    /// A list that became an array. Python makes that list only for the pickle and never refers to it again.
    Spent,
}

struct Machine<'a> {
    input: &'a [u8],
    stack: Vec<Item>,
    marks: Vec<usize>,
    memo: HashMap<u32, Item>,
    heap: Vec<Node>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Item, Error> {
        loop {
            let opcode = self.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            0x80 => self.protocol()?,
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Item::None),
            0x88 => self.stack.push(Item::Bool(true)),
            0x89 => self.stack.push(Item::Bool(false)),
            b'K' => self.int_of(|m| m.byte().map(i64::from))?,
            b'M' => self.int_of(|m| Ok(i64::from(u16::from_le_bytes(m.array()?))))?,
            b'J' => self.int_of(|m| Ok(i64::from(i32::from_le_bytes(m.array()?))))?,
            0x8a => self.int_of(Self::long)?,
            b'G' => {
                let float = f64::from_be_bytes(self.array()?);
                self.stack.push(Item::Float(float));
            }
            b'X' => self.text()?,
            b'U' => {
                let len = usize::from(self.byte()?);
                self.byte_string(len)?;
            }
            b'T' => {
                let len = i32::from_le_bytes(self.array()?);
                let len = usize::try_from(len).map_err(|_| Error::Malformed("a negative length"))?;
                self.byte_string(len)?;
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b']' => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            0x85..=0x87 => self.tuple_of(usize::from(opcode - 0x84))?,
            b't' => {
                let items = self.since_mark()?;
                self.push(Node::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append([item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let slot = u32::from(self.byte()?);
                self.memoize(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memoize(slot)?;
            }
            b'h' => {
                let slot = u32::from(self.byte()?);
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => self.global()?,
            b'R' => self.reduce()?,
            0x81 => self.new_object()?,
            b'd' | b'l' | b'p' | b'g' | b'V' | b'S' | b'I' | b'L' | b'F' => self.text_step(opcode)?,
            other => return Err(Error::Opcode(other)),
        }
        Ok(())
    }

    /// An opcode of protocol 0: its operand is the rest of the line.
    fn text_step(&mut self, opcode: u8) -> Result<(), Error> {
        if matches!(opcode, b'd' | b'l') {
            let items = self.since_mark()?;
            if opcode == b'l' {
                self.push(Node::List(items));
                return Ok(());
            }
            self.push(Node::Dict(Vec::new()));
            return self.set_items(&items);
        }
        let line = self.raw_line()?;
        let words = || std::str::from_utf8(line).map_err(|_| Error::Text);
        let slot = || words()?.parse().map_err(|_| Error::Malformed("a memo without a number"));
        match opcode {
            b'p' => self.memoize(slot()?)?,
            b'g' => self.recall(slot()?)?,
            b'V' => self.push(Node::Str(text::unicode(line)?)),
            b'S' => self.push(Node::Bytes(text::quoted(line)?)),
            b'F' => {
                self.stack.push(Item::Float(words()?.parse().map_err(|_| Error::Malformed("a number that is none"))?))
            }
            _ => self.stack.push(match text::number(words()?)? {
                Number::Bool(flag) => Item::Bool(flag),
                Number::Int(int) => Item::Int(int),
            }),
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.input.split_at_checked(len).ok_or(Error::Truncated)?;
        self.input = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.input.split_first_chunk::<N>().ok_or(Error::Truncated)?;
        self.input = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn raw_line(&mut self) -> Result<&'a [u8], Error> {
        let end = self.input.iter().position(|b| *b == b'\n').ok_or(Error::Truncated)?;
        let line = self.take(end)?;
        self.byte()?;
        Ok(line)
    }

    fn line(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.raw_line()?).map_err(|_| Error::Text)
    }

    fn protocol(&mut self) -> Result<(), Error> {
        match self.byte()? {
            0..=2 => Ok(()),
            other => Err(Error::Protocol(other)),
        }
    }

    fn pop(&mut self) -> Result<Item, Error> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Error::Malformed("an opcode without its operand"));
        }
        self.stack.pop().ok_or(Error::Malformed("an opcode without its operand"))
    }

    fn since_mark(&mut self) -> Result<Vec<Item>, Error> {
        let mark = self.marks.pop().ok_or(Error::Malformed("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn push(&mut self, node: Node) {
        self.stack.push(Item::Heap(self.heap.len()));
        self.heap.push(node);
    }

    fn int_of(&mut self, read: impl FnOnce(&mut Self) -> Result<i64, Error>) -> Result<(), Error> {
        let int = read(self)?;
        self.stack.push(Item::Int(int));
        Ok(())
    }

    /// LONG1: a length and a two's complement number, little end first.
    fn long(&mut self) -> Result<i64, Error> {
        let len = usize::from(self.byte()?);
        let digits = self.take(len)?;
        if len > 8 {
            return Err(Error::Limit("64-bit integers"));
        }
        let fill = if digits.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        for (to, from) in wide.iter_mut().zip(digits) {
            *to = *from;
        }
        Ok(i64::from_le_bytes(wide))
    }

    fn text(&mut self) -> Result<(), Error> {
        let len = usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| Error::Truncated)?;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| Error::Text)?;
        self.push(Node::Str(text.to_owned()));
        Ok(())
    }

    fn byte_string(&mut self, len: usize) -> Result<(), Error> {
        let bytes = self.take(len)?.to_vec();
        self.push(Node::Bytes(bytes));
        Ok(())
    }

    fn tuple_of(&mut self, len: usize) -> Result<(), Error> {
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Node::Tuple(items));
        Ok(())
    }

    fn top_node(&mut self) -> Result<&mut Node, Error> {
        match self.stack.last() {
            Some(Item::Heap(at)) => self.heap.get_mut(*at),
            _ => None,
        }
        .ok_or(Error::Malformed("a container is missing"))
    }

    fn append(&mut self, items: impl IntoIterator<Item = Item>) -> Result<(), Error> {
        match self.top_node()? {
            Node::List(list) => list.extend(items),
            _ => return Err(Error::Malformed("an append to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Item]) -> Result<(), Error> {
        let (pairs, odd) = items.as_chunks::<2>();
        match self.top_node()? {
            Node::Dict(dict) if odd.is_empty() => dict.extend(pairs.iter().map(|[k, v]| (*k, *v))),
            _ => return Err(Error::Malformed("a key set in what is no dict")),
        }
        Ok(())
    }

    fn memoize(&mut self, slot: u32) -> Result<(), Error> {
        let item = *self.stack.last().ok_or(Error::Malformed("a memo of nothing"))?;
        self.memo.insert(slot, item);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Error> {
        let item = *self.memo.get(&slot).ok_or(Error::Malformed("a memo that was never made"))?;
        self.stack.push(item);
        Ok(())
    }

    fn global(&mut self) -> Result<(), Error> {
        let (module, name) = (self.line()?, self.line()?);
        let callable = match (module, name) {
            ("_codecs", "encode") => Callable::Encode,
            ("__builtin__" | "builtins", "bytes") => Callable::Bytes,
            ("array", "array") => Callable::Array,
            ("__builtin__" | "builtins", "dict") => Callable::Dict,
            ("copy_reg" | "copyreg", "_reconstructor") => Callable::Reconstructor,
            ("swift.common.header_key_dict" | "swift.common.swob", "HeaderKeyDict") => Callable::HeaderKeyDict,
            _ => return Err(Error::Global(format!("{module}.{name}"))),
        };
        self.stack.push(Item::Callable(callable));
        Ok(())
    }

    /// An object made without a call: a dict of headers, which is filled like any dict.
    fn new_object(&mut self) -> Result<(), Error> {
        let (args, class) = (self.pop()?, self.pop()?);
        let no_args =
            matches!(args, Item::Heap(at) if matches!(self.heap.get(at), Some(Node::Tuple(items)) if items.is_empty()));
        if !no_args || !matches!(class, Item::Callable(Callable::HeaderKeyDict)) {
            return Err(Error::Malformed("an object of a class that cannot be made"));
        }
        self.push(Node::Dict(Vec::new()));
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), Error> {
        let (args, callable) = (self.pop()?, self.pop()?);
        let (Item::Heap(args), Item::Callable(callable)) = (args, callable) else {
            return Err(Error::Malformed("a call of what cannot be called"));
        };
        let Some(Node::Tuple(args)) = self.heap.get(args) else {
            return Err(Error::Malformed("a call without a tuple of arguments"));
        };
        if let (Callable::Reconstructor, [Item::Callable(class), Item::Callable(base), Item::Heap(at)]) =
            (callable, args.as_slice())
            && let (Callable::HeaderKeyDict, Callable::Dict) = (class, base)
            && matches!(self.heap.get(*at), Some(Node::Dict(_)))
        {
            self.stack.push(Item::Heap(*at));
            return Ok(());
        }
        let node = match (callable, args.as_slice()) {
            (Callable::Encode, &[text, codec]) => Node::Bytes(self.encode(text, codec)?),
            (Callable::Bytes, []) => Node::Bytes(Vec::new()),
            (Callable::Array, &[typecode, list]) => Node::Array(self.make_array(typecode, list)?),
            _ => return Err(Error::Malformed("a call with the wrong arguments")),
        };
        self.push(node);
        Ok(())
    }

    fn text_of(&self, item: Item) -> Option<&[u8]> {
        match item {
            Item::Heap(at) => match self.heap.get(at)? {
                Node::Str(text) => Some(text.as_bytes()),
                Node::Bytes(bytes) => Some(bytes),
                _ => None,
            },
            _ => None,
        }
    }

    fn encode(&self, text: Item, codec: Item) -> Result<Vec<u8>, Error> {
        if self.text_of(codec) != Some(b"latin1") {
            return Err(Error::Malformed("bytes in another codec than latin1"));
        }
        let text = self.text_of(text).and_then(|t| std::str::from_utf8(t).ok());
        let text = text.ok_or(Error::Malformed("bytes made from what is no text"))?;
        text.chars().map(|c| u8::try_from(c).map_err(|_| Error::Malformed("a character past latin1"))).collect()
    }

    fn make_array(&mut self, typecode: Item, list: Item) -> Result<Array, Error> {
        let typecode = match self.text_of(typecode) {
            Some(&[code]) => code,
            _ => return Err(Error::Malformed("an array without a typecode")),
        };
        let list = match list {
            Item::Heap(at) => self.heap.get_mut(at).map(|node| std::mem::replace(node, Node::Spent)),
            _ => None,
        };
        let Some(Node::List(items)) = list else {
            return Err(Error::Malformed("an array of what is no list"));
        };
        match typecode {
            b'B' => Ok(Array::U8(narrow(&items)?)),
            b'H' => Ok(Array::U16(narrow(&items)?)),
            b'I' | b'L' => Ok(Array::U32(narrow(&items)?)),
            _ => Err(Error::Malformed("an array of a type other than B, H, I or L")),
        }
    }
}

fn narrow<T: TryFrom<i64>>(items: &[Item]) -> Result<Vec<T>, Error> {
    let one = |item: &Item| match item {
        Item::Int(n) => T::try_from(*n).ok(),
        _ => None,
    };
    items.iter().map(|i| one(i).ok_or(Error::Malformed("an array item out of range"))).collect()
}
