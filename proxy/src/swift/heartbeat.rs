//! A body that keeps the client's connection alive while a long piece of work is done: a space now and then, and at the end
//! the report. Its spaces and the report are apart by an empty line.

use std::pin::Pin;
use std::time::Duration;

use apus_base::body::{self, Body};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

const BEAT: &[u8] = b" ";
const SEPARATOR: &[u8] = b"\r\n\r\n";

/// How the client is kept waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beats {
    /// How often.
    pub(super) every: Duration,
    /// Whether the first one comes before the work begins.
    pub(super) at_once: bool,
    /// What it is, if not a space: what has to stand before everything in XML.
    pub(super) first: Option<&'static [u8]>,
}

/// A body that does the work and gives its report, as soon as it has something to say: work that is done before the first
/// beat comes with its length. If the client leaves, the work ends too.
pub(super) async fn body(beats: Beats, work: impl Future<Output = Vec<u8>> + Send + 'static) -> Body {
    let mut waiting = Waiting { work: Box::pin(work), beats, has_beaten: false };
    let (first, is_last) = waiting.next().await;
    if is_last {
        return body::full(first);
    }
    let chunks = stream::unfold((Some(first), Some(waiting)), |(first, waiting)| async {
        if let Some(first) = first {
            return Some((Ok(Frame::data(first)), (None, waiting)));
        }
        let mut waiting = waiting?;
        let (chunk, is_last) = waiting.next().await;
        Some((Ok(Frame::data(chunk)), (None, (!is_last).then_some(waiting))))
    });
    StreamBody::new(chunks).boxed_unsync()
}

struct Waiting {
    work: Pin<Box<dyn Future<Output = Vec<u8>> + Send>>,
    beats: Beats,
    has_beaten: bool,
}

impl Waiting {
    async fn next(&mut self) -> (Bytes, bool) {
        if self.beats.at_once && !self.has_beaten {
            return (self.beat(), false);
        }
        match tokio::time::timeout(self.beats.every, &mut self.work).await {
            Err(_) => (self.beat(), false),
            Ok(report) if self.has_beaten => (Bytes::from([SEPARATOR, &report].concat()), true),
            Ok(report) => (Bytes::from(report), true),
        }
    }

    fn beat(&mut self) -> Bytes {
        let first = self.beats.first.filter(|_| !self.has_beaten);
        self.has_beaten = true;
        Bytes::from_static(first.unwrap_or(BEAT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(beats: Beats, seconds: u64) -> String {
        let work = async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            b"done".to_vec()
        };
        let bytes = body::read_to_end(super::body(beats, work).await, 1000).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_while_the_work_is_done() {
        let every = Duration::from_secs(10);
        let at_once = Beats { every, at_once: true, first: None };
        assert_eq!(sent(at_once, 0).await, " \r\n\r\ndone");
        assert_eq!(sent(at_once, 25).await, "   \r\n\r\ndone");
        let later = Beats { every, at_once: false, first: Some(b"<xml>") };
        assert_eq!(sent(later, 0).await, "done");
        assert_eq!(sent(later, 25).await, "<xml> \r\n\r\ndone");
    }
}
