//! `make bench-scale`: what grows with the number of objects stored. One container grows from size to size; at each, everything is
//! measured in turn on it and on a second one that stays at the smallest size, so that what else the machine does hits both,
//! and the ratio is of the same minutes.
//!
//! One storage node with one device and one replica, each on a filesystem of its own on a loop device, whose inodes hold small
//! files whole: so ten million objects take 22 GB, and not 80. A proxy beside it.

mod loader;
mod names;
mod options;
mod plot;
mod points;
mod report;
mod site;

use std::time::{Duration, Instant};

use apus_tests::interrupt;

use options::Options;
use points::{ALL, Pages, Point};
use report::{Column, Measured, Report};
use site::{Figure, Site};

fn main() {
    let Some(options) = Options::from_arguments(std::env::args().skip(1)) else {
        return;
    };
    interrupt::watch();
    let (started, smallest) = (Instant::now(), options.sizes[0]);
    let most = options.sizes.last().copied().unwrap_or(smallest);
    expect_room(smallest + most);
    let mut report = Report::new(&options);
    let mut small = Site::start(smallest + room(&options));
    let (loaded, indexed) = small.grow(smallest, options.threads);
    let mut column = Column::new(smallest, loaded, indexed);
    small.renew();
    let pages = Pages::of(&small);
    for point in ALL {
        let figure = rounds(point, &options, |point| point.measure(&mut small, &pages));
        column.add(Measured { point, here: figure, small: figure });
    }
    report.add(column);
    let mut large = Site::start(most + room(&options));
    for size in &options.sizes[1..] {
        let (loaded, indexed) = large.grow(*size, options.threads);
        let mut column = Column::new(*size, loaded, indexed);
        compare(&mut small, &mut large, &options, &mut column);
        report.add(column);
    }
    while options.hold && told() {
        let mut column = Column::new(most, Duration::ZERO, Duration::ZERO);
        compare(&mut small, &mut large, &options, &mut column);
        report.again(column);
    }
    println!("\n{} minutes", started.elapsed().as_secs().div_ceil(60));
}

/// Measures everything on both, in turn.
fn compare(small: &mut Site, large: &mut Site, options: &Options, column: &mut Column) {
    let pages = [&*small, &*large].map(Pages::of);
    for site in [&mut *small, &mut *large] {
        site.renew();
        // The first pass after a while finds what was left over.
        site.pass("replicate", &[]);
    }
    for point in ALL {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..point.rounds(options.rounds) {
            interrupt::check();
            figures[0].push(point.measure(small, &pages[0]));
            figures[1].push(point.measure(large, &pages[1]));
        }
        let [small, here] = figures.map(|figures| Figure::mean(&figures));
        column.add(Measured { point, here, small });
    }
}

fn rounds(point: Point, options: &Options, mut measure: impl FnMut(Point) -> Figure) -> Figure {
    let figures: Vec<_> = (0..point.rounds(options.rounds)).map(|_| measure(point)).collect();
    Figure::mean(&figures)
}

/// Objects that measurements add.
fn room(options: &Options) -> u64 {
    (options.sizes.len() * options.rounds) as u64 * 10_000
}

/// Bytes of the disk that an object takes, and those that are left to others.
const BYTES_EACH: u64 = 2200;
const LEFT_BYTES: u64 = 8 << 30;

/// Refuses to fill the disk.
fn expect_room(objects: u64) {
    let folder = std::env::temp_dir();
    let disk = rustix::fs::statvfs(&folder).expect("a disk");
    let (free, needed) = (disk.f_bavail * disk.f_frsize, objects * BYTES_EACH + LEFT_BYTES);
    assert!(free >= needed, "{} has {} GB free, of {} needed", folder.display(), free >> 30, needed >> 30);
}

/// Whether there was a line; until then there is time to look at what is there.
fn told() -> bool {
    std::io::stdin().read_line(&mut String::new()).is_ok_and(|bytes| bytes > 0)
}
