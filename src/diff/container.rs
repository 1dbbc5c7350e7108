//! Containers, field by field. Most of them the engine fixes at creation; a few it changes live.

use std::collections::BTreeSet;

use super::fields::{Fields, joined};
use super::tolerance::{self, same_mount};
use super::{Effect, FieldChange};
use crate::actual::VEIL;
use crate::desired::Machine;
use crate::engine::{EngineSnapshot, ImageState, InRegistry, MachineState};
use crate::spec::PullPolicy;
use crate::types::{Container, Healthcheck, Limits, Mount, MountSource, NetworkMode, Ulimit, stable_hash};

/// What differs between a machine of the file and its container, on this engine.
pub(super) fn fields(desired: &Machine, actual: &MachineState, engine: &EngineSnapshot) -> Vec<FieldChange> {
    let gone;
    let image = if let Some(image) = &actual.image {
        image
    } else {
        gone = tolerance::without_image(&desired.container, &actual.container);
        &gone
    };
    let mut fields = Fields::new(&desired.places);
    image_field(&mut fields, desired, actual, engine.images.get(&desired.container.image));
    let mut expected = tolerance::expected(&desired.container, image, engine.facts.cpus);
    // By whatever it is called in the file, the engine keeps an id, and its name is what is read.
    if let NetworkMode::Container(lender) = &mut expected.network_mode
        && let Some(name) = engine.taken.container(lender)
    {
        name.clone_into(lender);
    }
    // Another version of the guest is no reason to make a machine anew, unless somebody says so.
    if expected.guest.is_some() && actual.container.guest.is_some() && !desired.guest.as_ref().is_some_and(|guest| guest.renew) {
        expected.guest.clone_from(&actual.container.guest);
    }
    compare(&mut fields, &expected, &tolerance::normalised(&actual.container));
    fields.changes
}

fn image_field(fields: &mut Fields<'_>, desired: &Machine, actual: &MachineState, now: Option<&ImageState>) {
    let (old, new) = (&actual.container.image, &desired.container.image);
    if old != new {
        fields.push("image", Some(old.clone()), Some(new.clone()), Effect::Replace);
    } else if let Some(now) = now.filter(|now| now.id != actual.image_id) {
        let with_id = |id: &str| Some(format!("{new} ({})", short(id)));
        fields.push("image", with_id(&actual.image_id), with_id(&now.id), Effect::Replace);
    } else if let (PullPolicy::Always, Some(InRegistry::Other(digest))) = (desired.pull_policy, now.and_then(|it| it.registry.as_ref())) {
        let (old, newer) = (format!("{new} ({})", short(&actual.image_id)), format!("{new} (newer: {})", short(digest)));
        fields.push("image", Some(old), Some(newer), Effect::Replace);
    }
}

pub(super) fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// Every field is named here on both sides, so that a new one which is not compared does not compile.
fn compare(fields: &mut Fields<'_>, expected: &Container, actual: &Container) {
    use Effect::{Live, Replace};
    let Container {
        image: _, // by `image_field`: a reference can mean another image than it did
        command,
        entrypoint,
        environment,
        hostname,
        user,
        working_dir,
        tty,
        stdin_open,
        init,
        mounts,
        tmpfs,
        shm_size,
        ports,
        restart,
        healthcheck,
        stop_signal,
        stop_grace_period,
        limits,
        ulimits,
        sysctls,
        cap_add,
        cap_drop,
        devices,
        privileged,
        security_opt,
        dns,
        dns_search,
        labels,
        network_mode,
        guest,
        hosts,
        gateway_hosts,
    } = expected;
    fields.list("command", actual.command.as_deref(), command.as_deref(), Replace);
    fields.list("entrypoint", actual.entrypoint.as_deref(), entrypoint.as_deref(), Replace);
    fields.map("environment", &actual.environment, environment, Replace, |name, value| masked(name, value));
    fields.option("hostname", actual.hostname.as_ref(), hostname.as_ref(), Replace);
    fields.option("user", actual.user.as_ref(), user.as_ref(), Replace);
    fields.option("working_dir", actual.working_dir.as_ref(), working_dir.as_ref(), Replace);
    fields.value("tty", &actual.tty, tty, Replace);
    fields.value("stdin_open", &actual.stdin_open, stdin_open, Replace);
    fields.value("init", &actual.init, init, Replace);
    compare_mounts(fields, mounts, &actual.mounts);
    fields.map("tmpfs", &actual.tmpfs, tmpfs, Replace, |_, options| options.clone());
    fields.option("shm_size", actual.shm_size.as_ref(), shm_size.as_ref(), Replace);
    fields.set("ports", &actual.ports, ports, Replace);
    fields.value("restart", &actual.restart, restart, Live);
    fields.option("healthcheck", actual.healthcheck.as_ref().map(shown).as_ref(), healthcheck.as_ref().map(shown).as_ref(), Replace);
    fields.option("stop_signal", actual.stop_signal.as_ref(), stop_signal.as_ref(), Replace);
    fields.option("stop_grace_period", actual.stop_grace_period.as_ref(), stop_grace_period.as_ref(), Replace);
    compare_limits(fields, limits, &actual.limits);
    fields.map("ulimits", &actual.ulimits, ulimits, Replace, |_, Ulimit { soft, hard }| format!("{soft}:{hard}"));
    fields.map("sysctls", &actual.sysctls, sysctls, Replace, |_, value| value.clone());
    fields.set("cap_add", &actual.cap_add, cap_add, Replace);
    fields.set("cap_drop", &actual.cap_drop, cap_drop, Replace);
    if &actual.devices != devices {
        let show = |set: &BTreeSet<crate::types::Device>| {
            let all: Vec<String> = set.iter().map(|d| format!("{}:{}:{}", d.source, d.target, d.permissions)).collect();
            (!all.is_empty()).then(|| all.join(", "))
        };
        fields.push("devices", show(&actual.devices), show(devices), Replace);
    }
    fields.value("privileged", &actual.privileged, privileged, Replace);
    if &actual.security_opt != security_opt {
        fields.push("security_opt", show_security(&actual.security_opt), show_security(security_opt), Replace);
    }
    fields.list("dns", Some(&actual.dns), Some(dns), Replace);
    fields.list("dns_search", Some(&actual.dns_search), Some(dns_search), Replace);
    fields.map("labels", &actual.labels, labels, Replace, |_, value| value.clone());
    fields.value("network_mode", &actual.network_mode, network_mode, Replace);
    fields.option("guest", actual.guest.as_ref(), guest.as_ref(), Replace);
    // It is what the container was created with. Where a machine has a network of its own, the file as it is now is compared instead;
    // on the host's there is nothing that could change but this.
    if *network_mode == NetworkMode::Host {
        fields.set("extra_hosts", &actual.hosts, hosts, Replace);
        fields.set("extra_hosts", &actual.gateway_hosts, gateway_hosts, Replace);
    }
}

