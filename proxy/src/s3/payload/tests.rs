use super::*;
use http::HeaderName;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// Of version 4 in headers, which every kind of body may come with.
fn claim() -> Claim {
    let request = http::Request::builder().header("x-amz-date", "20130524T000000Z").header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=k/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=ab",
    );
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let now = apus_base::timestamp::Timestamp::from_secs(1_369_353_600);
    Claim::of(&parts, &Query::default(), &crate::s3::Config::default(), now).unwrap()
}

async fn receive(pairs: &[(&'static str, &str)], body: &'static str) -> Result<Bytes, Code> {
    let mut headers = headers(pairs);
    let claim = claim();
    let plan = Plan::of(&claim, &Method::PUT, &Query::default(), &headers).map_err(|fault| fault.code)?;
    let payload = plan.apply(&mut headers, None, body::full(body)).await.map_err(|fault| fault.code)?;
    read(payload.body, 1000).await.map_err(|fault| fault.code)
}

#[tokio::test]
async fn promises_are_kept_or_the_body_fails() {
    let hash = hex(&Sha256::digest(b"abc"));
    assert_eq!(receive(&[("content-length", "3"), ("x-amz-content-sha256", &hash)], "abc").await.unwrap(), "abc");
    let wrong = receive(&[("content-length", "3"), ("x-amz-content-sha256", &hash)], "abd").await;
    assert_eq!(wrong, Err(Code::Sha256Mismatch));
    let crc = ("x-amz-checksum-crc32", "NSRBwg==");
    assert_eq!(receive(&[("content-length", "3"), crc], "abc").await.unwrap(), "abc");
    assert_eq!(receive(&[("content-length", "3"), crc], "abd").await, Err(Code::BadDigest));
    assert_eq!(receive(&[("content-length", "0"), crc], "").await, Err(Code::BadDigest));
}

#[tokio::test]
async fn checksums_come_behind_pieces() {
    let pieces = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "3"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let good = "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n";
    assert_eq!(receive(&pieces, good).await.unwrap(), "abc");
    let lie = "3\r\nabd\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n";
    assert_eq!(receive(&pieces, lie).await, Err(Code::BadDigest));
    let junk = "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:x\r\n\r\n";
    assert_eq!(receive(&pieces, junk).await, Err(Code::InvalidRequest));
    assert_eq!(receive(&[pieces[2], ("content-length", "3")], "abc").await, Err(Code::MalformedTrailer));
}

#[test]
fn the_encoding_of_the_pieces_is_not_stored() {
    for (sent, kept) in [("aws-chunked", None), ("gzip,aws-chunked", Some("gzip")), ("gzip", Some("gzip"))] {
        let mut headers = headers(&[("content-encoding", sent)]);
        clean_encoding(&mut headers);
        assert_eq!(headers.get("content-encoding").map(|value| value.to_str().unwrap()), kept);
    }
}
