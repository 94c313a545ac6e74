//! What is measured at each size.

use apus_tests::load::Ask;

use crate::names::{Listed, Page};
use crate::site::{Figure, Site};

/// Different pages that are read.
const PAGES: usize = 200;
/// Different pseudo-folders.
const FOLDERS: u64 = 10;
/// How many objects a client that comes again and again asks for.
const FEW: u64 = 10_000;
/// Idle passes of a measurement, for the clock of processor time goes in hundredths of a second.
const PASSES: u32 = 5;

/// A thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    Page,
    FirstPage,
    Folders,
    Folder,
    Head,
    Get,
    GetFew,
    Put,
    Changed,
    Idle(&'static str),
    Audit,
    Memory,
    Restart,
    RestartKilled,
}

/// All, in the order in which they are measured.
pub(crate) const ALL: [Point; 17] = [
    Point::Page,
    Point::FirstPage,
    Point::Folders,
    Point::Folder,
    Point::Head,
    Point::Get,
    Point::GetFew,
    Point::Put,
    Point::Changed,
    Point::Idle("replicate"),
    Point::Idle("replicate-listings"),
    Point::Idle("update"),
    Point::Idle("expire"),
    Point::Audit,
    Point::Memory,
    Point::Restart,
    Point::RestartKilled,
];

impl Point {
    /// What it is called in the table.
    pub(crate) fn label(self) -> String {
        match self {
            Self::Page => "page of 1,000 behind a marker, p50 ms".into(),
            Self::FirstPage => "first page of 1,000, p50 ms".into(),
            Self::Folders => "10 pseudo-folders by delimiter, p50 ms".into(),
            Self::Folder => "page with prefix and delimiter, p50 ms".into(),
            Self::Head => "HEAD of any object, a second".into(),
            Self::Get => "GET of any object, a second".into(),
            Self::GetFew => "GET of the same 10,000, a second".into(),
            Self::Put => "PUT, a second".into(),
            Self::Changed => "replication pass after 4,000 PUTs, s of processor".into(),
            Self::Idle(pass) => format!("idle pass `{pass}`, s of processor"),
            Self::Audit => "objects audited a second".into(),
            Self::Memory => "memory of the storage node, MiB".into(),
            Self::Restart => "restart until the first GET is answered, ms".into(),
            Self::RestartKilled => "the same after kill -9, ms".into(),
        }
    }

    /// A word for it in the plot, if it is shown there.
    pub(crate) fn plotted(self) -> Option<&'static str> {
        match self {
            Self::Page => Some("page p50"),
            Self::Put => Some("PUT rate"),
            Self::Get => Some("GET rate, any"),
            Self::GetFew => Some("GET rate, same 10k"),
            Self::Audit => Some("audit rate"),
            Self::Memory => Some("memory"),
            Self::Idle("replicate") => Some("idle pass CPU"),
            Self::Restart => Some("restart"),
            _ => None,
        }
    }

    /// How often: what changes the state, or takes long, once.
    pub(crate) fn rounds(self, asked: usize) -> usize {
        match self {
            Self::Changed | Self::Memory => 1,
            _ => asked,
        }
    }

    pub(crate) fn measure(self, site: &mut Site, pages: &Pages) -> Figure {
        match self {
            Self::Page => site.pages(&pages.somewhere),
            Self::FirstPage => site.pages(&pages.first),
            Self::Folders => site.pages(&pages.folders),
            Self::Folder => site.pages(&pages.in_folders),
            Self::Head => site.reads(u64::MAX, Ask::Head),
            Self::Get => site.reads(u64::MAX, Ask::Get),
            Self::GetFew => site.reads(FEW, Ask::Get),
            Self::Put => site.puts(),
            Self::Changed => seconds(site.pass("replicate", &[]).0),
            Self::Idle(pass) => seconds((0..PASSES).map(|_| site.pass(pass, &[]).0).sum::<f64>() / f64::from(PASSES)),
            Self::Audit => site.audit(),
            Self::Memory => Figure { value: site.memory(), ..Figure::default() },
            Self::Restart | Self::RestartKilled => {
                let (_, read, listed) = site.restart(self == Self::RestartKilled);
                Figure { value: read, p99: Some(listed), processor: None }
            }
        }
    }
}

fn seconds(value: f64) -> Figure {
    Figure { value, ..Figure::default() }
}

/// The listings that are asked for at one size.
pub(crate) struct Pages {
    somewhere: Vec<Page>,
    first: Vec<Page>,
    folders: Vec<Page>,
    in_folders: Vec<Page>,
}

impl Pages {
    pub(crate) fn of(site: &Site) -> Self {
        let (listed, mut random): (Listed, _) = (site.listed(), site.random());
        Self {
            somewhere: listed.somewhere(PAGES, &mut random),
            first: vec![listed.first()],
            folders: vec![listed.folders()],
            in_folders: listed.in_folders(FOLDERS, &mut random),
        }
    }
}
