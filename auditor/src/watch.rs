//! Those who look on while an audit reads: each is told when it begins, of every object that was found sound, and when it ends.
//!
//! The hook for programs in Rust is [`Watcher`]; the one for operators is a program of their own ([`command`]); the one that comes
//! along looks for objects that no container lists ([`dark_data`]). A watcher may hold up an audit for a moment, never for long.

pub mod command;
pub mod dark_data;

use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_object::store::Metadata;
use futures_util::future::BoxFuture;
use serde::{Serialize, Serializer};

/// How thoroughly an audit reads, by Swift's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mode {
    /// Bodies too.
    #[serde(rename = "ALL")]
    All,
    /// Metadata only, but for bodies of zero bytes.
    #[serde(rename = "ZBF")]
    ZeroByteFast,
}

impl Mode {
    /// Swift's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::ZeroByteFast => "ZBF",
        }
    }
}

/// An object that was found sound.
#[derive(Debug, Serialize)]
pub struct Seen<'a> {
    /// The device's name.
    pub device: &'a str,
    /// The policy.
    pub policy: PolicyIndex,
    /// Where it is below the device, `objects[-N]/<partition>/<suffix>/<hash>`.
    pub path: &'a str,
    /// `/account/container/object`.
    pub name: &'a str,
    /// When it was written.
    pub timestamp: Timestamp,
    /// The length of its body in bytes.
    pub length: u64,
    /// All that is kept with it, by Swift's names.
    #[serde(serialize_with = "as_text")]
    pub metadata: &'a Metadata,
}

/// What a watcher wants of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// That it be moved to quarantine, and why.
    Quarantine(String),
    /// That it be deleted, and why.
    Delete(String),
}

/// Somebody who looks on, at one audit at a time.
pub trait Watcher: Send + Sync {
    /// An audit begins.
    fn start(&self, mode: Mode) -> BoxFuture<'_, ()>;
    /// It has come to an object.
    fn see<'a>(&'a self, mode: Mode, seen: &'a Seen<'a>) -> BoxFuture<'a, Wish>;
    /// It has ended, or was stopped.
    fn end(&self, mode: Mode) -> BoxFuture<'_, ()>;
}

fn as_text<S: Serializer>(metadata: &&Metadata, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(metadata.iter().map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value))))
}
