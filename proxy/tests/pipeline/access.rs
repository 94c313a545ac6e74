//! What ACLs open.

use crate::rig::Rig;
use http::StatusCode;

#[tokio::test]
async fn a_public_container_is_read_without_a_token() {
    let rig = Rig::start().await;
    rig.backend.keep(
        "AUTH_test/c",
        &[("x-container-read", ".r:.site.org"), ("content-type", "application/json")],
        "[]",
    );
    rig.backend.keep("AUTH_test/c/o", &[("x-timestamp", "1712345678.00000"), ("etag", "x")], "data");
    let from = |host| [("referer", host)];
    let seen = rig.ask("GET /v1/AUTH_test/c/o", &from("http://www.site.org/")).await;
    assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, "data"));
    // Not from elsewhere, not the listing, and not for writing.
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/o", &from("http://evil.org/")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.ask("GET /v1/AUTH_test/c", &from("http://www.site.org/")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        rig.ask("DELETE /v1/AUTH_test/c/o", &from("http://www.site.org/")).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_user_named_by_the_container_may() {
    let rig = Rig::start().await;
    let acls = [("x-container-write", "other:user"), ("content-type", "application/json")];
    rig.backend.keep("AUTH_test/c", &acls, "[]");
    rig.backend.keep("AUTH_test/c/o", &[("x-timestamp", "1712345678.00000")], "");
    let token = rig.token("other:user", "key").await;
    let as_other = [("x-auth-token", token.as_str())];
    assert_eq!(rig.ask("DELETE /v1/AUTH_test/c/o", &as_other).await.status, StatusCode::NO_CONTENT);
    assert_eq!(rig.ask("GET /v1/AUTH_test/c", &as_other).await.status, StatusCode::FORBIDDEN);
    assert_eq!(rig.ask("DELETE /v1/AUTH_test/c", &as_other).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_user_named_by_the_account_may_and_only_its_admins_see_by_whom() {
    let rig = Rig::start().await;
    let acl = "{\"admin\":[\"nobody\"],\"read-only\":[\"other\"]}";
    let account = [("x-account-sysmeta-core-access-control", acl), ("content-type", "application/json")];
    rig.backend.keep("AUTH_test", &account, "[]");
    let (reader, admin) = (rig.token("other:user", "key").await, rig.token("test:admin", "secret").await);
    let seen = rig.ask("GET /v1/AUTH_test", &[("x-auth-token", &reader)]).await;
    assert_eq!((seen.status, seen.header("x-account-access-control")), (StatusCode::NO_CONTENT, "-"));
    assert_eq!(rig.ask("POST /v1/AUTH_test", &[("x-auth-token", &reader)]).await.status, StatusCode::FORBIDDEN);
    let seen = rig.ask("GET /v1/AUTH_test", &[("x-auth-token", &admin)]).await;
    assert_eq!(seen.header("x-account-access-control"), acl);
    assert!(seen.headers.keys().all(|name| !name.as_str().contains("sysmeta")));
}

#[tokio::test]
async fn an_acl_that_cannot_be_read_opens_nothing() {
    let rig = Rig::start().await;
    let admin = rig.token("test:admin", "secret").await;
    rig.lose_backend();
    let stranger = rig.ask("GET /v1/AUTH_test/c/o", &[]).await;
    assert_eq!(stranger.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.ask("GET /v1/NOT_ours/c/o", &[]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        rig.ask("GET /v1/AUTH_test/c/o", &[("x-auth-token", &admin)]).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}
