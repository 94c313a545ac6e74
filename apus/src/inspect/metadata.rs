//! Metadata in groups, as swift-object-info shows it. Pure.

use apus_object::store::metadata::{self as keys, Metadata};

use super::Sight;

const SYSTEM: &str = "X-Object-Sysmeta-";
const TRANSIENT: &str = "X-Object-Transient-Sysmeta-";
const USER: &str = "X-Object-Meta-";

/// Shows all but length and ETag, which only mean something beside the body.
pub(super) fn show(sight: &mut Sight, metadata: &Metadata, hash: impl Fn(&str, &str, &str) -> String, drop: bool) {
    match metadata.get(keys::NAME).map(text).as_deref() {
        None => sight.line("Path: Not found in metadata"),
        Some(path) => {
            sight.line(format!("Path: {path}"));
            if let Some([account, container, object]) = names(path) {
                sight.line(format!("  Account: {account}\n  Container: {container}\n  Object: {object}"));
                sight.line(format!("  Object hash: {}", hash(account, container, object)));
            }
        }
    }
    match metadata.get(keys::CONTENT_TYPE) {
        Some(kind) => sight.line(format!("Content-Type: {}", text(kind))),
        None => sight.line("Content-Type: Not found in metadata"),
    }
    match metadata.timestamp(keys::TIMESTAMP) {
        Some(at) => sight.line(format!("Timestamp: {} ({})", at.isoformat(), at.internal())),
        None => sight.line("Timestamp: Not found in metadata"),
    }
    for (title, group) in groups(metadata, drop) {
        sight.line(title);
        if group.is_empty() {
            sight.line("  No metadata found");
        }
        group.iter().for_each(|(key, value)| sight.line(format!("  {key}: {value}")));
    }
}

/// `/account/container/object`, taken apart.
pub(super) fn names(path: &str) -> Option<[&str; 3]> {
    let mut parts = path.strip_prefix('/')?.splitn(3, '/');
    Some([parts.next()?, parts.next()?, parts.next()?])
}

type Group = Vec<(String, String)>;

fn groups(metadata: &Metadata, drop: bool) -> [(&'static str, Group); 4] {
    let mut groups = ["System Metadata:", "Transient System Metadata:", "User Metadata:", "Other Metadata:"]
        .map(|title| (title, Vec::new()));
    let shown_elsewhere = [keys::NAME, keys::CONTENT_TYPE, keys::TIMESTAMP, keys::ETAG, keys::CONTENT_LENGTH];
    for (key, value) in metadata.iter() {
        let key = text(key);
        if shown_elsewhere.contains(&key.as_str()) {
            continue;
        }
        let of = [SYSTEM, TRANSIENT, USER].iter().position(|prefix| starts_with(&key, prefix));
        let prefix = [SYSTEM, TRANSIENT, USER, ""][of.unwrap_or(3)];
        let shown = if drop { key[prefix.len()..].to_owned() } else { key };
        groups[of.unwrap_or(3)].1.push((shown, text(value)));
    }
    groups.iter_mut().for_each(|(_, group)| group.sort());
    groups
}

fn starts_with(key: &str, prefix: &str) -> bool {
    key.len() > prefix.len() && key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Bytes for the eye.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grouped_sorted_and_without_prefixes_if_wanted() {
        let items = [
            ("name", "/a/c/o/p"),
            ("Content-Type", "text/plain"),
            ("X-Timestamp", "1712345678.12345"),
            ("ETag", "e"),
            ("Content-Length", "1"),
            ("X-Object-Meta-Color", "red"),
            ("X-Object-Sysmeta-Key", "k"),
            ("X-Object-Transient-Sysmeta-Crypto", "t"),
            ("X-Object-Manifest", "m"),
        ];
        let metadata: Metadata =
            items.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        let mut sight = Sight::default();
        show(&mut sight, &metadata, |a, c, o| format!("{a}-{c}-{o}"), true);
        let lines: Vec<_> = sight.text.lines().collect();
        let expected = [
            "Path: /a/c/o/p",
            "  Account: a",
            "  Container: c",
            "  Object: o/p",
            "  Object hash: a-c-o/p",
            "Content-Type: text/plain",
            "Timestamp: 2024-04-05T19:34:38.123450 (1712345678.12345)",
            "System Metadata:",
            "  Key: k",
            "Transient System Metadata:",
            "  Crypto: t",
            "User Metadata:",
            "  Color: red",
            "Other Metadata:",
            "  X-Object-Manifest: m",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let mut sight = Sight::default();
        show(&mut sight, &Metadata::default(), |_, _, _| String::new(), false);
        assert!(sight.text.starts_with("Path: Not found in metadata\nContent-Type: Not found"), "{}", sight.text);
        assert_eq!(sight.text.matches("  No metadata found").count(), 4);
    }
}
