//! The examples of AWS's documentation ("Authenticating Requests: Using the Authorization Header", "Using Query Parameters",
//! "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks").

use super::*;
use http::Request;
use proptest::prelude::*;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "examplebucket.s3.amazonaws.com";

fn config() -> Config {
    Config { storage_domain: vec!["s3.amazonaws.com".into()], ..Config::default() }
}

fn now() -> Timestamp {
    Timestamp::from_secs(u64::try_from(date::amz("20130524T000000Z").unwrap()).unwrap())
}

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method(method).uri(target).header("host", HOST);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn check(parts: &Parts, secret: &str) -> Result<Chain, Fault> {
    let query = Query::parse(parts.uri.query());
    let claim = Claim::of(parts, &query, &config(), now())?;
    assert_eq!(claim.access_key, KEY);
    claim.check(parts, &Asked::of(parts, query, &config())?, secret)
}

fn authorization(signed: &str, signature: &str) -> String {
    format!(
        "{ALGORITHM} Credential={KEY}/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
    )
}

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn get_with_range(signature: &str) -> Parts {
    let authorization = authorization("host;range;x-amz-content-sha256;x-amz-date", signature);
    let headers = [
        ("range", "bytes=0-9"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-content-sha256", EMPTY),
        ("authorization", &authorization),
    ];
    parts("GET", "/test.txt", &headers)
}

#[test]
fn documented_requests_are_right() {
    let parts_of = get_with_range("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    check(&parts_of, SECRET).ok().unwrap();
    assert_eq!(check(&parts_of, "another").err().unwrap().code, Code::SignatureDoesNotMatch);
    let list = authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
    let headers =
        [("x-amz-date", "20130524T000000Z"), ("x-amz-content-sha256", EMPTY), ("authorization", list.as_str())];
    check(&parts("GET", "/?max-keys=2&prefix=J", &headers), SECRET).ok().unwrap();
}

#[test]
fn a_documented_url_is_right() {
    let target = format!(
        "/test.txt?X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={KEY}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
    check(&parts("GET", &target, &[]), SECRET).ok().unwrap();
    // Nobody adds a header to a URL that was given away.
    let fault = check(&parts("GET", &target, &[("x-amz-acl", "public-read")]), SECRET).err().unwrap();
    assert_eq!(fault.details, [("HeadersNotSigned", "x-amz-acl".to_owned())]);
    let week = target.replace("86400", "604801");
    let fault = check(&parts("GET", &week, &[]), SECRET).err().unwrap();
    assert_eq!(fault.code, Code::AuthorizationQueryParameters);
    let past = target.replace("20130524T0", "20130522T0");
    assert_eq!(check(&parts("GET", &past, &[]), SECRET).err().unwrap().message, "Request has expired");
}

#[test]
fn a_documented_body_in_pieces_is_right() {
    let signed = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
        x-amz-storage-class";
    let authorization = authorization(signed, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    let headers = [
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("authorization", authorization.as_str()),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
    ];
    let request =
        Request::builder().method("PUT").uri("/examplebucket/chunkObject.txt").header("host", "s3.amazonaws.com");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let mut chain = check(&parts, SECRET).ok().unwrap();
    let next = |chain: &mut Chain, signature, hash: &str| chain.next(signature, hash).is_ok();
    let piece = |length| hex(&Sha256::digest(vec![b'a'; length]));
    assert!(next(&mut chain, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", &piece(65536)));
    let mut tampered = chain.clone();
    assert!(next(&mut chain, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", &piece(1024)));
    assert!(next(&mut chain, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9", &piece(0)));
    assert!(!next(&mut tampered, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", &piece(1023)));
}

#[test]
fn claims_of_no_form_or_another_scope_are_named() {
    let fault = |authorization: &str| {
        let headers = [("x-amz-date", "20130524T000000Z"), ("authorization", authorization)];
        let parts = parts("GET", "/", &headers);
        Claim::of(&parts, &Query::default(), &config(), now()).unwrap_err()
    };
    assert_eq!(fault(&format!("{ALGORITHM} x")).code, Code::AccessDenied);
    assert_eq!(fault(&authorization("", "ab")).code, Code::AuthorizationHeaderMalformed);
    let elsewhere = fault(&authorization("host", "ab").replace("us-east-1", "mars"));
    assert_eq!(elsewhere.details, [("Region", "us-east-1".to_owned())]);
    assert!(elsewhere.message.contains("the region 'mars' is wrong"));
    let skewed = parts("GET", "/", &[("x-amz-date", "20130525T000000Z"), ("authorization", ALGORITHM)]);
    let fault = Claim::of(&skewed, &Query::default(), &config(), now()).unwrap_err();
    assert_eq!(fault.code, Code::RequestTimeTooSkewed);
}

proptest! {
    #[test]
    fn digits_are_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..40), junk in "\\PC{0,9}") {
        prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        let _ = unhex(&junk);
    }

    #[test]
    fn any_claim_is_read_or_refused(text in "\\PC{0,60}|(Credential=|SignedHeaders=|Signature=|,|/|a|;| ){0,20}") {
        if let Ok(value) = http::HeaderValue::from_str(&format!("{ALGORITHM} {text}")) {
            let mut parts = parts("GET", "/", &[("x-amz-date", "20130524T000000Z")]);
            parts.headers.insert(AUTHORIZATION, value);
            if let Ok(claim) = Claim::of(&parts, &Query::default(), &config(), now()) {
                let asked = Asked::of(&parts, Query::default(), &config()).unwrap();
                prop_assert!(claim.check(&parts, &asked, SECRET).is_err());
            }
        }
    }
}
