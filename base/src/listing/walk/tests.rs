use super::*;
use proptest::prelude::*;
use std::convert::Infallible;

/// A cursor over a sorted vector; `at` is one past the place, so that 0 is before the first.
pub(crate) struct Names {
    names: Vec<String>,
    at: usize,
    seeks: usize,
}

impl Names {
    pub(crate) fn new(mut names: Vec<String>) -> Self {
        names.sort();
        names.dedup();
        Self { names, at: 0, seeks: 0 }
    }

    fn before(&self, at: &[u8]) -> usize {
        self.names.partition_point(|name| name.as_bytes() < at)
    }
}

impl Cursor for Names {
    fn seek(&mut self, at: &[u8]) {
        self.seeks += 1;
        self.at = self.before(at) + 1;
    }

    fn seek_before(&mut self, at: Option<&[u8]>) {
        self.seeks += 1;
        self.at = at.map_or(self.names.len(), |at| self.before(at));
    }

    fn next(&mut self) {
        self.at += 1;
    }

    fn previous(&mut self) {
        self.at -= 1;
    }

    fn name(&self) -> Option<&[u8]> {
        self.names.get(self.at.checked_sub(1)?).map(String::as_bytes)
    }
}

pub(crate) fn listed(names: &mut impl Cursor, query: &Query) -> Vec<String> {
    let mut out = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let walked: Result<(), Infallible> = walk(names, query, |entry| {
        out.push(match entry {
            Entry::Row(cursor) => text(cursor.name().unwrap()),
            Entry::Subdir(dir) => format!("subdir {}", text(dir)),
        });
        Ok(())
    });
    walked.unwrap();
    out
}

/// The dumb oracle: filter every name, then fold neighbours.
fn oracle(names: &[String], query: &Query) -> Vec<String> {
    let (after, before) =
        if query.reverse { (&query.end_marker, &query.marker) } else { (&query.marker, &query.end_marker) };
    let path = query
        .path
        .as_ref()
        .map(|path| if path.is_empty() { String::new() } else { format!("{}/", path.trim_end_matches('/')) });
    let prefix = path.as_ref().unwrap_or(&query.prefix);
    let mut shown: Vec<String> = Vec::new();
    let mut sorted = names.to_vec();
    sorted.sort();
    if query.reverse {
        sorted.reverse();
    }
    for name in sorted {
        let hidden = (!query.reserved && name.as_bytes() < b"\x01".as_slice()) || !name.starts_with(prefix.as_str());
        if hidden || (!after.is_empty() && name <= *after) || (!before.is_empty() && name >= *before) {
            continue;
        }
        let delimiter = if path.is_some() { "/" } else { query.delimiter.as_str() };
        let dir = match name[prefix.len()..].find(delimiter) {
            Some(at) if !delimiter.is_empty() => Some(&name[..prefix.len() + at + delimiter.len()]),
            _ => None,
        };
        match (&path, dir) {
            (Some(path), _) if *path == name => {}
            (Some(_), Some(dir)) if dir.len() < name.len() => {}
            (None, Some(dir)) if dir == after => {}
            (None, Some(dir)) => shown.push(format!("subdir {dir}")),
            _ => shown.push(name),
        }
    }
    shown.dedup();
    shown.truncate(query.limit);
    shown
}

#[test]
fn a_tree_with_a_delimiter() {
    let mut names = Names::new(["a", "dir/", "dir/x", "dir/y/z", "dir0", "é/1", "\0hidden"].map(String::from).to_vec());
    let slash = Query { delimiter: "/".into(), ..Query::default() };
    assert_eq!(listed(&mut names, &slash), ["a", "subdir dir/", "dir0", "subdir é/"]);
    let inside = Query { prefix: "dir/".into(), ..slash.clone() };
    assert_eq!(listed(&mut names, &inside), ["dir/", "dir/x", "subdir dir/y/"]);
    let next_page = Query { marker: "dir/".into(), ..slash.clone() };
    assert_eq!(listed(&mut names, &next_page), ["dir0", "subdir é/"]);
    let backwards = Query { reverse: true, ..slash };
    assert_eq!(listed(&mut names, &backwards), ["subdir é/", "dir0", "subdir dir/", "a"]);
    let path = Query { path: Some("dir".into()), ..Query::default() };
    assert_eq!(listed(&mut names, &path), ["dir/x"]);
}

#[test]
fn a_delimiter_costs_one_seek_for_each_subdir() {
    let names = (0..10_000).map(|n| format!("{:02}/{n}", n % 20)).collect();
    let mut names = Names::new(names);
    let query = Query { delimiter: "/".into(), ..Query::default() };
    assert_eq!(listed(&mut names, &query).len(), 20);
    assert_eq!(names.seeks, 21);
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    "[ab/é0\u{1}]{1,6}|\\x00[a/]{0,2}|[ab]/[ab/]{0,4}|ab\u{10ffff}?"
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 4 => name()]
}

prop_compose! {
    pub(crate) fn query()(
        limit in prop_oneof![0usize..5, Just(LIMIT)],
        words in (word(), word(), word()),
        delimiter in prop_oneof![Just(""), Just("/"), Just("a/"), Just("é"), Just("//")],
        path in prop_oneof![4 => Just(None), 1 => name().prop_map(Some), 1 => Just(Some(String::new()))],
        reverse: bool,
        reserved: bool,
    ) -> Query {
        let (marker, end_marker, prefix) = words;
        Query { limit, marker, end_marker, prefix, delimiter: delimiter.into(), path, reverse, reserved }
    }
}

const LIMIT: usize = super::super::LISTING_LIMIT;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn as_the_oracle(names in proptest::collection::btree_set(name(), 0..30), query in query()) {
        let names: Vec<String> = names.into_iter().collect();
        let expected = oracle(&names, &query);
        prop_assert_eq!(listed(&mut Names::new(names), &query), expected);
    }
}
