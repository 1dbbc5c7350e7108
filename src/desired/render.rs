//! The resolved file, as `fly config` prints it: everything that fly decided stands in it, and `fly.yml` can be read from it again.
//!
//! Secrets in the environment are shown as they are: it is the user's own file, for the user's own eyes.

use std::collections::{BTreeMap, BTreeSet};

use super::hosts::Reach;
use super::model::{Attach, Desired, Guest, Machine, Network, NetworkKind, Nic, Volume};
use super::yaml::{Map, Node, file};
use crate::spec::{Condition, PullPolicy};
use crate::types::{
    CableId, Container, Device, GuestUser, HostEntries, HostEntry, IfName, LinkKind, Mount, MountSource, Name, NetworkMode, Port, Relabel,
    Route, RouteKind, Rule, Tuning,
};

/// `desired` as a `fly.yml` in which nothing is left open.
pub fn to_yaml(desired: &Desired) -> String {
    let mut top = Map::default();
    top.put("name", Node::text(&desired.project));
    top.put_full("networks", named(&desired.networks, network));
    let derived = Reach::new(&desired.machines).entries(&BTreeMap::new());
    let none = HostEntries::default();
    let machines = desired.machines.iter().map(|(name, m)| (name.to_string(), machine(m, desired, derived.get(name).unwrap_or(&none))));
    top.put_full("machines", Node::Map(machines.collect()));
    top.put_full("links", Node::List(desired.cables.keys().map(|id| cable(id, desired)).collect()));
    top.put_full("volumes", named(&desired.volumes, volume));
    file(&top.node())
}

fn named<K: ToString, V>(all: &BTreeMap<K, V>, node: impl Fn(&V) -> Node) -> Node {
    Node::Map(all.iter().map(|(key, value)| (key.to_string(), node(value))).collect())
}

pub(super) fn volume(volume: &Volume) -> Node {
    let mut map = Map::default();
    if volume.external {
        map.put("external", Node::text(&volume.name));
    }
    map.put_full("labels", texts(&user_labels(&volume.labels)));
    map.node()
}

fn texts(all: &BTreeMap<String, String>) -> Node {
    named(all, |text| Node::text(text))
}

fn user_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.iter().filter(|(key, _)| !key.starts_with("fly.")).map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(super) fn network(network: &Network) -> Node {
    let mut map = Map::default();
    let subnets = |map: &mut Map| match network.subnets.as_slice() {
        [] => map.put("subnet", Node::raw("none")),
        subnets => map.put("subnet", Node::texts(subnets)),
    };
    match &network.kind {
        NetworkKind::Nat { network: engine, .. } => {
            map.put("kind", Node::raw("nat"));
            subnets(&mut map);
            map.put_full("gateway", Node::texts(&engine.gateways));
            map.put_some("mtu", engine.mtu.map(Node::raw));
            map.put_some("internal", engine.internal.then(|| Node::raw(true)));
        }
        NetworkKind::Bridge => {
            map.put("kind", Node::raw(network.word()));
            beneath(network, network.uplink.as_deref().map(|uplink| ("uplink", uplink)), &mut map);
            subnets(&mut map);
        }
        NetworkKind::ExistingBridge { bridge } => {
            map.put("kind", Node::raw("bridge"));
            map.put("bridge", Node::text(bridge));
            subnets(&mut map);
        }
        NetworkKind::Macvlan { parent, mode, sources, promiscuous } => {
            map.put("kind", Node::raw("macvlan"));
            beneath(network, Some(("parent", parent)), &mut map);
            map.put("mode", Node::raw(mode));
            match sources.as_ref().map(BTreeSet::is_empty) {
                None => {}
                Some(true) => map.put("sources", Node::raw("none")),
                Some(false) => map.put_full("sources", Node::texts(sources.iter().flatten())),
            }
            map.put_some("promiscuous", promiscuous.then(|| Node::raw(true)));
            subnets(&mut map);
        }
        NetworkKind::Ipvlan { parent, mode } => {
            map.put("kind", Node::raw("ipvlan"));
            beneath(network, Some(("parent", parent)), &mut map);
            map.put("mode", Node::raw(mode));
            subnets(&mut map);
        }
        NetworkKind::Physical { device } => {
            map.put("kind", Node::raw("physical"));
            beneath(network, Some(("parent", device)), &mut map);
            subnets(&mut map);
        }
    }
    if let Some(link) = &network.host_link {
        map.put_full("host_ip", Node::texts(link.link.addresses.iter().map(ipnet::IpNet::addr)));
        map.put_some("mtu", link.link.mtu.map(Node::raw));
    }
    map.put_some("probe", (network.has_strangers() && !network.probe).then(|| Node::raw(false)));
    map.node()
}

