//! Forgetting what was deleted long ago, when all primaries have it so.

use apus_base::db::replica::{self, Room};
use apus_base::db::{DbError, View};
use apus_base::wire::listings::{Held, Offered, Scope};
use futures_util::future::join_all;

use super::partition::Partition;

impl<R: Room> Partition<'_, R> {
    /// Of some databases, those with something old that all primaries hold in the same state.
    pub(super) async fn reclaim_all(&self, page: Vec<Offered>) -> Result<(), DbError> {
        let before = self.run.cutoff;
        let ids: Vec<_> = page.into_iter().map(|offered| (offered, self.id(offered))).collect();
        let look = move |view: &View<'_>| {
            let mut old = Vec::new();
            for (offered, id) in ids {
                if let Some(scope) = replica::old::<R>(view, id, before)? {
                    old.push((offered, scope));
                }
            }
            Ok::<_, DbError>(old)
        };
        let old = self.run.database.read(look).await?;
        if old.is_empty() {
            return Ok(());
        }
        let offered: Vec<_> = old.iter().map(|(offered, _)| *offered).collect();
        let held = self.offer(&offered, |_| true).await;
        for (place, (offered, scope)) in old.iter().enumerate() {
            let same = |held: &Option<Vec<Held>>| held.as_ref().and_then(|held| held.get(place)) == Some(&Held::Same);
            if held.iter().all(same) {
                self.reclaim(*offered, *scope).await?;
            }
        }
        Ok(())
    }

    async fn reclaim(&self, offered: Offered, scope: Scope) -> Result<(), DbError> {
        let (before, id) = (self.run.cutoff, self.id(offered));
        // A database goes when all say that it may: one that account servers have not heard of must tell them first.
        let may = scope == Scope::Rows || self.all_reclaim(offered, Scope::Ask).await;
        // What not all forgot stays here, and is agreed on again.
        if may
            && self.all_reclaim(offered, scope).await
            && replica::reclaim::<R>(&self.run.database, id, offered.state, before, scope).await?
        {
            self.run.progress.count("reclaimed");
            self.run.pass.counters.removed.inc();
        }
        Ok(())
    }

    async fn all_reclaim(&self, offered: Offered, scope: Scope) -> bool {
        let asked = self.targets.iter().map(|target| async move {
            let done = self.run.peer(target).reclaim(offered, self.run.cutoff, scope).await;
            done.inspect_err(|error| self.failed(target, error)).unwrap_or(false)
        });
        join_all(asked).await.into_iter().all(|done| done)
    }
}
