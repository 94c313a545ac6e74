use proptest::prelude::*;

use super::{Array, Error, Limits, Value, dumps, loads, loads_with};

fn text(s: &str) -> Value {
    Value::Str(s.into())
}

/// `pickle.dumps({'name': '/a/c/o', 'ETag': b'ab\xff', 'n': 1, 'big': 2**40, 'f': 1.5, 'x': None, 'l': [1, 2],
/// 't': (1, True), 'e': b'', 'a': array.array('H', [1, 2, 65535]), 'neg': -5}, 2)` by Python 3.11.
const BY_PYTHON: &[u8] = b"\x80\x02}q\x00(X\x04\x00\x00\x00nameq\x01X\x06\x00\x00\x00/a/c/oq\x02X\x04\x00\x00\x00ETagq\x03c_codecs\nencode\nq\x04X\x04\x00\x00\x00ab\xc3\xbfq\x05X\x06\x00\x00\x00latin1q\x06\x86q\x07Rq\x08X\x01\x00\x00\x00nq\tK\x01X\x03\x00\x00\x00bigq\n\x8a\x06\x00\x00\x00\x00\x00\x01X\x01\x00\x00\x00fq\x0bG?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00xq\x0cNX\x01\x00\x00\x00lq\r]q\x0e(K\x01K\x02eX\x01\x00\x00\x00tq\x0fK\x01\x88\x86q\x10X\x01\x00\x00\x00eq\x11c__builtin__\nbytes\nq\x12)Rq\x13X\x01\x00\x00\x00aq\x14carray\narray\nq\x15X\x01\x00\x00\x00Hq\x16]q\x17(K\x01K\x02M\xff\xffe\x86q\x18Rq\x19X\x03\x00\x00\x00negq\x1aJ\xfb\xff\xff\xffu.";

#[test]
fn reads_what_python_writes() {
    let value = loads(BY_PYTHON).unwrap();
    assert_eq!(value.get("name"), Some(&text("/a/c/o")));
    assert_eq!(value.get("ETag"), Some(&Value::Bytes(b"ab\xff".to_vec())));
    assert_eq!(value.get("big"), Some(&Value::Int(1 << 40)));
    assert_eq!(value.get("f"), Some(&Value::Float(1.5)));
    assert_eq!(value.get("x"), Some(&Value::None));
    assert_eq!(value.get("l"), Some(&Value::List(vec![Value::Int(1), Value::Int(2)])));
    assert_eq!(value.get("t"), Some(&Value::Tuple(vec![Value::Int(1), Value::Bool(true)])));
    assert_eq!(value.get("e"), Some(&Value::Bytes(Vec::new())));
    assert_eq!(value.get("a"), Some(&Value::Array(Array::U16(vec![1, 2, 65535]))));
    assert_eq!(value.get("neg"), Some(&Value::Int(-5)));
    assert_eq!(value.get("absent"), None);
}

#[test]
fn any_cut_of_a_pickle_is_an_error() {
    for end in 0..BY_PYTHON.len() {
        assert!(loads(&BY_PYTHON[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn object_metadata_says_early_that_python_3_wrote_it() {
    // Swift looks for this word in the first 32 bytes to tell Python 3's metadata from Python 2's.
    let key = |k: &str| Value::Bytes(k.as_bytes().to_vec());
    let pickle = dumps(&Value::Dict(vec![(key("name"), key("/a/c/o")), (key("ETag"), key("x"))]));
    assert!(pickle[..32].windows(14).any(|w| w == b"_codecs\nencode"));
}

#[test]
fn a_shared_container_is_filled_after_it_was_memoized() {
    // d = {}; [d, d] with d['k'] = 1 set once
    let pickle = b"\x80\x02](}q\x00X\x01\x00\x00\x00kK\x01sh\x00e.";
    let d = Value::Dict(vec![(text("k"), Value::Int(1))]);
    assert_eq!(loads(pickle), Ok(Value::List(vec![d.clone(), d])));
}

#[test]
fn every_other_callable_is_refused() {
    for name in ["os\nsystem", "builtins\neval", "array\n_array_reconstructor"] {
        let pickle = format!("c{name}\n(X\x04\0\0\0truetR.");
        assert_eq!(loads(pickle.as_bytes()), Err(Error::Global(name.replace('\n', "."))));
    }
}

#[test]
fn bombs_and_cycles_meet_the_limits() {
    // l = []; l.append(l)
    assert_eq!(loads(b"\x80\x02]q\x00h\x00a."), Err(Error::Limit("the nesting")));
    // Each list holds the one before twenty times: 20^10 values from 500 bytes.
    let mut bomb = b"\x80\x02]q\x00".to_vec();
    for level in 1..=10u8 {
        bomb.extend([b']', b'q', level, b'(']);
        bomb.extend([b'h', level - 1].repeat(20));
        bomb.push(b'e');
    }
    bomb.push(b'.');
    assert_eq!(loads(&bomb), Err(Error::Limit("the number of values")));
    let nested = [b"\x80\x02".as_slice(), &b"]".repeat(50), &b"a".repeat(49), b"."].concat();
    assert_eq!(loads(&nested), Err(Error::Limit("the nesting")));
    assert!(loads_with(&nested, Limits { depth: 60, values: 100 }).is_ok());
}

#[test]
fn a_lying_length_allocates_nothing() {
    assert_eq!(loads(b"\x80\x02X\xff\xff\xff\x7fabc."), Err(Error::Truncated));
    assert_eq!(loads(b"\x80\x02X\xff\xff\xff\xffabc."), Err(Error::Truncated));
    assert_eq!(loads(b"\x80\x02T\xff\xff\xff\xffabc."), Err(Error::Malformed("a negative length")));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e300f64..1e300).prop_map(Value::Float),
        ".{0,12}".prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Bytes),
        prop::collection::vec(any::<u8>(), 0..2100).prop_map(|a| Value::Array(Array::U8(a))),
        prop::collection::vec(any::<u16>(), 0..8).prop_map(|a| Value::Array(Array::U16(a))),
        prop::collection::vec(any::<u32>(), 0..8).prop_map(|a| Value::Array(Array::U32(a))),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Tuple),
            prop::collection::vec((inner.clone(), inner), 0..6).prop_map(Value::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn what_we_write_we_read(value in any_value()) {
        prop_assert_eq!(loads(&dumps(&value)), Ok(value));
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = loads(&bytes);
    }

    #[test]
    fn no_mutation_panics(at in 0..BY_PYTHON.len(), to in any::<u8>(), cut in 0..BY_PYTHON.len()) {
        let mut bytes = BY_PYTHON.to_vec();
        bytes[at] = to;
        let _ = loads(&bytes);
        bytes.drain(cut.min(at)..cut.max(at));
        let _ = loads(&bytes);
    }
}
