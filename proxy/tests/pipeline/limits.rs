//! What operators forbid, slow down, show and let other clusters do.

use crate::rig::Rig;
use http::Method;
use serde_json::{Value, json};

/// A proxy with that configuration, the container `AUTH_test/c` with some headers and the object `c/o p` in it.
async fn rig(config: Value, container: &[(&'static str, &'static str)]) -> (Rig, String) {
    let rig = Rig::with(config).await;
    rig.backend.keep("AUTH_test/c", container, "[]");
    rig.backend.keep("AUTH_test/c/o p", &[("etag", "abc"), ("x-timestamp", "1")], "swift");
    let token = rig.token("test:admin", "secret").await;
    (rig, token)
}

async fn status(rig: &Rig, token: &str, line: &str) -> u16 {
    rig.ask(line, &[("x-auth-token", token), ("content-length", "0")]).await.status.as_u16()
}

async fn info(rig: &Rig) -> Value {
    serde_json::from_str(&rig.ask("GET /info", &[]).await.body).unwrap()
}

#[tokio::test]
async fn a_request_line_that_is_too_long_is_for_nobody() {
    let (rig, _) = rig(json!({}), &[]).await;
    let line = |length: usize| format!("GET /info?{}", "x".repeat(length));
    let overhead = "GET /info? HTTP/1.1\r\n".len();
    assert_eq!(status(&rig, "", &line(8191 - overhead)).await, 200);
    assert_eq!(status(&rig, "", &line(8192 - overhead)).await, 414);
    let long = format!("PUT /v1/AUTH_other/{}", "x".repeat(9000));
    assert_eq!(status(&rig, "AUTH_tkforged", &long).await, 414);
}

#[tokio::test]
async fn names_that_an_operator_forbids() {
    let (open, token) = rig(json!({}), &[]).await;
    assert_eq!(status(&open, &token, "HEAD /v1/AUTH_test/c/..").await, 404);
    assert!(info(&open).await["name_check"].is_null());
    let (rig, token) = rig(json!({ "name_check": { "enabled": true, "maximum_length": 30 } }), &[]).await;
    assert_eq!(status(&rig, &token, "HEAD /v1/AUTH_test/c").await, 200);
    let seen = rig.ask("GET /v1/AUTH_test/c/%22o", &[("x-auth-token", &token)]).await;
    let text = "Object/Container/Account name contains forbidden chars from '\"`<>";
    assert_eq!((seen.status.as_u16(), seen.body.as_str()), (400, text));
    assert_eq!(status(&rig, &token, "GET /v1/AUTH_test/c/..").await, 400);
    assert_eq!(status(&rig, &token, &format!("GET /v1/AUTH_test/{}", "x".repeat(20))).await, 400);
    assert_eq!(info(&rig).await["name_check"]["maximum_length"], 30);
}

#[tokio::test]
async fn a_cluster_that_stays_as_it_is() {
    let (rig, token) = rig(json!({ "read_only": { "read_only": true } }), &[]).await;
    for line in ["PUT /v1/AUTH_test/c", "POST /v1/AUTH_test", "DELETE /v1/AUTH_test/c/o%20p", "COPY /v1/AUTH_test/c/o"]
    {
        let seen = rig.ask(line, &[("x-auth-token", &token)]).await;
        assert_eq!(
            (seen.status.as_u16(), seen.body.as_str()),
            (405, "Writes are disabled for this account."),
            "{line}"
        );
    }
    assert_eq!(status(&rig, &token, "GET /v1/AUTH_test/c/o%20p").await, 200);
    assert_eq!(info(&rig).await["read_only"], json!({}));
    // An account that may be written all the same.
    let (rig, token) = self::rig(json!({ "read_only": { "read_only": true } }), &[]).await;
    rig.backend.keep("AUTH_test", &[("x-account-sysmeta-read-only", "no")], "[]");
    assert_eq!(status(&rig, &token, "DELETE /v1/AUTH_test/c/o%20p").await, 204);
}

