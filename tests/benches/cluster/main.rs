//! The load generator behind `make bench`: a fresh `apus up`, one kind of request at a time over kept connections,
//! every answer checked, and for each a row of a table, with the processor time that the server spent on it.
//!
//! The clients run on the same machine and take their share of it; compare the last column before the others.

mod load;
mod options;
mod report;

use std::sync::Arc;

use apus_tests::Apus;
use apus_tests::swift::TESTER;

use load::{Kind, Load};
use options::Options;

fn main() {
    let Some(options) = Options::from_arguments(std::env::args().skip(1)) else {
        return;
    };
    let mut apus = Apus::builder().devices(options.devices).replicas(options.replicas).users(&[TESTER]).start();
    let server = apus.process().id();
    let session = apus.tester();
    println!(
        "{} devices, {} replicas, on {}; {} s for each row\n",
        options.devices,
        options.replicas,
        apus.data().display(),
        options.time.as_secs_f64(),
    );
    report::heading();
    for &size in &options.sizes {
        for &connections in &options.connections {
            let container = format!("size{size}-connections{connections}");
            session.make(&container);
            let load = Load::new(session.clone(), container, size, connections, options.time);
            let load = Arc::new(load);
            for kind in Kind::ALL {
                let before = report::processor_time(server);
                let outcome = load.run(kind);
                let spent = report::processor_time(server).saturating_sub(before);
                report::row(kind, size, connections, &outcome, spent);
            }
        }
    }
}
