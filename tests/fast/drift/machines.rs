//! A machine's own keys.

use std::net::IpAddr;
use std::sync::Arc;

use fly::actual::Actual;
use fly::engine::InRegistry;
use fly::net::Namespace;
use fly::types::{
    Bytes, Container, Cpus, Device, GuestSshd, Healthcheck, Mount, MountSource, Name, NetworkMode, Ns, Port, Protocol, Relabel, Restart,
    Rule as Policy, Seconds, SshServer, Table, Ulimit,
};

use super::Rule;

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn ns<'a>(world: &'a mut Actual, machine: &str) -> &'a mut Namespace {
    world.net.namespaces.get_mut(&Ns::Machine(name(machine))).unwrap()
}

fn container(world: &mut Actual) -> &mut Container {
    &mut world.engine.machines.get_mut(&name("a")).unwrap().container
}

fn health(world: &mut Actual) -> &mut Healthcheck {
    container(world).healthcheck.as_mut().unwrap()
}

fn mount(world: &mut Actual) -> &mut Mount {
    container(world).mounts.get_mut("/x").unwrap()
}

fn device(world: &mut Actual, change: fn(&mut Device)) {
    let devices = &mut container(world).devices;
    let mut device = devices.pop_first().unwrap();
    change(&mut device);
    devices.insert(device);
}

fn port(world: &mut Actual, change: fn(&mut Port)) {
    let ports = &mut container(world).ports;
    let mut port = ports.pop_first().unwrap();
    change(&mut port);
    ports.insert(port);
}

pub(super) fn policy(world: &mut Actual, change: fn(&mut Policy)) {
    let rules = &mut ns(world, "a").routing.rules;
    let mut rule = rules.pop_first().unwrap();
    change(&mut rule);
    rules.insert(rule);
}

fn sshd(world: &mut Actual) -> &mut GuestSshd {
    world.net.guests.get_mut(&name("a")).unwrap().config.as_mut().unwrap().sshd.as_mut().unwrap()
}

/// Somebody takes a name out of the machine's `/etc/hosts`.
fn forget(world: &mut Actual, host: &str) {
    Arc::make_mut(&mut ns(world, "a").hosts).retain(|line| line.entry.name != host);
}

