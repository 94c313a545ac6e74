//! What the objects are called, and what listings of them have to show.
//!
//! Objects are numbered in the order in which they come; their names are spread over all that there can be, so each comes between
//! others, in one of ten pseudo-folders.

/// Most objects.
pub(crate) const MOST: u64 = 100_000_000;
/// Prime to [`MOST`], so that no two numbers have one name; near the golden section, so that names are spread evenly at each size.
const STRIDE: u64 = 61_803_399;
/// Objects of a full pseudo-folder.
const FOLDER: u64 = 10_000_000;
/// Names of a page.
pub(crate) const PAGE: usize = 1000;

/// The name of an object.
pub(crate) fn name(number: u64) -> String {
    text(key(number))
}

fn key(number: u64) -> u64 {
    number * STRIDE % MOST
}

fn text(key: u64) -> String {
    format!("{}/{key:08}", key / FOLDER)
}

/// The names of the first objects, in the order of a listing.
pub(crate) struct Listed(Vec<u64>);

/// A listing: its query and what it has to show.
pub(crate) type Page = (String, Vec<String>);

impl Listed {
    pub(crate) fn new(count: u64) -> Self {
        let mut keys: Vec<_> = (0..count).map(key).collect();
        keys.sort_unstable();
        Self(keys)
    }

    /// The first page.
    pub(crate) fn first(&self) -> Page {
        (format!("limit={PAGE}"), self.texts(0))
    }

    /// Pages behind markers from all over the listing.
    pub(crate) fn somewhere(&self, many: usize, random: &mut fastrand::Rng) -> Vec<Page> {
        let last = self.0.len().saturating_sub(PAGE + 1).max(1);
        (0..many).map(|_| self.behind(random.usize(0..last))).collect()
    }

    fn behind(&self, marker: usize) -> Page {
        let query = format!("limit={PAGE}&marker={}", text(self.0[marker]).replace('/', "%2F"));
        (query, self.texts(marker + 1))
    }

    fn texts(&self, first: usize) -> Vec<String> {
        self.0[first..].iter().take(PAGE).map(|key| text(*key)).collect()
    }

    /// The pseudo-folders.
    pub(crate) fn folders(&self) -> Page {
        let mut folders: Vec<_> = self.0.iter().map(|key| key / FOLDER).collect();
        folders.dedup();
        ("delimiter=%2F".to_owned(), folders.into_iter().map(|folder| format!("{folder}/")).collect())
    }

    /// A page of some pseudo-folders.
    pub(crate) fn in_folders(&self, many: u64, random: &mut fastrand::Rng) -> Vec<Page> {
        let page = |folder: u64| {
            let first = self.0.partition_point(|key| *key < folder * FOLDER);
            let names = self.0[first..].iter().take_while(|key| *key / FOLDER == folder).take(PAGE);
            let query = format!("limit={PAGE}&prefix={folder}%2F&delimiter=%2F");
            (query, names.map(|key| text(*key)).collect())
        };
        (0..many).map(|_| page(random.u64(0..MOST / FOLDER))).collect()
    }
}
