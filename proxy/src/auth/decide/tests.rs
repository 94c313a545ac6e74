use super::*;
use crate::auth::acl;

fn resellers() -> Resellers {
    let reseller =
        |prefix: &str, group: Option<&str>| Reseller { prefix: prefix.into(), require_group: group.map(str::to_owned) };
    Resellers::new(vec![reseller("AUTH", None), reseller("SERVICE", Some(".service"))]).unwrap()
}

/// An identity from its groups, as a token of tempauth has them.
fn user(groups: &[&str]) -> Identity {
    Identity {
        user: groups[1].to_owned(),
        groups: groups.iter().map(|&g| g.to_owned()).collect(),
        reseller_admin: groups.contains(&".reseller_admin"),
        reseller_reader: groups.contains(&".reseller_reader"),
    }
}

const OWNER: Result<Granted, Denied> = Ok(Granted { owner: true });
const YES: Result<Granted, Denied> = Ok(Granted { owner: false });
const NO: Result<Granted, Denied> = Err(Denied::Forbidden);
const WHO: Result<Granted, Denied> = Err(Denied::Unauthorized);

/// `"GET AUTH_a/c/o"`.
fn parts(access: &str) -> (Method, Vec<&str>) {
    let (method, path) = access.split_once(' ').unwrap();
    (method.parse().unwrap(), path.split('/').collect())
}

struct Given<'a> {
    identity: Option<&'a Identity>,
    referer: Option<&'a str>,
    container_acl: Option<&'a str>,
    account_acl: Option<&'a str>,
}

const NOTHING: Given<'static> = Given { identity: None, referer: None, container_acl: None, account_acl: None };

impl Given<'_> {
    fn may(&self, access: &str) -> Result<Granted, Denied> {
        let (method, path) = parts(access);
        let access =
            Access { method: &method, account: path[0], container: path.get(1).copied(), object: path.get(2).copied() };
        let container_acl = self.container_acl.map(acl::parse);
        let account_acl = self.account_acl.map(|text| AccountAcl::parse(Some(text)));
        let case = Case {
            identity: self.identity,
            access,
            referer: self.referer,
            container_acl: container_acl.as_ref(),
            account_acl: account_acl.as_ref(),
        };
        decide(&resellers(), &case)
    }
}

fn check(given: &Given<'_>, table: &[(&str, Result<Granted, Denied>)]) {
    for (access, expected) in table {
        assert_eq!(given.may(access), *expected, "{access}");
    }
}

#[test]
fn admins_of_an_account_own_it_but_may_not_create_or_delete_it() {
    let admin = user(&["a", "a:admin", "AUTH_a", "SERVICE_a"]);
    check(
        &Given { identity: Some(&admin), ..NOTHING },
        &[
            ("GET AUTH_a", OWNER),
            ("POST AUTH_a", OWNER),
            ("PUT AUTH_a", NO),
            ("DELETE AUTH_a", NO),
            ("PUT AUTH_a/c", OWNER),
            ("DELETE AUTH_a/c/o", OWNER),
            ("GET AUTH_b/c/o", NO),
            ("GET a", NO),
            // Their groups lack the one that service accounts require.
            ("GET SERVICE_a", NO),
        ],
    );
    let with_service = user(&["a", "a:admin", "AUTH_a", "SERVICE_a", ".service"]);
    check(&Given { identity: Some(&with_service), ..NOTHING }, &[("PUT SERVICE_a/c", OWNER)]);
}

#[test]
fn resellers_reach_every_ordinary_account() {
    let admin = user(&["r", "r:r", ".reseller_admin"]);
    check(
        &Given { identity: Some(&admin), ..NOTHING },
        &[
            ("PUT AUTH_a", OWNER),
            ("DELETE AUTH_a", OWNER),
            ("PUT SERVICE_a/c/o", OWNER),
            ("GET AUTH_", NO),
            ("GET AUTH_.hidden", NO),
            ("GET OTHER_a", NO),
        ],
    );
    let reader = user(&["r", "r:r", ".reseller_reader"]);
    check(
        &Given { identity: Some(&reader), ..NOTHING },
        &[("GET AUTH_a/c/o", YES), ("HEAD AUTH_a", YES), ("PUT AUTH_a/c/o", NO), ("GET AUTH_.hidden", NO)],
    );
}

#[test]
fn strangers_read_what_referrers_may() {
    let public = Given { container_acl: Some(".r:*"), ..NOTHING };
    check(&public, &[("GET AUTH_a/c/o", YES), ("GET AUTH_a/c", WHO), ("OPTIONS AUTH_a/c", YES), ("OPTIONS x/c", WHO)]);
    let listed = Given { container_acl: Some(".r:*,.rlistings"), ..NOTHING };
    check(&listed, &[("GET AUTH_a/c", YES)]);
    let linked = Given { container_acl: Some(".r:.site.org"), referer: Some("http://www.site.org/"), ..NOTHING };
    check(&linked, &[("GET AUTH_a/c/o", YES)]);
    let elsewhere = Given { referer: Some("http://other.org/"), ..linked };
    check(&elsewhere, &[("GET AUTH_a/c/o", WHO)]);
    check(&NOTHING, &[("GET AUTH_a", WHO), ("GET other", WHO)]);
}

#[test]
fn groups_named_by_the_container_may() {
    let bob = user(&["b", "b:bob", "friends"]);
    for acl in ["b", "b:bob", "x,friends", ".r:-*,b"] {
        check(&Given { identity: Some(&bob), container_acl: Some(acl), ..NOTHING }, &[("PUT AUTH_a/c/o", YES)]);
    }
    for acl in ["", "b:eve", "friend", ".r:b"] {
        check(&Given { identity: Some(&bob), container_acl: Some(acl), ..NOTHING }, &[("PUT AUTH_a/c/o", NO)]);
    }
}

#[test]
fn groups_named_by_the_account_may() {
    let bob = user(&["b", "b:bob"]);
    let given = |acl| Given { identity: Some(&bob), account_acl: Some(acl), ..NOTHING };
    check(&given("{\"admin\":[\"b:bob\"]}"), &[("POST AUTH_a", OWNER), ("PUT AUTH_a", OWNER), ("PUT AUTH_a/c", OWNER)]);
    check(
        &given("{\"read-write\":[\"b\"]}"),
        &[("GET AUTH_a", YES), ("POST AUTH_a", NO), ("PUT AUTH_a/c", YES), ("DELETE AUTH_a/c/o", YES)],
    );
    check(
        &given("{\"read-only\":[\"b:bob\"]}"),
        &[("HEAD AUTH_a", YES), ("GET AUTH_a/c/o", YES), ("PUT AUTH_a/c/o", NO), ("POST AUTH_a/c", NO)],
    );
    check(&given("{\"read-only\":\"b:bob\"}"), &[("HEAD AUTH_a", NO)]);
    let nobody = Given { account_acl: Some("{\"read-only\":[\"\"]}"), ..NOTHING };
    check(&nobody, &[("GET AUTH_a", WHO)]);
}
