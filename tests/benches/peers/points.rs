//! The points of the comparison: what is asked, how large, over how many connections.

/// What a point asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// New objects.
    Put,
    /// Objects that are in the page cache.
    Get,
    Head,
    Delete,
    /// A page of a listing of many rows.
    Page,
    /// The pseudo-folders of the same listing.
    Folders,
    /// Of twenty requests fourteen GET, four PUT, one HEAD and one DELETE.
    Mixed,
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) work: Work,
    /// Bytes of an object; none where listings are read.
    pub(crate) size: usize,
    pub(crate) connections: usize,
}

/// All points, in the order of the table.
pub(crate) fn all() -> Vec<Point> {
    let mut points = Vec::new();
    let mut add = |name: &str, work, size, connections| {
        points.push(Point { name: format!("{name}-{connections}"), work, size, connections });
    };
    for (name, size) in [("4k", 4 << 10), ("64k", 64 << 10), ("1m", 1 << 20)] {
        for connections in [1, 16, 64] {
            add(&format!("put-{name}"), Work::Put, size, connections);
        }
        for connections in [1, 16, 64] {
            add(&format!("get-{name}"), Work::Get, size, connections);
        }
    }
    add("put-256m", Work::Put, 256 << 20, 4);
    add("get-256m", Work::Get, 256 << 20, 4);
    add("head-4k", Work::Head, 4 << 10, 64);
    add("delete-4k", Work::Delete, 4 << 10, 16);
    for connections in [1, 16] {
        add("list-page", Work::Page, 0, connections);
        add("list-folders", Work::Folders, 0, connections);
    }
    add("mixed-4k", Work::Mixed, 4 << 10, 16);
    points
}
