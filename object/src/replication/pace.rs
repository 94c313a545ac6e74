//! A rate of bytes that several tasks share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets so many bytes through in a second, or any number.
#[derive(Debug)]
pub struct Pace {
    /// Bytes in a second; 0 is no limit.
    rate: u64,
    /// When all that was let through is past.
    free_at: Mutex<Instant>,
}

impl Pace {
    /// For so many bytes in a second; 0 is no limit.
    pub fn new(rate: u64) -> Self {
        Self { rate, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until these bytes may go. They are one piece: what goes over the rate delays the next.
    pub async fn take(&self, bytes: u64) {
        if self.rate != 0 {
            tokio::time::sleep_until(self.reserve(bytes)).await;
        }
    }

    fn reserve(&self, bytes: u64) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = Instant::now().max(*free_at);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        *free_at = begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_wait_for_those_before_them() {
        let (pace, begin) = (Pace::new(1000), Instant::now());
        for _ in 0..5 {
            pace.take(500).await;
        }
        assert_eq!(begin.elapsed().as_secs(), 2);
        Pace::new(0).take(u64::MAX).await;
        assert_eq!(begin.elapsed().as_secs(), 2);
    }
}