/// A seccomp profile is pages long: a plan shows by which it can be told from another.
fn show_security(options: &BTreeSet<String>) -> Option<String> {
    let show = |option: &String| match option.split_once(['=', ':']) {
        Some((word @ "seccomp", profile)) if profile.starts_with('{') => {
            let digest = stable_hash(&["seccomp", profile])[..6].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            format!("{word}=profile {digest}")
        }
        _ => option.clone(),
    };
    joined(&options.iter().map(show).collect())
}

fn compare_limits(fields: &mut Fields<'_>, expected: &Limits, actual: &Limits) {
    let Limits { cpus, cpuset, memory, pids } = expected;
    fields.option("cpus", actual.cpus.as_ref(), cpus.as_ref(), Effect::Live);
    fields.option("cpuset", actual.cpuset.as_ref(), cpuset.as_ref(), Effect::Live);
    fields.option("memory", actual.memory.as_ref(), memory.as_ref(), Effect::Live);
    fields.option("pids_limit", actual.pids.as_ref(), pids.as_ref(), Effect::Live);
}

type Mounts = std::collections::BTreeMap<String, Mount>;

fn compare_mounts(fields: &mut Fields<'_>, expected: &Mounts, actual: &Mounts) {
    let places: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
    for place in places {
        let (old, new) = (actual.get(place), expected.get(place));
        let same = match (old, new) {
            (Some(old), Some(new)) => same_mount(new, old),
            _ => false,
        };
        if !same {
            fields.push(format!("volumes.{place}"), old.map(show_mount), new.map(show_mount), Effect::Replace);
        }
    }
}

fn show_mount(mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Bind(path) => path.clone(),
        MountSource::Volume(_) if tolerance::is_anonymous(&mount.source) => "anonymous volume".to_owned(),
        MountSource::Volume(name) => format!("volume {name}"),
        MountSource::Anonymous => "anonymous volume".to_owned(),
    };
    let relabel = match mount.relabel {
        None => "",
        Some(crate::types::Relabel::Shared) => ",z",
        Some(crate::types::Relabel::Private) => ",Z",
    };
    let propagation = mount.propagation.as_ref().map(|p| format!(",{p}")).unwrap_or_default();
    let nocopy = if mount.nocopy { ",nocopy" } else { "" };
    format!("{source} ({}{relabel}{propagation}{nocopy})", if mount.read_only { "ro" } else { "rw" })
}

fn shown(check: &Healthcheck) -> String {
    let times = [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start_period", check.start_period),
        ("start_interval", check.start_interval),
    ];
    let mut parts = vec![format!("{:?}", check.test)];
    parts.extend(times.into_iter().filter_map(|(name, time)| Some(format!("{name} {}", time?))));
    parts.extend(check.retries.map(|retries| format!("retries {retries}")));
    parts.join(", ")
}

/// Words in the names of secrets.
const SECRET: [&str; 8] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "PRIVATE", "DSN"];

/// A value that may be a secret is not for plans and logs: whether it is one shows in its name.
fn masked(name: &str, value: &str) -> String {
    if value.starts_with(VEIL) {
        return "(not in the record)".to_owned();
    }
    let name = name.to_ascii_uppercase();
    // `scheme://user:password@host` gives a password away under any name.
    let in_url = value.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|authority| authority.contains('@')));
    if in_url || SECRET.iter().any(|word| name.contains(word)) {
        return "(hidden)".to_owned();
    }
    value.to_owned()
}
