//! A `Container` and its limits, as the engine is told of them. What is `None` is left out: the image or the engine decides.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    Mount as LongMount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, MountVolumeOptions, NetworkingConfig, PortBinding,
    PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::guest;
use crate::types::{
    Container, Cpus, Endpoint, Healthcheck, ImageDefaults, LABEL_PROJECT, Limits, Mount, MountSource, Name, NetworkMode, Port, Relabel,
    Restart,
};

/// The most that a memory cgroup takes, and what takes a limit away: the engine reads 0 as "leave as it is".
pub(super) const MEMORY_WITHOUT_LIMIT: i64 = 9_223_372_036_854_771_712;
/// The name of the NIC inside; Engine 28 and later listen.
pub(super) const IFNAME: &str = "com.docker.network.endpoint.ifname";
/// The first API that knows `IFNAME`.
const API_IFNAME: (u16, u16) = (1, 48);
/// Nothing in `/proc` and `/sys` is hidden or read-only.
pub(super) const SYSTEM_PATHS: &str = "systempaths=unconfined";
/// What the engine puts its host's address in place of.
pub(super) const HOST_GATEWAY: &str = "host-gateway";
pub(super) const PROPAGATION: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// `network`: name or id, and the place in it.
/// `image`: what it says, where it is known.
pub(super) fn create(
    container: &Container,
    image: Option<&ImageDefaults>,
    network: Option<(String, EndpointSettings)>,
) -> ContainerCreateBody {
    let own = container.network_mode == NetworkMode::Own;
    let (entrypoint, cmd) = program(container, image);
    ContainerCreateBody {
        image: Some(container.image.clone()),
        cmd,
        entrypoint,
        env: Some(container.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        hostname: container.hostname.clone(),
        user: container.user.clone(),
        working_dir: container.working_dir.clone(),
        tty: Some(container.tty),
        open_stdin: Some(container.stdin_open),
        exposed_ports: Some(container.ports.iter().map(inside).collect::<BTreeSet<_>>().into_iter().collect()),
        healthcheck: container.healthcheck.as_ref().map(healthcheck),
        stop_signal: container.stop_signal.clone(),
        stop_timeout: container.stop_grace_period.map(|period| signed(period.whole())),
        labels: Some(container.labels.clone().into_iter().collect()),
        host_config: Some(host_config(container)),
        networking_config: network
            .filter(|_| own)
            .map(|(name, endpoint)| NetworkingConfig { endpoints_config: Some(HashMap::from([(name, endpoint)])) }),
        ..ContainerCreateBody::default()
    }
}

/// Entrypoint and command. The guest comes before both; the engine's own rules for what the image says are applied here, because to
/// the engine the guest is an entrypoint of one's own.
fn program(container: &Container, image: Option<&ImageDefaults>) -> (Option<Vec<String>>, Option<Vec<String>>) {
    if container.guest.is_none() {
        return (container.entrypoint.clone(), container.command.clone());
    }
    let of_image = |part: fn(&ImageDefaults) -> &Option<Vec<String>>| image.and_then(|image| part(image).clone());
    let entrypoint = container.entrypoint.clone().or_else(|| of_image(|image| &image.entrypoint)).unwrap_or_default();
    let command = match (&container.command, &container.entrypoint) {
        (Some(command), _) => command.clone(),
        (None, Some(_)) => vec![],
        (None, None) => of_image(|image| &image.command).unwrap_or_default(),
    };
    (Some(guest::entrypoint().into_iter().chain(entrypoint).collect()), Some(command))
}

fn host_config(container: &Container) -> HostConfig {
    let (short, long): (Vec<_>, Vec<_>) = container.mounts.iter().partition(|(place, mount)| is_short(place, mount));
    let limits = &container.limits;
    // Not an option of the engine's: its client clears the two lists.
    let unconfined = container.security_opt.contains(SYSTEM_PATHS).then(Vec::new);
    HostConfig {
        // Whatever networks a machine has come by connecting, so that none of them is fixed by its creation.
        network_mode: Some(network_mode(container)),
        binds: Some(short.into_iter().map(|(place, mount)| bind(place, mount)).collect()),
        mounts: Some(long.into_iter().map(|(place, mount)| long_mount(place, mount)).chain(guest::mounts(container)).collect()),
        tmpfs: Some(container.tmpfs.clone().into_iter().collect()),
        shm_size: container.shm_size.map(|size| signed(size.0)),
        port_bindings: Some(port_bindings(&container.ports)),
        restart_policy: Some(restart(container.restart)),
        nano_cpus: limits.cpus.map(|cpus| signed(cpus.0)),
        cpuset_cpus: limits.cpuset.clone(),
        memory: limits.memory.map(|memory| signed(memory.0)),
        pids_limit: limits.pids.map(signed),
        ulimits: Some(
            container
                .ulimits
                .iter()
                .map(|(name, it)| ResourcesUlimits { name: Some(name.clone()), soft: Some(it.soft), hard: Some(it.hard) })
                .collect(),
        ),
        sysctls: Some(container.sysctls.clone().into_iter().collect()),
        cap_add: list(container.cap_add.iter().cloned()),
        cap_drop: list(container.cap_drop.iter().cloned()),
        devices: Some(
            container
                .devices
                .iter()
                .map(|it| DeviceMapping {
                    path_on_host: Some(it.source.clone()),
                    path_in_container: Some(it.target.clone()),
                    cgroup_permissions: Some(it.permissions.clone()),
                })
                .collect(),
        ),
        privileged: Some(container.privileged),
        // Said in either case: an engine can have been told to put its own before everybody.
        init: Some(container.init),
        security_opt: list(container.security_opt.iter().filter(|option| *option != SYSTEM_PATHS).cloned()),
        masked_paths: unconfined.clone(),
        readonly_paths: unconfined,
        dns: list(container.dns.iter().map(ToString::to_string)),
        dns_search: list(container.dns_search.iter().cloned()),
        extra_hosts: list(extra_hosts(container)),
        ..HostConfig::default()
    }
}

fn extra_hosts(container: &Container) -> impl Iterator<Item = String> {
    let known = container.hosts.iter().map(|entry| format!("{}:{}", entry.name, entry.address));
    known.chain(container.gateway_hosts.iter().map(|name| format!("{name}:{HOST_GATEWAY}")))
}

/// An empty list can mean more than none: `SecurityOpt: []` takes away what the engine would add.
fn list(items: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let items: Vec<String> = items.collect();
    (!items.is_empty()).then_some(items)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn network_mode(container: &Container) -> String {
    match &container.network_mode {
        NetworkMode::Own => "none".into(),
        NetworkMode::Host => "host".into(),
        NetworkMode::Machine(machine) => {
            let project = container.labels.get(LABEL_PROJECT).and_then(|project| Name::new(project).ok());
            format!("container:{}", project.map_or_else(|| machine.to_string(), |project| machine.in_project(&project)))
        }
        NetworkMode::Container(name) => format!("container:{name}"),
    }
}

/// Whether the short form can say it. It makes the directory where there is none and knows the labels of `SELinux`; but it
/// parts its fields by colons.
fn is_short(place: &str, mount: &Mount) -> bool {
    let colon = |path: &str| path.contains(':');
    match &mount.source {
        MountSource::Bind(source) | MountSource::Volume(source) => !colon(source) && !colon(place) && !mount.must_exist,
        MountSource::Anonymous => false,
    }
}

fn bind(place: &str, mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Bind(source) | MountSource::Volume(source) => source.as_str(),
        MountSource::Anonymous => "",
    };
    let relabel = mount.relabel.map(|relabel| match relabel {
        Relabel::Shared => "z",
        Relabel::Private => "Z",
    });
    let (read_only, nocopy) = (mount.read_only.then_some("ro"), mount.nocopy.then_some("nocopy"));
    let options: Vec<&str> = [read_only, relabel, mount.propagation.as_deref(), nocopy].into_iter().flatten().collect();
    if options.is_empty() { format!("{source}:{place}") } else { format!("{source}:{place}:{}", options.join(",")) }
}

fn long_mount(place: &str, mount: &Mount) -> LongMount {
    let (typ, source) = match &mount.source {
        MountSource::Bind(source) => (MountType::BIND, Some(source.clone())),
        MountSource::Volume(name) => (MountType::VOLUME, Some(name.clone())),
        MountSource::Anonymous => (MountType::VOLUME, None),
    };
    let propagation = mount.propagation.as_deref().and_then(|it| it.parse::<MountBindOptionsPropagationEnum>().ok());
    // Engines before 23 do not listen: there the folder has to be there already.
    let create_mountpoint = (typ == MountType::BIND && !mount.must_exist).then_some(true);
    let of_bind = (propagation.is_some() || create_mountpoint.is_some()).then(|| MountBindOptions {
        propagation,
        create_mountpoint,
        ..MountBindOptions::default()
    });
    LongMount {
        target: Some(place.to_owned()),
        bind_options: of_bind,
        volume_options: mount.nocopy.then(|| MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        source,
        typ: Some(typ),
        read_only: Some(mount.read_only),
        ..LongMount::default()
    }
}

fn inside(port: &Port) -> String {
    format!("{}/{}", port.target, port.protocol)
}

fn port_bindings(ports: &BTreeSet<Port>) -> PortMap {
    let mut bindings = PortMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: Some(port.host_ip.map(|ip| ip.to_string()).unwrap_or_default()),
            host_port: Some(match (port.published, port.last) {
                (Some(first), Some(last)) => format!("{first}-{last}"),
                (Some(port), None) => port.to_string(),
                (None, _) => String::new(),
            }),
        };
        bindings.entry(inside(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

/// "no" is said: an empty name would mean "leave as it is".
fn restart(restart: Restart) -> RestartPolicy {
    let (name, times) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, 0),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, 0),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, 0),
        Restart::OnFailure(times) => (RestartPolicyNameEnum::ON_FAILURE, i64::from(times)),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: Some(times) }
}

