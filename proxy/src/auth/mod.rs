//! Who asks, and what they may do.

/// A user that a token proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `account:user`, as logs show it.
    pub user: String,
    /// The groups that ACLs name: `account:user`, `account`, and the storage accounts that the user administers.
    pub groups: Vec<String>,
    /// May do everything in every account.
    pub reseller_admin: bool,
    /// May read everything in every account.
    pub reseller_reader: bool,
}
