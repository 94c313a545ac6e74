//! Swift's own configuration: `swift.conf`, the servers' addresses and the rings, held against ours, or said in our words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::policy::{Policies, Policy, PolicyIndex};
use apus_base::ring::Ring;
use apus_base::wire::is_yes;
use configparser::ini::{Ini, IniDefault};
use serde::Serialize;

use crate::config::{Listen, Places};

/// Where each server listens if its file does not say.
const SERVERS: [(&str, &str); 4] = [("proxy", "8080"), ("account", "6202"), ("container", "6201"), ("object", "6200")];

/// `swift.conf`, as far as both know it.
#[derive(Debug)]
pub(super) struct SwiftConf {
    folder: PathBuf,
    cluster: ClusterConfig,
    erasure_coded: BTreeSet<PolicyIndex>,
}

/// A table of ours for each of theirs.
#[derive(Serialize)]
struct Lines {
    cluster: ClusterConfig,
    node: Places,
    listen: Listen,
}

impl SwiftConf {
    /// Reads it; `None` when the folder has none.
    ///
    /// # Errors
    /// A sentence about the file.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, String> {
        let path = folder.join("swift.conf");
        let Some(ini) = read(&path)? else { return Ok(None) };
        let salt = |end: &str| ini.get("swift-hash", &format!("swift_hash_path_{end}")).unwrap_or_default();
        let (mut policies, mut erasure_coded) = (Vec::new(), BTreeSet::new());
        for section in ini.sections() {
            let Some(index) = section.strip_prefix("storage-policy:") else { continue };
            let index = index.parse().map(PolicyIndex).map_err(|_| format!("{}: [{section}]", path.display()))?;
            if ini.get(&section, "policy_type").is_some_and(|kind| kind == "erasure_coding") {
                erasure_coded.insert(index);
            }
            policies.push(policy(&ini, &section, index));
        }
        policies.sort_by_key(|policy| policy.index);
        // Of several, one has to say so; a single one, or the implied one, need not.
        let cluster = ClusterConfig { hash_path_prefix: salt("prefix"), hash_path_suffix: salt("suffix"), policies };
        Ok(Some(Self { folder: folder.to_owned(), cluster, erasure_coded }))
    }

    /// Where our configuration says something else than Swift's, and what of Swift's we cannot serve.
    pub(super) fn differences(&self, ours: &ClusterConfig, cluster: &Cluster, rings: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let theirs = &self.cluster;
        if (&ours.hash_path_prefix, &ours.hash_path_suffix) != (&theirs.hash_path_prefix, &theirs.hash_path_suffix) {
            found.push("hash_path_prefix and hash_path_suffix of [cluster] are not those of swift.conf".into());
        }
        match Policies::new(theirs.policies.clone()) {
            Ok(theirs) => found.extend(self.policy_differences(&theirs, &cluster.policies)),
            Err(error) => found.push(format!("the policies of swift.conf cannot be used: {error}")),
        }
        let objects = cluster.policies.iter().map(|policy| policy.index.suffixed("object"));
        let names = ["account".to_owned(), "container".to_owned()].into_iter().chain(objects);
        found.extend(names.filter_map(|name| ring_difference(&name, &self.folder, rings)));
        found
    }

    fn policy_differences(&self, theirs: &Policies, ours: &Policies) -> Vec<String> {
        let mut found = Vec::new();
        for policy in theirs.iter() {
            let (index, name) = (policy.index, &policy.name);
            match ours.get(index) {
                _ if self.erasure_coded.contains(&index) => found.push(format!(
                    "the storage policy {index} ({name}) is erasure-coded, which Apus does not serve yet"
                )),
                None => found
                    .push(format!("the storage policy {index} ({name}) of swift.conf is not in [[cluster.policies]]")),
                Some(own) if !own.name.eq_ignore_ascii_case(name) => {
                    found.push(format!("the storage policy {index} is {name} in swift.conf and {} here", own.name));
                }
                Some(_) => {}
            }
        }
        if theirs.default_index() != ours.default_index() {
            found.push(format!("the default storage policy of swift.conf is {}", theirs.default_index()));
        }
        found
    }

    /// The lines of an `apus.toml` that say what Swift's configuration does.
    ///
    /// # Errors
    /// A sentence about a file that cannot be read.
    pub(super) fn to_toml(&self) -> Result<String, String> {
        let mut listen = Listen::default();
        let mut devices = PathBuf::from("/srv/node");
        for (server, port) in SERVERS {
            let Some(ini) = read(&self.folder.join(format!("{server}-server.conf")))? else { continue };
            let own = |key: &str| ini.get("default", key);
            let ip = own("bind_ip").unwrap_or_else(|| "0.0.0.0".into());
            let address = format!("{ip}:{}", own("bind_port").unwrap_or_else(|| port.into()));
            match server {
                "proxy" => listen.proxy = Some(address),
                "account" => listen.account = Some(address),
                "container" => listen.container = Some(address),
                _ => listen.object = Some(address),
            }
            devices = own("devices").map_or(devices, PathBuf::from);
        }
        let node = Places {
            devices,
            rings: self.folder.clone(),
            recon_cache: "recon".into(),
            swift_conf: self.folder.join("swift.conf"),
        };
        let mut cluster = self.cluster.clone();
        cluster.policies.retain(|policy| !self.erasure_coded.contains(&policy.index));
        toml::to_string(&Lines { cluster, node, listen }).map_err(|error| error.to_string())
    }
}

