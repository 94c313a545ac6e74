//! Getting tokens and showing them.

use crate::rig::Rig;
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_key_gives_a_token_and_the_token_opens_the_account() {
    let rig = Rig::start().await;
    // The user shows the key.
    let shown = [("x-auth-user", "test:admin"), ("x-auth-key", "secret"), ("host", "apus.example:8080")];
    let seen = rig.ask("GET /auth/v1.0", &shown).await;
    assert_eq!((seen.status, seen.header("x-storage-url")), (StatusCode::OK, "http://apus.example:8080/v1/AUTH_test"));
    assert_eq!(seen.header("x-auth-token-expires"), "86400");
    let token = seen.header("x-auth-token");
    assert!(token.starts_with("AUTH_tk") && token == seen.header("x-storage-token"));
    // The token opens the user's account, under either name, and no other.
    assert_eq!(rig.ask("GET /v1/AUTH_test", &[("x-auth-token", token)]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(rig.ask("GET /v1/AUTH_test", &[("x-storage-token", token)]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(rig.ask("GET /v1/AUTH_other", &[("x-auth-token", token)]).await.status, StatusCode::FORBIDDEN);
    // Without it the account stays closed.
    let refused = rig.ask("GET /v1/AUTH_test", &[]).await;
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, "Swift realm=\"AUTH_test\"")
    );
}

#[tokio::test]
async fn every_spelling_of_swift_is_understood() {
    let rig = Rig::start().await;
    for (path, user, key) in [
        ("/auth/v1.0", ("x-storage-user", "test:admin"), ("x-storage-pass", "secret")),
        ("/auth/auth", ("x-auth-user", "test:admin"), ("x-storage-pass", "secret")),
        ("/auth/v1/test/auth", ("x-storage-user", "admin"), ("x-storage-pass", "secret")),
        ("/auth/v1/test/auth", ("x-auth-user", "test:admin"), ("x-auth-key", "secret")),
        ("/auth/v1/%74est/auth", ("x-auth-user", "test:admin"), ("x-auth-key", "secret")),
    ] {
        assert_eq!(rig.ask(&format!("GET {path}"), &[user, key]).await.status, StatusCode::OK, "{path} {user:?}");
    }
}

#[tokio::test]
async fn whoever_cannot_prove_it_gets_no_token() {
    let rig = Rig::start().await;
    for (line, user, key, status, realm) in [
        ("GET /auth/v1.0", "test:admin", "wrong", 401, "Swift realm=\"test\""),
        ("GET /auth/v1.0", "test:nobody", "secret", 401, "Swift realm=\"test\""),
        ("GET /auth/v1.0", "test:admin", "", 401, "Swift realm=\"test\""),
        ("GET /auth/v1.0", "admin", "secret", 401, "Swift realm=\"unknown\""),
        ("GET /auth/v1.0", "", "", 401, "Swift realm=\"unknown\""),
        ("GET /auth/v1/other/auth", "test:admin", "secret", 401, "Swift realm=\"other\""),
        ("GET /auth/v1/test", "test:admin", "secret", 400, "-"),
        ("GET /auth/v2.0/tokens", "test:admin", "secret", 400, "-"),
        ("GET /auth/", "test:admin", "secret", 404, "-"),
        ("GET /auth/%ff", "test:admin", "secret", 412, "-"),
        ("POST /auth/v1.0", "test:admin", "secret", 405, "-"),
    ] {
        let seen = rig.ask(line, &[("x-auth-user", user), ("x-auth-key", key)]).await;
        assert_eq!((seen.status.as_u16(), seen.header("www-authenticate")), (status, realm), "{line} {user} {key}");
        assert_eq!(seen.header("x-auth-token"), "-");
    }
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused_before_anything_else() {
    let rig = Rig::start().await;
    rig.backend.keep("AUTH_test/public", &[("x-container-read", ".r:*")], "");
    for (path, realm) in [("/v1/AUTH_test/public/o", "AUTH_test"), ("/v1", "unknown"), ("/nonsense", "unknown")] {
        let seen = rig.ask(&format!("GET {path}"), &[("x-auth-token", "AUTH_tkforged")]).await;
        assert_eq!(seen.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(seen.header("www-authenticate"), format!("Swift realm=\"{realm}\""));
    }
    // A token of somebody else's is as good as none.
    let seen = rig.ask("GET /v1/AUTH_test", &[("x-auth-token", "gAAAAfernet")]).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn all_proxies_with_the_secret_agree_and_others_do_not() {
    let (here, there) = (Rig::start().await, Rig::start().await);
    let elsewhere = Rig::with(json!({ "token_secret": "another secret of 32 characters." })).await;
    let token = here.token("test:admin", "secret").await;
    for rig in [&here, &there] {
        assert_eq!(rig.ask("HEAD /v1/AUTH_test", &[("x-auth-token", &token)]).await.status.as_u16() / 100, 2);
    }
    assert_eq!(elsewhere.ask("HEAD /v1/AUTH_test", &[("x-auth-token", &token)]).await.status, StatusCode::UNAUTHORIZED);
    // Each answer has its own token.
    assert_ne!(here.token("test:admin", "secret").await, token);
}

#[tokio::test]
async fn a_service_acts_for_a_user_only_with_both_tokens() {
    let users = json!([
        { "account": "test", "user": "admin", "key": "secret", "groups": [".admin"] },
        { "account": "service", "user": "glance", "key": "key", "groups": [".service"] },
    ]);
    let resellers = json!([{ "prefix": "AUTH" }, { "prefix": "SERVICE", "require_group": ".service" }]);
    let rig = Rig::with(json!({ "users": users, "resellers": resellers })).await;
    rig.backend.keep("SERVICE_test", &[("content-type", "application/json")], "[]");
    let (user, service) = (rig.token("test:admin", "secret").await, rig.token("service:glance", "key").await);
    let alone = rig.ask("GET /v1/SERVICE_test", &[("x-auth-token", &user)]).await;
    assert_eq!(alone.status, StatusCode::FORBIDDEN);
    let both = rig.ask("GET /v1/SERVICE_test", &[("x-auth-token", &user), ("x-service-token", &service)]).await;
    assert_eq!(both.status, StatusCode::NO_CONTENT);
}
