//! One exchange with a peer: messages both ways, and bodies between them.

use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream, VarInt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LinkError;
use crate::wire::replication as wire;

/// How long a peer may pause in an exchange: a batch of files is flushed to a slow disk meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of a body taken at once.
const MAX_CHUNK: usize = 256 * 1024;

/// Both directions of a stream.
#[derive(Debug)]
pub struct Stream {
    /// To the peer.
    pub sender: Sender,
    /// From the peer.
    pub receiver: Receiver,
}

/// The direction to the peer. Dropped without [`Sender::finish`], the peer sees that it broke off.
#[derive(Debug)]
pub struct Sender {
    stream: SendStream,
    finished: bool,
}

/// The direction from the peer.
#[derive(Debug)]
pub struct Receiver(RecvStream);

impl Stream {
    pub(super) fn new(send: SendStream, receive: RecvStream) -> Self {
        Self { sender: Sender { stream: send, finished: false }, receiver: Receiver(receive) }
    }

    /// Asks one thing and takes one answer.
    ///
    /// # Errors
    /// When either does not get through.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(mut self, question: &Q) -> Result<A, LinkError> {
        self.sender.message(question).await?;
        self.sender.finish();
        let answer = self.receiver.message().await?;
        answer.ok_or_else(|| LinkError::Broken("it ended before the answer".into()))
    }
}

impl Sender {
    /// Sends a message.
    ///
    /// # Errors
    /// When the peer does not take it, or it is too long.
    pub async fn message<T: Serialize>(&mut self, message: &T) -> Result<(), LinkError> {
        self.body(Bytes::from(wire::encode(message)?)).await
    }

    /// Sends a piece of a body.
    ///
    /// # Errors
    /// When the peer does not take it.
    pub async fn body(&mut self, chunk: Bytes) -> Result<(), LinkError> {
        patiently(self.stream.write_chunk(chunk)).await?.map_err(broken)
    }

    /// Says that this was all.
    pub fn finish(&mut self) {
        // It fails only when the stream is over already.
        let _ = self.stream.finish();
        self.finished = true;
    }

    /// Says that this was not all, and that no more comes.
    pub fn abandon(&mut self) {
        let _ = self.stream.reset(VarInt::from_u32(1));
    }
}

impl Drop for Sender {
    /// quinn would finish it, and half an exchange would look like a whole one.
    fn drop(&mut self) {
        if !self.finished {
            self.abandon();
        }
    }
}

impl Receiver {
    /// The next message; `None` when the peer has finished.
    ///
    /// # Errors
    /// When the stream breaks off, the peer is silent for a minute, or what comes is no message.
    pub async fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkError> {
        let mut prefix = [0; 4];
        match patiently(self.0.read_exact(&mut prefix)).await? {
            Err(quinn::ReadExactError::FinishedEarly(0)) => return Ok(None),
            read => read.map_err(broken)?,
        }
        let mut message = vec![0; wire::length(prefix)?];
        patiently(self.0.read_exact(&mut message)).await?.map_err(broken)?;
        Ok(Some(wire::decode(&message)?))
    }

    /// The next piece of a body of which `left` bytes are still to come.
    ///
    /// # Errors
    /// When the stream breaks off or ends before.
    pub async fn body(&mut self, left: u64) -> Result<Bytes, LinkError> {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(MAX_CHUNK);
        let chunk = patiently(self.0.read_chunk(wanted, true)).await?.map_err(broken)?;
        chunk.map(|chunk| chunk.bytes).ok_or_else(|| LinkError::Broken("it ended inside a body".into()))
    }
}

async fn patiently<T>(work: impl Future<Output = T>) -> Result<T, LinkError> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| LinkError::Silent)
}

fn broken(error: impl std::fmt::Display) -> LinkError {
    LinkError::Broken(error.to_string())
}
