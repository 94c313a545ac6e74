use rcgen::{CertifiedKey as SelfSigned, KeyPair, generate_simple_self_signed};

use super::*;

/// A folder with a fresh certificate for `localhost`.
fn folder() -> (tempfile::TempDir, TlsFiles) {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    renew(&files);
    (folder, files)
}

fn renew(files: &TlsFiles) {
    let SelfSigned { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
}

fn in_use(tls: &Tls) -> Vec<u8> {
    tls.current.0.load().cert[0].to_vec()
}

#[test]
fn what_is_no_certificate_is_said_in_a_sentence() {
    let (_folder, files) = folder();
    assert!(Tls::load(files.clone(), true).is_ok());
    let reason = |files: &TlsFiles| Tls::load(files.clone(), true).err().unwrap().to_string();
    let other = KeyPair::generate().unwrap().serialize_pem();
    for (key, expected) in
        [(&*other, "is not that of the certificate"), ("junk", "no usable private key"), ("", "no usable")]
    {
        std::fs::write(&files.key, key).unwrap();
        assert!(reason(&files).contains(expected), "{}", reason(&files));
    }
    std::fs::write(&files.certificate, "junk").unwrap();
    assert!(reason(&files).contains("no usable certificate"));
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(reason(&files).starts_with("cannot read"));
}

#[test]
fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    let (_folder, files) = folder();
    let tls = Tls::load(files.clone(), true).unwrap();
    let first = in_use(&tls);
    let seen = tls.look(None);
    assert_eq!(in_use(&tls), first);

    // In the middle of a change, certificate and key do not belong together.
    let key = std::fs::read(&files.key).unwrap();
    renew(&files);
    let new_key = std::fs::read(&files.key).unwrap();
    std::fs::write(&files.key, key).unwrap();
    let halfway = tls.look(seen);
    assert!(halfway != seen && in_use(&tls) == first);
    std::fs::remove_file(&files.key).unwrap();
    assert!(tls.look(halfway) == Some(Seen::Unreadable) && in_use(&tls) == first);

    std::fs::write(&files.key, new_key).unwrap();
    tls.look(halfway);
    assert_ne!(in_use(&tls), first);
}
