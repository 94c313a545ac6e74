//! Which certificate it is, and until when it is good. Of X.509 only so much is read.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, BERReaderSeq, Tag};

/// When the first certificate in a PEM file expires, in seconds since 1970; none when it cannot be read. Blocking.
pub fn certificate_expiry(path: &Path) -> Option<i64> {
    expiry(&CertificateDer::from_pem_file(path).ok()?).ok()
}

/// The serial number of the first certificate in a PEM file, by which it is revoked; none when it cannot be read. Blocking.
pub fn serial(path: &Path) -> Option<Vec<u8>> {
    Some(facts(&CertificateDer::from_pem_file(path).ok()?).ok()?.0)
}

pub(super) fn expiry(der: &[u8]) -> ASN1Result<i64> {
    facts(der).map(|(_, expiry)| expiry)
}

/// `Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version, serial, algorithm, issuer, validity, ... }, ... }`.
fn facts(der: &[u8]) -> ASN1Result<(Vec<u8>, i64)> {
    yasna::parse_der(der, |certificate| {
        certificate.read_sequence(|parts| {
            let facts = parts.next().read_sequence(|tbs| {
                tbs.read_optional(|version| version.read_tagged(Tag::context(0), |number| number.read_i64()))?;
                // A tag and a length, which is one byte: a serial number has twenty at most.
                let serial = tbs.next().read_der()?.get(2..).unwrap_or_default().to_vec();
                for _before in ["algorithm", "issuer"] {
                    tbs.next().read_der()?;
                }
                let expiry = tbs.next().read_sequence(|validity| {
                    validity.next().read_der()?;
                    time(validity.next())
                })?;
                skip(tbs)?;
                Ok((serial, expiry))
            })?;
            skip(parts)?;
            Ok(facts)
        })
    })
}

fn time(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    let at = match reader.lookahead_tag()? {
        TAG_UTCTIME => reader.read_utctime()?.datetime().unix_timestamp(),
        _ => reader.read_generalized_time()?.datetime().unix_timestamp(),
    };
    Ok(at)
}

fn skip(parts: &mut BERReaderSeq<'_, '_>) -> ASN1Result<()> {
    while parts.read_optional(|part| part.read_der())?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certificate(year: i32) -> rcgen::Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["n".into()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 1, 11);
        parameters.self_signed(&key).unwrap()
    }

    #[test]
    fn a_certificate_tells_when_it_expires_and_other_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.pem");
        // The years from 2050 are written in another form.
        for (year, expires) in [(2030, 1_894_320_000), (2060, 2_841_004_800)] {
            std::fs::write(&path, certificate(year).pem()).unwrap();
            assert_eq!(certificate_expiry(&path), Some(expires));
        }
        std::fs::write(&path, "none").unwrap();
        assert_eq!(certificate_expiry(&path), None);
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_refused_or_read(at in any::<prop::sample::Index>(), byte: u8) {
            let mut der = certificate(2030).der().to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            let _ = (expiry(&der), expiry(&der[..at]));
        }
    }
}
