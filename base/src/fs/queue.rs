//! One bounded queue of blocking work per device, so that a slow disk delays only its own requests.
//!
//! Each device has threads of its own, started when they are needed and ended when they have not been for a while. A disk that hangs holds these and nothing else: not
//! the threads of another device, nor Tokio's shared ones. Measured against io_uring and Tokio's pool in
//! `docs/decisions/0002-disk-engine.md`.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::oneshot;

/// Work that may wait for one of a device's threads; beyond it the device is overloaded and says so at once, to whoever
/// begins something. What was begun [goes on](DiskQueue::go_on).
const MAX_WAITING: usize = 1024;
/// How long a thread waits for work: what it keeps of memory for itself goes with it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs blocking work, a few pieces at a time. Its threads end when the last clone is dropped and all work is done.
#[derive(Clone, Debug)]
pub struct DiskQueue(Arc<Owner>);

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Too much work waits already; answer 529, so that another node is asked and this one is not taken for a broken one.
    #[error("the device has too much work waiting")]
    Overloaded,
    /// The work panicked: a bug, and logged where it happened.
    #[error("the work on the device failed unexpectedly")]
    Panicked,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    max_threads: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    /// Those that wait, the last of which is woken first: its caches are warm, and those that are not needed end.
    idle: Vec<Thread>,
    ended: bool,
}

impl DiskQueue {
    /// A queue with that many threads at most.
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Owner { shared: Arc::default(), max_threads: threads.max(1) }))
    }

    /// Runs `work` on one of the device's threads, which belong to no runtime. Dropping the future before the work began
    /// cancels it; work that has begun runs to its end.
    ///
    /// # Errors
    /// `Overloaded` when too much waits, `Panicked` when the work did.
    pub async fn run<T, F>(&self, work: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.run_within(MAX_WAITING, work).await
    }

    /// As [`run`](Self::run), for a further piece of what was let in: the next chunk of a body, the row of an object that is
    /// stored. To refuse that would waste what was done, or cut an answer short, just when there is too much to do. Such
    /// pieces are bounded, too: each request has one at a time, and the server bounds the requests.
    ///
    /// # Errors
    /// `Panicked` when the work did; `Overloaded` when there is not one thread for it.
    pub async fn go_on<T, F>(&self, work: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.run_within(usize::MAX, work).await
    }

    async fn run_within<T, F>(&self, most_waiting: usize, work: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let work = move || {
            if !done.is_closed()
                && let Ok(value) = catch_unwind(AssertUnwindSafe(work))
            {
                // Nobody waits any more, perhaps.
                let _ = done.send(value);
            }
        };
        self.0.enqueue(Box::new(work), most_waiting)?;
        result.await.map_err(|_| QueueError::Panicked)
    }
}

impl Owner {
    fn enqueue(&self, work: Work, most_waiting: usize) -> Result<(), QueueError> {
        let mut state = self.shared.lock();
        if state.waiting.len() >= most_waiting {
            return Err(QueueError::Overloaded);
        }
        state.waiting.push_back(work);
        if let Some(thread) = state.idle.pop() {
            drop(state);
            thread.unpark();
            return Ok(());
        }
        if state.threads < self.max_threads { self.start_thread(&mut state) } else { Ok(()) }
    }

    fn start_thread(&self, state: &mut State) -> Result<(), QueueError> {
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new().name("disk".to_owned()).spawn(move || shared.work());
        match started {
            Ok(_) => state.threads += 1,
            // The process has all the threads it may have; those that run already will get to it.
            Err(error) if state.threads > 0 => tracing::warn!(%error, "no further thread for a device"),
            Err(error) => {
                tracing::error!(%error, "no thread for a device");
                state.waiting.pop_back();
                return Err(QueueError::Overloaded);
            }
        }
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.idle.drain(..).for_each(|thread| thread.unpark());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one thread.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                work();
                state = self.lock();
            } else if state.ended {
                return;
            } else {
                let this = thread::current();
                state.idle.push(this.clone());
                drop(state);
                thread::park_timeout(PATIENCE);
                state = self.lock();
                // Who wakes a thread takes it off the list.
                let unwanted = state.idle.iter().position(|thread| thread.id() == this.id());
                if let Some(place) = unwanted {
                    state.idle.remove(place);
                    if state.waiting.is_empty() && !state.ended {
                        state.threads -= 1;
                        return;
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("waiting", &self.waiting.len()).field("threads", &self.threads).finish()
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
        let (started, begun) = mpsc::channel::<()>();
        let mut first = Box::pin(queue.run(move || started.send(()).is_ok() && blocked.recv().is_ok()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        begun.recv().unwrap();

        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|n| Box::pin(queue.run(move || n))).collect();
        assert!(waiting.iter_mut().all(|w| w.as_mut().poll(&mut cx).is_pending()));
        assert_eq!(queue.run(|| 0).await, Err(QueueError::Overloaded));
        // What was begun is not refused, and waits as the others do.
        let mut begun = Box::pin(queue.go_on(|| "begun"));
        assert!(begun.as_mut().poll(&mut cx).is_pending());

        release.send(()).unwrap();
        assert_eq!((first.await, begun.await), (Ok(true), Ok("begun")));
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

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_not_begun() {
        let queue = DiskQueue::new(1);
        let (release, blocked) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel::<&str>();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(queue.run(move || blocked.recv().is_ok()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let mut dropped = Box::pin(queue.run({
            let tell = tell.clone();
            move || tell.send("dropped").is_ok()
        }));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        drop(dropped);
        release.send(()).unwrap();
        assert_eq!((first.await, queue.run(move || tell.send("kept").is_ok()).await), (Ok(true), Ok(true)));
        assert_eq!(told.iter().collect::<Vec<_>>(), ["kept"]);
    }

    #[tokio::test]
    async fn several_threads_work_at_once_and_end_with_the_queue() {
        let queue = DiskQueue::new(2);
        let shared = Arc::clone(&queue.0.shared);
        // Each half waits for the other, which one thread alone could not do.
        let ((left, right), (other_left, other_right)) = (mpsc::channel(), mpsc::channel());
        let one = queue.run(move || left.send(()).is_ok() && other_right.recv().is_ok());
        let two = queue.run(move || other_left.send(()).is_ok() && right.recv().is_ok());
        assert_eq!(tokio::join!(one, two), (Ok(true), Ok(true)));
        drop(queue);
        while Arc::strong_count(&shared) > 1 {
            thread::yield_now();
        }
    }
}
