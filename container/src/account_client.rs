//! Telling account servers what a container holds: `PUT /<device>/<partition>/<account>/<container>`.

use apus_base::body;
use apus_base::client::pool::{NodeError, Pool};
use apus_base::db::info::Reported;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::{backend_path, header};
use http::{Request, StatusCode};

use crate::store::ContainerName;

/// One account server's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountNode {
    /// `ip:port`.
    pub(crate) host: String,
    /// The device.
    pub(crate) device: String,
    /// The account's partition.
    pub(crate) partition: u32,
}

/// What it is told.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) name: ContainerName,
    pub(crate) counts: Reported,
    pub(crate) policy: PolicyIndex,
    /// The version of the counts.
    pub(crate) changed_at: Timestamp,
    /// Whether to tell even an account that is deleted.
    pub(crate) override_deleted: bool,
}

impl AccountNode {
    /// From Swift's `ip:port`, where an IPv6 address has no brackets.
    pub(crate) fn new(host: &str, device: &str, partition: u32) -> Self {
        let host = match host.rsplit_once(':') {
            Some((ip, port)) if ip.contains(':') && !ip.starts_with('[') => format!("[{ip}]:{port}"),
            _ => host.to_owned(),
        };
        Self { host, device: device.to_owned(), partition }
    }

    /// Tells it, and gives the status of its answer.
    pub(crate) async fn tell(&self, pool: &Pool, update: &Update) -> Result<StatusCode, TellError> {
        let path = backend_path(&self.device, self.partition, &[&update.name.account, &update.name.container]);
        let request = Request::put(format!("http://{}{path}", self.host))
            .header("x-put-timestamp", update.counts.put_timestamp.internal())
            .header("x-delete-timestamp", update.counts.delete_timestamp.internal())
            .header("x-object-count", update.counts.objects)
            .header("x-bytes-used", update.counts.bytes)
            .header("x-account-override-deleted", if update.override_deleted { "yes" } else { "no" })
            .header(header::TIMESTAMP, update.changed_at.internal())
            .header(header::POLICY_INDEX, update.policy.0)
            .header(http::header::CONTENT_LENGTH, 0)
            .body(body::empty())?;
        let response = pool.send(request).await?;
        Ok(response.status())
    }
}

/// Why an account server was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellError {
    /// It gave no answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its address is none.
    #[error("not an address: {0}")]
    Address(#[from] http::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let host = |text| AccountNode::new(text, "d", 0).host;
        assert_eq!(host("10.0.0.1:6202"), "10.0.0.1:6202");
        assert_eq!(host("::1:6202"), "[::1]:6202");
        assert_eq!(host("[::1]:6202"), "[::1]:6202");
    }
}
