//! What two object nodes say to each other when they compare and copy what they hold.
//!
//! Each stream of a [`link`](crate::link) carries one [`Request`] and its [`Answer`], as frames: four bytes of length, big end
//! first, then [postcard](https://postcard.jamesmunns.com). A [`Request::Push`] is followed by files, each a [`FileHead`] and
//! as many bytes as it says, and answered by one [`Answer::Stored`] after every batch that is on stable storage.
//!
//! Enums are told apart by the place of a variant: new ones go to the end. A frame is refused by its length before memory
//! is taken for it, so a peer can claim what it likes. Pure: no socket here.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::listings::ListingRequest;
use crate::policy::PolicyIndex;

/// The longest frame, in bytes: the metadata of one object may take 1 MiB, and an offer is cut to [`MAX_OFFERED`].
pub const MAX_FRAME: usize = 2 * 1024 * 1024;
/// The most partitions in one [`Request::Compare`]: 20 bytes each.
pub const MAX_COMPARED: usize = 32 * 1024;
/// The most objects in one [`Request::Offer`]: three names of 50 bytes each would be 170 KiB.
pub const MAX_OFFERED: usize = 1024;
/// The most files of one object in an offer: data, metadata and a newer content type, or a tombstone with metadata after it.
pub const MAX_FILES: usize = 4;

/// What a node asks of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Which of these partitions does the device hold otherwise? Answered with [`Answer::Differing`].
    Compare {
        /// The device that is asked, and the policy.
        place: Place,
        /// What the asker holds.
        partitions: Vec<PartitionDigest>,
    },
    /// The digests of a partition's suffixes. Answered with [`Answer::Suffixes`].
    Suffixes {
        /// The device and the policy.
        place: Place,
        /// The partition.
        partition: u32,
    },
    /// Which of these files does the device want? Answered with [`Answer::Wants`].
    Offer {
        /// The device and the policy.
        place: Place,
        /// The partition.
        partition: u32,
        /// Objects of it.
        objects: Vec<Offered>,
    },
    /// Files follow.
    Push {
        /// The device and the policy.
        place: Place,
    },
    /// It is about accounts or containers.
    Listings(ListingRequest),
    /// What the device has of an object and the asker does not. Answered with [`Answer::Coming`] and files as in a push,
    /// which the asker confirms by [`Answer::Stored`]: it lost a copy and wants another.
    Fetch {
        /// The device and the policy.
        place: Place,
        /// The partition.
        partition: u32,
        /// The object, and the files of it that the asker has.
        have: Offered,
    },
}

/// A device of the node that is asked, and a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The device's name.
    pub device: String,
    /// The policy.
    pub policy: PolicyIndex,
}

/// A partition, and a digest of all it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDigest {
    /// The partition.
    pub partition: u32,
    /// Equal digests mean equal files.
    pub digest: [u8; 16],
}

/// A suffix folder of a partition, and a digest of all it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuffixDigest {
    /// The last twelve bits of the hashes in it.
    pub suffix: u16,
    /// Equal digests mean equal files.
    pub digest: [u8; 16],
}

/// The files of one object that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The hash of the object's path.
    pub hash: [u8; 16],
    /// Their names, at most [`MAX_FILES`].
    pub files: Vec<String>,
}

/// What the device makes of one offered object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// A bit for each offered file, the first the lowest: set when the file is wanted, clear when it or something that
    /// replaces it is on stable storage there.
    pub files: u8,
    /// Whether the device has no file of this object at all.
    pub empty: bool,
}

impl Want {
    /// Whether the file at that place of the offer is wanted.
    pub fn file(self, place: usize) -> bool {
        u32::try_from(place).is_ok_and(|place| self.files.checked_shr(place).unwrap_or(0) & 1 == 1)
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Those of the compared partitions that are not the same.
    Differing(Vec<u32>),
    /// All suffixes of a partition that hold anything, in order.
    Suffixes(Vec<SuffixDigest>),
    /// One for each offered object, in order.
    Wants(Vec<Want>),
    /// One for each file since the last such answer, in order.
    Stored(Vec<Outcome>),
    /// Nothing of it was done.
    Refused(Refusal),
    /// Files follow.
    Coming,
}

/// What became of a file that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It, or something that replaces it, is on stable storage.
    Stored,
    /// It is not what its own checksum says; nothing was stored.
    Damaged,
    /// It does not belong there: its name has another hash, or another object has the same.
    Misplaced,
    /// The device is full.
    Full,
    /// The device failed.
    Failed,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The device is not there.
    #[error("the device is not there")]
    NoDevice,
    /// No such policy.
    #[error("there is no such policy")]
    NoPolicy,
    /// The request makes no sense.
    #[error("the request was not understood")]
    Malformed,
    /// Too much is being done already.
    #[error("there is too much to do already")]
    Busy,
    /// The device failed.
    #[error("the device failed")]
    Failed,
}

