//! What inspect shows, as a `Container`: the way back of `body`. What the engine fills in of its own accord is left out, so that a
//! container reads back as what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answer::{self, HostConfig, Inspect, MountPoint, PortMap};
use super::{body, guest};
use crate::types::own_words;
use crate::types::{
    Bytes, Container, Cpus, Device, Endpoint, GUEST_BIN, GUEST_HOME, Healthcheck, HostEntry, IfName, Limits, Mount, MountSource, Name,
    NetworkMode, Port, Protocol, Relabel, Restart, Seconds, UNLABELLED, Ulimit,
};

/// The engine's default for /dev/shm.
const SHM_SIZE: u64 = 64 << 20;

/// What one needs to know of the engine to read a container.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) cpus: u32,
    /// The host's name, which a container on the host's network bears.
    pub(super) hostname: String,
    /// Names of all containers, by id.
    pub(super) names: BTreeMap<String, String>,
    /// Machines of the project, by id.
    pub(super) machines: BTreeMap<String, Name>,
}

pub(super) fn container(inspect: &Inspect, around: &Around) -> Container {
    let (config, host) = (&inspect.config, &inspect.host_config);
    let network_mode = network_mode(&host.network_mode, around);
    let guest = guest_version(inspect);
    let guests = guest.as_ref().and(config.entrypoint.as_deref()).and_then(own_words).map_or(0, |(words, _)| words);
    Container {
        image: config.image.clone(),
        command: config.cmd.clone(),
        entrypoint: config.entrypoint.as_ref().map(|words| words[guests..].to_vec()),
        environment: environment(&config.env),
        hostname: hostname(inspect, &network_mode, around),
        user: text(&config.user),
        working_dir: text(&config.working_dir),
        tty: config.tty,
        stdin_open: config.open_stdin,
        init: host.init.unwrap_or_default(),
        mounts: mounts(&inspect.mounts, host),
        tmpfs: host.tmpfs.iter().map(|(place, options)| (place.clone(), sorted(options))).collect(),
        shm_size: Some(host.shm_size).filter(|size| !matches!(*size, 0 | SHM_SIZE)).map(Bytes),
        ports: ports(&host.port_bindings, false),
        restart: restart(&host.restart_policy),
        healthcheck: config.healthcheck.as_ref().map(healthcheck),
        stop_signal: config.stop_signal.as_deref().and_then(text),
        stop_grace_period: config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(seconds),
        limits: limits(host, around.cpus),
        ulimits: host.ulimits.iter().map(|it| (it.name.clone(), Ulimit { soft: it.soft, hard: it.hard })).collect(),
        sysctls: host.sysctls.clone(),
        cap_add: host.cap_add.iter().map(|cap| capability(cap)).collect(),
        cap_drop: host.cap_drop.iter().map(|cap| capability(cap)).collect(),
        devices: host.devices.iter().map(device).collect(),
        privileged: host.privileged,
        security_opt: security_opt(host),
        dns: host.dns.iter().filter_map(|address| address.parse().ok()).collect(),
        dns_search: host.dns_search.clone(),
        labels: config.labels.clone(),
        network_mode,
        guest,
        hosts: Arc::new(host.extra_hosts.iter().filter_map(|entry| host_entry(entry)).collect()),
        gateway_hosts: host.extra_hosts.iter().filter_map(|entry| gateway_host(entry)).collect(),
    }
}

/// The guest shows in two places: it is what the engine starts, out of its volume.
fn guest_version(inspect: &Inspect) -> Option<String> {
    let starts = inspect.config.entrypoint.as_deref().is_some_and(|words| own_words(words).is_some());
    let volume = inspect.mounts.iter().find(|mount| mount.destination == GUEST_BIN).filter(|_| starts)?;
    guest::version_of(&volume.name).map(ToOwned::to_owned)
}

fn text(text: &str) -> Option<String> {
    Some(text).filter(|it| !it.is_empty()).map(ToOwned::to_owned)
}

fn seconds(seconds: u64) -> Seconds {
    Seconds::from_nanos(seconds.saturating_mul(1_000_000_000))
}

