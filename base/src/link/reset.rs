//! How a peer learns at once that this node was started anew, and not only after the silence of a dead connection.
//!
//! A process that gets a packet of a connection that it does not know answers with a token that only its predecessor could
//! have promised (RFC 9000, 10.3). The tokens are made from the node's private key, which is the same after a restart.

use hmac::{Hmac, KeyInit as _, Mac as _};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator};
use sha2::{Digest as _, Sha256};

/// Makes the tokens.
pub(super) struct ResetKey([u8; 32]);

impl ResetKey {
    /// From a private key; it does not lead back to it.
    pub(super) fn new(private_key: &[u8]) -> Self {
        Self(Sha256::new().chain_update(b"apus stateless reset").chain_update(private_key).finalize().into())
    }

    fn mac(&self, data: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(data);
        Some(mac)
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        // A key of any length makes a MAC.
        if let Some(mac) = self.mac(data) {
            signature_out.copy_from_slice(&mac.finalize().into_bytes());
        }
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let mac = self.mac(data).ok_or(CryptoError)?;
        mac.verify_slice(signature).map_err(|_| CryptoError)
    }
}

/// Connection ids without a mark of the process that gave them, by which its successor would pass over packets to it
/// in silence. How many it answers is limited by the endpoint.
#[derive(Debug)]
pub(super) struct AnyId;

/// Enough that two connections never get one.
const ID_BYTES: usize = 8;

impl ConnectionIdGenerator for AnyId {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // Without randomness the endpoint finds the id taken, and asks again.
        let _ = getrandom::fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
