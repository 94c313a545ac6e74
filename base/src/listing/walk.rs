//! The walk over ordered names that makes a listing: markers, prefix, delimiter, path, reverse.
//!
//! Names are ordered by the bytes of their UTF-8. The walk costs as much as what it shows: past a `subdir` it seeks
//! instead of stepping through the names below it. It follows Swift's `list_objects_iter`, but for two slips there that
//! lose rows of a `path` listing: the name right after a pseudo-directory (`a0` after `a/...`), and in reverse the
//! directory's own marker object (`a/`).

use super::query::Query;

/// A place in an ordered set of names.
pub trait Cursor {
    /// Goes to the first name at or after `at`.
    fn seek(&mut self, at: &[u8]);
    /// Goes to the last name before `at`; to the last of all when there is none such bound.
    fn seek_before(&mut self, at: Option<&[u8]>);
    /// Goes one name on.
    fn next(&mut self);
    /// Goes one name back.
    fn previous(&mut self);
    /// The name here, or `None` past either end.
    fn name(&self) -> Option<&[u8]>;
}

/// One entry of a listing.
#[derive(Debug)]
pub enum Entry<'a, C> {
    /// The row where the cursor stands.
    Row(&'a C),
    /// All names that begin so.
    Subdir(&'a [u8]),
}

/// Half-open bounds of names: the first that may be shown, and the first after it that may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Inclusive.
    pub lower: Vec<u8>,
    /// Exclusive; `None` is no bound.
    pub upper: Option<Vec<u8>>,
}

/// Walks `cursor` and gives each entry to `show`, until the limit is reached or `show` fails.
///
/// # Errors
/// What `show` fails with.
pub fn walk<C: Cursor, E>(
    cursor: &mut C,
    query: &Query,
    mut show: impl FnMut(Entry<'_, C>) -> Result<(), E>,
) -> Result<(), E> {
    let plan = Plan::new(query);
    plan.begin(cursor);
    let mut shown = 0;
    while shown < query.limit {
        let Some(name) = cursor.name().filter(|name| plan.bounds.contains(name)) else {
            return Ok(());
        };
        match plan.place(name) {
            Place::Row => {
                show(Entry::Row(cursor))?;
                shown += 1;
                plan.step(cursor);
            }
            Place::Hidden => plan.step(cursor),
            Place::Subdir(dir) => {
                if dir != plan.after {
                    show(Entry::Subdir(&dir))?;
                    shown += 1;
                }
                plan.skip(cursor, &dir, false);
            }
            Place::Below(dir) => plan.skip(cursor, &dir, true),
        }
    }
    Ok(())
}

impl Query {
    /// The bounds of the names that this query can show.
    pub fn bounds(&self) -> Bounds {
        Plan::new(self).bounds
    }
}

/// A query made ready.
struct Plan {
    bounds: Bounds,
    prefix: Vec<u8>,
    delimiter: Vec<u8>,
    /// In a path listing, the path itself, whose own row is not among its children.
    path: Option<Vec<u8>>,
    /// The lower marker as it was given: a subdir of that very name was on the page before.
    after: Vec<u8>,
    reverse: bool,
}

/// What a name is to a listing.
enum Place {
    Row,
    Hidden,
    Subdir(Vec<u8>),
    /// Deeper in a path listing than its children.
    Below(Vec<u8>),
}

impl Plan {
    fn new(query: &Query) -> Self {
        let path = query.path.as_ref().map(|path| match path.trim_end_matches('/') {
            // Only the empty path is the top: "/" is the pseudo-directory without a name.
            _ if path.is_empty() => Vec::new(),
            trimmed => format!("{trimmed}/").into_bytes(),
        });
        let prefix = path.clone().unwrap_or_else(|| query.prefix.clone().into_bytes());
        let delimiter = if path.is_some() { b"/".to_vec() } else { query.delimiter.clone().into_bytes() };
        let (after, before) = match query.reverse {
            false => (&query.marker, &query.end_marker),
            true => (&query.end_marker, &query.marker),
        };
        let bounds = bounds(after.as_bytes(), before.as_bytes(), &prefix, query.reserved);
        Self { bounds, prefix, delimiter, path, after: after.clone().into_bytes(), reverse: query.reverse }
    }

    fn begin(&self, cursor: &mut impl Cursor) {
        if self.reverse {
            cursor.seek_before(self.bounds.upper.as_deref());
        } else {
            cursor.seek(&self.bounds.lower);
        }
    }

    fn step(&self, cursor: &mut impl Cursor) {
        if self.reverse { cursor.previous() } else { cursor.next() }
    }

    /// Goes past all names that begin with `dir`; `keep` leaves out `dir` itself, which is a row of its own.
    fn skip(&self, cursor: &mut impl Cursor, dir: &[u8], keep: bool) {
        match (self.reverse, keep) {
            (true, true) => cursor.seek_before(Some(&following(dir))),
            (true, false) => cursor.seek_before(Some(dir)),
            (false, _) => cursor.seek(&after_prefix(dir)),
        }
    }

    fn place(&self, name: &[u8]) -> Place {
        if self.delimiter.is_empty() {
            return Place::Row;
        }
        if self.path.as_deref() == Some(name) {
            return Place::Hidden;
        }
        let Some(at) = find(name, &self.delimiter, self.prefix.len()) else {
            return Place::Row;
        };
        let dir = &name[..at + self.delimiter.len()];
        match self.path {
            None => Place::Subdir(dir.to_vec()),
            Some(_) if dir.len() < name.len() => Place::Below(dir.to_vec()),
            Some(_) => Place::Row,
        }
    }
}

impl Bounds {
    /// Whether a name is within.
    pub fn contains(&self, name: &[u8]) -> bool {
        name >= self.lower.as_slice() && self.upper.as_deref().is_none_or(|upper| name < upper)
    }
}

fn bounds(after: &[u8], before: &[u8], prefix: &[u8], reserved: bool) -> Bounds {
    let marker = if after.is_empty() { Vec::new() } else { following(after) };
    let visible: &[u8] = if reserved { b"" } else { b"\x01" };
    let lower = marker.max(prefix.to_vec()).max(visible.to_vec());
    let end = (!before.is_empty()).then(|| before.to_vec());
    let prefix_end = (!prefix.is_empty()).then(|| after_prefix(prefix));
    let upper = [end, prefix_end].into_iter().flatten().min();
    Bounds { lower, upper }
}

/// The first name after `name`.
fn following(name: &[u8]) -> Vec<u8> {
    [name, b"\0"].concat()
}

/// The first bytes after all that begin with `prefix`, which is UTF-8 and not empty, so its last byte is below 255.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

fn find(name: &[u8], delimiter: &[u8], from: usize) -> Option<usize> {
    let rest = name.get(from..)?;
    rest.windows(delimiter.len()).position(|window| window == delimiter).map(|at| from + at)
}

#[cfg(test)]
pub(crate) mod tests;
