//! What `/info` says of the core: the section `swift`.

use serde_json::{Value, json};

use crate::Proxy;
use crate::ops::large::SloConfig;

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

/// What clients may expect of static large objects. Dynamic ones have no section.
pub fn slo_info(config: &SloConfig) -> Value {
    json!({
        "max_manifest_segments": config.max_manifest_segments,
        "max_manifest_size": config.max_manifest_size,
        "yield_frequency": config.yield_frequency,
        // Once an option; some clients still look for it.
        "min_segment_size": 1,
        "allow_async_delete": config.allow_async_delete,
    })
}

fn policy(policy: &apus_base::policy::Policy) -> Value {
    let names: Vec<&str> = std::iter::once(&policy.name).chain(&policy.aliases).map(String::as_str).collect();
    let mut shown = json!({ "name": policy.name, "aliases": names.join(", ") });
    if let Some(shown) = shown.as_object_mut().filter(|_| policy.default) {
        shown.insert("default".into(), Value::Bool(true));
    }
    shown
}
