//! `apus ca`: the certificates by which the nodes of a cluster know each other.
//!
//! A cluster has one CA, made once and kept away from the nodes; every node has a certificate that it issued, all with the
//! same name, since it says only that its owner is a node of this cluster. Without `--days` certificates do not end by
//! themselves, since a cluster that stops on some day in the future would be worse. To keep a node out, revoke its
//! certificate and give all others the new `crl.pem`.
//!
//! ```text
//! DIR/ca.key DIR/ca.pem        DIR/NAME.key DIR/NAME.pem        DIR/crl.pem    DIR/revoked, a serial number in each line
//! ```

use std::fs;
use std::path::Path;

use apus_base::hex::hex;
use apus_base::link::{NODE_NAME, serial};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use time::{Duration, OffsetDateTime};

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
    write(&folder.join("ca.pem"), &certificate.pem(), 0o644)?;
    write_crl(folder, &[], &Issuer::new(authority(), key))
}

/// Makes a node's certificate and key, good for some days or for ever.
pub(crate) fn issue(folder: &Path, node: &str, days: Option<u32>) -> Result<(), StartError> {
    let path = folder.join(format!("{node}.pem"));
    let failed = |message: String| StartError::Certificate { path: path.clone(), message };
    if node.is_empty() || node == "ca" || node.contains(['/', '\0']) {
        return Err(failed("this is no name for a node's files".into()));
    }
    let issuer = issuer(folder)?;
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let certificate = self::node(days).and_then(|params| params.signed_by(&key, &issuer));
    let certificate = certificate.map_err(|error| failed(error.to_string()))?;
    write(&folder.join(format!("{node}.key")), &key.serialize_pem(), 0o600)?;
    write(&path, &certificate.pem(), 0o644)
}

/// Keeps the owner of a node's certificate out, wherever the new `crl.pem` is in use.
pub(crate) fn revoke(folder: &Path, node: &str) -> Result<(), StartError> {
    let certificate = folder.join(format!("{node}.pem"));
    let serial = serial(&certificate).ok_or(StartError::NoCertificate { path: certificate })?;
    let path = folder.join("revoked");
    let mut revoked = fs::read_to_string(&path).unwrap_or_default();
    let serial = hex(&serial);
    if !revoked.lines().any(|line| line == serial) {
        revoked.push_str(&format!("{serial}\n"));
        write(&path, &revoked, 0o644)?;
    }
    let serials: Vec<_> = revoked.lines().filter_map(unhex).collect();
    write_crl(folder, &serials, &issuer(folder)?)
}

fn issuer(folder: &Path) -> Result<Issuer<'static, KeyPair>, StartError> {
    let path = folder.join("ca.key");
    let pem = fs::read_to_string(&path).map_err(|source| StartError::Read { path: path.clone(), source })?;
    let key = KeyPair::from_pem(&pem).map_err(|error| StartError::Certificate { path, message: error.to_string() })?;
    Ok(Issuer::new(authority(), key))
}

fn write_crl(folder: &Path, serials: &[Vec<u8>], issuer: &Issuer<'_, KeyPair>) -> Result<(), StartError> {
    let (path, now) = (folder.join("crl.pem"), OffsetDateTime::now_utc());
    let revoked = |serial: &Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: now,
        next_update: for_ever(),
        // Later lists have larger numbers.
        crl_number: SerialNumber::from(now.unix_timestamp().unsigned_abs()),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let pem = list.signed_by(issuer).and_then(|list| list.pem());
    let pem = pem.map_err(|error| StartError::Certificate { path: path.clone(), message: error.to_string() })?;
    write(&path, &pem, 0o644)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |place: usize| u8::from_str_radix(text.get(place..place + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

/// The last day that certificates can say.
fn for_ever() -> OffsetDateTime {
    date_time_ymd(4096, 1, 1)
}

/// The same each time, so that the key is all that has to be kept.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Apus cluster CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn node(days: Option<u32>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![NODE_NAME.to_owned()])?;
    if let Some(days) = days {
        params.not_after = OffsetDateTime::now_utc().saturating_add(Duration::days(days.into())).min(for_ever());
    }
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
        issue(folder.path(), "n1", None).unwrap();
        let identity = Identity::read(&path("n1.pem"), &path("n1.key"), &path("ca.pem")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { Link::bind(([127, 0, 0, 1], 0).into(), &identity).unwrap() });

        let before = fs::read(path("ca.key")).unwrap();
        assert!(create(folder.path()).is_err());
        assert_eq!(fs::read(path("ca.key")).unwrap(), before);
        assert!(issue(folder.path(), "../n2", None).is_err() && issue(folder.path(), "ca", None).is_err());
    }

    #[test]
    fn who_is_revoked_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path()).unwrap();
        for node in ["n1", "n2"] {
            issue(folder.path(), node, Some(30)).unwrap();
            revoke(folder.path(), node).unwrap();
            revoke(folder.path(), node).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.path().join("revoked")).unwrap().lines().count(), 2);
        assert!(revoke(folder.path(), "n3").is_err());
    }
}
