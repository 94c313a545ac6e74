//! An object's file: what its metadata say, and whether that is true, in swift-object-info's words and a verdict of our own.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use apus_base::hash_path::PathHash;
use apus_base::hex::hex;
use apus_base::policy::PolicyIndex;
use apus_object::store::attributes::{self, Attributes};
use apus_object::store::metadata::{CONTENT_LENGTH, ETAG, NAME, TIMESTAMP};
use apus_object::store::names::{FileName, Kind};
use md5::{Digest as _, Md5};

use super::nodes::{self, Place};
use super::{InspectError, Sight, metadata};
use crate::error::StartError;
use crate::view::View;

/// How a file is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Whether the body is read.
    pub(super) check_etag: bool,
    pub(super) drop_prefixes: bool,
}

/// What the path of a file says: `<device>/objects[-N]/<partition>/<suffix>/<hash>/<file>`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OnDisk {
    policy: PolicyIndex,
    partition: u32,
    hash: PathHash,
    device: String,
}

/// One file.
pub(super) fn file(view: &View, path: &Path, shown: Shown) -> Result<Sight, StartError> {
    let mut sight = Sight::default();
    let (attributes, mut wrong) = describe(view, path, shown, &mut sight)?;
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let on_disk = OnDisk::of(&full);
    let name = attributes.metadata.get(NAME).map(metadata::text).unwrap_or_default();
    if let Some(names) = metadata::names(&name) {
        let names = names.map(str::to_owned).to_vec();
        wrong.extend(located(view, on_disk.as_ref(), names, &mut sight));
    } else {
        wrong.push("its metadata have no name".to_owned());
    }
    wrong.extend(misnamed(path, &attributes));
    sight.line("");
    wrong.iter().for_each(|what| sight.line(format!("WRONG: {what}")));
    if wrong.is_empty() {
        sight.line(if shown.check_etag { "OK" } else { "OK, as far as looked: the body was not read" });
    }
    sight.unsound = !wrong.is_empty();
    Ok(sight)
}

/// Shows a file's metadata and what they say of its body; returns what is not true.
pub(super) fn describe(
    view: &View,
    path: &Path,
    shown: Shown,
    sight: &mut Sight,
) -> Result<(Attributes, Vec<String>), StartError> {
    let (file, attributes) = open(path)?;
    let salt = &view.cluster.hash_path;
    let hash = |account: &str, container: &str, object: &str| salt.object(account, container, object).hex();
    metadata::show(sight, &attributes.metadata, hash, shown.drop_prefixes);
    let mut wrong = Vec::new();
    let etag = attributes.metadata.get(ETAG).map(metadata::text).filter(|etag| !etag.is_empty());
    if !shown.check_etag {
        sight.line(format!("ETag: {} (not checked)", etag.unwrap_or_default()));
    } else if let Some(etag) = etag {
        let found = body_md5(file, attributes.body_length);
        let found = found.map_err(|error| InspectError::Unreadable(path.to_owned(), error.to_string()))?;
        if found == etag {
            sight.line(format!("ETag: {etag} (valid)"));
        } else {
            sight.line(format!("ETag: {etag} doesn't match file hash of {found}!"));
            wrong.push(format!("the body's MD5 is {found}, and the ETag {etag}"));
        }
    } else {
        sight.line("ETag: Not found in metadata");
    }
    let length = attributes.metadata.get(CONTENT_LENGTH).map(metadata::text);
    match length.filter(|length| !length.is_empty()) {
        None => sight.line("Content-Length: Not found in metadata"),
        Some(length) if length.parse() == Ok(attributes.body_length) => {
            sight.line(format!("Content-Length: {length} (valid)"));
        }
        Some(length) => {
            let found = attributes.body_length;
            sight.line(format!("Content-Length: {length} doesn't match file length of {found}"));
            wrong.push(format!("the body has {found} bytes, and should have {length}"));
        }
    }
    Ok((attributes, wrong))
}

