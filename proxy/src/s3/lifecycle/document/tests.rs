use super::*;
use proptest::prelude::*;

use crate::s3::lifecycle::rule::Rules;

fn read_text(text: &str) -> Result<Vec<Rule>, Code> {
    let node = Node::parse(text.as_bytes(), ROOT).map_err(|_| Code::MalformedXml)?;
    read(&node).map_err(|fault| fault.code)
}

fn rules(rules: &str) -> Result<Vec<Rule>, Code> {
    read_text(&format!("<{ROOT}>{rules}</{ROOT}>"))
}

/// A rule with that inside, which is enabled and about everything.
fn one(inside: &str) -> Result<Rule, Code> {
    let text = format!("<Rule><ID>r</ID><Status>Enabled</Status><Filter/>{inside}</Rule>");
    rules(&text).map(|mut rules| rules.remove(0))
}

/// One with that filter.
fn filtered(filter: &str) -> Result<Filter, Code> {
    let text = format!("<Rule><Status>Enabled</Status>{filter}<Expiration><Days>1</Days></Expiration></Rule>");
    rules(&text).map(|mut rules| rules.remove(0).filter)
}

#[test]
fn actions_and_their_limits() {
    let expiration = |inside: &str| one(&format!("<Expiration>{inside}</Expiration>")).map(|rule| rule.expiration);
    assert_eq!(expiration("<Days>30</Days>"), Ok(Some(Expiration::Days(30))));
    for date in ["2017-09-27T00:00:00Z", "2017-09-27T00:00:00.000Z", "2017-09-27", "2017-09-27T02:00:00+02:00"] {
        assert_eq!(expiration(&format!("<Date>{date}</Date>")), Ok(Some(Expiration::Date(1_506_470_400))), "{date}");
    }
    let marker = "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>";
    assert_eq!(expiration(marker), Ok(Some(Expiration::Marker(true))));
    for (bad, code) in [
        ("<Days>0</Days>", Code::InvalidArgument),
        ("<Days>-1</Days>", Code::InvalidArgument),
        ("<Days>2147483648</Days>", Code::MalformedXml),
        ("<Days>x</Days>", Code::MalformedXml),
        ("<Days>1</Days><Date>2017-09-27</Date>", Code::MalformedXml),
        ("<Date>20200101</Date>", Code::MalformedXml),
        ("<Date>2017-09-27T01:00:00Z</Date>", Code::InvalidArgument),
        ("<Date>1817-09-27</Date>", Code::MalformedXml),
        ("<ExpiredObjectDeleteMarker>maybe</ExpiredObjectDeleteMarker>", Code::MalformedXml),
        ("", Code::MalformedXml),
        ("<Weeks>1</Weeks>", Code::MalformedXml),
    ] {
        assert_eq!(expiration(bad), Err(code), "{bad}");
    }
    let noncurrent = |inside: &str| {
        let rule = one(&format!("<NoncurrentVersionExpiration>{inside}</NoncurrentVersionExpiration>"));
        rule.map(|rule| rule.noncurrent.map(|n| (n.days, n.newer)))
    };
    assert_eq!(noncurrent("<NoncurrentDays>3</NoncurrentDays>"), Ok(Some((3, None))));
    let newer =
        |n: &str| format!("<NoncurrentDays>3</NoncurrentDays><NewerNoncurrentVersions>{n}</NewerNoncurrentVersions>");
    assert_eq!(noncurrent(&newer("5")), Ok(Some((3, Some(5)))));
    for n in ["0", "101", "-5"] {
        assert_eq!(noncurrent(&newer(n)), Err(Code::InvalidArgument), "{n}");
    }
    assert_eq!(noncurrent("<NoncurrentDays>0</NoncurrentDays>"), Err(Code::InvalidArgument));
    assert_eq!(noncurrent("<NewerNoncurrentVersions>5</NewerNoncurrentVersions>"), Err(Code::MalformedXml));
    let abort = |days: &str| {
        let inside = format!("<DaysAfterInitiation>{days}</DaysAfterInitiation>");
        one(&format!("<AbortIncompleteMultipartUpload>{inside}</AbortIncompleteMultipartUpload>"))
            .map(|r| r.abort_after)
    };
    assert_eq!((abort("7"), abort("0")), (Ok(Some(7)), Err(Code::InvalidArgument)));
    assert_eq!(one(""), Err(Code::InvalidRequest));
    let transition = "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>";
    assert_eq!(one(transition), Err(Code::NotImplemented));
    assert_eq!(
        one(&format!(
            "<Noncurrent{}",
            transition
                .replace("<Transition", "VersionTransition")
                .replace("</Transition", "</NoncurrentVersionTransition")
        )),
        Err(Code::NotImplemented)
    );
}