fn policy(ini: &Ini, section: &str, index: PolicyIndex) -> Policy {
    let says = |key: &str| ini.get(section, key).unwrap_or_default();
    let yes = |key: &str| is_yes(&says(key));
    let aliases = says("aliases").split(',').map(str::trim).filter(|a| !a.is_empty()).map(str::to_owned).collect();
    Policy { index, name: says("name"), aliases, default: yes("default"), deprecated: yes("deprecated") }
}

/// Reads a file in the way of Python's `configparser`, which has no comments behind values; `None` when there is none.
fn read(path: &Path) -> Result<Option<Ini>, String> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| format!("cannot read {}: {error}", path.display()))?,
    };
    let mut manner = IniDefault::default();
    manner.enable_inline_comments = false;
    manner.delimiters = vec!['=', ':'];
    let mut ini = Ini::new_from_defaults(manner);
    ini.read(text).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Some(ini))
}

/// Whether a ring of ours is another than Swift's.
fn ring_difference(name: &str, theirs: &Path, ours: &Path) -> Option<String> {
    let file = format!("{name}.ring.gz");
    let (theirs, ours) = (theirs.join(&file), ours.join(&file));
    // Written anew they are the same bytes if they are the same rings, whatever wrote them.
    let canonical = |path: &Path| Ring::from_bytes(&std::fs::read(path).ok()?).ok()?.to_v2_bytes(&file).ok();
    let swift = canonical(&theirs)?;
    (canonical(&ours) != Some(swift)).then(|| format!("{} is another ring than {}", ours.display(), theirs.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWIFT_CONF: &str = "[swift-hash]\n# a comment\nswift_hash_path_prefix = a;b#c\nswift_hash_path_suffix: z\n\
        [storage-policy:0]\nname = Gold\naliases = yellow, best\n[storage-policy:1]\nname = silver\ndefault = yes\n\
        [storage-policy:2]\nname = coded\npolicy_type = erasure_coding\nec_num_data_fragments = 4\n";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("swift.conf"), SWIFT_CONF).unwrap();
        let object =
            "[DEFAULT]\nbind_ip = 10.0.0.1\nbind_port = 6210\ndevices = /srv/disks\n[pipeline:main]\npipeline = x\n";
        std::fs::write(folder.path().join("object-server.conf"), object).unwrap();
        folder
    }

    #[test]
    fn its_lines_make_a_configuration_that_agrees_with_it() {
        let folder = folder();
        let swift = SwiftConf::read(folder.path()).unwrap().unwrap();
        let path = folder.path().join("apus.toml");
        std::fs::write(&path, swift.to_toml().unwrap()).unwrap();
        let ours = crate::config::NodeConfig::read(&path).unwrap();
        assert_eq!((ours.listen.object.as_deref(), ours.listen.proxy.as_deref()), (Some("10.0.0.1:6210"), None));
        assert_eq!(ours.node.devices, Path::new("/srv/disks"));
        assert_eq!(ours.cluster.hash_path_prefix, "a;b#c");
        let cluster = ours.cluster(&path).unwrap();
        let found = swift.differences(&ours.cluster, &cluster, folder.path());
        assert_eq!(found, ["the storage policy 2 (coded) is erasure-coded, which Apus does not serve yet"]);
    }

    #[test]
    fn each_difference_is_said() {
        let folder = folder();
        let swift = SwiftConf::read(folder.path()).unwrap().unwrap();
        let ours: ClusterConfig =
            toml::from_str("hash_path_suffix = \"y\"\n[[policies]]\nindex = 0\nname = \"iron\"").unwrap();
        let cluster = Cluster::try_from(ours.clone()).unwrap();
        let found = swift.differences(&ours, &cluster, folder.path()).join("\n");
        for part in ["hash_path_suffix", "Gold in swift.conf and iron", "1 (silver)", "coded", "default"] {
            assert!(found.contains(part), "{part}: {found}");
        }
        assert!(SwiftConf::read(&folder.path().join("none")).unwrap().is_none());
    }
}
