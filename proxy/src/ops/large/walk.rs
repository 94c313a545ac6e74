//! From the manifest of a static large object and the bytes that are wanted to the pieces that have them.
//!
//! Manifests may name large objects. Their manifests are fetched when the walk reaches them, and only if some of their
//! bytes are wanted.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::answer::Step;
use super::config::Pace;
use super::manifest::{Manifest, ObjectSegment, Segment, name_of};
use super::slo;
use super::stream::{Broken, Part, Piece, Pieces};
use crate::ops::OwnedCall;

/// How deep large objects may be in large objects, the outermost included.
const MAX_DEPTH: usize = 10;
/// Manifests of segments that are kept in case another segment or range needs them again.
const MAX_KEPT: usize = 20;
/// And how many segments they may have together, some megabytes.
const MAX_KEPT_SEGMENTS: usize = 10_000;

/// A walk through a static large object.
pub(super) struct Walk {
    call: OwnedCall,
    account: String,
    manifest: Arc<Manifest>,
    steps: VecDeque<Step>,
    /// The manifests that the walk is in, the outermost first.
    frames: Vec<Frame>,
    /// Manifests that were fetched, with their names and ETags, the latest last.
    kept: VecDeque<(String, String, Arc<Manifest>)>,
    pace: Pace,
}

/// A manifest that the walk is in.
struct Frame {
    manifest: Arc<Manifest>,
    /// The next segment.
    next: usize,
    /// Where it begins in the object that the manifest stands for.
    offset: u64,
    /// The wanted bytes of that object.
    wanted: Range<u64>,
}

impl Frame {
    fn new(manifest: Arc<Manifest>, wanted: Range<u64>) -> Self {
        Self { manifest, next: 0, offset: 0, wanted }
    }

    /// The next segment that has wanted bytes, and which of its bytes these are.
    fn next(&mut self) -> Option<(Segment, Range<u64>)> {
        while let Some(segment) = self.manifest.0.get(self.next).filter(|_| self.offset < self.wanted.end) {
            let (start, end) = (self.offset, self.offset + segment.length());
            (self.next, self.offset) = (self.next + 1, end);
            let (from, to) = (self.wanted.start.max(start), self.wanted.end.min(end));
            if from < to {
                return Some((segment.clone(), from - start..to - start));
            }
        }
        None
    }
}

impl Walk {
    /// A walk of these steps through a large object of `account`.
    pub(super) fn new(call: OwnedCall, account: String, manifest: Manifest, steps: Vec<Step>) -> Self {
        let pace = call.call().proxy.config.slo.pace();
        let (manifest, steps) = (Arc::new(manifest), VecDeque::from(steps));
        Self { call, account, manifest, steps, frames: Vec::new(), kept: VecDeque::new(), pace }
    }

    /// The segment's bytes `wanted`, or a step into it.
    async fn enter(&mut self, segment: Segment, wanted: Range<u64>) -> Result<Option<Piece>, Broken> {
        match segment {
            // A range within a segment that is in memory fits its length.
            Segment::Data { data } => Ok(Some(Piece::Bytes(slice(&data, &wanted)))),
            Segment::Object(object) => {
                let start = object.part().start;
                let wanted = start + wanted.start..start + wanted.end;
                if object.sub_slo {
                    let manifest = self.below(&object).await?;
                    self.frames.push(Frame::new(manifest, wanted));
                    return Ok(None);
                }
                self.part(object, wanted).await.map(Some)
            }
        }
    }

    async fn part(&mut self, object: ObjectSegment, wanted: Range<u64>) -> Result<Piece, Broken> {
        if object.bytes < self.call.call().proxy.config.slo.rate_limit_under_size {
            self.pace.wait().await;
        }
        let name = object.name_in(&self.account).ok_or_else(|| nameless(&object))?;
        Ok(Piece::Object(Part {
            name,
            length: Some(wanted.end - wanted.start),
            range: (wanted != (0..object.bytes)).then_some(wanted),
            etag: Some(object.hash),
        }))
    }

    /// The manifest of a segment that is a large object itself.
    async fn below(&mut self, object: &ObjectSegment) -> Result<Arc<Manifest>, Broken> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(Broken::Changed(format!(
                "{}: large objects are nested more than {MAX_DEPTH} deep",
                object.name
            )));
        }
        if let Some((.., manifest)) =
            self.kept.iter().find(|(name, etag, _)| *name == object.name && *etag == object.hash)
        {
            return Ok(Arc::clone(manifest));
        }
        let name = name_of(&self.account, &object.name).ok_or_else(|| nameless(object))?;
        let fetched = slo::fetch(self.call.clone(), name.clone(), None).await;
        let fetched = fetched.map_err(|error| Broken::at(&name, &error))?;
        if fetched.etag != object.hash || fetched.manifest.length() != object.bytes {
            return Err(Broken::Changed(format!("{} changed", object.name)));
        }
        let manifest = Arc::new(fetched.manifest);
        self.keep(object, &manifest);
        Ok(manifest)
    }

    fn keep(&mut self, object: &ObjectSegment, manifest: &Arc<Manifest>) {
        self.kept.push_back((object.name.clone(), object.hash.clone(), Arc::clone(manifest)));
        let segments = |kept: &VecDeque<(_, _, Arc<Manifest>)>| kept.iter().map(|(.., m)| m.0.len()).sum::<usize>();
        while self.kept.len() > MAX_KEPT || segments(&self.kept) > MAX_KEPT_SEGMENTS {
            self.kept.pop_front();
        }
    }
}

impl Pieces for Walk {
    async fn next(&mut self) -> Result<Option<Piece>, Broken> {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                match self.steps.pop_front() {
                    None => return Ok(None),
                    Some(Step::Text(text)) => return Ok(Some(Piece::Bytes(text))),
                    Some(Step::Range(wanted)) => self.frames.push(Frame::new(Arc::clone(&self.manifest), wanted)),
                }
                continue;
            };
            let Some((segment, wanted)) = frame.next() else {
                self.frames.pop();
                continue;
            };
            if let Some(piece) = self.enter(segment, wanted).await? {
                return Ok(Some(piece));
            }
        }
    }
}

fn nameless(object: &ObjectSegment) -> Broken {
    Broken::Changed(format!("{:?} names no object", object.name))
}

fn slice(data: &bytes::Bytes, wanted: &Range<u64>) -> bytes::Bytes {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(data.len());
    data.slice(at(wanted.start)..at(wanted.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        /// Against putting the whole object together and cutting out what is wanted.
        #[test]
        fn a_frame_has_the_wanted_bytes(lengths in prop::collection::vec(0..6_usize, 0..8), start in 0..40_u64, length in 0..40_u64) {
            let mut count = 0_u8;
            let mut data = |length| Bytes::from_iter((0..length).map(|_| { count += 1; count }));
            let segments: Vec<Bytes> = lengths.into_iter().map(&mut data).collect();
            let whole: Vec<u8> = segments.concat();
            let wanted = start..(start + length).min(whole.len() as u64);
            let manifest = Manifest(segments.into_iter().map(|data| Segment::Data { data }).collect());
            let mut frame = Frame::new(Arc::new(manifest), wanted.clone());
            let mut found = Vec::new();
            while let Some((Segment::Data { data }, part)) = frame.next() {
                prop_assert!(part.start < part.end);
                found.extend_from_slice(&slice(&data, &part));
            }
            let from = usize::try_from(wanted.start).unwrap().min(whole.len());
            let to = usize::try_from(wanted.end).unwrap().max(from);
            prop_assert_eq!(found, &whole[from..to]);
        }
    }
}
