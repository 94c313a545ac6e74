//! The files in an object's folder, and which of them count.
//!
//! `<timestamp>.data` is a version, `<timestamp>.ts` a tombstone, `<timestamp>[±<difference>].meta` the metadata of a
//! POST; the signed hexadecimal difference, in ticks of 10 µs, leads from its timestamp to that of the content type it
//! carries. All this is Swift's (`obj/diskfile.py`), so that either can read the other's disks. `<timestamp>.rewrap` is
//! ours and lives for a moment only: see [`rewrap`](super::rewrap).
//!
//! Pure: names in, decision out. Names of any other form are left alone.

use std::cmp::Reverse;

use apus_base::timestamp::Timestamp;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A version: its bytes and its metadata.
    Data,
    /// What a POST set.
    Meta,
    /// A deletion.
    Tombstone,
    /// New metadata of the version of the same timestamp, on its way into that file.
    Rewrap,
}

impl Kind {
    /// The name's ending, with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Data => ".data",
            Self::Meta => ".meta",
            Self::Tombstone => ".ts",
            Self::Rewrap => ".rewrap",
        }
    }
}

/// The name of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// When it was written.
    pub timestamp: Timestamp,
    /// What it holds.
    pub kind: Kind,
    /// In a `.meta` that carries a content type: when that was set.
    pub content_type: Option<Timestamp>,
}

impl FileName {
    /// Reads a name; `None` for files that are none of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let kind = [Kind::Data, Kind::Meta, Kind::Tombstone, Kind::Rewrap]
            .into_iter()
            .find(|k| name.ends_with(k.extension()))?;
        let stem = name.strip_suffix(kind.extension())?;
        let (timestamp, content_type) = match stem.find(['+', '-']) {
            Some(at) if kind == Kind::Meta => {
                let timestamp: Timestamp = stem[..at].parse().ok()?;
                (timestamp, Some(shift(timestamp, &stem[at..])?))
            }
            _ => (stem.parse().ok()?, None),
        };
        let file = Self { timestamp, kind, content_type };
        // The same name comes out again, or the file would be looked for under another.
        (file.text() == name).then_some(file)
    }

    /// Reads the name of a file that other replicas may have too: a `.rewrap` is a device's own.
    pub fn parse_shared(name: &str) -> Option<Self> {
        Self::parse(name).filter(|file| file.kind != Kind::Rewrap)
    }

    /// The name as it is on disk.
    pub fn text(&self) -> String {
        let (timestamp, extension) = (self.timestamp, self.kind.extension());
        match self.content_type {
            Some(t) if self.kind == Kind::Meta => {
                let sign = if t.ticks() >= timestamp.ticks() { '+' } else { '-' };
                format!("{}{sign}{:x}{extension}", short(timestamp), t.ticks().abs_diff(timestamp.ticks()))
            }
            _ => format!("{}{extension}", timestamp.internal()),
        }
    }
}

/// Swift's `Timestamp.short`: the offset is not padded.
fn short(t: Timestamp) -> String {
    if t.offset() == 0 { t.normal() } else { format!("{}_{:x}", t.normal(), t.offset()) }
}

fn shift(from: Timestamp, difference: &str) -> Option<Timestamp> {
    let (sign, hex) = difference.split_at(1);
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let ticks = u64::from_str_radix(hex, 16).ok()?;
    let ticks = if sign == "+" { from.ticks().checked_add(ticks)? } else { from.ticks().checked_sub(ticks)? };
    // From text and back, so that a number too large to be a timestamp is refused.
    let shifted = Timestamp::from_ticks(ticks);
    (shifted.ticks() == ticks).then_some(shifted)
}

/// The files of one object that count, and those that no longer do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSet {
    /// The newest version, if it is not deleted.
    pub data: Option<FileName>,
    /// What takes the place of `data`'s own metadata, while that is being rewritten or after a crash then.
    pub rewrap: Option<FileName>,
    /// The newest metadata of a POST after `data`.
    pub meta: Option<FileName>,
    /// The `.meta` with the newest content type, if that is newer than `data`'s; often the same as `meta`.
    pub content_type: Option<FileName>,
    /// The newest deletion, if nothing is newer.
    pub tombstone: Option<FileName>,
    /// Files that the others replace, by their names on disk.
    pub obsolete: Vec<String>,
}

impl FileSet {
    /// Decides among the names in an object's folder.
    pub fn choose<S: AsRef<str>>(names: &[S]) -> Self {
        let mut files: Vec<(FileName, &str)> =
            names.iter().filter_map(|n| Some((FileName::parse(n.as_ref())?, n.as_ref()))).collect();
        files.sort_by_key(|(f, _)| Reverse(f.timestamp));
        let newest = |kind| files.iter().find(|(f, _)| f.kind == kind).map(|(f, _)| f.clone());
        let tombstone = newest(Kind::Tombstone);
        let deleted_at = tombstone.as_ref().map(|t| t.timestamp);
        let data = newest(Kind::Data).filter(|d| deleted_at.is_none_or(|t| d.timestamp > t));
        let since = data.as_ref().map(|d| d.timestamp).max(deleted_at);

        let mut metas: Vec<FileName> = files.iter().map(|(f, _)| f.clone()).filter(|f| f.kind == Kind::Meta).collect();
        metas.retain(|m| since.is_none_or(|t| m.timestamp > t));
        let (meta, content_type) = newest_metas(&metas);

        let mut chosen = Self { data, tombstone, ..Self::default() };
        if let Some(data) = &chosen.data {
            chosen.tombstone = None;
            let belongs = |f: &FileName| f.kind == Kind::Rewrap && f.timestamp == data.timestamp;
            chosen.rewrap = files.iter().find(|(f, _)| belongs(f)).map(|(f, _)| f.clone());
            chosen.content_type = content_type.clone().filter(|m| m.content_type > Some(data.timestamp));
            chosen.meta.clone_from(&meta);
        }
        let kept = [&chosen.data, &chosen.rewrap, &chosen.tombstone, &meta, &content_type];
        let is_kept = |file: &FileName| kept.iter().any(|k| k.as_ref() == Some(file));
        chosen.obsolete = files.iter().filter(|(f, _)| !is_kept(f)).map(|(_, name)| (*name).to_owned()).collect();
        chosen
    }