/// The host's card that it hangs on, and which VLAN of it; or its vxlan.
fn beneath(network: &Network, card: Option<(&'static str, &str)>, map: &mut Map) {
    match network.lower.as_ref().map(|lower| &lower.link.kind) {
        Some(LinkKind::Vlan { parent, id }) => {
            let of = parent.as_ref().map_or("", |parent| parent.name.as_str());
            map.put_some(card.map_or("parent", |(key, _)| key), Some(Node::text(of)));
            map.put("vlan", Node::raw(id));
        }
        Some(LinkKind::Vxlan { vni, port, parent, local, remotes }) => {
            map.put("vni", Node::raw(vni));
            map.put_full("remotes", Node::texts(remotes));
            map.put("port", Node::raw(port));
            map.put_some("local", local.map(|local| Node::text(local.to_string())));
            map.put_some("parent", parent.as_ref().map(|parent| Node::text(&parent.name)));
        }
        _ => map.put_some(card.map_or("parent", |(key, _)| key), card.map(|(_, card)| Node::text(card))),
    }
}

pub(super) fn machine(machine: &Machine, desired: &Desired, derived: &BTreeSet<HostEntry>) -> Node {
    let container = &machine.container;
    let mut map = Map::default();
    map.put("image", Node::text(&container.image));
    let policy = match machine.pull_policy {
        PullPolicy::Missing => "missing",
        PullPolicy::Always => "always",
        PullPolicy::Never => "never",
    };
    map.put("pull_policy", Node::raw(policy));
    process(container, &mut map);
    let init = if machine.systemd { Some("systemd") } else { container.init.then_some("true") };
    map.put_some("init", init.map(Node::raw));
    storage(container, desired, &mut map);
    map.put_full("ports", Node::texts(container.ports.iter().map(port)));
    limits(container, &mut map);
    rights(container, &mut map);
    map.put_full("labels", texts(&user_labels(&container.labels)));
    let needs = machine.depends_on.iter().map(|(name, condition)| {
        let word = match condition {
            Condition::Started => "service_started",
            Condition::Healthy => "service_healthy",
            Condition::Completed => "service_completed_successfully",
        };
        (name.to_string(), Node::Map(vec![("condition".to_owned(), Node::raw(word))]))
    });
    map.put_full("depends_on", Node::Map(needs.collect()));
    map.put_full("dns", Node::texts(&container.dns));
    map.put_full("dns_search", Node::texts(&container.dns_search));
    // What the file's networks do not give by themselves.
    let own = machine.hosts.difference(derived).map(|entry| format!("{}={}", entry.name, entry.address));
    let gateway = container.gateway_hosts.iter().map(|name| format!("{name}=host-gateway"));
    map.put_full("extra_hosts", Node::texts(own.chain(gateway)));
    match &container.network_mode {
        NetworkMode::Own => {
            let nics = machine.nics.iter().filter(|(_, nic)| nic.attach.network().is_some());
            // Routes that lead nowhere are the machine's: they are written with its first card.
            let mut dead_ends = Some(&machine.routing.routes);
            let cards = nics.map(|(name, nic)| (name.to_string(), card(nic, desired, dead_ends.take()))).collect();
            map.put("nics", Node::Map(cards));
            map.put_full("rules", Node::List(machine.routing.rules.iter().map(rule).collect()));
        }
        mode => map.put("network_mode", Node::text(mode)),
    }
    if let Some(guest) = &machine.guest {
        self::guest(guest, &mut map);
    }
    map.node()
}

/// Keys that come from whoever runs fly are not the file's to say.
fn guest(guest: &Guest, map: &mut Map) {
    let Some(sshd) = &guest.config.sshd else { return map.put("guest", Node::raw(true)) };
    let user = |(name, user): (&String, &GuestUser)| {
        let mut one = Map::default();
        if !guest.adds_keys.contains(name) {
            one.put("authorized_keys", Node::texts(&user.authorized_keys));
        }
        one.put_some("password", user.password_hash.as_ref().map(Node::text));
        (name.clone(), one.node())
    };
    let mut server = Map::default();
    server.put("server", Node::raw(sshd.server));
    server.put("port", Node::raw(sshd.port));
    server.put("users", Node::Map(sshd.users.iter().map(user).collect()));
    map.put("sshd", server.node());
}

fn process(container: &Container, map: &mut Map) {
    map.put_some("entrypoint", container.entrypoint.as_ref().map(Node::texts));
    map.put_some("command", container.command.as_ref().map(Node::texts));
    map.put_full("environment", texts(&container.environment));
    map.put_some("hostname", container.hostname.as_ref().map(Node::text));
    map.put_some("user", container.user.as_ref().map(Node::text));
    map.put_some("working_dir", container.working_dir.as_ref().map(Node::text));
    map.put_some("tty", container.tty.then(|| Node::raw(true)));
    map.put_some("stdin_open", container.stdin_open.then(|| Node::raw(true)));
    map.put("restart", Node::text(container.restart));
    map.put_some("stop_signal", container.stop_signal.as_ref().map(Node::text));
    map.put_some("stop_grace_period", container.stop_grace_period.map(Node::text));
    if let Some(check) = &container.healthcheck {
        let mut health = Map::default();
        health.put_full("test", Node::texts(&check.test));
        health.put_some("interval", check.interval.map(Node::text));
        health.put_some("timeout", check.timeout.map(Node::text));
        health.put_some("start_period", check.start_period.map(Node::text));
        health.put_some("start_interval", check.start_interval.map(Node::text));
        health.put_some("retries", check.retries.map(Node::raw));
        map.put_full("healthcheck", health.node());
    }
}

fn storage(container: &Container, desired: &Desired, map: &mut Map) {
    let mounts = container.mounts.iter().map(|(target, mount)| self::mount(target, mount, desired));
    map.put_full("volumes", Node::List(mounts.collect()));
    let tmpfs =
        container.tmpfs.iter().map(|(target, options)| if options.is_empty() { target.clone() } else { format!("{target}:{options}") });
    map.put_full("tmpfs", Node::texts(tmpfs));
    map.put_some("shm_size", container.shm_size.map(Node::text));
    map.put_full(
        "devices",
        Node::texts(container.devices.iter().map(|Device { source, target, permissions }| format!("{source}:{target}:{permissions}"))),
    );
}

fn mount(target: &str, mount: &Mount, desired: &Desired) -> Node {
    let (kind, source) = match &mount.source {
        MountSource::Bind(path) => ("bind", Some(path.clone())),
        MountSource::Volume(engine) => {
            let key = desired.volumes.iter().find(|(_, volume)| volume.name == *engine).map(|(name, _)| name.to_string());
            ("volume", key)
        }
        MountSource::Anonymous => ("volume", None),
    };
    let mut map = Map::default();
    map.put("type", Node::raw(kind));
    map.put_some("source", source.map(Node::text));
    map.put("target", Node::text(target));
    map.put_some("read_only", mount.read_only.then(|| Node::raw(true)));
    let mut bind = Map::default();
    bind.put_some("propagation", mount.propagation.as_ref().map(Node::text));
    bind.put_some("selinux", mount.relabel.map(|relabel| Node::text(if relabel == Relabel::Shared { "z" } else { "Z" })));
    bind.put_some("create_host_path", mount.must_exist.then(|| Node::raw(false)));
    map.put_full("bind", bind.node());
    map.put_some("volume", mount.nocopy.then(|| Node::Map(vec![("nocopy".to_owned(), Node::raw(true))])));
    map.node()
}

fn port(port: &Port) -> String {
    let host = match port.host_ip {
        Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]:"),
        Some(std::net::IpAddr::V4(ip)) => format!("{ip}:"),
        None => String::new(),
    };
    let published = match (port.published, host.is_empty()) {
        (Some(published), _) => format!("{published}{}:", port.last.map(|last| format!("-{last}")).unwrap_or_default()),
        (None, true) => String::new(),
        (None, false) => ":".to_owned(),
    };
    format!("{host}{published}{}/{}", port.target, port.protocol)
}

