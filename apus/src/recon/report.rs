//! How figures are said: in swift-recon's words and forms. Pure.

use time::OffsetDateTime;
use time::macros::format_description;

/// What stands between two checks.
pub(super) const RULE: &str = "===============================================================================";

/// The figures of one kind from all hosts.
#[derive(Debug, PartialEq)]
pub(super) struct Stats {
    low: f64,
    high: f64,
    total: f64,
    reported: usize,
    without: usize,
}

impl Stats {
    /// Of hosts that answered, with or without a figure; none when no host had one.
    pub(super) fn of(figures: &[Option<f64>]) -> Option<Self> {
        let known: Vec<f64> = figures.iter().flatten().copied().collect();
        let low = known.iter().copied().reduce(f64::min)?;
        let high = known.iter().copied().reduce(f64::max)?;
        let (total, reported) = (known.iter().sum(), known.len());
        Some(Self { low, high, total, reported, without: figures.len() - reported })
    }

    fn line(&self, name: &str) -> String {
        let all = self.reported + self.without;
        #[expect(clippy::cast_precision_loss, reason = "numbers of hosts")]
        let (average, failed) = (self.total / self.reported as f64, self.without as f64 * 100.0 / all as f64);
        format!(
            "[{name}] low: {:.0}, high: {:.0}, avg: {average:.1}, total: {:.0}, Failed: {failed:.1}%, no_result: {}, reported: {}",
            self.low.trunc(),
            self.high.trunc(),
            self.total.trunc(),
            self.without,
            self.reported,
        )
    }
}

/// One line about the figures of all hosts.
pub(super) fn figures(name: &str, figures: &[Option<f64>]) -> String {
    Stats::of(figures).map_or_else(|| format!("[{name}] - No hosts returned valid data."), |stats| stats.line(name))
}

/// `2026-11-21 03:17:50`, in UTC.
pub(crate) fn date(seconds: f64) -> String {
    let nanos = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_nanos();
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::try_from(nanos).unwrap_or_default());
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at.ok().and_then(|at| at.format(form).ok()).unwrap_or_else(|| "a time far away".to_owned())
}

/// `2 hours`: the largest unit of which there is one.
pub(crate) fn elapsed(seconds: f64) -> String {
    let units = [("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)];
    let (unit, length) = units.into_iter().find(|(_, length)| seconds >= *length).unwrap_or(("seconds", 1.0));
    format!("{:.0} {unit}", (seconds / length).trunc())
}

/// `12 GB`, in steps of a thousand.
pub(crate) fn size(bytes: u64) -> String {
    let mut size = bytes;
    let mut suffixes = ["bytes", "kB", "MB", "GB", "TB", "PB"].into_iter();
    let mut suffix = suffixes.next().unwrap_or_default();
    for next in suffixes {
        if size < 1000 {
            break;
        }
        (size, suffix) = (size / 1000, next);
    }
    format!("{size} {suffix}")
}

/// Who was the first and who the last to complete something, by when each did: none never tells, 0 never did.
pub(super) fn completions(last: &[(String, Option<f64>)], now: f64) -> Vec<String> {
    let known: Vec<(&String, f64)> = last.iter().filter_map(|(host, at)| Some((host, (*at)?))).collect();
    let by_time = |a: &&(&String, f64), b: &&(&String, f64)| a.1.total_cmp(&b.1);
    let (Some((first, at)), Some((latest, latest_at))) = (known.iter().min_by(by_time), known.iter().max_by(by_time))
    else {
        return Vec::new();
    };
    let ago = |at: f64| format!("{} ({} ago)", date(at), elapsed((now - at).max(0.0)));
    let oldest = if *at > 0.0 { ago(*at) } else { "NEVER".to_owned() };
    let mut lines = vec![format!("Oldest completion was {oldest} by {first}.")];
    if *latest_at > 0.0 {
        lines.push(format!("Most recent completion was {} by {latest}.", ago(*latest_at)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that swift-recon prints for the same figures.
    #[test]
    fn figures_are_said_as_swift_does() {
        assert_eq!(
            figures("async_pending", &[Some(3.0), None, Some(4.5)]),
            "[async_pending] low: 3, high: 4, avg: 3.8, total: 7, Failed: 33.3%, no_result: 1, reported: 2"
        );
        assert_eq!(figures("x", &[None]), "[x] - No hosts returned valid data.");
        assert_eq!(figures("x", &[]), "[x] - No hosts returned valid data.");
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(date(1_792_552_670.9), "2026-10-21 03:17:50");
        assert_eq!(
            ["59 seconds", "1 minutes", "23 hours", "2 days"],
            [59.9, 60.0, 86399.0, 200_000.0].map(elapsed)[..]
        );
        assert_eq!(["999 bytes", "1 kB", "2 GB", "18446 PB"], [999, 1999, 2_500_000_000, u64::MAX].map(size)[..]);
    }

    #[test]
    fn the_first_and_the_last_to_complete() {
        let last = [("a", Some(100.0)), ("b", None), ("c", Some(0.0))].map(|(host, at)| (host.to_owned(), at));
        let lines = completions(&last, 160.0);
        assert_eq!(lines[0], "Oldest completion was NEVER by c.");
        assert_eq!(lines[1], "Most recent completion was 1970-01-01 00:01:40 (1 minutes ago) by a.");
        assert!(completions(&last[1..2], 160.0).is_empty());
    }
}
