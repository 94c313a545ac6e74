//! Forgetting what was deleted long ago, when all primaries have it so.

use apus_base::db::replica::{self, Room};
use apus_base::db::{DbError, View};
use apus_base::wire::listings::{Held, Offered};
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
                if replica::old::<R>(view, id, before)? {
                    old.push(offered);
                }
            }
            Ok::<_, DbError>(old)
        };
        let old = self.run.database.read(look).await?;
        if old.is_empty() {
            return Ok(());
        }
        let held = self.offer(&old, |_| true).await;
        for (place, offered) in old.iter().enumerate() {
            let same = |held: &Option<Vec<Held>>| held.as_ref().and_then(|held| held.get(place)) == Some(&Held::Same);
            if held.iter().all(same) {
                self.reclaim(*offered).await?;
            }
        }
        Ok(())
    }

    async fn reclaim(&self, offered: Offered) -> Result<(), DbError> {
        let before = self.run.cutoff;
        let asked = self.targets.iter().map(|target| async move {
            let done = self.run.peer(target).reclaim(offered, before).await;
            done.inspect_err(|error| self.failed(target, error)).unwrap_or(false)
        });
        let done = join_all(asked).await.into_iter().all(|done| done);
        // What not all forgot stays here, and is agreed on again.
        if done && replica::reclaim::<R>(&self.run.database, self.id(offered), offered.state, before).await? {
            self.run.progress.count("reclaimed");
            self.run.pass.counters.removed.inc();
        }
        Ok(())
    }
}
