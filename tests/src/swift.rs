//! A Swift user: an account, a token, and requests below them.

use std::net::SocketAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::http::{Request, Response};

/// What a path may hold as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Who may log in; `TESTERS` are the users of Swift's own functional tests.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The account without its `AUTH_`.
    pub account: &'static str,
    /// The user's name.
    pub name: &'static str,
    /// The password.
    pub key: &'static str,
    /// The groups.
    pub groups: &'static [&'static str],
}

/// The users of Swift's functional tests, of `test` and `test2` first, and a reseller's administrator last.
pub const TESTERS: &[User] = &[
    User { account: "test", name: "tester", key: "testing", groups: &[".admin"] },
    User { account: "test2", name: "tester2", key: "testing2", groups: &[".admin"] },
    User { account: "test", name: "tester3", key: "testing3", groups: &[] },
    User { account: "admin", name: "admin", key: "admin", groups: &[".admin", ".reseller_admin"] },
];

/// The owner of the account `test`.
pub const TESTER: User = TESTERS[0];
/// The owner of the account `test2`.
pub const OTHER: User = TESTERS[1];
/// A user of `test` without rights of its own.
pub const GUEST: User = TESTERS[2];
/// May do everything in every account.
pub const RESELLER: User = TESTERS[3];

/// Where a cluster answers.
#[derive(Clone, Copy, Debug)]
pub struct Swift {
    /// The proxy.
    pub address: SocketAddr,
}

impl Swift {
    /// A request without a token.
    pub fn anonymous(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// Asks for a token the way of tempauth.
    #[track_caller]
    pub fn auth(&self, user: &str, key: &str) -> Response {
        let request = self.anonymous("GET", "/auth/v1.0");
        request.header("X-Auth-User", user).header("X-Auth-Key", key).send()
    }

    /// Logs in.
    #[track_caller]
    pub fn login(&self, user: User) -> Session {
        self.login_as(&format!("{}:{}", user.account, user.name), user.key)
    }

    /// Logs in with `account:user` and a key.
    #[track_caller]
    pub fn login_as(&self, user: &str, key: &str) -> Session {
        let answer = self.auth(user, key).expect(200);
        let url = answer.need("X-Storage-Url");
        let account = url.split("://").nth(1).and_then(|u| u.split_once('/')).map(|(_, path)| format!("/{path}"));
        let account = account.unwrap_or_else(|| panic!("no path in {url}"));
        Session { address: self.address, account, token: answer.need("X-Auth-Token").to_owned() }
    }
}

/// A token, and the account that it was given for.
#[derive(Clone, Debug)]
pub struct Session {
    /// The proxy.
    pub address: SocketAddr,
    /// `/v1/AUTH_test`.
    pub account: String,
    /// The token.
    pub token: String,
}

impl Session {
    /// A request for a path below the account: empty for itself, `c` for a container, `c/o` for an object.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.raw(method, &self.target(path))
    }

    /// A request for a target that is sent as it stands.
    pub fn raw(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target).header("X-Auth-Token", &self.token)
    }

    /// The target of a path below the account, percent-encoded.
    pub fn target(&self, path: &str) -> String {
        let slash = if path.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.account, utf8_percent_encode(path, PLAIN))
    }

    /// The same token, asking for another account.
    #[must_use]
    pub fn on(&self, account: &str) -> Self {
        Self { account: format!("/v1/{account}"), ..self.clone() }
    }

    /// PUT.
    pub fn put(&self, path: &str) -> Request {
        self.request("PUT", path)
    }

    /// GET.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// HEAD.
    pub fn head(&self, path: &str) -> Request {
        self.request("HEAD", path)
    }

    /// POST.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    /// Makes a container.
    #[track_caller]
    pub fn make(&self, container: &str) {
        let status = self.put(container).send().status;
        assert!(matches!(status, 201 | 202), "PUT {container}: {status}");
    }

    /// Stores an object, or fails the test.
    #[track_caller]
    pub fn store(&self, path: &str, body: impl AsRef<[u8]>) {
        self.put(path).body(body).send().expect(201);
    }

    /// The names of a listing.
    #[track_caller]
    pub fn list(&self, container: &str) -> Vec<String> {
        let answer = self.get(container).send();
        assert!(matches!(answer.status, 200 | 204), "GET {container}: {answer:?}");
        answer.lines()
    }
}
