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

    /// What is sent before and after the work gets done.
    async fn sent(beats: Beats, waits: bool) -> (String, String) {
        let (finish, finished) = tokio::sync::oneshot::channel();
        let mut finish = Some(finish);
        if !waits {
            finish.take().unwrap().send(()).unwrap();
        }
        let work = async move {
            finished.await.unwrap();
            b"done".to_vec()
        };
        let mut body = body(beats, work).await;
        let mut before = String::new();
        let text = |frame: Option<Result<Frame<Bytes>, _>>| {
            let bytes = frame.unwrap().unwrap().into_data().unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        if let Some(finish) = finish {
            before = text(body.frame().await) + &text(body.frame().await);
            finish.send(()).unwrap();
        }
        let after = body::read_to_end(body, 1000).await.unwrap();
        (before, String::from_utf8(after.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_beats_while_the_work_is_done() {
        let (long, short) = (Duration::from_secs(3600), Duration::from_millis(1));
        let put = |every| Beats { every, at_once: true, first: None };
        assert_eq!(sent(put(long), false).await.1, " \r\n\r\ndone");
        let (before, after) = sent(put(short), true).await;
        assert_eq!((before.as_str(), after.trim_start_matches(' ')), ("  ", "\r\n\r\ndone"));
        let delete = |every| Beats { every, at_once: false, first: Some(b"<xml>") };
        assert_eq!(sent(delete(long), false).await.1, "done");
        let (before, after) = sent(delete(short), true).await;
        assert_eq!((before.as_str(), after.trim_start_matches(' ')), ("<xml> ", "\r\n\r\ndone"));
    }
}