#[test]
fn filters() {
    let tag = |key: &str| format!("<Tag><Key>{key}</Key><Value>v</Value></Tag>");
    let plain = filtered("<Filter/>").unwrap();
    assert_eq!((plain.form, plain.prefix), (Form::Plain, None));
    assert_eq!(filtered("<Prefix>a/</Prefix>").unwrap().form, Form::Old);
    assert_eq!(filtered("<Filter><Prefix></Prefix></Filter>").unwrap().prefix.as_deref(), Some(""));
    assert_eq!(filtered(&format!("<Filter>{}</Filter>", tag("k"))).unwrap().tags, [("k".into(), "v".into())]);
    let sizes = "<ObjectSizeGreaterThan>1</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan>";
    let and =
        filtered(&format!("<Filter><And><Prefix>p</Prefix>{}{}{sizes}</And></Filter>", tag("a"), tag("b"))).unwrap();
    assert_eq!((and.form, and.tags.len(), and.larger_than, and.smaller_than), (Form::And, 2, Some(1), Some(9)));
    for (bad, code) in [
        (String::new(), Code::MalformedXml),
        ("<Prefix/><Filter/>".into(), Code::InvalidRequest),
        (format!("<Filter><Prefix/>{}</Filter>", tag("k")), Code::MalformedXml),
        ("<Filter><And/></Filter>".into(), Code::MalformedXml),
        (format!("<Filter><And>{}{}</And></Filter>", tag("k"), tag("k")), Code::InvalidRequest),
        (format!("<Filter>{}</Filter>", tag("")), Code::InvalidTag),
        ("<Filter><ObjectSizeLessThan>x</ObjectSizeLessThan></Filter>".into(), Code::MalformedXml),
        (format!("<Filter><And>{}</And></Filter>", sizes.replace('9', "1")), Code::InvalidRequest),
        (format!("<Filter><Prefix>{}</Prefix></Filter>", "p".repeat(1025)), Code::InvalidRequest),
        ("<Filter><Suffix>x</Suffix></Filter>".into(), Code::MalformedXml),
    ] {
        assert_eq!(filtered(&bad), Err(code), "{bad}");
    }
}

#[test]
fn what_does_not_go_together() {
    let rule = |filter: &str, action: &str| {
        rules(&format!("<Rule><Status>Enabled</Status><Filter>{filter}</Filter>{action}</Rule>")).map(drop)
    };
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let size = "<ObjectSizeLessThan>9</ObjectSizeLessThan>";
    let abort =
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    let marker = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
    for (filter, action) in [(tag, abort), (size, abort), (tag, marker), (size, marker)] {
        assert_eq!(rule(filter, action), Err(Code::InvalidRequest), "{filter} {action}");
        assert_eq!(rule("<Prefix>p</Prefix>", action), Ok(()));
    }
}

#[test]
fn rules_have_ids_of_their_own() {
    let rule =
        |id: &str| format!("<Rule>{id}<Status>Enabled</Status><Prefix/><Expiration><Days>1</Days></Expiration></Rule>");
    let named = |id: &str| rule(&format!("<ID>{id}</ID>"));
    let made = rules(&(rule("") + &rule("<ID/>") + &named("é"))).unwrap();
    assert!(made[0].id.len() == 32 && made[1].id.len() == 32 && made[0].id != made[1].id && made[2].id == "é");
    assert_eq!(rules(&(named("a") + &named("a"))), Err(Code::InvalidArgument));
    assert!(rules(&named(&"é".repeat(255))).is_ok());
    assert_eq!(rules(&named(&"i".repeat(256))), Err(Code::InvalidArgument));
    assert!(rules(&rule("").repeat(1000)).is_ok());
    assert_eq!((rules(&rule("").repeat(1001)), rules("")), (Err(Code::MalformedXml), Err(Code::MalformedXml)));
    assert_eq!(rules(&rule("").replace("Enabled", "enabled")), Err(Code::MalformedXml));
}

fn filters_of_any_form() -> impl Strategy<Value = Filter> {
    let tags = proptest::collection::btree_map("[a-z]{1,5}", "[a-z ]{0,5}", 0..3);
    let prefix = proptest::option::of("[a-z/<&é]{0,6}");
    (prefix, tags, proptest::option::of(0..50_u64), proptest::option::of(50..100_u64), any::<bool>()).prop_map(
        |(prefix, tags, larger_than, smaller_than, old)| {
            let tags: Vec<_> = tags.into_iter().collect();
            let count = tags.len()
                + usize::from(prefix.is_some())
                + usize::from(larger_than.is_some())
                + usize::from(smaller_than.is_some());
            let form = match count {
                0 => Form::Plain,
                1 if prefix.is_some() && old => Form::Old,
                1 => Form::Plain,
                _ => Form::And,
            };
            Filter { form, prefix, tags, larger_than, smaller_than }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        filters in proptest::collection::vec(filters_of_any_form(), 1..5),
        expiration in prop_oneof![(1..9999_u32).prop_map(Expiration::Days), (0..50_000_u64).prop_map(|d| Expiration::Date(d * 86_400))],
        noncurrent in proptest::option::of((1..99_u32, proptest::option::of(1..100_u32))),
    ) {
        let noncurrent = noncurrent.map(|(days, newer)| Noncurrent { days, newer });
        let rule = |(n, filter): (usize, Filter)| {
            Rule { id: n.to_string(), enabled: n % 2 == 0, filter, expiration: Some(expiration), noncurrent, abort_after: None }
        };
        let rules: Vec<Rule> = filters.into_iter().enumerate().map(rule).collect();
        let text = write(&Rules { rules: rules.clone(), smallest: None }).end();
        prop_assert_eq!(read_text(&text), Ok(rules));
    }

    #[test]
    fn any_document_is_read_or_refused(
        pieces in proptest::collection::vec(prop_oneof![
            prop_oneof!["<(/)?(Rule|ID|Status|Filter|And|Tag|Key|Value|Prefix|Expiration|Days|Date|ObjectSizeLessThan)>"],
            "\\PC{0,6}", "[0-9T:Z-]{0,20}", Just("Enabled".to_owned()),
        ], 0..40),
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = rules(&pieces.concat());
        let _ = Node::parse(&bytes, ROOT).map(|node| read(&node));
        for piece in &pieces {
            let _ = (date(piece), days(piece, ""));
        }
    }
}
