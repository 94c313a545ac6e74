//! Re-keying: brings all that is encrypted under the active root secret, so that the others can be removed.
//!
//! What a root secret protects directly is small: the keys of bodies, ETags and their HMACs, user metadata, and the ETags in
//! listings. The pass decrypts these with the secret that their crypto meta names and encrypts them with the active one;
//! bodies stay untouched, under the keys they have ever had.
//!
//! **The way.** Every device of the container ring is asked for its containers (`walk`), every container for its objects,
//! at each replica, and each replica of each object for its items (`object`). Where one is under another secret, or the
//! row in a listing is, that replica gets a `REWRAP` with the new ones. No replica is believed to be like another.
//!
//! **Clients go first.** A `REWRAP` names the version that was read, by its timestamps and the MD5 of its bytes, and an
//! object server with another one refuses it. What a client writes meanwhile is under the active secret anyway, if every
//! proxy has it as the active one: so first add it to all, then make it active at all, then run this. The timestamps of
//! an object do not change, so a rewrapped version loses against every later write, whichever comes first to a device; a
//! rewrapped row has the run's time as an *offset* of the object's own timestamp, which is newer than the same version's
//! row and older than that of every other.
//!
//! **Crashes.** The object server's way is in `apus-object`'s `store::rewrap`: old or new at every point, and new once
//! acknowledged. The pass itself keeps its place in a small file (`state`), replaced in one step after each page; killed
//! and started again, it goes on there. A page that is done twice is found done. Two passes at once disturb nothing.
//!
//! **The end.** A round in which something was rewritten, refused or out of reach is followed by another. The round that
//! finds nothing under another secret, with every device in reach, is the proof, and only then the pass says that the
//! other secrets may be removed. What it cannot see it cannot prove: objects on handoffs that replication has still to
//! bring home, and rows in `async_pending`, so run it on a settled cluster, and the more so the last time.

mod object;
mod state;
mod walk;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use apus_base::client::ClusterClient;
use apus_base::clock::Clock;
use apus_base::crypto::Keymaster;

use state::State;
pub use state::{BadState, Counts};

/// Rounds of one run, unless it shall go on until it is done: one that rewrites, one that proves, and one to spare for
/// what clients did meanwhile.
const MAX_ROUNDS: u32 = 3;
/// How long to wait before a further round after those, for what was out of reach to come back.
const PAUSE: Duration = Duration::from_secs(60);
/// How often the pass says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// The pass.
pub struct Rekey {
    client: ClusterClient,
    keymaster: Keymaster,
    clock: Clock,
    state_file: PathBuf,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole round found nothing under another secret than the active one.
    Proven(Counts),
    /// Something is left, or could not be looked at.
    Unproven(Counts),
}

impl Rekey {
    /// A pass that keeps its place in `state_file`.
    pub fn new(client: ClusterClient, keymaster: Keymaster, state_file: PathBuf) -> Self {
        Self { client, keymaster, clock: Clock::default(), state_file }
    }

    /// Goes through everything until it is proven, or `once`, in few rounds. `tell` hears now and then how far it is.
    ///
    /// # Errors
    /// When the place cannot be kept.
    pub async fn run(&self, once: bool, mut tell: impl FnMut(u32, &Counts)) -> Result<Outcome, BadState> {
        let mut state = State::open(&self.state_file, self.keymaster.active_id())?;
        loop {
            let mut told = Instant::now();
            self.walk(&mut state, |state| {
                if told.elapsed() >= PROGRESS {
                    told = Instant::now();
                    tell(state.round, &state.counts);
                }
            })
            .await?;
            let (round, counts) = (state.round, state.counts);
            tell(round, &counts);
            if counts.proves() {
                state.remove()?;
                return Ok(Outcome::Proven(counts));
            }
            if once && round >= MAX_ROUNDS {
                state.remove()?;
                return Ok(Outcome::Unproven(counts));
            }
            state.next_round()?;
            if round >= MAX_ROUNDS {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
