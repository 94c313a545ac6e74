//! Whether a container keeps versions, and where.

use apus_base::client::ContainerInfo;
use apus_base::timestamp::Timestamp;
use percent_encoding::percent_decode_str;

use super::name;
use crate::constraints::is_yes;
use crate::error::Error;
use crate::ops::Call;
use crate::ops::resource::ObjectName;

/// The keys of a container's system metadata.
const ENABLED_KEY: &str = "versions-enabled";
const ARCHIVE_KEY: &str = "versions-container";

/// The archive of a container that keeps versions, or did.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    /// Its name.
    pub(super) container: String,
    /// Whether versions are kept now.
    pub(super) enabled: bool,
}

impl Archive {
    /// The archive of the container of `name`, if it has one.
    pub(super) async fn of(call: Call<'_>, name: &ObjectName) -> Result<Option<Self>, Error> {
        if !call.proxy.config.versioned_writes.allow_object_versioning {
            return Ok(None);
        }
        let info = call.proxy.client.container_info(&name.account, &name.container).await?;
        Ok(info.found().and_then(|info| Self::said_by(info)))
    }

    /// The same, but only if versions are kept now.
    pub(super) async fn in_use(call: Call<'_>, name: &ObjectName) -> Result<Option<Self>, Error> {
        Ok(Self::of(call, name).await?.filter(|archive| archive.enabled))
    }

    /// The archive that a container's metadata names.
    pub(super) fn said_by(info: &ContainerInfo) -> Option<Self> {
        let enabled = info.sysmeta.get(ENABLED_KEY).is_some_and(|value| is_yes(value));
        Some(Self { container: decoded(info.sysmeta.get(ARCHIVE_KEY)?)?, enabled })
    }

    /// A version of an object, as an object of the archive.
    pub(super) fn version(&self, of: &ObjectName, id: Timestamp) -> ObjectName {
        ObjectName {
            account: of.account.clone(),
            container: self.container.as_str().into(),
            object: name::version(&of.object, id).into(),
        }
    }
}

/// The name of an archive, from where it is kept.
pub(super) fn decoded(kept: &str) -> Option<String> {
    let name = percent_decode_str(kept).decode_utf8().ok()?;
    let name = name.split('/').next().filter(|name| !name.is_empty())?;
    Some(name.to_owned())
}

/// The id of a version that was made then: offsets are for what follows from it.
pub(super) fn id(timestamp: Timestamp) -> Timestamp {
    timestamp.with_offset(0)
}