#[tokio::test]
async fn an_account_that_stays_as_it_is() {
    let (rig, token) = rig(json!({ "read_only": { "allow_deletes": true } }), &[]).await;
    rig.backend.keep("AUTH_test", &[("x-account-sysmeta-read-only", "true")], "[]");
    assert_eq!(status(&rig, &token, "POST /v1/AUTH_test/c").await, 405);
    assert_eq!(status(&rig, &token, "DELETE /v1/AUTH_test/c/o%20p").await, 204);
    // Copying out of it is no write; copying into it is.
    let copy = |to: &'static str| {
        let headers =
            [("x-auth-token", token.clone()), ("destination", "c/p".into()), ("destination-account", to.into())];
        let rig = &rig;
        async move {
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            rig.ask("COPY /v1/AUTH_other/c/o", &headers).await.status.as_u16()
        }
    };
    assert_eq!((copy("AUTH_test").await, copy("AUTH_x").await), (405, 403));
    assert!(info(&rig).await["read_only"].is_null());
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_slow_down() {
    let config = json!({ "ratelimit": {
        "account_ratelimit": 1, "max_sleep_time_seconds": 0.5, "rate_buffer_seconds": 0,
        "container_ratelimits": [[100, 1]], "account_whitelist": ["AUTH_white"],
    } });
    let container = [("x-container-object-count", "100")];
    let (rig, token) = rig(config, &container).await;
    assert_eq!(status(&rig, &token, "PUT /v1/AUTH_test/c").await, 204);
    let seen = rig.ask("DELETE /v1/AUTH_test/c", &[("x-auth-token", &token)]).await;
    assert_eq!((seen.status.as_u16(), seen.body.as_str()), (498, "Slow down"));
    // Objects are counted by their container, reads are not counted.
    assert_eq!(status(&rig, &token, "DELETE /v1/AUTH_test/c/o%20p").await, 204);
    assert_eq!(status(&rig, &token, "DELETE /v1/AUTH_test/c/o%20p").await, 498);
    for _ in 0..3 {
        assert_eq!(status(&rig, &token, "GET /v1/AUTH_test/c/o%20p").await, 200);
        assert_eq!(status(&rig, &token, "PUT /v1/AUTH_white/c").await, 403);
    }
    let expected = json!({
        "account_ratelimit": 1.0, "max_sleep_time_seconds": 0.5,
        "container_ratelimits": [[100, 1.0]], "container_listing_ratelimits": [],
    });
    assert_eq!(info(&rig).await["ratelimit"], expected);
}

#[tokio::test]
async fn etags_are_quoted_where_somebody_asks_for_it() {
    let etag = |rig: Rig, token: String| async move {
        rig.ask("HEAD /v1/AUTH_test/c/o%20p", &[("x-auth-token", &token)]).await.header("etag").to_owned()
    };
    let (bare, token) = rig(json!({}), &[]).await;
    assert_eq!(etag(bare, token).await, "abc");
    let (quoted, token) = rig(json!({ "etag_quoter": { "enable_by_default": true } }), &[]).await;
    assert_eq!(etag(quoted, token).await, "\"abc\"");
    let on = [("x-container-sysmeta-rfc-compliant-etags", "True")];
    let (by_container, token) = rig(json!({}), &on).await;
    let seen = by_container.ask("HEAD /v1/AUTH_test/c", &[("x-auth-token", &token)]).await;
    assert_eq!(seen.header("x-container-rfc-compliant-etags"), "True");
    let headers = [("x-auth-token", token.as_str()), ("x-container-rfc-compliant-etags", "off")];
    assert_eq!(by_container.ask("POST /v1/AUTH_test/c", &headers).await.status, 204);
    let kept = by_container.backend.asked(&Method::POST, "AUTH_test/c").unwrap();
    assert_eq!(kept["x-container-sysmeta-rfc-compliant-etags"], "False");
    assert_eq!(etag(by_container, token).await, "\"abc\"");
    let (by_account, token) = rig(json!({}), &[]).await;
    by_account.backend.keep("AUTH_test", &[("x-account-sysmeta-rfc-compliant-etags", "t")], "[]");
    assert_eq!(etag(by_account, token).await, "\"abc\"");
}

