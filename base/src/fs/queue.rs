//! One bounded queue of blocking work per device, so that a slow disk delays only its own requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Work that may wait for one of a device's threads; beyond it the device is overloaded and says so at once.
const MAX_WAITING: usize = 1024;

/// Runs blocking work, a few pieces at a time.
#[derive(Clone, Debug)]
pub struct DiskQueue {
    threads: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Too much work waits already; answer 503 and let the client try again.
    #[error("the device has too much work waiting")]
    Overloaded,
    /// The work panicked: a bug, and logged where it happened.
    #[error("the work on the device failed unexpectedly")]
    Panicked,
}

impl DiskQueue {
    /// A queue with that many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads: Arc::new(Semaphore::new(threads.max(1))), waiting: Arc::default() }
    }

    /// Runs `work` on one of the device's threads. Dropping the future before the work began cancels it; work that has
    /// begun runs to its end.
    ///
    /// # Errors
    /// `Overloaded` when too much waits, `Panicked` when the work did.
    pub async fn run<T, F>(&self, work: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let waiting = Waiting::enter(&self.waiting)?;
        let place = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| QueueError::Overloaded)?;
        drop(waiting);
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        done.await.map_err(|_| QueueError::Panicked)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self, QueueError> {
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            count.fetch_sub(1, Ordering::Relaxed);
            return Err(QueueError::Overloaded);
        }
        Ok(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future as _;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn too_much_work_is_refused_and_the_rest_is_done() {
        let queue = DiskQueue::new(1);
        let (release, blocked) = mpsc::channel::<()>();
        let mut first = Box::pin(queue.run(move || blocked.recv().is_ok()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());

        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|n| Box::pin(queue.run(move || n))).collect();
        assert!(waiting.iter_mut().all(|w| w.as_mut().poll(&mut cx).is_pending()));
        assert_eq!(queue.run(|| 0).await, Err(QueueError::Overloaded));

        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        for (n, work) in waiting.into_iter().enumerate() {
            assert_eq!(work.await, Ok(n));
        }
    }

    #[tokio::test]
    async fn a_panic_stays_in_its_work() {
        let queue = DiskQueue::new(1);
        assert_eq!(queue.run(|| panic!("on purpose")).await, Err::<(), _>(QueueError::Panicked));
        assert_eq!(queue.run(|| 1).await, Ok(1));
    }
}
