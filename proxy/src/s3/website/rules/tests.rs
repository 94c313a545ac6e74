use proptest::prelude::*;

use super::*;

fn website(inside: &str) -> Result<Website, Code> {
    let text = format!("<{ROOT}>{inside}</{ROOT}>");
    Website::read(&Node::parse(text.as_bytes(), ROOT).map_err(|_| Code::MalformedXml)?).map_err(|fault| fault.code)
}

const INDEX: &str = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";

fn rule(inside: &str) -> Result<Website, Code> {
    website(&format!("{INDEX}<RoutingRules><RoutingRule>{inside}</RoutingRule></RoutingRules>"))
}

#[test]
fn configurations_come_back_as_they_were_set() {
    for text in [
        "<RedirectAllRequestsTo><HostName>example.com</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>"
            .to_owned(),
        INDEX.to_owned(),
        format!(
            "{INDEX}<ErrorDocument><Key>errors/404.html</Key></ErrorDocument><RoutingRules><RoutingRule><Condition>\
             <KeyPrefixEquals>docs/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>\
             <Redirect><HostName>a.b</HostName><HttpRedirectCode>302</HttpRedirectCode>\
             <ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith></Redirect></RoutingRule></RoutingRules>"
        ),
    ] {
        let mut xml = Xml::bare(ROOT);
        website(&text).unwrap().write(&mut xml);
        assert!(xml.end().ends_with(&format!("<{ROOT}>{text}</{ROOT}>")));
        let stored = serde_json::to_string(&website(&text).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Website>(&stored).unwrap(), website(&text).unwrap());
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let all = "<RedirectAllRequestsTo><HostName>a</HostName></RedirectAllRequestsTo>";
    assert_eq!(website(&format!("{all}{INDEX}")), Err(Code::InvalidRequest));
    assert_eq!(website(""), Err(Code::InvalidArgument));
    assert_eq!(website("<IndexDocument><Suffix>a/b</Suffix></IndexDocument>"), Err(Code::InvalidArgument));
    assert_eq!(website("<Other/>"), Err(Code::MalformedXml));
    assert_eq!(website(&all.replace(">a<", ">a\r\nb<")), Err(Code::InvalidRequest));
    for bad in [
        "<Redirect><HttpRedirectCode>200</HttpRedirectCode></Redirect>",
        "<Redirect><Protocol>ftp</Protocol></Redirect>",
        "<Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect>",
        "<Condition><HttpErrorCodeReturnedEquals>200</HttpErrorCodeReturnedEquals></Condition><Redirect/>",
    ] {
        assert_eq!(rule(bad), Err(Code::InvalidRequest), "{bad}");
    }
    assert_eq!(rule(""), Err(Code::MalformedXml));
    let many = format!("{INDEX}<RoutingRules>{}</RoutingRules>", "<RoutingRule><Redirect/></RoutingRule>".repeat(51));
    assert_eq!(website(&many), Err(Code::InvalidRequest));
}

#[test]
fn requests_are_sent_where_a_rule_says() {
    let here = Here { host: "b.test.web.example.com:8080", is_secure: false };
    let sent = |website: &Website, key: &str, failed: Option<u16>| {
        let failed = failed.map(|status| StatusCode::from_u16(status).unwrap());
        website.redirect(key, failed, &here).map(|to| (to.status.as_u16(), to.location))
    };
    let moved = rule("<Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>d/</ReplaceKeyPrefixWith></Redirect>").unwrap();
    assert_eq!(sent(&moved, "docs/a b", None), Some((301, "http://b.test.web.example.com:8080/d/a%20b".into())));
    assert_eq!(sent(&moved, "other", None), None);
    assert_eq!(sent(&moved, "docs/a", Some(404)), None, "only what has no error in its condition");
    let missing = rule(
        "<Condition><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>\
         <Redirect><HostName>x.y</HostName><Protocol>https</Protocol><HttpRedirectCode>302</HttpRedirectCode><ReplaceKeyWith>gone</ReplaceKeyWith></Redirect>",
    );
    assert_eq!(sent(&missing.clone().unwrap(), "a", None), None);
    assert_eq!(sent(&missing.unwrap(), "a", Some(404)), Some((302, "https://x.y/gone".into())));
    let all = website("<RedirectAllRequestsTo><HostName>a.b</HostName></RedirectAllRequestsTo>").unwrap();
    assert_eq!(sent(&all, "k?#", None), Some((301, "http://a.b/k%3F%23".into())));
}

proptest! {
    #[test]
    fn no_key_breaks_out_of_the_location(key in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
        let all = website("<RedirectAllRequestsTo><HostName>a.b</HostName></RedirectAllRequestsTo>").unwrap();
        let to = all.redirect(&key, None, &Here { host: "h", is_secure: true }).unwrap();
        prop_assert!(to.location.starts_with("https://a.b/"));
        prop_assert!(http::HeaderValue::from_str(&to.location).is_ok());
    }
}