#[tokio::test]
async fn where_something_is_stored() {
    let (closed, _) = rig(json!({}), &[]).await;
    assert_eq!(status(&closed, "", "GET /endpoints/AUTH_test").await, 400);
    let (rig, _) = rig(json!({ "list_endpoints": { "enabled": true } }), &[]).await;
    let ask =
        async |path: &str| -> Value { serde_json::from_str(&rig.ask(&format!("GET {path}"), &[]).await.body).unwrap() };
    let of_account = ask("/endpoints/AUTH_test").await;
    let endpoint = of_account[0].as_str().unwrap();
    assert!(endpoint.starts_with("http://127.0.0.1:") && endpoint.ends_with("/AUTH_test"), "{endpoint}");
    let of_object = ask("/endpoints/v2/AUTH_test/c/o%20p").await;
    assert!(of_object["endpoints"][0].as_str().unwrap().ends_with("/AUTH_test/c/o%20p"));
    assert_eq!(of_object["headers"], json!({ "X-Backend-Storage-Policy-Index": "0" }));
    assert_eq!(rig.ask("PUT /endpoints/AUTH_test", &[]).await.header("allow"), "GET");
    let wrong = rig.ask("GET /endpoints/v3/AUTH_test", &[]).await;
    assert_eq!((wrong.status.as_u16(), wrong.body.as_str()), (400, "Unsupported version 'v3'"));
}

#[tokio::test]
async fn what_is_for_operators_needs_their_signature() {
    let signed = |expires: &str, digits: &str| format!("GET /info?swiftinfo_sig={digits}&swiftinfo_expires={expires}");
    // Of "GET\n9999999999\n/info" under the key "operators".
    let digits = "5b146a544a73d2fb11eb87c74440e68c6b9b9577";
    let (closed, _) = rig(json!({}), &[]).await;
    assert_eq!(status(&closed, "", &signed("9999999999", digits)).await, 403);
    let (rig, _) = rig(json!({ "admin_key": "operators", "disallowed_sections": ["tempauth"] }), &[]).await;
    let seen = rig.ask(&signed("9999999999", digits), &[]).await;
    let shown: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(shown["admin"]["disallowed_sections"], json!(["tempauth"]));
    assert!(info(&rig).await["admin"].is_null());
    let head = signed("9999999999", digits).replace("GET", "HEAD");
    assert_eq!(status(&rig, "", &head).await, 200);
    for (expires, digits) in [("9999999998", digits), ("1", digits), ("soon", digits), ("", digits), ("9999999999", "")]
    {
        assert_eq!(status(&rig, "", &signed(expires, digits)).await, 401, "{expires} {digits}");
    }
}

#[tokio::test]
async fn another_cluster_writes_with_its_own_versions() {
    let realm = json!({ "key": "realmkey", "key2": "otherkey", "clusters": { "here": "http://h/v1/", "there": "http://t/v1/" } });
    let config =
        json!({ "container_sync": { "realms": { "us": realm }, "current": "//us/here", "allow_full_urls": false } });
    let (rig, token) = rig(config, &[("x-container-sync-key", "userkey")]).await;
    let ask = async |line: &str, auth: &str| {
        rig.ask(line, &[("x-container-sync-auth", auth), ("x-timestamp", "1712345678.12345")]).await
    };
    // Of "DELETE\n/v1/AUTH_test/c/o%20p\n1712345678.12345\nnonce\nuserkey" under each key of the realm.
    let (first, second) = ("5b9f5befc4909d4731e53de981da24426d9f63e2", "34766c2ecef8c5d4bebb456d39db791707d136a2");
    for digits in [first, second] {
        let seen = ask("DELETE /v1/AUTH_test/c/o%20p", &format!("US nonce {digits}")).await;
        assert_eq!(seen.status, 204);
        let sent = rig.backend.asked(&Method::DELETE, "AUTH_test/c/o p").unwrap();
        assert_eq!(sent["x-timestamp"], "1712345678.12345");
    }
    let wrong =
        ["us nonce", &format!("eu nonce {first}"), &format!("us other {first}"), &format!("us nonce {}", &first[2..])];
    for auth in wrong {
        let seen = ask("DELETE /v1/AUTH_test/c/o%20p", auth).await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("www-authenticate")),
            (401, "SwiftContainerSync realm=\"AUTH_test\"")
        );
        assert_eq!(seen.body, "X-Container-Sync-Auth header not valid; contact cluster operator for support.");
    }
    // A signature is for one request.
    assert_eq!(ask("DELETE /v1/AUTH_test/c", &format!("us nonce {first}")).await.status, 401);
    let realms = json!({ "US": { "clusters": { "HERE": { "current": true }, "THERE": {} } } });
    assert_eq!(info(&rig).await["container_sync"]["realms"], realms);
    let headers = [("x-auth-token", token.as_str()), ("x-container-sync-to", "http://elsewhere/v1/a/c")];
    assert_eq!(rig.ask("POST /v1/AUTH_test/c", &headers).await.status, 400);
}