    /// The newest of the files that count; zero when none does.
    pub fn last(&self) -> Timestamp {
        let files = [&self.data, &self.meta, &self.content_type, &self.tombstone];
        files.into_iter().flatten().map(|f| f.timestamp).max().unwrap_or_default()
    }

    /// The newest of data and tombstone, which decides whether a write is too old.
    pub fn newest(&self) -> Timestamp {
        let newest = |file: &Option<FileName>| file.as_ref().map_or(Timestamp::ZERO, |f| f.timestamp);
        newest(&self.data).max(newest(&self.tombstone))
    }
}

/// The newest metadata, and where the newest content type is, which may be in an older POST that replication brought.
///
/// A POST that set no content type carries the one before it along, so more than two are never needed.
fn newest_metas(metas: &[FileName]) -> (Option<FileName>, Option<FileName>) {
    let newest = metas.iter().max_by_key(|m| (m.timestamp, m.content_type)).cloned();
    let best = metas.iter().max_by_key(|m| (m.content_type, m.timestamp)).cloned();
    let content_type = match (&newest, &best) {
        (Some(n), Some(b)) if b.content_type > n.content_type => best,
        _ => newest.clone(),
    };
    (newest, content_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Option<FileName> {
        Some(FileName::parse(text).unwrap())
    }

    #[test]
    fn names_as_swift_writes_them() {
        let t: Timestamp = "1712345678.12345".parse().unwrap();
        let later = Timestamp::from_ticks(t.ticks() + 26);
        let meta = |content_type| FileName { timestamp: t, kind: Kind::Meta, content_type };
        assert_eq!(meta(None).text(), "1712345678.12345.meta");
        assert_eq!(meta(Some(t)).text(), "1712345678.12345+0.meta");
        assert_eq!(meta(Some(later)).text(), "1712345678.12345+1a.meta");
        let ts = FileName { timestamp: t.with_offset(1), kind: Kind::Tombstone, content_type: None };
        assert_eq!(ts.text(), "1712345678.12345_0000000000000001.ts");
        for other in ["hashes.pkl", ".1712345678.12345.data.Ab12_c", "1712345678.12345#2#d.data", "1.meta+0", ".data"] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn newest_wins_and_the_rest_is_obsolete() {
        let set =
            FileSet::choose(&["0000000003.00000.data", "0000000002.00000.ts", "0000000001.00000.data", "hashes.pkl"]);
        assert_eq!((set.data.clone(), set.tombstone.clone()), (name("0000000003.00000.data"), None));
        assert_eq!(set.obsolete, ["0000000002.00000.ts", "0000000001.00000.data"]);

        let deleted = FileSet::choose(&["0000000003.00000.data", "0000000003.00000.ts", "0000000004.00000.meta"]);
        assert_eq!((deleted.data, deleted.tombstone), (None, name("0000000003.00000.ts")));
        assert_eq!(deleted.obsolete, ["0000000003.00000.data"]);
    }

    #[test]
    fn a_content_type_may_come_from_an_older_post() {
        // The POST at 5 has the content type of 2 (before the data); the one at 4 has its own.
        let (five, four) = ("0000000005.00000-493e0.meta", "0000000004.00000+0.meta");
        let set = FileSet::choose(&["0000000003.00000.data", five, four]);
        assert_eq!((set.meta, set.content_type), (name(five), name(four)));
        assert!(set.obsolete.is_empty());
    }

    proptest! {
        #[test]
        fn any_name_is_read_or_ignored(text in "\\PC{0,30}|[0-9]{10}\\.[0-9]{5}[-+_0-9a-f]{0,20}\\.(data|meta|ts)") {
            if let Some(file) = FileName::parse(&text) {
                prop_assert_eq!(FileName::parse(&file.text()), Some(file));
            }
        }

        /// Against replaying the writes in the order of their timestamps.
        #[test]
        fn as_if_the_writes_came_in_order(writes in prop::collection::btree_map(1u64..30, 0u8..3, 0..8)) {
            let names: Vec<_> = writes.iter().map(|(secs, kind)| {
                let kind = [Kind::Data, Kind::Tombstone, Kind::Meta][usize::from(*kind)];
                FileName { timestamp: Timestamp::from_secs(*secs), kind, content_type: None }
            }).collect();
            let (mut data, mut tombstone, mut meta) = (None, None, None);
            for file in names.iter().cloned() {
                match file.kind {
                    Kind::Data => (data, tombstone, meta) = (Some(file), None, None),
                    Kind::Tombstone => (data, tombstone, meta) = (None, Some(file), None),
                    Kind::Meta if data.is_some() => meta = Some(file),
                    Kind::Meta | Kind::Rewrap => {}
                }
            }
            let mut shuffled: Vec<_> = names.iter().map(FileName::text).collect();
            shuffled.reverse();
            let set = FileSet::choose(&shuffled);
            prop_assert_eq!((set.data, set.tombstone, set.meta), (data, tombstone, meta));
        }
    }
}
