//! Who is about to give a name to a version of which object of a device, so that a promise about an object ("nothing older
//! gets in any more") can be given without making anybody wait who only writes.
//!
//! A writer is *in* from before it looks whether it may write until its name is on stable storage. Whoever promises first makes
//! the promise visible to writers, then waits until those have left who were in, and only then looks at what is there: a writer
//! has seen the promise, or the look sees what the writer did. In memory, for the one process that takes writes for
//! the device; an object that nobody writes costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Device;

/// How long a promise waits for a writer or for another promise of the same object. Each of them holds on for a few flushes;
/// a disk that takes longer for these has other troubles, and then no promise is given.
const PATIENCE: Duration = Duration::from_secs(5);

/// What names an object on its device.
type Key = [u8; 16];

/// The writers of a device.
#[derive(Debug, Default)]
pub(super) struct Writers {
    objects: Mutex<HashMap<Key, Claims>>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Claims {
    /// Writers that are in.
    writing: usize,
    /// Writers that ever came in, while the entry lasts.
    entered: u64,
    /// Whether somebody promises.
    promising: bool,
}

/// A writer that is in, until this is dropped.
#[derive(Debug)]
pub struct Writing {
    all: Arc<Writers>,
    key: Key,
}

/// The one who may promise about an object, until this is dropped.
#[derive(Debug)]
pub struct Promising {
    all: Arc<Writers>,
    key: Key,
}

/// Writers or another promise of the same object take too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the object's other writers take too long")]
pub struct StillWriting;

impl Device {
    /// Comes in as a writer of an object. Never waits.
    pub fn writing(&self, object: Key) -> Writing {
        self.writers.claim(object, |claims| {
            claims.writing += 1;
            claims.entered += 1;
        });
        Writing { all: Arc::clone(&self.writers), key: object }
    }

    /// Becomes the one who may promise about an object, after those before. Blocking.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn promising(&self, object: Key) -> Result<Promising, StillWriting> {
        let mut objects = self.writers.wait(&object, |claims| !claims.promising)?;
        objects.entry(object).or_default().promising = true;
        Ok(Promising { all: Arc::clone(&self.writers), key: object })
    }
}

impl Writers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Claims>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, key: Key, change: impl FnOnce(&mut Claims)) {
        let mut objects = self.lock();
        let claims = objects.entry(key).or_default();
        change(claims);
        if claims.writing == 0 && !claims.promising {
            objects.remove(&key);
        }
        drop(objects);
        self.changed.notify_all();
    }

    fn wait(
        &self,
        key: &Key,
        until: impl Fn(&Claims) -> bool,
    ) -> Result<MutexGuard<'_, HashMap<Key, Claims>>, StillWriting> {
        let deadline = Instant::now() + PATIENCE;
        let mut objects = self.lock();
        while objects.get(key).is_some_and(|claims| !until(claims)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StillWriting);
            }
            objects = self.changed.wait_timeout(objects, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(objects)
    }
}

impl Promising {
    /// Waits until no writer is in, then looks, and looks again if one came in meanwhile: what is seen is on stable storage.
    /// Blocking.
    ///
    /// # Errors
    /// When writers take too long, or keep coming.
    pub fn look<T>(&self, mut look: impl FnMut() -> T) -> Result<T, StillWriting> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let before = self.quiet()?;
            let seen = look();
            if self.quiet()? == before {
                return Ok(seen);
            }
        }
        Err(StillWriting)
    }

    /// Waits until no writer is in, and says how many have been.
    fn quiet(&self) -> Result<u64, StillWriting> {
        let objects = self.all.wait(&self.key, |claims| claims.writing == 0)?;
        Ok(objects.get(&self.key).map_or(0, |claims| claims.entered))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.all.claim(self.key, |claims| claims.writing -= 1);
    }
}

impl Drop for Promising {
    fn drop(&mut self) {
        self.all.claim(self.key, |claims| claims.promising = false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::fs::Devices;

    const OBJECT: Key = [7; 16];

    fn device() -> (tempfile::TempDir, Arc<Device>) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let device = Devices::new(root.path(), 1).get("d1").unwrap();
        (root, device)
    }

    #[test]
    fn a_look_waits_for_who_is_in_and_sees_who_came_meanwhile() {
        let (_root, device) = device();
        let writing = device.writing(OBJECT);
        let promising = device.promising(OBJECT).unwrap();
        let (tell, told) = mpsc::channel();
        let (looks, other) = (tell.clone(), Arc::clone(&device));
        let looker = thread::spawn(move || {
            let mut number = 0;
            let seen = promising.look(|| {
                number += 1;
                // The first look meets a writer that comes and goes.
                drop((number == 1).then(|| other.writing(OBJECT)));
                looks.send("look").unwrap();
                number
            });
            (seen, promising)
        });
        tell.send("written").unwrap();
        drop(writing);
        let (seen, promising) = looker.join().unwrap();
        drop((tell, promising));
        assert_eq!((seen, told.iter().collect::<Vec<_>>()), (Ok(2), vec!["written", "look", "look"]));
        assert!(device.writers.lock().is_empty(), "nobody is left");
    }

    #[test]
    fn one_promises_at_a_time_and_other_objects_are_others() {
        let (_root, device) = device();
        let first = device.promising(OBJECT).unwrap();
        let (asks, second) = (Arc::clone(&device), mpsc::channel());
        let waiting = thread::spawn(move || {
            let promising = asks.promising(OBJECT);
            second.0.send(()).unwrap();
            promising.is_ok()
        });
        let _writing = device.writing([8; 16]);
        assert_eq!(first.look(|| 1), Ok(1));
        assert!(second.1.try_recv().is_err());
        drop(first);
        assert!(waiting.join().unwrap());
    }
}