fn limits(container: &Container, map: &mut Map) {
    let limits = &container.limits;
    map.put_some("cpus", limits.cpus.map(Node::raw));
    map.put_some("cpuset", limits.cpuset.as_ref().map(Node::text));
    map.put_some("memory", limits.memory.map(Node::text));
    map.put_some("pids_limit", limits.pids.map(Node::raw));
    let ulimits = named(&container.ulimits, |ulimit| {
        Node::Map(vec![("soft".to_owned(), Node::raw(ulimit.soft)), ("hard".to_owned(), Node::raw(ulimit.hard))])
    });
    map.put_full("ulimits", ulimits);
    map.put_full("sysctls", texts(&container.sysctls));
}

fn rights(container: &Container, map: &mut Map) {
    map.put_full("cap_add", Node::texts(&container.cap_add));
    map.put_full("cap_drop", Node::texts(&container.cap_drop));
    map.put_some("privileged", container.privileged.then(|| Node::raw(true)));
    map.put_full("security_opt", Node::texts(&container.security_opt));
}

pub(super) fn card(nic: &Nic, desired: &Desired, dead_ends: Option<&BTreeSet<Route>>) -> Node {
    let mut map = Map::default();
    let network = nic.attach.network().and_then(|name| desired.networks.get(name));
    let differs = network.is_some_and(|network| network.has_strangers() && network.probe != nic.probe);
    map.put_some("network", nic.attach.network().map(Node::text));
    wiring(nic, dead_ends.into_iter().flatten(), &mut map);
    map.put_some("mtu", nic.mtu.map(Node::raw));
    map.put_some("probe", differs.then(|| Node::raw(nic.probe)));
    map.node()
}

