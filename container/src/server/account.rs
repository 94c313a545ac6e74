//! Telling the account servers that a request names, before it is answered.

use apus_base::db::Info;
use apus_base::listing::Refusal;
use apus_base::listing::request::{overrides_deleted, parsed, text};
use apus_base::wire::header;
use http::{HeaderMap, StatusCode};
use tokio::task::JoinSet;

use super::{Asked, ContainerServer};
use crate::account_client::{AccountNode, Update};
use crate::store::to_report;

/// The account servers that a request names; none without a partition.
///
/// # Errors
/// 400 when there are not as many devices as hosts.
pub(super) fn nodes(headers: &HeaderMap) -> Result<Vec<AccountNode>, Refusal> {
    let list = |name| -> Result<Vec<&str>, Refusal> {
        Ok(text(headers, name)?.unwrap_or_default().split(',').map(str::trim).collect())
    };
    let (hosts, devices) = (list(header::ACCOUNT_HOST)?, list(header::ACCOUNT_DEVICE)?);
    if hosts.len() != devices.len() {
        return Err(Refusal::BadRequest("X-Account-Host and X-Account-Device differ in number".into()));
    }
    let Some(partition) = parsed(headers, header::ACCOUNT_PARTITION)? else {
        return Ok(Vec::new());
    };
    Ok(hosts.iter().zip(devices).map(|(host, device)| AccountNode::new(host, device, partition)).collect())
}

impl ContainerServer {
    /// Tells them all at once. Those that do not answer are told later by the reporter.
    ///
    /// # Errors
    /// `NotFound` when each of them knows no such account.
    pub(super) async fn update_accounts(
        &self,
        asked: &Asked,
        nodes: Vec<AccountNode>,
        info: &Info,
    ) -> Result<(), Refusal> {
        let update = Update {
            name: asked.name.clone(),
            counts: to_report(info),
            policy: info.policy,
            changed_at: info.changed_at,
            override_deleted: overrides_deleted(&asked.headers)?,
        };
        let all = nodes.len();
        let mut telling: JoinSet<_> = nodes.into_iter().map(|node| self.tell(node, update.clone())).collect();
        let mut unknown = 0;
        while let Some(told) = telling.join_next().await {
            unknown += usize::from(told.is_ok_and(|status| status == Some(StatusCode::NOT_FOUND)));
        }
        if all > 0 && unknown == all { Err(Refusal::NotFound) } else { Ok(()) }
    }

    fn tell(&self, node: AccountNode, update: Update) -> impl Future<Output = Option<StatusCode>> + use<> {
        let pool = self.shared.pool.clone();
        async move {
            let told = node.tell(&pool, &update).await;
            match &told {
                Ok(status) if status.is_success() || *status == StatusCode::NOT_FOUND => {}
                Ok(status) => tracing::warn!(?node, %status, "an account server refused an update; it is told again"),
                Err(error) => tracing::warn!(?node, %error, "an account server was not told; it is told again"),
            }
            told.ok()
        }
    }
}