/// A name without `=` takes the image's value away: then there is none.
pub(super) fn environment(env: &[String]) -> BTreeMap<String, String> {
    env.iter().filter_map(|entry| entry.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The engine's own choices, the short id, the host's or the other container's name, are not a wish.
fn hostname(inspect: &Inspect, mode: &NetworkMode, around: &Around) -> Option<String> {
    let name = text(&inspect.config.hostname)?;
    let chosen = match mode {
        NetworkMode::Own => inspect.id.get(..12) == Some(name.as_str()),
        NetworkMode::Host => name == around.hostname,
        NetworkMode::Machine(_) | NetworkMode::Container(_) => true,
    };
    (!chosen).then_some(name)
}

fn network_mode(mode: &str, around: &Around) -> NetworkMode {
    match mode.split_once(':') {
        Some(("container", id)) => match (around.machines.get(id), around.names.get(id)) {
            (Some(machine), _) => NetworkMode::Machine(machine.clone()),
            (None, Some(name)) => NetworkMode::Container(name.clone()),
            (None, None) => NetworkMode::Container(id.to_owned()),
        },
        _ if mode == "host" => NetworkMode::Host,
        _ => NetworkMode::Own,
    }
}

/// Where it is mounted from stands in `Mounts`; how it was asked for, in `Binds`: the engine adds a `z` of its own to volumes.
fn mounts(mounts: &[MountPoint], host: &HostConfig) -> BTreeMap<String, Mount> {
    let asked: BTreeMap<&str, &str> = host.binds.iter().filter_map(|bind| asked_options(bind)).collect();
    let mut found = BTreeMap::new();
    for mount in mounts {
        let source = match mount.kind.as_str() {
            "volume" => MountSource::Volume(mount.name.clone()),
            "bind" => MountSource::Bind(mount.source.clone()),
            _ => continue,
        };
        // fly's own, which no file names.
        if [GUEST_BIN, GUEST_HOME].contains(&mount.destination.as_str()) {
            continue;
        }
        let options = asked.get(mount.destination.as_str()).copied().unwrap_or_default();
        let long = host.mounts.iter().find(|it| it.target == mount.destination);
        let relabel = options.split(',').find_map(|option| match option {
            "z" => Some(Relabel::Shared),
            "Z" => Some(Relabel::Private),
            _ => None,
        });
        let propagation = options
            .split(',')
            .find(|option| body::PROPAGATION.contains(option))
            .map(ToOwned::to_owned)
            .or_else(|| long.and_then(|it| text(&it.bind_options.propagation)));
        let nocopy = options.split(',').any(|option| option == "nocopy") || long.is_some_and(|it| it.volume_options.no_copy);
        let must_exist = long.is_some() && matches!(source, MountSource::Bind(_));
        found.insert(mount.destination.clone(), Mount { source, read_only: !mount.rw, relabel, propagation, must_exist, nocopy });
    }
    found
}

/// Of `source:place[:options]`, place and options.
fn asked_options(bind: &str) -> Option<(&str, &str)> {
    let mut parts = bind.splitn(3, ':');
    let (_, place, options) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    Some((place, options))
}

fn sorted(options: &str) -> String {
    let mut options: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
    options.sort_unstable();
    options.join(",")
}

/// `real`: what is published, where both any-address forms are one; otherwise what was asked for.
pub(super) fn ports(map: &PortMap, real: bool) -> BTreeSet<Port> {
    let mut ports = BTreeSet::new();
    for (inside, bindings) in map {
        let (number, protocol) = inside.split_once('/').unwrap_or((inside, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => continue,
        };
        let Ok(target) = number.parse() else { continue };
        for binding in bindings.iter().flatten() {
            let host_ip = binding.host_ip.parse().ok().filter(|ip: &std::net::IpAddr| !(real && ip.is_unspecified()));
            let (first, last) = binding.host_port.split_once('-').map_or((binding.host_port.as_str(), None), |(a, b)| (a, b.parse().ok()));
            let published = first.parse().ok().filter(|port| *port != 0);
            ports.insert(Port { target, protocol, host_ip, published, last });
        }
    }
    ports
}

fn restart(policy: &answer::RestartPolicy) -> Restart {
    match policy.name.as_str() {
        "always" => Restart::Always,
        "unless-stopped" => Restart::UnlessStopped,
        "on-failure" => Restart::OnFailure(policy.maximum_retry_count),
        _ => Restart::No,
    }
}

pub(super) fn healthcheck(check: &answer::Healthcheck) -> Healthcheck {
    let time = |nanos: u64| Some(nanos).filter(|it| *it != 0).map(Seconds::from_nanos);
    Healthcheck {
        test: check.test.clone(),
        interval: time(check.interval),
        timeout: time(check.timeout),
        start_period: time(check.start_period),
        start_interval: time(check.start_interval),
        retries: Some(check.retries).filter(|it| *it != 0),
    }
}

/// A limit that was taken away live is shown as the most there is: that is none.
fn limits(host: &HostConfig, cpus: u32) -> Limits {
    let positive = |value: i64| u64::try_from(value).ok().filter(|it| *it != 0);
    let limits = Limits {
        cpus: positive(host.nano_cpus).map(Cpus),
        cpuset: text(&host.cpuset_cpus),
        memory: positive(host.memory).filter(|bytes| *bytes < body::MEMORY_WITHOUT_LIMIT.unsigned_abs()).map(Bytes),
        pids: host.pids_limit.and_then(positive),
    };
    limits.on_a_host_with(cpus)
}

fn capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

fn device(device: &answer::Device) -> Device {
    Device { source: device.path_on_host.clone(), target: device.path_in_container.clone(), permissions: device.cgroup_permissions.clone() }
}

/// The engine gives every privileged container `label=disable`, whether it was asked for or not.
fn security_opt(host: &HostConfig) -> BTreeSet<String> {
    let unconfined = host.masked_paths.as_ref().is_some_and(Vec::is_empty).then(|| body::SYSTEM_PATHS.to_owned());
    let said = host.security_opt.iter().filter(|option| !(host.privileged && *option == UNLABELLED)).cloned();
    said.chain(unconfined).collect()
}

fn host_entry(entry: &str) -> Option<HostEntry> {
    let (name, address) = entry.split_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(HostEntry { name: name.to_owned(), address })
}

fn gateway_host(entry: &str) -> Option<String> {
    entry.split_once(':').filter(|(_, address)| *address == body::HOST_GATEWAY).map(|(name, _)| name.to_owned())
}

/// The real address where it runs, otherwise the one that was asked for. `own`: what the engine itself calls the container.
pub(super) fn endpoint(state: &answer::EndpointState, own: &[&str]) -> Endpoint {
    let asked = &state.ipam_config;
    Endpoint {
        ipv4: state.ip_address.parse().or_else(|_| asked.ipv4.parse()).ok(),
        ipv6: state.global_ipv6_address.parse().or_else(|_| asked.ipv6.parse()).ok(),
        aliases: state.aliases.iter().filter(|alias| !own.contains(&alias.as_str())).cloned().collect(),
        mac: state.mac_address.parse().ok(),
        ifname: state.driver_opts.get(body::IFNAME).and_then(|name| IfName::new(name).ok()),
    }
}