fn healthcheck(check: &Healthcheck) -> HealthConfig {
    HealthConfig {
        test: (!check.test.is_empty()).then(|| check.test.clone()),
        interval: check.interval.map(|it| signed(it.nanos())),
        timeout: check.timeout.map(|it| signed(it.nanos())),
        start_period: check.start_period.map(|it| signed(it.nanos())),
        start_interval: check.start_interval.map(|it| signed(it.nanos())),
        retries: check.retries.map(i64::from),
    }
}

/// All limits in one request: the engine checks them all before it applies the first. `CpuQuota` is never said, for it would
/// make every later `NanoCpus` void.
pub(super) fn update(limits: &Limits, policy: Restart, cpus: u32) -> ContainerUpdateBody {
    let (memory, swap) = match limits.memory {
        None => (MEMORY_WITHOUT_LIMIT, MEMORY_WITHOUT_LIMIT),
        Some(memory) => (signed(memory.0), signed(memory.0.saturating_mul(2))),
    };
    ContainerUpdateBody {
        nano_cpus: Some(signed(limits.cpus.map_or(u64::from(cpus) * Cpus::ONE, |it| it.0))),
        cpuset_cpus: Some(limits.cpuset.clone().unwrap_or_else(|| match cpus {
            0 | 1 => "0".into(),
            _ => format!("0-{}", cpus - 1),
        })),
        memory: Some(memory),
        memory_swap: Some(swap),
        pids_limit: Some(limits.pids.map_or(-1, signed)),
        restart_policy: Some(restart(policy)),
        ..ContainerUpdateBody::default()
    }
}

