use super::*;
use proptest::prelude::*;

#[test]
fn sloppy_lists_are_tidied() {
    let tidy = |text| clean_acl(Kind::Read, text).unwrap();
    for (sloppy, cleaned) in [
        ("bob, sue", "bob,sue"),
        ("bob ,, sue,", "bob,sue"),
        (" .referrer : *", ".r:*"),
        (".ref:*.example.com", ".r:.example.com"),
        (".referer: - *.thief.com", ".r:-.thief.com"),
        (".r:*, .rlistings", ".r:*,.rlistings"),
        ("acct:user , .r:**", "acct:user,.r:*"),
        ("a : b", "a : b"),
        (":odd", ":odd"),
        (" , ", ""),
    ] {
        assert_eq!(tidy(sloppy), cleaned, "{sloppy:?}");
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    let refused = |kind, text| clean_acl(kind, text).unwrap_err().to_string();
    let no_host = "No host/domain value after referrer designation in ACL: ";
    for text in [".r:", ".r:-", ".r: - ", ".r:*.", ".r:.", ".ref:-*."] {
        assert_eq!(refused(Kind::Read, text), format!("{no_host}'{}'", text.trim()));
    }
    assert_eq!(refused(Kind::Read, ".x:y"), "Unknown designator '.x' in ACL: '.x:y'");
    assert_eq!(refused(Kind::Write, "bob,.r:*"), "Referrers not allowed in write ACL: '.r:*'");
    assert_eq!(clean_acl(Kind::Write, ".rlistings").unwrap(), ".rlistings");
}

#[test]
fn the_last_referrer_that_fits_decides() {
    let acl = parse(".r:.example.com,.r:-thief.example.com,.r:exact.org");
    for (referer, allowed) in [
        (None, false),
        (Some("http://www.example.com/page"), true),
        (Some("https://user:pw@WWW.EXAMPLE.COM:8080"), true),
        (Some("http://thief.example.com/"), false),
        (Some("http://example.com/"), false),
        (Some("http://exact.org?x"), true),
        (Some("http://not.exact.org"), false),
        (Some("www.example.com"), false),
        (Some("//www.example.com"), true),
        (Some("http://[::1"), false),
        (Some("http://"), false),
    ] {
        assert_eq!(acl.allows_referrer(referer), allowed, "{referer:?}");
    }
    assert!(parse(".r:*").allows_referrer(None));
    assert!(parse(".r:unknown").allows_referrer(Some("nonsense")));
    assert!(!parse(".r:*,.r:-unknown").allows_referrer(None));
}

#[test]
fn groups_may_be_percent_encoded() {
    let acl = parse("acct:caf%C3%A9,plain");
    assert!(acl.names(&["acct:café".into()]) && acl.names(&["plain".into()]));
    assert!(!acl.names(&[String::new()]) && !parse("").names(&[String::new()]));
}

proptest! {
    #[test]
    fn any_text_is_cleaned_or_refused(text in "[.r:*,a -]{0,20}|\\PC{0,30}", referer in "[a-z:/@\\[\\]#?.%]{0,20}|\\PC{0,20}") {
        let acl = parse(&text);
        let _ = (acl.allows_referrer(Some(&referer)), acl.lets_referrers_list());
        for kind in [Kind::Read, Kind::Write] {
            if let Ok(cleaned) = clean_acl(kind, &text) {
                prop_assert_eq!(clean_acl(kind, &cleaned), Ok(cleaned));
            }
        }
    }
}