fn open(path: &Path) -> Result<(File, Attributes), InspectError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => InspectError::NoFile(path.to_owned()),
        _ => InspectError::Unreadable(path.to_owned(), error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(InspectError::Folder(path.to_owned()));
    }
    match attributes::read(&file) {
        Ok(attributes) => Ok((file, attributes)),
        Err(attributes::ReadError::Damage(damage)) => {
            Err(InspectError::NotAnObject(path.to_owned(), damage.to_string()))
        }
        Err(attributes::ReadError::Store(error)) => Err(InspectError::Unreadable(path.to_owned(), error.to_string())),
    }
}

fn body_md5(file: File, length: u64) -> io::Result<String> {
    let (mut md5, mut chunk, mut body) = (Md5::new(), vec![0; 256 * 1024], file.take(length));
    loop {
        match body.read(&mut chunk)? {
            0 => return Ok(hex(&md5.finalize())),
            read => md5.update(&chunk[..read]),
        }
    }
}

/// Shows where the object belongs; returns why it does not belong where it is.
fn located(view: &View, on_disk: Option<&OnDisk>, names: Vec<String>, sight: &mut Sight) -> Vec<String> {
    let policy = on_disk.map_or(PolicyIndex(0), |found| found.policy);
    let hash = nodes::hash(&view.cluster.hash_path, &names);
    let mut wrong = Vec::new();
    if let Some(found) = on_disk.filter(|found| found.hash != hash) {
        wrong.push(format!("the hash of its name is {hash}, and its folder is {}", found.hash));
    }
    let Some(ring) = view.rings.objects.get(&policy) else {
        wrong.push(format!("there is no ring of the policy {policy}"));
        return wrong;
    };
    let partition = ring.partition(&hash.0);
    if let Some(found) = on_disk.filter(|found| found.partition != partition) {
        wrong.push(format!("it belongs to the partition {partition}, and is in {}", found.partition));
    }
    let folder = policy.suffixed("objects");
    nodes::show(sight, &Place { ring, folder, names, hash: Some(hash), partition, policy: Some(policy) }, false);
    if let Some(found) = on_disk
        && !ring.primaries(partition).any(|primary| primary.device == found.device)
    {
        sight.line(format!("note: {} is no primary of this partition, so this copy is a handoff's.", found.device));
    }
    wrong
}

/// Why a file's name and its metadata do not go together.
fn misnamed(path: &Path, attributes: &Attributes) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(file) = FileName::parse(&name) else { return Some(format!("{name:?} is no name of an object's file")) };
    let told = attributes.metadata.timestamp(TIMESTAMP);
    let differs = file.kind != Kind::Meta && told != Some(file.timestamp);
    let told = told.map_or("nothing".to_owned(), |told| told.internal());
    differs.then(|| format!("its name says {}, and its metadata {told}", file.timestamp.internal()))
}

impl OnDisk {
    fn of(path: &Path) -> Option<Self> {
        let mut parts = path.iter().rev().skip(1).map(|part| part.to_str());
        let mut next = || parts.next().flatten();
        let (hash, _suffix, partition) = (PathHash::from_hex(next()?)?, next()?, next()?.parse().ok()?);
        let (folder, device) = (next()?, next()?.to_owned());
        let policy = match folder.strip_prefix("objects")? {
            "" => 0,
            suffix => suffix.strip_prefix('-')?.parse().ok()?,
        };
        Some(Self { policy: PolicyIndex(policy), partition, hash, device })
    }
}

/// The files that count of an object in a folder, the newest last.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let names = apus_object::store::index::file_names(folder)?;
    let counting = apus_object::store::index::counting(&names);
    Ok(counting.iter().map(|name| folder.join(name.text())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_policy_partition_and_hash() {
        let hash = "06fbf0b514e5199dfc4e00f42eb5ea83";
        let path = format!("/srv/node/sda/objects-2/27/a83/{hash}/1712345678.12345.data");
        let found = OnDisk::of(Path::new(&path)).unwrap();
        assert_eq!((found.policy, found.partition, found.device.as_str()), (PolicyIndex(2), 27, "sda"));
        assert_eq!(found.hash.hex(), hash);
        for other in ["/etc/passwd", "/srv/node/sda/containers/27/a83/06/x.db", "x.data"] {
            assert_eq!(OnDisk::of(Path::new(other)), None);
        }
    }
}
