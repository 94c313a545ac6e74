use super::*;
use apus_base::policy::Policy;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn policies() -> Policies {
    let policy = |index, name: &str| Policy {
        index: PolicyIndex(index),
        name: name.into(),
        aliases: Vec::new(),
        default: index == 0,
        deprecated: false,
    };
    Policies::new(vec![policy(0, "nulo"), policy(1, "Unu")]).unwrap()
}

fn account(pairs: &[(&'static str, &'static str)]) -> AccountInfo {
    AccountInfo::from_headers(&headers(pairs), &policies())
}

#[test]
fn accounts_have_limits_in_all_and_by_policy() {
    let used = [
        ("x-account-bytes-used", "1000"),
        ("x-account-object-count", "10"),
        ("x-account-storage-policy-unu-bytes-used", "100"),
        ("x-account-storage-policy-unu-object-count", "2"),
    ];
    let cases: [(&str, &str, u64, Result<(), Quota>); 13] = [
        ("x-account-sysmeta-quota-bytes", "1000", 0, Ok(())),
        ("x-account-sysmeta-quota-bytes", "1000", 1, Err(Quota::Exceeded)),
        ("x-account-meta-quota-bytes", "999", 0, Err(Quota::Exceeded)),
        ("x-account-meta-quota-bytes", "pasta", 1, Ok(())),
        ("x-account-meta-quota-bytes", "-1", 1, Ok(())),
        ("x-account-meta-quota-bytes", "99999999999999999999999", u64::MAX, Ok(())),
        ("x-account-meta-quota-count", "0", 0, Ok(())),
        ("x-account-sysmeta-quota-count", "11", 0, Ok(())),
        ("x-account-sysmeta-quota-count", "10", 0, Err(Quota::Exceeded)),
        ("x-account-sysmeta-quota-bytes-policy-1", "101", 1, Ok(())),
        ("x-account-sysmeta-quota-bytes-policy-1", "100", 1, Err(Quota::PolicyExceeded)),
        ("x-account-sysmeta-quota-bytes-policy-0", "0", 1, Ok(())),
        ("x-account-sysmeta-quota-count-policy-1", "2", 0, Err(Quota::PolicyExceeded)),
    ];
    for (name, value, length, expected) in cases {
        let account = account(&[&used[..], &[(name, value)]].concat());
        assert_eq!(of_account(&account, PolicyIndex(1), length), expected, "{name}: {value}");
    }
    // System metadata goes before what was metadata once.
    let both = [("x-account-sysmeta-quota-bytes", "5"), ("x-account-meta-quota-bytes", "0")];
    assert_eq!(of_account(&account(&both), PolicyIndex(0), 5), Ok(()));
    // A policy that nothing is stored in yet has its limit too.
    let empty = account(&[("x-account-sysmeta-quota-bytes-policy-0", "3")]);
    assert_eq!(of_account(&empty, PolicyIndex(0), 4), Err(Quota::PolicyExceeded));
}

#[test]
fn containers_have_limits() {
    let used = [("x-container-bytes-used", "100"), ("x-container-object-count", "1")];
    for (name, value, length, expected) in [
        ("x-container-meta-quota-bytes", "102", 2, Ok(())),
        ("x-container-meta-quota-bytes", "101", 2, Err(Quota::Exceeded)),
        ("x-container-meta-quota-count", "2", 0, Ok(())),
        ("x-container-meta-quota-count", "1", 0, Err(Quota::Exceeded)),
        ("x-container-meta-quota-count", "", 0, Ok(())),
        ("x-container-meta-quota-bytes", "abc", 2, Ok(())),
    ] {
        let container = ContainerInfo::from_headers(&headers(&[&used[..], &[(name, value)]].concat()));
        assert_eq!(of_container(&container, 0, length), expected, "{name}: {value}");
    }
}

#[test]
fn a_containers_quota_is_a_number_or_nothing() {
    let check = |name, value| check_container(&headers(&[(name, value)]));
    assert_eq!(check("x-container-meta-quota-bytes", "abc"), Err(Quota::InvalidBytes));
    assert_eq!(check("x-container-meta-quota-count", "-1"), Err(Quota::InvalidCount));
    assert_eq!(check("x-container-meta-quota-count", ""), Ok(()));
    assert_eq!(check("x-container-meta-quota-bytes", "123"), Ok(()));
}

/// What a request says, and what is kept then.
#[test]
fn what_a_request_sets() {
    let cases: [(&[_], &[(&str, &str)]); 9] = [
        (&[("x-account-meta-color", "red")], &[]),
        (&[("x-account-quota-bytes", "100")], &[("quota-bytes", "100")]),
        (&[("x-account-meta-quota-bytes", "100")], &[("quota-bytes", "100")]),
        (&[("x-account-meta-quota-bytes", "100"), ("x-account-quota-bytes", "50")], &[("quota-bytes", "50")]),
        (&[("x-account-meta-quota-count", "100")], &[]),
        (&[("x-account-quota-count", "")], &[("quota-count", "")]),
        (&[("x-remove-account-quota-bytes", "x"), ("x-account-quota-bytes", "50")], &[("quota-bytes", "")]),
        (&[("x-remove-account-meta-quota-bytes", "x")], &[("quota-bytes", "")]),
        (
            &[("x-account-quota-bytes-policy-unu", "7"), ("x-remove-account-quota-count-policy-nulo", "x")],
            &[("quota-bytes-policy-1", "7"), ("quota-count-policy-0", "")],
        ),
    ];
    for (request, expected) in cases {
        let kept = changes(&headers(request), &policies());
        let kept: Vec<(&str, &str)> =
            kept.iter().map(|(n, v)| (&n.as_str()["x-account-sysmeta-".len()..], v.as_str())).collect();
        assert_eq!(kept, expected, "{request:?}");
    }
}
