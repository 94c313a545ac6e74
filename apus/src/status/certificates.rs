//! How long the certificates of a node are still good.

use std::path::Path;

use apus_base::timestamp::Timestamp;
use x509_parser::pem::parse_x509_pem;

/// Days from `now` until the certificate in a PEM file expires; negative when it has; none when it cannot be read.
pub(super) fn days_left(path: &Path, now: Timestamp) -> Option<i64> {
    let text = std::fs::read(path).ok()?;
    let (_, pem) = parse_x509_pem(&text).ok()?;
    let left = pem.parse_x509().ok()?.validity().not_after.timestamp() - i64::try_from(now.secs()).ok()?;
    Some(left.div_euclid(24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_its_days_and_other_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["n".into()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 11);
        std::fs::write(&path, parameters.self_signed(&key).unwrap().pem()).unwrap();
        // 2030-01-01.
        assert_eq!(days_left(&path, Timestamp::from_secs(1_893_456_000)), Some(10));
        assert_eq!(days_left(&path, Timestamp::from_secs(1_893_456_000 + 11 * 86400)), Some(-1));
        std::fs::write(&path, "none").unwrap();
        assert_eq!(days_left(&path, Timestamp::ZERO), None);
    }
}
