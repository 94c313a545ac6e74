//! Asking everybody everything that a status is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use apus_base::clock;
use apus_base::link::certificate_expiry;
use apus_base::policy::PolicyIndex;
use apus_base::ring::{Device, Ring};
use apus_base::wire::redundancy::{Holdings, Question};
use serde_json::Value;

use super::facts::{Audit, Facts, LastPass};
use super::redundancy::{Compared, Told, compare};
use crate::recon::same::{clock_difference, configuration_differences, ring_differences};
use crate::roles::Role;
use crate::view::{self, Host, Part, Scout, View};

/// How often what differs is looked at again, since it may only be being written to.
const LOOKS: usize = 3;
/// And after how long.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// One role's or policy's data.
struct Kind<'a> {
    name: String,
    role: Role,
    ring: &'a Ring,
    policy: PolicyIndex,
}

/// A server that answered its first question, or why not.
struct Server {
    role: Role,
    host: Host,
    answers: Result<BTreeMap<String, Value>, String>,
    clock: Option<f64>,
}

pub(super) async fn gather(view: &View, patience: Duration, jitter: f64) -> Facts {
    let scout = view.scout(patience);
    let mut facts = Facts { at: view::now(), ..Facts::default() };
    let roles = [Role::Account, Role::Container, Role::Object];
    let hosts =
        roles.into_iter().flat_map(|role| view.hosts(role, Part::default()).into_iter().map(move |host| (role, host)));
    let servers = view::each(hosts, |(role, host)| server(&scout, role, host, jitter)).await;
    facts.servers = servers.len();
    facts.devices = roles.into_iter().map(|role| devices(view, role)).sum();
    let mut away = BTreeSet::new();
    for server in servers {
        if server.answers.is_err() {
            away.insert((server.role, server.host.clone()));
        }
        take_in(&mut facts, view, server);
    }
    for kind in kinds(view) {
        data(&mut facts, &scout, &kind, &away).await;
    }
    if let Some(replication) = &view.config.replication {
        facts.interval = replication.interval;
        let files = [&replication.certificate, &replication.ca];
        let days = |path: &Path| {
            let left = certificate_expiry(path)? - i64::try_from(clock::now().secs()).ok()?;
            Some(left.div_euclid(SECONDS_PER_DAY))
        };
        facts.certificates = files.iter().map(|path| (path.display().to_string(), days(path))).collect();
    }
    facts
}

/// The devices of a role's servers; several policies may share one.
fn devices(view: &View, role: Role) -> usize {
    let all = view.devices(role, Part::default());
    all.into_iter().map(|device| (Host::of(device), &device.device)).collect::<BTreeSet<_>>().len()
}

fn kinds(view: &View) -> Vec<Kind<'_>> {
    let (rings, none) = (&view.rings, PolicyIndex(0));
    let mut kinds = vec![
        Kind { name: "accounts".into(), role: Role::Account, ring: &rings.account, policy: none },
        Kind { name: "containers".into(), role: Role::Container, ring: &rings.container, policy: none },
    ];
    for (policy, ring) in &rings.objects {
        let name = view.cluster.policies.get(*policy).map_or("", |policy| policy.name.as_str());
        kinds.push(Kind { name: format!("objects of {name}"), role: Role::Object, ring, policy: *policy });
    }
    kinds
}

async fn server(scout: &Scout, role: Role, host: Host, jitter: f64) -> Server {
    let heard = match scout.get(&host, "/recon/time").await {
        Ok(heard) => heard,
        // What does not answer this will not answer the rest.
        Err(reason) => return Server { role, host, answers: Err(reason), clock: None },
    };
    let name = role.name();
    let questions = ["diskusage", "ringmd5", "swiftconfmd5", "quarantined"].map(str::to_owned).into_iter();
    let questions: Vec<String> = questions.chain([format!("replication/{name}"), format!("auditor/{name}")]).collect();
    let answers = view::each(&questions, |question| scout_one(scout, &host, question)).await;
    let answers = answers.into_iter().flatten().collect();
    Server { role, clock: clock_difference(&heard, jitter), answers: Ok(answers), host }
}

async fn scout_one(scout: &Scout, host: &Host, question: &str) -> Option<(String, Value)> {
    let heard = scout.get(host, &format!("/recon/{question}")).await.ok()?;
    let key = question.split('/').next().unwrap_or(question);
    Some((key.to_owned(), heard.value))
}

fn take_in(facts: &mut Facts, view: &View, Server { role, host, answers, clock }: Server) {
    let name = format!("{} {host}", role.name());
    let answers = match answers {
        Ok(answers) => answers,
        Err(reason) => {
            facts.silent.insert(name, reason);
            return;
        }
    };
    let answer = |key: &str| answers.get(key).unwrap_or(&Value::Null);
    if let Some(difference) = clock {
        facts.clocks.insert(name.clone(), difference);
    }
    let rings = ring_differences(view, role, answer("ringmd5"));
    let differing: Vec<String> =
        rings.into_iter().chain(configuration_differences(view, answer("swiftconfmd5"))).collect();
    if !differing.is_empty() {
        facts.differing.insert(name.clone(), differing);
    }
    for disk in answer("diskusage").as_array().into_iter().flatten() {
        if let Some(state) = unfit(disk) {
            facts.unfit.insert(format!("{} of {name}", disk["device"].as_str().unwrap_or("?")), state);
        }
    }
    if role == Role::Object {
        replication(facts, &host, answer("replication"));
    }
    facts.quarantine.listings += match role {
        Role::Account => answer("quarantined")["accounts"].as_u64().unwrap_or_default(),
        Role::Container => answer("quarantined")["containers"].as_u64().unwrap_or_default(),
        _ => 0,
    };
    facts.audits.insert(name, audit(role, answer("auditor")));
}

