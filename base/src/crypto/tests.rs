//! The parts that need no object; what they make together is held against Swift where they are used.

use proptest::prelude::*;

use super::{
    BodyKey, Cipher, CryptoError, Encryption, InvalidEncryption, Iv, Key, KeyId, Keymaster, Meta, MetaVersion,
    RootSecret, Sealed, seal,
};

fn secret(byte: u8) -> RootSecret {
    use base64::Engine as _;
    RootSecret(base64::engine::general_purpose::STANDARD.encode([byte; 32]))
}

#[test]
fn keys_as_swift_derives_them() {
    // hmac.new(b'a' * 32, b'/a/c/o', hashlib.sha256).hexdigest()
    let config = Encryption { root_secret: Some(secret(b'a')), ..Encryption::default() };
    let keys = Keymaster::new(&config).unwrap().active_keys("a", "c", "o").unwrap();
    let hex = |key: &Key| key.0.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&keys.object), "b0c2c264a4a769fdfc605d2812204cf7dbc5b4611ca1df60ae8c3ff339a6f8a4");
    assert_eq!(hex(&keys.container), "b61ac2d81b113fddc83edcf8694723c2b987c628ff86d4d47ecf4d5a3e3adcad");
    assert_eq!((keys.id.path.as_str(), keys.id.secret_id, keys.id.v.as_str()), ("/a/c/o", None, "3"));
    assert_eq!(format!("{:?}", keys.object), "(key)");
}

#[test]
fn secrets_are_checked_and_never_told() {
    let refused = |config: Encryption| Keymaster::new(&config).unwrap_err();
    let with = |text: &str| Encryption { root_secret: Some(RootSecret(text.into())), ..Encryption::default() };
    assert_eq!(refused(with("c2hvcnQ=")), InvalidEncryption::Secret(None));
    assert_eq!(refused(with("not base64!")), InvalidEncryption::Secret(None));
    let good = Encryption { root_secret: Some(secret(1)), ..Encryption::default() };
    assert_eq!(
        refused(Encryption { active_root_secret_id: Some("2".into()), ..good.clone() }),
        InvalidEncryption::Active(Some("2".into()))
    );
    let only_named = Encryption { root_secrets: [("2".into(), secret(2))].into(), ..Encryption::default() };
    assert_eq!(refused(only_named.clone()), InvalidEncryption::Active(None));
    assert!(Keymaster::new(&Encryption { active_root_secret_id: Some("2".into()), ..only_named }).is_ok());
    // Line breaks are allowed, as in Swift.
    let broken = RootSecret(secret(1).0.replace("AQ", "AQ\n"));
    assert!(Keymaster::new(&Encryption { root_secret: Some(broken), ..Encryption::default() }).unwrap().encrypts());
    assert!(!Keymaster::new(&Encryption::default()).unwrap().encrypts());
    assert!(!refused(with("c2hvcnQ=")).to_string().contains("c2hv"));
    assert!(!format!("{good:?}").contains(&secret(1).0));
}

#[test]
fn a_body_key_comes_back_by_its_meta_only_with_the_right_key() {
    let config = Encryption { root_secret: Some(secret(b'a')), ..Encryption::default() };
    let keys = Keymaster::new(&config).unwrap().active_keys("a", "c", "o +%☃").unwrap();
    let body = BodyKey::random().unwrap();
    let text = body.wrapped(&keys.object, &keys.id).unwrap().to_text();
    assert!(!text.contains([' ', ';', '"']));
    let meta = Meta::parse(&text).unwrap();
    assert_eq!(meta.key_id.as_ref(), Some(&keys.id));
    assert_eq!(meta.body_key(&keys.object).unwrap(), body);
    assert_ne!(meta.body_key(&keys.container).unwrap(), body);
}

#[test]
fn every_version_of_a_key_id_leads_back() {
    for version in [MetaVersion::One, MetaVersion::Two, MetaVersion::Three] {
        let config =
            Encryption { root_secret: Some(secret(1)), meta_version_to_write: version, ..Encryption::default() };
        let keymaster = Keymaster::new(&config).unwrap();
        for (account, object) in ["a", "é"].into_iter().flat_map(|a| ["o", "/o", "é/☃", "/é"].map(|o| (a, o))) {
            let keys = keymaster.active_keys(account, "☃", object).unwrap();
            assert_eq!(keymaster.object_keys(account, "☃", object, Some(&keys.id)).unwrap(), keys);
            assert_eq!(keymaster.container_key(account, "☃", Some(&keys.id)).unwrap(), keys.container);
        }
    }
}

#[test]
fn a_key_id_of_another_place_is_believed() {
    let config = Encryption { root_secret: Some(secret(1)), ..Encryption::default() };
    let keymaster = Keymaster::new(&config).unwrap();
    let elsewhere = keymaster.active_keys("a", "c", "o").unwrap();
    assert_eq!(keymaster.object_keys("b", "d", "p", Some(&elsewhere.id)).unwrap(), elsewhere);
    for (path, v) in [("a/c/o", "3"), ("/a", "3"), ("/a/c", "3"), ("//c/o", "2"), ("/a//o", "3"), ("/a/c/o", "4")] {
        let id = KeyId { path: path.into(), secret_id: None, v: v.into() };
        assert!(matches!(keymaster.object_keys("b", "d", "p", Some(&id)), Err(CryptoError::KeyId(_))), "{path} {v}");
    }
    let unknown = KeyId { secret_id: Some("9".into()), ..elsewhere.id };
    let refused = keymaster.object_keys("a", "c", "o", Some(&unknown));
    assert_eq!(refused.unwrap_err(), CryptoError::UnknownSecret(Some("9".into())));
}

proptest! {
    /// Against starting at the beginning.
    #[test]
    fn the_stream_can_begin_anywhere(offset in 0usize..3000, iv: [u8; 16], wraps: bool) {
        // Near its end the counter starts anew at 0.
        let iv = if wraps { Iv([255; 16]) } else { Iv(iv) };
        let key = Key([7; 32]);
        let mut whole = vec![0; offset + 50];
        Cipher::new(&key, &iv).apply(&mut whole);
        let mut rest = vec![0; 50];
        Cipher::at(&key, &iv, offset as u64).apply(&mut rest);
        prop_assert_eq!(&whole[offset..], rest);
    }

    #[test]
    fn what_is_sealed_is_opened(text: Vec<u8>) {
        let key = Key::random().unwrap();
        let sealed = seal(&text, &key).unwrap();
        prop_assert_eq!(Sealed::parse(&sealed).unwrap().unwrap().open(&key).unwrap(), text);
    }

    #[test]
    fn any_text_is_plain_sealed_or_refused(text in "\\PC{0,30}(; ?swift_meta=(%7B|\\{)?\\PC{0,30})?") {
        match Sealed::parse(&text) {
            Ok(None) => prop_assert!(!text.contains("swift_meta=") || !text.contains(';')),
            Ok(Some(sealed)) => { let _ = sealed.open(&Key([0; 32])); }
            Err(error) => prop_assert!(matches!(error, CryptoError::Malformed(_))),
        }
    }
}