/// What cards and ends of cables have alike.
fn wiring<'a>(nic: &'a Nic, dead_ends: impl Iterator<Item = &'a Route>, map: &mut Map) {
    let addresses = nic.addresses.iter().map(ToString::to_string).chain(nic.dynamic.iter().map(ToString::to_string));
    let addresses: Vec<String> = addresses.collect();
    map.put("ip", if addresses.is_empty() { Node::raw("none") } else { Node::texts(&addresses) });
    map.put_some("mac", nic.own_mac().map(|mac| Node::Raw(format!("\"{mac}\""))));
    let is_gateway = |route: &&Route| {
        route.via.is_some_and(|via| **route == Route { metric: route.metric, ..Route::new(route.to, Some(via)) }) && route.is_default()
    };
    let gateway =
        |route: &Route| Some(format!("{}{}", route.via?, route.metric.map(|metric| format!(" metric {metric}")).unwrap_or_default()));
    let gateways: Vec<String> = nic.routes.iter().filter(is_gateway).filter_map(gateway).collect();
    if !gateways.is_empty() {
        map.put("gateway", Node::texts(gateways));
    } else if nic.attach.network().is_some() && !nic.routers {
        map.put("gateway", Node::raw("none"));
    }
    let routes = nic.routes.iter().filter(|route| !is_gateway(route)).chain(dead_ends);
    map.put_full("routes", Node::List(routes.map(route).collect()));
    map.put_some("up", (!nic.up).then(|| Node::raw(false)));
    let Tuning { neighbours, sysctls, traffic } = &nic.tuning;
    map.put_full("neighbours", Node::Map(neighbours.iter().map(|(ip, mac)| (ip.to_string(), Node::Raw(format!("\"{mac}\"")))).collect()));
    map.put_full("sysctls", Node::Map(sysctls.iter().map(|(name, value)| (name.to_string(), Node::raw(value))).collect()));
    for (field, value) in traffic.shown() {
        map.put_some(field, value.map(Node::text));
    }
}

fn route(route: &Route) -> Node {
    let mut map = Map::default();
    map.put("to", Node::text(route.to));
    map.put_some("via", route.via.map(Node::text));
    map.put_some("src", route.src.map(Node::text));
    map.put_some("scope", route.scope.map(Node::raw));
    map.put_some("metric", route.metric.map(Node::raw));
    map.put_some("table", route.table.map(Node::raw));
    map.put_some("onlink", route.onlink.then(|| Node::raw(true)));
    map.put_some("type", (route.kind != RouteKind::Unicast).then(|| Node::raw(route.kind)));
    map.node()
}

fn rule(rule: &Rule) -> Node {
    let mut map = Map::default();
    map.put("from", Node::text(rule.from));
    map.put_some("to", rule.to.map(Node::text));
    map.put_some("fwmark", rule.fwmark.map(Node::text));
    map.put_some("iif", rule.iif.as_ref().map(Node::text));
    map.put("table", Node::raw(rule.table));
    map.put("priority", Node::raw(rule.priority));
    map.node()
}

pub(super) fn cable(id: &CableId, desired: &Desired) -> Node {
    let nic = |(machine, card): &(Name, IfName)| desired.machines.get(machine).and_then(|machine| machine.nics.get(card));
    let ends = id.ends().map(|end| {
        let mut map = Map::default();
        map.put("nic", Node::Raw(format!("\"{}:{}\"", end.0, end.1)));
        if let Some(nic) = nic(end) {
            // A machine that has only cables has written them with none of its cards.
            let machine = desired.machines.get(&end.0).filter(|machine| machine.nics.values().all(|nic| nic.attach.network().is_none()));
            let is_first = machine.is_some_and(|machine| machine.nics.keys().next() == Some(&end.1));
            wiring(nic, machine.filter(|_| is_first).into_iter().flat_map(|machine| &machine.routing.routes), &mut map);
        }
        map.node()
    });
    let mut map = Map::default();
    map.put("ends", Node::List(ends.into()));
    let mtu = id.ends().into_iter().find_map(|end| nic(end).filter(|nic| matches!(nic.attach, Attach::Cable { .. }))?.mtu);
    map.put_some("mtu", mtu.map(Node::raw));
    map.node()
}