pub(super) fn endpoint(endpoint: &Endpoint, api: (u16, u16)) -> EndpointSettings {
    let asked = endpoint.ipv4.is_some() || endpoint.ipv6.is_some();
    let ifname = endpoint.ifname.as_ref().filter(|_| api >= API_IFNAME);
    EndpointSettings {
        ipam_config: asked.then(|| EndpointIpamConfig {
            ipv4_address: endpoint.ipv4.map(|it| it.to_string()),
            ipv6_address: endpoint.ipv6.map(|it| it.to_string()),
            ..EndpointIpamConfig::default()
        }),
        aliases: list(endpoint.aliases.iter().cloned()),
        mac_address: endpoint.mac.map(|mac| mac.to_string()),
        driver_opts: ifname.map(|name| HashMap::from([(IFNAME.to_owned(), name.to_string())])),
        ..EndpointSettings::default()
    }
}

/// Whether what is there is what was asked for. The engine merges the image's values in, so only what was said is compared.
pub(super) fn satisfies(asked: &Container, there: &Container) -> bool {
    let said = |asked: &Option<Vec<String>>, there: &Option<Vec<String>>| asked.is_none() || asked == there;
    let word = |asked: &Option<String>, there: &Option<String>| asked.is_none() || asked == there;
    let mounts = asked.mounts.iter().all(|(place, mount)| {
        there
            .mounts
            .get(place)
            .map(|found| Mount { must_exist: mount.must_exist, ..found.clone() })
            .is_some_and(|found| found == *mount || (mount.source == MountSource::Anonymous && found.read_only == mount.read_only))
    });
    asked.image == there.image
        && said(&asked.command, &there.command)
        && said(&asked.entrypoint, &there.entrypoint)
        && asked.environment.iter().all(|(name, value)| there.environment.get(name) == Some(value))
        && asked.labels.iter().all(|(name, value)| there.labels.get(name) == Some(value))
        && [(&asked.hostname, &there.hostname), (&asked.user, &there.user), (&asked.working_dir, &there.working_dir)]
            .into_iter()
            .chain([(&asked.stop_signal, &there.stop_signal)])
            .all(|(asked, there)| word(asked, there))
        && mounts
        && (asked.tty, asked.stdin_open, asked.init) == (there.tty, there.stdin_open, there.init)
        && (&asked.tmpfs, &asked.ports, asked.restart) == (&there.tmpfs, &there.ports, there.restart)
        && (&asked.ulimits, &asked.sysctls, &asked.devices) == (&there.ulimits, &there.sysctls, &there.devices)
        && (&asked.cap_add, &asked.cap_drop, asked.privileged) == (&there.cap_add, &there.cap_drop, there.privileged)
        && asked.security_options().eq(there.security_options())
        && (&asked.dns, &asked.hosts, &asked.gateway_hosts) == (&there.dns, &there.hosts, &there.gateway_hosts)
}