/// What comes before the bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// The partition.
    pub partition: u32,
    /// The hash of the object's path.
    pub hash: [u8; 16],
    /// The file's name, as in `1712345678.12345.data`.
    pub name: String,
    /// Its metadata, pickled as on disk.
    pub metadata: Vec<u8>,
    /// How many bytes of body follow.
    pub length: u64,
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// Longer than any message is.
    #[error("a message of {0} bytes, where {MAX_FRAME} is the limit")]
    TooLong(usize),
    /// Not what was expected.
    #[error("a message that is not understood: {0}")]
    Malformed(#[from] postcard::Error),
}

/// A message as a frame.
///
/// # Errors
/// `TooLong` when it is past the limit, which a sender that keeps the other limits never meets.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, InvalidMessage> {
    let mut frame = postcard::to_extend(message, vec![0; 4])?;
    let length = frame.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(InvalidMessage::TooLong(length))?;
    frame[..4].copy_from_slice(&prefix.to_be_bytes());
    Ok(frame)
}

/// The length of the message after a frame's first four bytes.
///
/// # Errors
/// `TooLong` when no message is that long.
pub fn length(prefix: [u8; 4]) -> Result<usize, InvalidMessage> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length <= MAX_FRAME { Ok(length) } else { Err(InvalidMessage::TooLong(length)) }
}

/// Reads a message without its length; nothing may follow it.
///
/// # Errors
/// `Malformed` when it is none.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidMessage> {
    match postcard::take_from_bytes(bytes)? {
        (message, []) => Ok(message),
        _ => Err(postcard::Error::DeserializeBadEncoding.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        ("[a-z]{0,8}", 0u32..5).prop_map(|(device, policy)| Place { device, policy: PolicyIndex(policy) })
    }

    fn request() -> impl Strategy<Value = Request> {
        let digest = (any::<u32>(), any::<[u8; 16]>());
        let digests = vec(digest.prop_map(|(partition, digest)| PartitionDigest { partition, digest }), 0..9);
        let offered = || (any::<[u8; 16]>(), vec("\\PC{0,30}", 0..4)).prop_map(|(hash, files)| Offered { hash, files });
        prop_oneof![
            (place(), digests).prop_map(|(place, partitions)| Request::Compare { place, partitions }),
            (place(), any::<u32>()).prop_map(|(place, partition)| Request::Suffixes { place, partition }),
            (place(), any::<u32>(), vec(offered(), 0..5)).prop_map(|(place, partition, objects)| Request::Offer {
                place,
                partition,
                objects
            }),
            place().prop_map(|place| Request::Push { place }),
            (place(), any::<u32>(), offered()).prop_map(|(place, partition, have)| Request::Fetch {
                place,
                partition,
                have
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_said_is_understood(request in request()) {
            let frame = encode(&request).unwrap();
            let (prefix, rest) = frame.split_first_chunk().unwrap();
            prop_assert_eq!(length(*prefix).unwrap(), rest.len());
            prop_assert_eq!(decode::<Request>(rest).unwrap(), request);
        }

        #[test]
        fn any_bytes_are_understood_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let _ = (decode::<Request>(&bytes), decode::<Answer>(&bytes), decode::<FileHead>(&bytes));
        }

        #[test]
        fn a_cut_or_longer_message_is_refused(request in request(), cut in 1usize..4) {
            let frame = encode(&request).unwrap();
            prop_assert!(decode::<Request>(&frame[4..frame.len() - cut.min(frame.len() - 4)]).is_err() || frame.len() == 4);
            let longer = [&frame[4..], &[0]].concat();
            prop_assert!(decode::<Request>(&longer).is_err());
        }
    }

    #[test]
    fn a_claim_too_large_takes_no_memory() {
        assert!(length(u32::MAX.to_be_bytes()).is_err());
        assert_eq!(length(2_097_152u32.to_be_bytes()).unwrap(), MAX_FRAME);
        // A vector that claims 2^32 items in a few bytes.
        assert!(decode::<Answer>(&[0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2]).is_err());
        let head =
            FileHead { partition: 0, hash: [0; 16], name: String::new(), metadata: vec![0; MAX_FRAME], length: 0 };
        assert!(matches!(encode(&head), Err(InvalidMessage::TooLong(_))));
    }

    #[test]
    fn bits_are_files() {
        let want = Want { files: 0b101, empty: false };
        assert_eq!(
            [want.file(0), want.file(1), want.file(2), want.file(8), want.file(usize::MAX)],
            [true, false, true, false, false]
        );
    }
}
