//! What the clients of a storm know: every write that was begun, when it was begun and answered, and with it every state
//! that the cluster may be in.
//!
//! Proxies give a write its timestamp between the client's first byte and the answer. So of two writes of one object, the
//! one that was begun after the other was answered is the later one; two that overlap may go either way. A write without
//! an answer may have any timestamp from its beginning on (up to the moment when its connection broke off, if it did), and
//! may or may not have happened. An object has three
//! registers with a last writer each: its data (PUT, COPY, DELETE), its metadata (PUT, COPY, POST) and its content type
//! (those, if the POST had one). A write is *possible* as the last one unless an acknowledged one is surely later.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Response, md5_hex};

/// What the bytes of an object are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The ETag that clients see, without quotes.
    pub etag: String,
    /// The MD5 of the whole body, which is not the ETag of a large object.
    pub md5: String,
    /// Its length in bytes.
    pub length: usize,
}

/// What a write wants.
#[derive(Clone, Debug)]
pub enum What {
    /// A body, and for how many seconds.
    Put(Content, Option<u64>),
    /// The body of another object, whatever that is.
    Copy(String),
    /// A container.
    Make,
    /// Metadata, and maybe a content type.
    Post(bool),
    /// Nothing any more.
    Delete,
}

/// One write of one object.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its number, which its metadata carries.
    pub id: u64,
    /// Who wrote it.
    pub client: usize,
    /// What.
    pub what: What,
    /// When it was begun.
    pub start: Duration,
    /// When an answer came; none: it may take effect at any time.
    pub end: Option<Duration>,
    /// The answer's status; 0 while there is none.
    pub status: u16,
}

impl Write {
    fn acknowledged(&self) -> bool {
        match self.what {
            What::Put(..) | What::Copy(_) => self.status == 201,
            What::Post(_) => self.status == 202,
            What::Make => matches!(self.status, 201 | 202),
            What::Delete => self.status == 204,
        }
    }

    /// Whether the answer says that nothing was done.
    fn refused(&self) -> bool {
        let refusals = match self.what {
            // A source that was not found, a manifest whose segments were not.
            What::Put(..) | What::Copy(_) => &[400, 401, 404, 411, 412, 413, 422][..],
            // Some replicas may have had it.
            What::Post(_) | What::Make | What::Delete => &[400, 401, 412],
        };
        refusals.contains(&self.status)
    }

    /// Whether every timestamp it can have is later than any of the other's.
    fn surely_after(&self, other: &Self) -> bool {
        other.end.is_some_and(|end| self.start > end)
    }

    fn is_data(&self) -> bool {
        !matches!(self.what, What::Post(_))
    }
}

/// What a client sees of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The ETag, without quotes.
    pub etag: String,
    /// The MD5 of the body that came.
    pub md5: String,
    /// The body's length.
    pub length: usize,
    /// The write that its metadata names.
    pub writer: Option<u64>,
    /// The content type.
    pub content_type: String,
    /// The beginning of the body, for people.
    pub begins: String,
}

impl Seen {
    /// What an answer to GET shows.
    pub fn of(answer: &Response) -> Self {
        let writer = answer.header("X-Object-Meta-Put").or_else(|| answer.header("X-Object-Meta-Post"));
        Self {
            etag: answer.header("ETag").unwrap_or_default().trim_matches('"').to_owned(),
            md5: md5_hex(&answer.body),
            length: answer.body.len(),
            writer: writer.and_then(|id| id.parse().ok()),
            content_type: answer.header("Content-Type").unwrap_or_default().to_owned(),
            begins: String::from_utf8_lossy(&answer.body[..answer.body.len().min(60)]).into_owned(),
        }
    }
}

/// The content type that a write gives.
pub fn content_type(id: u64) -> String {
    format!("storm/{id}")
}

