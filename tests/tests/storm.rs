//! A short storm of faults, and a long one: `make storm SEED=7 MINUTES=10`.
//!
//! What breaks and how is in `tests/src/storm`; here is only how much of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apus_tests::storm::{self, Settings};

#[test]
fn nothing_acknowledged_is_lost_in_a_short_storm() {
    storm::run(&Settings::new(4, Duration::from_secs(25)));
}

/// `STORM_SEED` says which storm, at random without it; `STORM_MINUTES` how long.
#[test]
#[ignore = "takes minutes: make storm"]
fn nothing_acknowledged_is_lost_in_a_long_storm() {
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse::<f64>());
    let random = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_micros().into();
    let seed = std::env::var("STORM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(random);
    let minutes = number("STORM_MINUTES").map_or(5.0, |minutes| minutes.expect("STORM_MINUTES is a number"));
    let settings = Settings::new(seed, Duration::from_secs_f64(minutes * 60.0));
    storm::run(&settings.with_all_that_is_permitted());
}
