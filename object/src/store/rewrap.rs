//! Rewriting the metadata of a version that is there, without its body and without a new timestamp.
//!
//! Only what tells the same in another way may be rewritten so (the keys of an encrypted object under another root secret):
//! a version is the same version before and after, to clients and to other replicas.
//!
//! A `.meta` is a whole file and is replaced in one step. A `.data` has a body that is not copied, and its metadata are
//! several attributes, or a trailer, that cannot be changed in one step. So they go by way of a file of their own:
//!
//! | step | after a crash here |
//! |---|---|
//! | 1. write all metadata of the version to a file without a name, flush it | old |
//! | 2. name it `<timestamp>.rewrap`, flush the folder | old or new; new once flushed: readers take it in place of the `.data`'s own |
//! | 3. rewrite the `.data`'s own, flush it | new; the `.data`'s own may be torn, and nobody looks at them |
//! | 4. remove the `.rewrap` | new, from either |
//!
//! A crash before 4 leaves a `.rewrap` that is read for ever, and goes when the version does or is rewritten again, for
//! which the server tells that there is one. A reader that has looked for a `.rewrap` before 2 and reads attributes during 3
//! finds damage, looks a second time, and finds the `.rewrap` or all done. A write of a newer version that comes between
//! makes both files obsolete. Two that rewrite the same object at once would tear it: the server lets one in at a time.
//!
//! Once 4 is done, nothing of the old metadata is left on the disk but what the filesystem has not overwritten.

use std::fs::OpenOptions;

use apus_base::crash;
use apus_base::fs::Reserve;

use super::attributes;
use super::crash_points::{REWRAP_CLEANED, REWRAP_FILE_FLUSHED, REWRAP_LINK_FLUSHED, REWRAP_LINKED};
use super::error::{StoreError, is_not_found};
use super::location::Location;
use super::metadata::{self, Metadata};
use super::names::Kind;
use super::read::Object;
use super::write::{create_tmp, file_name, remove_obsolete};

/// Gives the version that `object` is other metadata, of the same timestamp and length. Blocking.
///
/// # Errors
/// What the disk says; then the version has its old metadata or the new, whole.
pub fn data(location: &Location, object: &Object, metadata: Metadata, reserve: Reserve) -> Result<(), StoreError> {
    let length = object.length;
    let name = replace(location, metadata.clone(), Kind::Rewrap, reserve)?;
    let folder = location.folder();
    // If it is gone, a newer version has come, and so is what was just named.
    let file = match OpenOptions::new().read(true).write(true).open(folder.join(name.replace(".rewrap", ".data"))) {
        Err(error) if is_not_found(&error) => {
            remove_obsolete(location);
            return Ok(());
        }
        file => file.map_err(StoreError::while_doing("open an object"))?,
    };
    let mut metadata = metadata;
    metadata.set(metadata::NAME, location.name.as_bytes());
    attributes::rewrite(&file, &metadata, length)?;
    location.device.flush_file(&file).map_err(StoreError::while_doing("flush the file"))?;
    crash::point(REWRAP_CLEANED);
    let removed = std::fs::remove_file(folder.join(&name));
    removed
        .or_else(|error| if is_not_found(&error) { Ok(()) } else { Err(error) })
        .map_err(StoreError::while_doing("remove a file"))?;
    remove_obsolete(location);
    Ok(location.device.check()?)
}

/// Replaces the metadata of a POST by others of the same timestamps. Blocking.
///
/// # Errors
/// What the disk says; then the old ones stay.
pub fn meta(location: &Location, metadata: Metadata, reserve: Reserve) -> Result<(), StoreError> {
    replace(location, metadata, Kind::Meta, reserve)?;
    // A newer POST may have removed what has just been put back.
    remove_obsolete(location);
    Ok(location.device.check()?)
}

/// Writes a file of metadata in the place of one that may be there, and gives its name.
fn replace(location: &Location, mut metadata: Metadata, kind: Kind, reserve: Reserve) -> Result<String, StoreError> {
    reserve.check_for(&location.device, 0)?;
    metadata.set(metadata::NAME, location.name.as_bytes());
    let (device, tmp) = (&location.device, create_tmp(location)?);
    attributes::write(tmp.file(), &metadata, 0)?;
    device.flush_file(tmp.file()).map_err(StoreError::while_doing("flush the file"))?;
    crash::point(REWRAP_FILE_FLUSHED);
    let (folder, name) = (location.folder(), file_name(&metadata, kind)?.text());
    tmp.replace(device.path(), &folder.join(&name)).map_err(StoreError::while_doing("name the file"))?;
    crash::point(REWRAP_LINKED);
    device.flush_dir(&folder).map_err(StoreError::while_doing("flush the object's folder"))?;
    crash::point(REWRAP_LINK_FLUSHED);
    Ok(name)
}