/// All writes of a storm.
pub struct History {
    began: Instant,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    next: u64,
    objects: BTreeMap<String, Vec<Write>>,
    counts: BTreeMap<(&'static str, String), u64>,
    violations: Vec<String>,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// None yet.
    pub fn new() -> Self {
        Self { began: Instant::now(), known: Mutex::default() }
    }

    /// The time since the storm began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a write that is to be begun.
    pub fn number(&self) -> u64 {
        let mut known = self.known();
        known.next += 1;
        known.next
    }

    /// Notes that a write begins.
    pub fn begin(&self, id: u64, client: usize, path: &str, what: What) {
        let write = Write { id, client, what, start: self.now(), end: None, status: 0 };
        self.known().objects.entry(path.to_owned()).or_default().push(write);
    }

    /// Notes a write's answer; status 0 when the connection broke off: what the write did, it did before.
    pub fn end(&self, id: u64, path: &str, status: u16) {
        let now = self.now();
        let mut known = self.known();
        let writes = known.objects.get_mut(path).into_iter().flatten();
        if let Some(write) = writes.rev().find(|write| write.id == id) {
            (write.end, write.status) = (Some(now), status);
        }
    }

    /// Counts an operation by how it ended.
    pub fn count(&self, operation: &'static str, outcome: &str) {
        *self.known().counts.entry((operation, outcome.to_string())).or_default() += 1;
    }

    /// Notes that something impossible was seen.
    pub fn violation(&self, what: String) {
        eprintln!("VIOLATION {:?}: {what}", self.now());
        self.known().violations.push(what);
    }

    /// All impossible things so far.
    pub fn violations(&self) -> Vec<String> {
        self.known().violations.clone()
    }

    /// A line for each kind of operation.
    pub fn counts(&self) -> Vec<String> {
        let mut lines: BTreeMap<&str, String> = BTreeMap::new();
        for ((operation, outcome), count) in &self.known().counts {
            lines.entry(operation).or_default().push_str(&format!("  {outcome}: {count}"));
        }
        lines.into_iter().map(|(operation, outcomes)| format!("{operation:>10}{outcomes}")).collect()
    }

    /// The objects that were ever written.
    pub fn objects(&self) -> Vec<String> {
        self.known().objects.keys().filter(|path| path.contains('/')).cloned().collect()
    }

    /// The containers that were ever made.
    pub fn containers(&self) -> Vec<String> {
        self.known().objects.keys().filter(|path| !path.contains('/')).cloned().collect()
    }

    /// Everything that was done to an object.
    pub fn of(&self, path: &str) -> Vec<Write> {
        self.known().objects.get(path).cloned().unwrap_or_default()
    }

    /// Whether a body can be the one that a write brought; a copy's is any that its source ever had.
    fn could_bring(&self, write: &Write, seen: &Seen) -> bool {
        match &write.what {
            What::Put(content, _) => {
                (&content.etag, &content.md5, content.length) == (&seen.etag, &seen.md5, seen.length)
            }
            What::Copy(source) => self.of(source).iter().any(|write| match &write.what {
                What::Put(content, _) => (&content.etag, &content.md5) == (&seen.etag, &seen.md5),
                _ => false,
            }),
            What::Post(_) | What::Make | What::Delete => false,
        }
    }

    /// Why a read in the middle of the storm is impossible: bytes that nobody wrote there, or metadata that belongs to
    /// no such version. An old version is not impossible: what has the new one may be away.
    pub fn check_read(&self, path: &str, seen: &Seen) -> Result<(), String> {
        let writes = self.of(path);
        let brought: Vec<_> = writes.iter().filter(|write| self.could_bring(write, seen)).collect();
        if brought.is_empty() {
            return Err(format!("{path} reads as nobody wrote it: {seen:?}"));
        }
        let named = seen.writer.and_then(|id| writes.iter().find(|write| write.id == id));
        let Some(named) = named else {
            return Err(format!("{path} has metadata of nobody: {seen:?}"));
        };
        let fits = |data: &&Write| if named.is_data() { data.id == named.id } else { !data.surely_after(named) };
        if !brought.into_iter().any(|data| fits(&data)) {
            return Err(format!("{path} has the body of one version and the metadata of another: {seen:?}"));
        }
        Ok(())
    }

    /// Why an object's final state is not one of those that its writes allow; `None` is its absence.
    pub fn check_final(&self, path: &str, seen: Option<&Seen>) -> Result<(), String> {
        let writes = self.of(path);
        let data: Vec<_> = writes.iter().filter(|write| write.is_data()).collect();
        let finals: Vec<&Write> = possible(&data);
        let Some(seen) = seen else {
            let absent = |write: &&Write| matches!(write.what, What::Delete | What::Put(_, Some(_)));
            let never = data.iter().all(|write| !write.acknowledged());
            return if never || finals.iter().any(absent) { Ok(()) } else { Err(format!("{path} is lost")) };
        };
        let brought: Vec<_> = finals.into_iter().filter(|write| self.could_bring(write, seen)).collect();
        if brought.is_empty() {
            return Err(format!("{path} is not what was written last: {seen:?}"));
        }
        if brought.iter().all(|write| matches!(write.what, What::Put(_, Some(_)))) {
            return Err(format!("{path} should have expired: {seen:?}"));
        }
        let fits = |data: &&Write| {
            let later = |write: &&Write| write.id == data.id || (!write.is_data() && !data.surely_after(write));
            let described: Vec<_> = writes.iter().filter(later).collect();
            let typed: Vec<_> = described.iter().copied().filter(|w| !matches!(w.what, What::Post(false))).collect();
            possible(&described).iter().any(|write| Some(write.id) == seen.writer)
                && possible(&typed).iter().any(|write| content_type(write.id) == seen.content_type)
        };
        if brought.iter().any(fits) { Ok(()) } else { Err(format!("{path} has old metadata: {seen:?}")) }
    }

    /// Why a container cannot be there, or cannot be away.
    pub fn check_container(&self, name: &str, is_there: bool) -> Result<(), String> {
        let writes = self.of(name);
        let never = writes.iter().all(|write| !write.acknowledged());
        let finals = possible(&writes.iter().collect::<Vec<_>>());
        let fits = finals.iter().any(|write| matches!(write.what, What::Make) == is_there);
        if fits || (never && !is_there) {
            return Ok(());
        }
        Err(format!("the container {name} is {}", if is_there { "back" } else { "lost" }))
    }

    /// Whether only acknowledged writes can have been the last ones. A node that is killed between an object and its row tells
    /// nobody of that row; so, as with Swift, an object whose last write nobody was promised may be listed as it was before
    /// (the auditor's dark data, when it was not listed at all).
    pub fn is_certain(&self, path: &str) -> bool {
        let writes = self.of(path);
        let (data, posts): (Vec<_>, Vec<_>) = writes.iter().partition(|write| write.is_data());
        possible(&data).iter().chain(&possible(&posts)).all(|write| write.acknowledged())
    }

    /// The whole story of an object, for the report of a violation.
    pub fn tell(&self, path: &str) -> String {
        let line = |write: &Write| {
            let end = write.end.map_or("no end".to_owned(), |end| format!("{end:.3?}"));
            let known = if write.acknowledged() { "acknowledged" } else { "" };
            format!(
                "    {} by client {}: {:?} from {:.3?} to {end}, status {} {known}",
                write.id, write.client, write.what, write.start, write.status
            )
        };
        self.of(path).iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Those writes that can be the last one.
fn possible<'a>(writes: &[&'a Write]) -> Vec<&'a Write> {
    let superseded = |write: &Write| writes.iter().any(|other| other.acknowledged() && other.surely_after(write));
    writes.iter().copied().filter(|write| !write.refused() && !superseded(write)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(body: &str) -> Content {
        let md5 = md5_hex(body.as_bytes());
        Content { etag: md5.clone(), md5, length: body.len() }
    }

    fn seen(body: &str, writer: u64) -> Seen {
        let Content { etag, md5, length } = content(body);
        let content_type = content_type(writer);
        Seen { etag, md5, length, writer: Some(writer), content_type, begins: String::new() }
    }

    /// A history with writes one after the other; status 0 is no answer.
    fn history(writes: &[(What, u16)]) -> History {
        let history = History::new();
        for (id, (what, status)) in (1..).zip(writes) {
            history.begin(id, 0, "c/o", what.clone());
            std::thread::yield_now();
            if *status > 0 {
                history.end(id, "c/o", *status);
            }
        }
        history
    }

    fn put(body: &str) -> What {
        What::Put(content(body), None)
    }

    #[test]
    fn the_last_of_those_one_after_the_other_is_the_final_one() {
        let history = history(&[(put("a"), 201), (put("b"), 201), (What::Delete, 204), (put("d"), 201)]);
        assert!(history.check_final("c/o", Some(&seen("d", 4))).is_ok());
        assert!(history.check_final("c/o", Some(&seen("b", 2))).is_err());
        assert!(history.check_final("c/o", None).unwrap_err().contains("lost"));
        // In the middle of a storm an old one may be read, but nothing mixed.
        assert!(history.check_read("c/o", &seen("a", 1)).is_ok());
        assert!(history.check_read("c/o", &seen("a", 2)).is_err());
        assert!(history.check_read("c/o", &seen("x", 1)).is_err());
    }

    #[test]
    fn what_has_no_answer_may_have_happened_or_not_at_any_time() {
        let history = history(&[(put("a"), 0), (What::Delete, 204), (put("c"), 503)]);
        assert!(history.check_final("c/o", None).is_ok());
        assert!(history.check_final("c/o", Some(&seen("a", 1))).is_ok());
        assert!(history.check_final("c/o", Some(&seen("c", 3))).is_ok());
        let refused = self::history(&[(put("a"), 201), (put("b"), 422)]);
        assert!(refused.check_final("c/o", Some(&seen("b", 2))).is_err());
    }

    #[test]
    fn the_metadata_is_that_of_the_last_post_since_the_put() {
        let history = history(&[(What::Post(true), 404), (put("a"), 201), (What::Post(false), 202)]);
        let described = |writer| Seen { content_type: content_type(2), ..seen("a", writer) };
        assert!(history.check_final("c/o", Some(&described(3))).is_ok());
        assert!(history.check_final("c/o", Some(&described(2))).is_err(), "the POST is lost");
        assert!(history.check_final("c/o", Some(&seen("a", 3))).is_err(), "the POST had no content type");
        assert!(history.check_read("c/o", &seen("a", 1)).is_err(), "metadata older than the data");
        assert!(history.check_read("c/o", &seen("a", 2)).is_ok());
    }

    #[test]
    fn a_container_is_what_was_last_done_to_it() {
        let history = history(&[(What::Make, 201), (What::Delete, 204), (What::Make, 503)]);
        assert!(history.check_container("c/o", true).is_ok() && history.check_container("c/o", false).is_ok());
        let history = self::history(&[(What::Make, 201), (What::Delete, 204)]);
        assert!(history.check_container("c/o", true).unwrap_err().contains("back"));
        let history = self::history(&[(What::Delete, 404), (What::Make, 202)]);
        assert!(history.check_container("c/o", false).unwrap_err().contains("lost"));
    }

    #[test]
    fn nobody_was_promised_what_has_no_answer() {
        let is_certain = |writes: &[(What, u16)]| history(writes).is_certain("c/o");
        assert!(is_certain(&[(put("a"), 201), (What::Post(true), 202)]));
        assert!(is_certain(&[(put("a"), 503), (put("b"), 201)]));
        assert!(!is_certain(&[(put("a"), 201), (put("b"), 503)]));
        assert!(!is_certain(&[(put("a"), 0), (What::Delete, 204)]));
    }

    #[test]
    fn what_expired_is_gone() {
        let history = history(&[(put("a"), 201), (What::Put(content("b"), Some(1)), 201)]);
        assert!(history.check_final("c/o", None).is_ok());
        assert!(history.check_final("c/o", Some(&seen("b", 2))).unwrap_err().contains("expired"));
        assert!(history.check_final("c/o", Some(&seen("a", 1))).is_err());
    }
}