fn seconds(text: &str) -> Seconds {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2yYx3fG2cZ0oYwUqI9d8B8l2yWw5m0m8oRrG1q2h3k a@b";

/// A file with one machine that has this, and a card; and another one beside it.
fn file(keys: &str) -> String {
    // Who has the same image is made anew with it.
    let other = if keys.contains("pull_policy") { "other" } else { "debian" };
    let cards = if keys.contains("network_mode") || keys.contains("ports") { "" } else { ", nics: {eth0: back}" };
    format!(
        "networks: {{back: {{subnet: 10.10.0.0/24}}}}\nvolumes: {{data: {{}}}}\nmachines:\n  a: {{image: debian{cards}, {keys}}}\n  b: {{image: {other}, nics: {{eth0: back}}}}\n"
    )
}

pub(super) fn rules() -> Vec<Rule> {
    let rule = |(key, keys, by_hand): (&'static str, &str, fn(&mut Actual))| Rule { key, file: file(keys), by_hand };
    let key = |text: &str| text.replace("KEY", KEY);
    let mut all: Vec<Rule> =
        processes().into_iter().chain(limits()).chain(rights()).chain(health_checks()).chain(storage()).chain(net()).map(rule).collect();
    let logins: Vec<Row> = vec![
        ("machine.sshd", "sshd: true", |w| w.net.guests.get_mut(&name("a")).unwrap().config.as_mut().unwrap().sshd = None),
        ("machine.sshd.authorized_keys", "sshd: {authorized_keys: 'KEY'}", |w| {
            sshd(w).users.get_mut("root").unwrap().authorized_keys.clear();
        }),
        ("machine.sshd.port", "sshd: {port: 2222}", |w| sshd(w).port = 22),
        ("machine.sshd.server", "sshd: {server: openssh}", |w| sshd(w).server = SshServer::Fly),
        ("machine.sshd.users", "sshd: {users: [ada]}", |w| sshd(w).users.clear()),
        ("machine.sshd.users.authorized_keys", "sshd: {users: {ada: {authorized_keys: 'KEY'}}}", |w| {
            sshd(w).users.get_mut("ada").unwrap().authorized_keys.clear();
        }),
    ];
    all.extend(logins.into_iter().map(|(path, keys, by_hand)| rule((path, &key(keys), by_hand))));
    all.push(rule(("machine.sshd.users.password", "sshd: {users: {ada: {password: secret}}}", |w| {
        sshd(w).users.get_mut("ada").unwrap().password_hash = None;
    })));
    all
}

type Row = (&'static str, &'static str, fn(&mut Actual));

fn processes() -> Vec<Row> {
    vec![
        ("machines", "tty: false", |w| {
            w.engine.machines.remove(&name("a"));
            remove_cards(w, "a");
        }),
        ("machine.image", "tty: false", |w| container(w).image = "debian:11".into()),
        ("machine.pull_policy", "pull_policy: always", |w| {
            w.engine.images.get_mut("debian").unwrap().registry = Some(InRegistry::Other("sha256:1234".into()));
        }),
        ("machine.command", "command: [sleep, '1']", |w| container(w).command = Some(vec!["true".into()])),
        ("machine.entrypoint", "entrypoint: [sleep]", |w| container(w).entrypoint = None),
        ("machine.environment", "environment: {A: one}", |w| drop(container(w).environment.insert("A".into(), "two".into()))),
        ("machine.env_file", "env_file: a.env", |w| drop(container(w).environment.remove("FROM_FILE"))),
        ("machine.env_file.path", "env_file: {path: a.env}", |w| drop(container(w).environment.insert("FROM_FILE".into(), "2".into()))),
        ("machine.hostname", "hostname: web", |w| container(w).hostname = Some("other".into())),
        ("machine.user", "user: ada", |w| container(w).user = None),
        ("machine.working_dir", "working_dir: /srv", |w| container(w).working_dir = Some("/".into())),
        ("machine.tty", "tty: true", |w| container(w).tty = false),
        ("machine.stdin_open", "stdin_open: true", |w| container(w).stdin_open = false),
        ("machine.init", "guest: false, init: true", |w| container(w).init = false),
        ("machine.guest", "guest: true", |w| container(w).guest = None),
        ("machine.restart", "restart: always", |w| container(w).restart = Restart::No),
        ("machine.stop_signal", "stop_signal: SIGINT", |w| container(w).stop_signal = None),
        ("machine.stop_grace_period", "stop_grace_period: 5s", |w| container(w).stop_grace_period = Some(seconds("7s"))),
        ("machine.labels", "labels: {tier: front}", |w| drop(container(w).labels.remove("tier"))),
        ("machine.scale", "scale: 2", |w| {
            w.engine.machines.remove(&name("a-2"));
            remove_cards(w, "a-2");
        }),
    ]
}

fn limits() -> Vec<Row> {
    vec![
        ("machine.cpus", "cpus: 0.5", |w| container(w).limits.cpus = Some(Cpus(Cpus::ONE / 4))),
        ("machine.cpuset", "cpuset: '0'", |w| container(w).limits.cpuset = None),
        ("machine.memory", "memory: 64M", |w| container(w).limits.memory = Some(Bytes(128 << 20))),
        ("machine.pids_limit", "pids_limit: 100", |w| container(w).limits.pids = None),
        ("machine.shm_size", "shm_size: 1M", |w| container(w).shm_size = None),
        ("machine.ulimits", "ulimits: {nofile: 1024}", |w| container(w).ulimits.clear()),
        ("machine.ulimits.soft", "ulimits: {nofile: {soft: 1, hard: 2}}", |w| {
            container(w).ulimits.insert("nofile".into(), Ulimit { soft: 2, hard: 2 });
        }),
        ("machine.ulimits.hard", "ulimits: {nofile: {soft: 1, hard: 2}}", |w| {
            container(w).ulimits.insert("nofile".into(), Ulimit { soft: 1, hard: 3 });
        }),
        ("machine.sysctls", "sysctls: {net.ipv4.ip_forward: 1}", |w| {
            drop(container(w).sysctls.insert("net.ipv4.ip_forward".into(), "0".into()));
        }),
    ]
}

fn rights() -> Vec<Row> {
    const DEVICE: &str = "devices: [{source: /dev/fuse, target: /dev/fuse, permissions: rw}]";
    vec![
        ("machine.cap_add", "cap_add: [NET_ADMIN]", |w| container(w).cap_add.clear()),
        ("machine.cap_drop", "cap_drop: [CHOWN]", |w| container(w).cap_drop.clear()),
        ("machine.privileged", "privileged: true", |w| container(w).privileged = false),
        ("machine.security_opt", "security_opt: [apparmor=unconfined]", |w| container(w).security_opt.clear()),
        ("machine.devices", "devices: [/dev/fuse]", |w| container(w).devices.clear()),
        ("machine.devices.source", DEVICE, |w| device(w, |device| device.source = "/dev/null".into())),
        ("machine.devices.target", DEVICE, |w| device(w, |device| device.target = "/dev/null".into())),
        ("machine.devices.permissions", DEVICE, |w| device(w, |device| device.permissions = "rwm".into())),
    ]
}

fn health_checks() -> Vec<Row> {
    const CHECK: &str = "healthcheck: {test: [CMD, 'true'], interval: 5s, timeout: 2s, start_period: 1s, start_interval: 1s, retries: 2}";
    vec![
        ("machine.healthcheck", CHECK, |w| container(w).healthcheck = None),
        ("machine.healthcheck.test", CHECK, |w| health(w).test = vec!["CMD".into(), "false".into()]),
        ("machine.healthcheck.interval", CHECK, |w| health(w).interval = Some(seconds("9s"))),
        ("machine.healthcheck.timeout", CHECK, |w| health(w).timeout = Some(seconds("9s"))),
        ("machine.healthcheck.start_period", CHECK, |w| health(w).start_period = Some(seconds("9s"))),
        ("machine.healthcheck.start_interval", CHECK, |w| health(w).start_interval = Some(seconds("9s"))),
        ("machine.healthcheck.retries", CHECK, |w| health(w).retries = Some(9)),
        ("machine.healthcheck.disable", "healthcheck: {disable: true}", |w| container(w).healthcheck = None),
    ]
}

fn storage() -> Vec<Row> {
    const BIND: &str = "volumes: [{type: bind, source: /srv, target: /x, read_only: true, bind: {propagation: rslave, selinux: z}}]";
    vec![
        ("volumes", "volumes: ['data:/x']", |w| drop(w.engine.volumes.remove(&name("data")))),
        ("machine.volumes", BIND, |w| container(w).mounts.retain(|place, _| place != "/x")),
        ("machine.volumes.type", BIND, |w| mount(w).source = MountSource::Volume("t.data".into())),
        ("machine.volumes.source", BIND, |w| mount(w).source = MountSource::Bind("/opt".into())),
        ("machine.volumes.target", BIND, |w| {
            let mount = container(w).mounts.remove("/x").unwrap();
            container(w).mounts.insert("/y".into(), mount);
        }),
        ("machine.volumes.read_only", BIND, |w| mount(w).read_only = false),
        ("machine.volumes.bind.propagation", BIND, |w| mount(w).propagation = Some("rshared".into())),
        ("machine.volumes.bind.selinux", BIND, |w| mount(w).relabel = Some(Relabel::Private)),
        ("machine.volumes.volume.nocopy", "volumes: ['data:/x:nocopy']", |w| mount(w).nocopy = false),
        ("machine.volumes.tmpfs.size", "volumes: [{type: tmpfs, target: /x, tmpfs: {size: 1m}}]", |w| {
            container(w).tmpfs.insert("/x".into(), "size=5".into());
        }),
        ("machine.volumes.tmpfs.mode", "volumes: [{type: tmpfs, target: /x, tmpfs: {mode: 0700}}]", |w| {
            container(w).tmpfs.insert("/x".into(), String::new());
        }),
        ("machine.tmpfs", "tmpfs: '/run:size=64m'", |w| container(w).tmpfs.clear()),
    ]
}

fn net() -> Vec<Row> {
    const PORT: &str = "ports: [{target: 80, published: 8080, host_ip: 127.0.0.1, protocol: udp}]";
    const POLICY: &str = "rules: [{from: 10.1.0.0/16, to: 10.2.0.0/16, fwmark: 16, iif: eth0, table: 100, priority: 50}]";
    vec![
        ("machine.dns", "dns: [10.0.0.1]", |w| container(w).dns = vec![address("10.0.0.2")]),
        ("machine.dns_search", "dns_search: [example]", |w| container(w).dns_search.clear()),
        ("machine.extra_hosts", "extra_hosts: {far: 10.0.0.9}", |w| forget(w, "far")),
        ("machine.links", "links: ['b:database']", |w| forget(w, "database")),
        ("machine.network_mode", "network_mode: host", |w| container(w).network_mode = NetworkMode::Own),
        ("machine.nics", "tty: false", |w| remove_cards(w, "a")),
        ("machine.ports", PORT, |w| container(w).ports.clear()),
        ("machine.ports.target", PORT, |w| port(w, |port| port.target = 81)),
        ("machine.ports.published", PORT, |w| port(w, |port| port.published = Some(8081))),
        ("machine.ports.host_ip", PORT, |w| port(w, |port| port.host_ip = None)),
        ("machine.ports.protocol", PORT, |w| port(w, |port| port.protocol = Protocol::Tcp)),
        ("machine.rules", POLICY, |w| ns(w, "a").routing.rules.clear()),
        ("machine.rules.from", POLICY, |w| policy(w, |rule| rule.from = "10.9.0.0/16".parse().unwrap())),
        ("machine.rules.to", POLICY, |w| policy(w, |rule| rule.to = None)),
        ("machine.rules.fwmark", POLICY, |w| policy(w, |rule| rule.fwmark = None)),
        ("machine.rules.iif", POLICY, |w| policy(w, |rule| rule.iif = None)),
        ("machine.rules.table", POLICY, |w| policy(w, |rule| rule.table = Table(101))),
        ("machine.rules.priority", POLICY, |w| policy(w, |rule| rule.priority = 51)),
    ]
}

/// `ip link del` of every card of a machine: their other ends go with them.
fn remove_cards(world: &mut Actual, machine: &str) {
    let here = Ns::Machine(name(machine));
    let is_end = |link: &fly::net::LinkState| matches!(&link.link.kind, fly::types::LinkKind::Veth { peer: Some(peer) } if peer.ns == here);
    for ns in world.net.namespaces.values_mut() {
        ns.links.retain(|_, link| !is_end(link));
    }
    if world.engine.machines.contains_key(&name(machine)) {
        world.net.namespaces.get_mut(&here).unwrap().links.clear();
    } else {
        world.net.namespaces.remove(&here);
    }
}