/// What is wrong with a disk, if anything is.
fn unfit(disk: &Value) -> Option<String> {
    match &disk["mounted"] {
        Value::Bool(true) if disk["read_only"] == Value::Bool(true) => Some("read-only".into()),
        Value::Bool(true) if disk["full"] == Value::Bool(true) => Some("full".into()),
        Value::Bool(true) => None,
        Value::String(wrong) => Some(wrong.clone()),
        _ => Some("missing".into()),
    }
}

fn replication(facts: &mut Facts, host: &Host, told: &Value) {
    for (device, pass) in told["object_replication_per_disk"].as_object().into_iter().flatten() {
        let stats = &pass["replication_stats"];
        let pass = LastPass {
            ended: pass["replication_last"].as_f64(),
            seconds: pass["replication_time"].as_f64().unwrap_or_default(),
            failed: stats["failure"].as_u64().unwrap_or_default(),
            rate: rate(&pass["last_work"]),
        };
        facts.replication.insert(format!("{device} on {host}"), pass);
    }
}

fn rate(work: &Value) -> Option<f64> {
    let seconds = work["seconds"].as_f64().filter(|seconds| *seconds > 0.0)?;
    Some(work["partitions"].as_f64()? / seconds)
}

fn audit(role: Role, told: &Value) -> Option<Audit> {
    if role == Role::Object {
        let all = told.get("object_auditor_stats_ALL").filter(|all| all.is_object())?;
        let sum = |key: &str| crate::recon::checks::sum(all, key);
        return Some(Audit { passes: sum("passes"), errors: sum("errors"), quarantined: sum("quarantined") });
    }
    let figure = |key: &str| told.get(format!("{}_{key}", role.name()))?.as_f64();
    Some(Audit {
        passes: figure("audits_passed")?,
        errors: figure("audits_failed").unwrap_or_default(),
        quarantined: 0.0,
    })
}

/// Compares the copies of one kind of data.
async fn data(facts: &mut Facts, scout: &Scout, kind: &Kind<'_>, away: &BTreeSet<(Role, Host)>) {
    let mut compared: Option<Compared> = None;
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        let told = ask(scout, kind, away).await;
        if look == 0 {
            besides(facts, kind, &told);
        }
        let seen = compare(kind.ring, &told);
        let all = match compared.take() {
            Some(before) => before.or(seen),
            None => seen,
        };
        let done = all.is_complete();
        compared = Some(all);
        if done {
            break;
        }
    }
    facts.data.insert(kind.name.clone(), compared.unwrap_or_default().figures(kind.ring));
}

async fn ask(scout: &Scout, kind: &Kind<'_>, away: &BTreeSet<(Role, Host)>) -> BTreeMap<u32, Told> {
    let devices = kind.ring.devices().iter().flatten();
    let asked = view::each(devices, |device| async move {
        let host = Host::of(device);
        if away.contains(&(kind.role, host.clone())) {
            return (device.id, Told::Away("unknown, as its server does not answer".into()));
        }
        let question =
            Question { device: device.device.clone(), policy: kind.policy, part_power: kind.ring.part_power() };
        let told = match scout.get(&host, &question.target()).await {
            Ok(heard) => serde_json::from_value::<Holdings>(heard.value)
                .map_or_else(|error| Told::Away(error.to_string()), Told::Holds),
            Err(reason) if reason.starts_with("HTTP 507") => Told::NoDevice,
            Err(reason) => Told::Away(reason),
        };
        (device.id, told)
    });
    asked.await.into_iter().collect()
}

/// What the devices told beside their partitions.
fn besides(facts: &mut Facts, kind: &Kind<'_>, told: &BTreeMap<u32, Told>) {
    let name = |device: &Device| format!("{} of {} {}", device.device, kind.role.name(), Host::of(device));
    for (id, told) in told {
        match (told, kind.ring.device(*id)) {
            (Told::Holds(holdings), _) => {
                facts.pending.updates += holdings.pending;
                facts.pending.oldest = facts.pending.oldest.into_iter().chain(holdings.oldest_pending).min();
                facts.quarantine.objects += holdings.quarantined;
                facts.quarantine.unrepaired += holdings.unrepaired;
            }
            (Told::NoDevice, Some(device)) => _ = facts.unfit.entry(name(device)).or_insert("missing".into()),
            (Told::Away(reason), Some(device)) => _ = facts.unfit.entry(name(device)).or_insert(reason.clone()),
            _ => {}
        }
    }
}
