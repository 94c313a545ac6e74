//! The container that is listed: rows in pseudo-folders.

/// Pseudo-folders.
const FOLDERS: u64 = 10;
/// Names of one page.
const PAGE: u64 = 1000;

/// Rows named `f0/00000000` and so on, as many in each of ten pseudo-folders.
pub(crate) struct Rows {
    in_each: u64,
}

impl Rows {
    pub(crate) fn new(count: u64) -> Self {
        Self { in_each: count / FOLDERS }
    }

    pub(crate) fn container(&self) -> &'static str {
        "rows"
    }

    pub(crate) fn in_each(&self) -> u64 {
        self.in_each
    }

    pub(crate) fn count(&self) -> u64 {
        self.in_each * FOLDERS
    }

    /// The names of the folders without their slash.
    pub(crate) fn folders(&self) -> Vec<String> {
        (0..FOLDERS).map(|folder| format!("f{folder}")).collect()
    }

    /// Pages from all over the listing: the query of each, and the names that it has to show.
    pub(crate) fn pages(&self) -> Vec<(String, Vec<String>)> {
        let first = (0..FOLDERS).map(|folder| folder * self.in_each + self.in_each / 2);
        first.map(|first| self.page(first)).collect()
    }

    fn page(&self, first: u64) -> (String, Vec<String>) {
        let names = (first..self.count().min(first + PAGE)).map(|row| self.name(row)).collect();
        (format!("limit={PAGE}&marker={}", self.name(first - 1).replace('/', "%2F")), names)
    }

    /// The query that shows the folders alone, and what it has to show.
    pub(crate) fn by_folder(&self) -> (String, Vec<String>) {
        ("delimiter=%2F".to_owned(), self.folders().into_iter().map(|folder| format!("{folder}/")).collect())
    }

    fn name(&self, row: u64) -> String {
        format!("f{}/{:08}", row / self.in_each, row % self.in_each)
    }
}
