//! `apus ca`: the certificates by which the nodes of a cluster know each other.
//!
//! A cluster has one CA, made once and kept away from the nodes; every node has a certificate that it issued, all with the
//! same name, since it says only that its owner is a node of this cluster. To keep a node out for good, make a new CA. The
//! certificates do not end by themselves: a cluster that stops replicating on some day in the future would be worse.

use std::fs;
use std::path::Path;

use apus_base::link::NODE_NAME;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::data::write_synced;
use crate::error::StartError;

/// Makes a CA in a folder that has none.
pub(crate) fn create(folder: &Path) -> Result<(), StartError> {
    let failed = |message: String| StartError::Certificate { path: folder.join("ca.pem"), message };
    if folder.join("ca.key").exists() {
        return Err(failed("there is a CA already, whose certificates would no longer be good".into()));
    }
    fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let certificate = authority().self_signed(&key).map_err(|error| failed(error.to_string()))?;
    write(&folder.join("ca.key"), &key.serialize_pem(), 0o600)?;
    write(&folder.join("ca.pem"), &certificate.pem(), 0o644)
}

/// Makes a node's certificate and key.
pub(crate) fn issue(folder: &Path, node: &str) -> Result<(), StartError> {
    let path = folder.join(format!("{node}.pem"));
    let failed = |message: String| StartError::Certificate { path: path.clone(), message };
    if node.is_empty() || node == "ca" || node.contains(['/', '\0']) {
        return Err(failed("this is no name for a node's files".into()));
    }
    let authority_key = folder.join("ca.key");
    let read = fs::read_to_string(&authority_key);
    let pem = read.map_err(|source| StartError::Read { path: authority_key, source })?;
    let authority_key = KeyPair::from_pem(&pem).map_err(|error| failed(error.to_string()))?;
    let issuer = Issuer::new(authority(), authority_key);
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let certificate = self::node().and_then(|params| params.signed_by(&key, &issuer));
    let certificate = certificate.map_err(|error| failed(error.to_string()))?;
    write(&folder.join(format!("{node}.key")), &key.serialize_pem(), 0o600)?;
    write(&path, &certificate.pem(), 0o644)
}

/// The same each time, so that the key is all that has to be kept.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Apus cluster CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn node() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![NODE_NAME.to_owned()])?;
    params.distinguished_name = named("Apus node");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), StartError> {
    let written = write_synced(path, text.as_bytes(), mode);
    written.map_err(|error| StartError::Certificate { path: path.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::link::{Identity, Link};

    #[test]
    fn what_is_issued_is_an_identity_and_a_ca_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        create(folder.path()).unwrap();
        issue(folder.path(), "n1").unwrap();
        let identity = Identity::read(&path("n1.pem"), &path("n1.key"), &path("ca.pem")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { Link::bind(([127, 0, 0, 1], 0).into(), &identity).unwrap() });

        let before = fs::read(path("ca.key")).unwrap();
        assert!(create(folder.path()).is_err());
        assert_eq!(fs::read(path("ca.key")).unwrap(), before);
        assert!(issue(folder.path(), "../n2").is_err() && issue(folder.path(), "ca").is_err());
    }
}