#[tokio::test]
async fn what_expired_is_shown_only_where_the_operator_lets_it_be() {
    for (allowed, expected) in [(false, None), (true, Some("true"))] {
        let (rig, token) = rig(json!({ "allow_open_expired": allowed }), &[]).await;
        let headers = [("x-auth-token", token.as_str()), ("x-open-expired", "yes")];
        for (method, names) in [(Method::GET, "AUTH_test/c/o p"), (Method::POST, "AUTH_test/c/o p")] {
            rig.ask(&format!("{method} /v1/AUTH_test/c/o%20p"), &headers).await;
            let asked = rig.backend.asked(&method, names).unwrap();
            let header = asked.get("x-backend-open-expired").map(|value| value.to_str().unwrap());
            assert_eq!(header, expected, "{method}");
        }
        assert_eq!(info(&rig).await["swift"]["allow_open_expired"], allowed);
    }
}

#[tokio::test]
async fn quotas_of_accounts_are_set_by_reseller_admins() {
    let users = json!([
        { "account": "test", "user": "admin", "key": "secret", "groups": [".admin"] },
        { "account": "admin", "user": "admin", "key": "secret", "groups": [".admin", ".reseller_admin"] },
    ]);
    let (rig, token) = rig(json!({ "users": users }), &[]).await;
    let reseller = rig.token("admin:admin", "secret").await;
    let post = async |token: &str, name: &str, value: &str| {
        rig.ask("POST /v1/AUTH_test", &[("x-auth-token", token), (name, value)]).await.status.as_u16()
    };
    for name in ["x-account-quota-bytes", "x-account-meta-quota-bytes", "x-remove-account-quota-count"] {
        assert_eq!(post(&token, name, "5").await, 403, "{name}");
    }
    assert_eq!(post(&reseller, "x-account-quota-bytes", "many").await, 400);
    assert_eq!(post(&reseller, "x-account-quota-bytes-policy-policy-0", "5").await, 204);
    let kept = rig.backend.asked(&Method::POST, "AUTH_test").unwrap();
    assert_eq!(kept["x-account-sysmeta-quota-bytes-policy-0"], "5");
    // Everybody sees them.
    rig.backend.keep(
        "AUTH_test",
        &[("x-account-sysmeta-quota-bytes-policy-0", "5"), ("x-account-sysmeta-quota-count", "0")],
        "[]",
    );
    let seen = rig.ask("HEAD /v1/AUTH_test", &[("x-auth-token", &token)]).await;
    assert_eq!(
        (seen.header("x-account-quota-bytes-policy-policy-0"), seen.header("x-account-quota-count")),
        ("5", "0")
    );
    let headers = [("x-auth-token", token.as_str()), ("content-length", "0")];
    let seen = rig.ask("PUT /v1/AUTH_test/c/p", &headers).await;
    assert_eq!((seen.status.as_u16(), seen.body.as_str()), (413, "Upload exceeds quota."));
    let info = info(&rig).await;
    assert_eq!((&info["account_quotas"], &info["container_quotas"]), (&json!({}), &json!({})));
}
