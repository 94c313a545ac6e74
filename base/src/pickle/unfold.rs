//! From the reader's arena, in which values may be shared, to a tree of bounded size and depth.

use super::read::{Item, Node};
use super::{Error, Value};

/// Copies the arena into a tree. A shared node is copied each time it is met; a cycle runs into the depth limit.
pub(super) struct Unfold<'h> {
    pub(super) heap: &'h mut Vec<Node>,
    pub(super) values_left: usize,
}

impl Unfold<'_> {
    pub(super) fn value(&mut self, item: Item, depth_left: usize) -> Result<Value, Error> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Error::Limit("the number of values"))?;
        let at = match item {
            Item::None => return Ok(Value::None),
            Item::Bool(b) => return Ok(Value::Bool(b)),
            Item::Int(n) => return Ok(Value::Int(n)),
            Item::Float(f) => return Ok(Value::Float(f)),
            Item::Callable(_) => return Err(Error::Malformed("a function where a value belongs")),
            Item::Heap(at) => at,
        };
        let depth_left = depth_left.checked_sub(1).ok_or(Error::Limit("the nesting"))?;
        self.node(at, depth_left)
    }

    fn node(&mut self, at: usize, depth_left: usize) -> Result<Value, Error> {
        match self.heap.get_mut(at) {
            Some(Node::Str(text)) => {
                self.values_left = self.values_left.saturating_sub(text.len() / COPY_COST_BYTES);
                Ok(Value::Str(text.clone()))
            }
            Some(Node::Bytes(bytes)) => {
                self.values_left = self.values_left.saturating_sub(bytes.len() / COPY_COST_BYTES);
                Ok(Value::Bytes(bytes.clone()))
            }
            Some(Node::List(items)) => {
                let items = items.clone();
                Ok(Value::List(self.all(&items, depth_left)?))
            }
            Some(Node::Tuple(items)) => {
                let items = items.clone();
                Ok(Value::Tuple(self.all(&items, depth_left)?))
            }
            Some(Node::Dict(pairs)) => {
                let pairs = pairs.clone();
                let pair = |(k, v): (Item, Item)| Ok((self.value(k, depth_left)?, self.value(v, depth_left)?));
                Ok(Value::Dict(pairs.into_iter().map(pair).collect::<Result<_, Error>>()?))
            }
            // An array is moved out, not copied: rings are large and nobody shares them.
            Some(node @ Node::Array(_)) => match std::mem::replace(node, Node::Spent) {
                Node::Array(array) => Ok(Value::Array(array)),
                _ => Err(Error::Malformed("an array used twice")),
            },
            Some(Node::Spent) | None => Err(Error::Malformed("an array or its list used twice")),
        }
    }

    fn all(&mut self, items: &[Item], depth_left: usize) -> Result<Vec<Value>, Error> {
        items.iter().map(|item| self.value(*item, depth_left)).collect()
    }
}

/// A shared long string copied many times costs values too, one for each this many bytes.
const COPY_COST_BYTES: usize = 32;
