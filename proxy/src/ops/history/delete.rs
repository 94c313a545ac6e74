//! Deleting where versions are kept the old way.

use http::Method;

use super::{Location, Mode, keep, prefix, refused};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::condition::Condition;
use crate::ops::container::{ContainerName, stored};
use crate::ops::delete::{Deleted, look, remove};
use crate::ops::duplicate::{duplicate, newest};
use crate::ops::listing::Listing;
use crate::ops::put::store;
use crate::ops::resource::ObjectName;
use crate::ops::rows::{Entry, collect};
use crate::ops::versions::{self, DELETE_MARKER, Version, marker};

/// So many versions are listed at once; the first one is nearly always the one.
const PAGE: u64 = 100;

/// Deletes an object. In history mode, a marker is left beside its versions; in stack mode, the last one takes its place.
///
/// # Errors
/// As [`versions::delete`], and 412 or 503 when versions cannot be read or written.
pub(in crate::ops) async fn delete(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    condition: Option<&Condition>,
) -> Result<Deleted, Error> {
    let Some(location) = Location::of(call, name).await? else {
        return versions::delete(call, name, version, condition).await;
    };
    look(call, name, condition).await?;
    if location.mode == Mode::Stack && pop(call, &location, name).await? {
        return Ok(Deleted { existed: true, ..Deleted::default() });
    }
    if location.mode == Mode::History {
        push(call, &location, name).await?;
    }
    versions::delete(call, name, version, condition).await
}

async fn push(call: Call<'_>, location: &Location, name: &ObjectName) -> Result<(), Error> {
    keep(call, location, name).await?;
    let now = call.version();
    store(call, marker(location.version(name, now), now)).await.map_err(refused)?;
    Ok(())
}

/// Puts the last version in the place of the object; whether there was something to do it with.
async fn pop(call: Call<'_>, location: &Location, name: &ObjectName) -> Result<bool, Error> {
    let mut versions = Stack { call, location, name, page: Vec::new().into_iter(), last: None };
    while let Some(last) = versions.next().await? {
        if last.is_marker {
            // The marker is what is current, unless something was stored since; then it becomes current again.
            if newest(call, name).await.map_err(refused)?.is_some() {
                return Ok(false);
            }
            while let Some(before) = versions.next().await?.filter(|before| !before.is_marker) {
                if restore(call, &before.name, name).await? {
                    break;
                }
            }
            discard(call, &last.name).await?;
            return Ok(true);
        }
        if restore(call, &last.name, name).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves a version back; whether it was there.
async fn restore(call: Call<'_>, version: &ObjectName, name: &ObjectName) -> Result<bool, Error> {
    let Some(found) = newest(call, version).await.map_err(refused)? else {
        return Ok(false);
    };
    duplicate(call, found, name.clone()).await.map_err(refused)?;
    discard(call, version).await?;
    Ok(true)
}

async fn discard(call: Call<'_>, version: &ObjectName) -> Result<(), Error> {
    match remove(call, version, call.write_headers().0).await {
        // It was there when it was listed, and is not now, as it should.
        Err(Error::NotFound) => Ok(()),
        done => done.map_err(refused),
    }
}

/// An object's versions, the last one first.
struct Stack<'a> {
    call: Call<'a>,
    location: &'a Location,
    name: &'a ObjectName,
    page: std::vec::IntoIter<Listed>,
    last: Option<String>,
}

/// A version.
struct Listed {
    name: ObjectName,
    is_marker: bool,
}

impl Stack<'_> {
    async fn next(&mut self) -> Result<Option<Listed>, Error> {
        if self.page.len() == 0 {
            self.page = self.more().await?.into_iter();
        }
        let next = self.page.next();
        self.last = next.as_ref().map(|listed| listed.name.object.to_string()).or(self.last.take());
        Ok(next)
    }

    async fn more(&self) -> Result<Vec<Listed>, Error> {
        let (account, container) = (&self.name.account, &self.location.container);
        let marker = self.last.clone().unwrap_or_default();
        let prefix = prefix(&self.name.object);
        let part = Listing { limit: PAGE, marker, prefix, reverse: true, ..Listing::default() };
        let found = stored(self.call, ContainerName { account, container }, Method::GET, &part, false).await;
        let found = match found {
            Err(Error::NotFound) => return Ok(Vec::new()),
            found => found.map_err(refused)?,
        };
        let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let rows = collect(found.into_body(), most, Entry::read).await;
        let listed = |entry| match entry {
            Entry::Object(row) => {
                let name = ObjectName {
                    account: account.clone(),
                    container: container.as_str().into(),
                    object: row.name.into(),
                };
                Some(Listed { name, is_marker: row.content_type == DELETE_MARKER })
            }
            Entry::Subdir { .. } => None,
        };
        Ok(rows.map_err(refused)?.into_iter().filter_map(listed).collect())
    }
}
