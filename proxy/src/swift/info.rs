//! What `/info` says of the core: the section `swift`.

use serde_json::{Value, json};

use crate::Proxy;

/// The limits, the policies and the options of this cluster, as clients of Swift read them.
pub fn info(proxy: &Proxy) -> Value {
    let config = &proxy.config;
    let policies: Vec<Value> = proxy.client.cluster().policies.iter().filter(|p| !p.deprecated).map(policy).collect();
    let mut section = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "strict_cors_mode": config.strict_cors_mode,
        "policies": policies,
        "allow_account_management": config.allow_account_management,
        "account_autocreate": config.account_autocreate,
        "allow_open_expired": config.allow_open_expired,
    });
    // Constraints are a struct of numbers and texts, so they always become an object.
    if let (Some(section), Ok(Value::Object(limits))) =
        (section.as_object_mut(), serde_json::to_value(&config.constraints))
    {
        section.extend(limits);
    }
    section
}

fn policy(policy: &apus_base::policy::Policy) -> Value {
    let names: Vec<&str> = std::iter::once(&policy.name).chain(&policy.aliases).map(String::as_str).collect();
    let mut shown = json!({ "name": policy.name, "aliases": names.join(", ") });
    if let Some(shown) = shown.as_object_mut().filter(|_| policy.default) {
        shown.insert("default".into(), Value::Bool(true));
    }
    shown
}
