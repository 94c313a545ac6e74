//! Passes: work that goes through all that is stored and changes it.
//!
//! - [`rekey`]: brings encrypted objects under the active root secret.

pub mod rekey;
