use super::*;
use proptest::prelude::*;

/// HMACs of `message` under `key`, from Python's `hmac`.
const SHA1: &str = "2088df74d5f2146b48146caf4965377e9d0be3a4";
const SHA256: &str = "6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a";
const SHA256_BASE64: &str = "sha256:bp7ym3X//Ft6uuUn1Y/a2y/kLnIZARl2kXNDBl9Y7Uo=";

fn accepted(text: &str) -> bool {
    Signature::parse(text, &Digest::all()).is_some_and(|signature| signature.signs(b"message", b"key"))
}

#[test]
fn every_spelling_that_swift_reads() {
    assert!(accepted(SHA1) && accepted(SHA256) && accepted(SHA256_BASE64));
    assert!(accepted(SHA256_BASE64.trim_end_matches('=')));
    assert!(accepted(&format!("{SHA256_BASE64}==")));
    assert!(accepted(&SHA256_BASE64.replace('/', "_")));
}

#[test]
fn what_is_no_signature() {
    for text in [
        "",
        ":",
        "sha256:",
        "sha256",
        "md5:AAAA",
        "SHA256:bp7ym3X//Ft6uuUn1Y/a2y/kLnIZARl2kXNDBl9Y7Uo=",
        &SHA256.to_uppercase(),
        &SHA256[1..],
        &format!("0{}", &SHA256[1..]),
        &SHA256.replace('6', "☃"),
        &format!("sha1:{}", &SHA256_BASE64[7..]),
        &format!("sha256:={}", &SHA256_BASE64[7..]),
        // Of both alphabets at once.
        &SHA256_BASE64.replacen('/', "_", 1),
    ] {
        assert!(!accepted(text), "{text:?}");
    }
    assert!(Signature::parse(SHA1, &[Digest::Sha256]).is_none());
}

#[test]
fn integers_are_pythons() {
    for (text, number) in [("7", Some(7)), (" -7\n", Some(-7)), ("+7", Some(7)), ("", None), ("7.0", None), ("x", None)]
    {
        assert_eq!(integer(text), number, "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(sha(1|256|512):)?[A-Za-z0-9+/_=-]{0,140}|\\PC{0,60}") {
        prop_assert!(!accepted(&text));
    }

    #[test]
    fn what_is_written_is_read(mac in proptest::collection::vec(any::<u8>(), 32)) {
        let signature = Signature { digest: Digest::Sha256, mac };
        prop_assert_eq!(Signature::parse(&signature.to_hex(), &Digest::all()), Some(signature));
    }
}
