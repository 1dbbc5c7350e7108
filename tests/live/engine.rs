//! `engine::Docker` against a real engine: what is told reads back as it was told, and every operation can be done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fly::engine::{Docker, Engine, EngineError, EngineErrorKind, EngineOp, EngineQuery, EngineSnapshot, Health, RunState, WaitFor};
use fly::types::{
    Bytes, Container, Cpus, Device, Endpoint, EngineNetwork, Healthcheck, HostEntry, LABEL_MACHINE, LABEL_PROJECT, LABEL_RESOURCE, Limits,
    Mount, MountSource, Name, NetworkMode, Owner, Port, Protocol, Relabel, Restart, Seconds, Ulimit,
};

use crate::support::Lab;

const IMAGE: &str = "fly/busybox:test";

/// A lab, and fly's engine in it.
struct World {
    lab: Lab,
    engine: Docker,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn start() -> Self {
        let lab = Lab::start();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let engine = runtime.block_on(Docker::connect(Some(&format!("unix://{}", lab.socket().display())))).unwrap();
        Self { lab, engine, runtime }
    }

    fn observe(&self) -> EngineSnapshot {
        let query = EngineQuery { project: name("shop"), images: BTreeSet::from([IMAGE.to_owned(), "no/such:image".to_owned()]) };
        self.runtime.block_on(self.engine.observe(&query)).unwrap()
    }

    fn try_do(&self, op: &EngineOp) -> Result<Option<u32>, EngineError> {
        self.runtime.block_on(self.engine.perform(op, &|_| {})).map(|done| done.pid)
    }

    fn once(&self, op: &EngineOp) -> Option<u32> {
        self.try_do(op).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Done already is success.
    fn twice(&self, op: &EngineOp) {
        self.once(op);
        self.once(op);
    }

    fn run(&self, machine: &str, container: Container, network: Option<(String, Endpoint)>) {
        let name = format!("shop.{machine}");
        self.once(&EngineOp::CreateContainer { name: name.clone(), container: Box::new(container), network });
        self.once(&EngineOp::StartContainer { name });
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn labels(kind: &str, what: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(LABEL_PROJECT.to_owned(), "shop".to_owned()), (kind.to_owned(), what.to_owned())])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(ToString::to_string).collect()
}

fn plain(machine: &str) -> Container {
    Container { command: Some(words(&["/bin/stay"])), labels: labels(LABEL_MACHINE, machine), ..fly::fake::blank(IMAGE) }
}

fn mount(source: MountSource) -> Mount {
    Mount::of(source)
}

/// Every field with a value that is not the engine's default.
fn full(machine: &str, folder: &str) -> Container {
    let bind = |path: &str| mount(MountSource::Bind(format!("{folder}/{path}")));
    let volume = || mount(MountSource::Volume("shop.data".into()));
    let host = |name: &str, address: &str| HostEntry { name: name.into(), address: address.parse().unwrap() };
    let port = |target, protocol, host_ip: Option<&str>, published| Port {
        target,
        protocol,
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        published,
        last: None,
    };
    Container {
        entrypoint: Some(words(&["/bin/sh", "-c"])),
        command: Some(words(&["exec /bin/stay"])),
        environment: [("A", "1"), ("EMPTY", ""), ("EQ", "a=b")].map(|(a, b)| (a.into(), b.into())).into(),
        hostname: Some("web.example".into()),
        user: Some("1000:1000".into()),
        working_dir: Some("/srv".into()),
        tty: true,
        stdin_open: true,
        init: true,
        mounts: [
            ("/a", bind("a")),
            ("/b", Mount { read_only: true, relabel: Some(Relabel::Private), ..bind("b") }),
            ("/c", Mount { propagation: Some("rprivate".into()), ..bind("c") }),
            ("/v", volume()),
            ("/w", Mount { read_only: true, ..volume() }),
            ("/n", Mount { nocopy: true, ..volume() }),
        ]
        .map(|(place, mount)| (place.into(), mount))
        .into(),
        tmpfs: [("/t".to_owned(), "mode=0700,size=1m".to_owned()), ("/u".to_owned(), String::new())].into(),
        shm_size: Some(Bytes(8 << 20)),
        ports: [
            port(80, Protocol::Tcp, None, Some(8080)),
            port(80, Protocol::Tcp, Some("127.0.0.1"), Some(8081)),
            port(53, Protocol::Udp, None, None),
            Port { last: Some(9010), ..port(90, Protocol::Tcp, None, Some(9000)) },
        ]
        .into(),
        restart: Restart::OnFailure(3),
        healthcheck: Some(Healthcheck {
            test: words(&["CMD-SHELL", "true"]),
            interval: Some("1s".parse().unwrap()),
            timeout: Some("1500ms".parse().unwrap()),
            start_period: Some("2s".parse().unwrap()),
            retries: Some(7),
            ..Healthcheck::default()
        }),
        stop_signal: Some("SIGINT".into()),
        stop_grace_period: Some("3s".parse().unwrap()),
        limits: Limits { cpus: Some(Cpus(500_000_000)), cpuset: Some("0".into()), memory: Some(Bytes(64 << 20)), pids: Some(50) },
        ulimits: [("nofile".to_owned(), Ulimit { soft: 100, hard: 200 }), ("core".to_owned(), Ulimit { soft: -1, hard: -1 })].into(),
        sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
        cap_add: set(&["NET_ADMIN", "SYS_TIME"]),
        cap_drop: set(&["MKNOD"]),
        devices: [Device { source: "/dev/null".into(), target: "/dev/nothing".into(), permissions: "rw".into() }].into(),
        security_opt: set(&["no-new-privileges", "systempaths=unconfined", "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"]),
        gateway_hosts: set(&["host"]),
        dns: vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
        dns_search: words(&["example.org", "example.net"]),
        labels: labels(LABEL_MACHINE, machine).into_iter().chain([("mine".to_owned(), "ü \"x\"".to_owned())]).collect(),
        hosts: BTreeSet::from([host("db", "10.0.0.1"), host("db", "fd00::1"), host("cache", "10.0.0.2")]).into(),
        ..plain(machine)
    }
}

fn back() -> EngineOp {
    let network = EngineNetwork {
        subnets: ["10.55.0.0/24".parse().unwrap(), "fd55::/64".parse().unwrap()].into(),
        gateways: ["10.55.0.1".parse().unwrap(), "fd55::1".parse().unwrap()].into(),
        mtu: Some(1400),
        bridge: Some("flyback".into()),
        internal: false,
        labels: labels(LABEL_RESOURCE, "back"),
    };
    EngineOp::CreateNetwork { name: "shop.back".into(), network }
}

fn endpoint(ipv4: &str) -> Endpoint {
    Endpoint { ipv4: Some(ipv4.parse().unwrap()), aliases: set(&["alias"]), ..Endpoint::default() }
}

#[test]
fn a_container_reads_back_as_it_was_told() {
    let world = World::start();
    let folder = world.lab.dir().join("binds").display().to_string();
    world.twice(&back());
    world.twice(&EngineOp::CreateVolume { name: "shop.data".into(), labels: labels(LABEL_RESOURCE, "data") });
    let told = [
        ("plain", plain("plain")),
        ("full", full("full", &folder)),
        ("strong", Container { privileged: true, restart: Restart::UnlessStopped, ..plain("strong") }),
        ("hosted", Container { network_mode: NetworkMode::Host, restart: Restart::Always, ..plain("hosted") }),
        ("joined", Container { network_mode: NetworkMode::Machine(name("plain")), ..plain("joined") }),
        (
            "unchecked",
            Container {
                healthcheck: Some(Healthcheck { test: words(&["NONE"]), ..Healthcheck::default() }),
                entrypoint: Some(vec![]),
                ..plain("unchecked")
            },
        ),
    ];
    for (machine, container) in &told {
        let network = (*machine == "full").then(|| ("shop.back".to_owned(), endpoint("10.55.0.7")));
        let name = format!("shop.{machine}");
        world.twice(&EngineOp::CreateContainer { name, container: Box::new(container.clone()), network });
    }
    let created = world.observe();
    for (machine, container) in &told {
        let found = &created.machines[&name(machine)];
        assert_eq!(found.container, *container, "{machine}, created");
        assert_eq!((found.state, found.pid), (RunState::Created, None));
    }
    // Starting a privileged one takes every capability that there is, which the machine of the tests may lack.
    let started = told.iter().filter(|(_, container)| !container.privileged);
    for (machine, _) in started.clone() {
        world.once(&EngineOp::StartContainer { name: format!("shop.{machine}") });
    }
    let running = world.observe();
    for (machine, container) in started {
        let found = &running.machines[&name(machine)];
        assert_eq!(found.container, *container, "{machine}, running");
        assert_eq!(found.state, RunState::Running, "{machine}");
        assert!(found.pid.is_some() && found.started_at.is_some(), "{machine}");
        assert_eq!(found.image.as_ref().unwrap().command, Some(words(&["/bin/stay"])));
    }
    let full = &running.machines[&name("full")];
    let place = &full.endpoints["shop.back"];
    // The engine makes the host name an alias of its own accord, as if it had been asked.
    assert_eq!((place.ipv4, &place.aliases), (endpoint("10.55.0.7").ipv4, &set(&["alias", "web.example"])));
    assert_eq!(full.endpoints.len(), 1);
    assert_eq!(full.published.len(), 4, "{:?}", full.published);
    assert_eq!(running.machines[&name("plain")].endpoints.keys().collect::<Vec<_>>(), ["none"]);
    let EngineOp::CreateNetwork { network, .. } = back() else { unreachable!() };
    assert_eq!(running.networks[&name("back")].network, network);
    assert_eq!(running.networks[&name("back")].containers, set(&["shop.full"]));
    assert_eq!(running.volumes[&name("data")].labels, labels(LABEL_RESOURCE, "data"));
    assert_eq!(running.images.keys().collect::<Vec<_>>(), [IMAGE]);
    assert!(running.foreign_subnets.iter().any(|(_, network)| network == "bridge"), "{:?}", running.foreign_subnets);
    assert!(running.taken.networks.contains_key("bridge") && !running.taken.networks.contains_key("shop.back"));
    assert_eq!(running.facts.cpus as usize, std::thread::available_parallelism().unwrap().get());
}

#[test]
fn anonymous_volumes_show_by_their_number_and_go_with_the_container() {
    let world = World::start();
    let container = Container {
        image: "fly/defaults:test".into(),
        mounts: [("/anonymous".to_owned(), mount(MountSource::Anonymous))].into(),
        ..plain("web")
    };
    let create = EngineOp::CreateContainer { name: "shop.web".into(), container: Box::new(container), network: None };
    world.twice(&create);
    let snapshot = world.observe();
    let web = &snapshot.machines[&name("web")];
    let image = web.image.as_ref().unwrap();
    assert_eq!(image.volumes, set(&["/var/data"]));
    assert_eq!(image.environment["FROM_IMAGE"], "yes");
    assert_eq!(web.container.environment["FROM_IMAGE"], "yes");
    let numbers: BTreeSet<String> = ["/anonymous", "/var/data"]
        .map(|place| match &web.container.mounts[place].source {
            MountSource::Volume(number) if number.len() == 64 => number.clone(),
            other => panic!("{place}: {other:?}"),
        })
        .into();
    // A later container in its place keeps the data of the earlier one; it has none of its own.
    let heir = Container {
        mounts: numbers
            .iter()
            .zip(["/anonymous", "/var/data"])
            .map(|(it, at)| (at.into(), mount(MountSource::Volume(it.clone()))))
            .collect(),
        ..plain("web")
    };
    let heir_op = EngineOp::CreateContainer { name: "shop.web.new".into(), container: Box::new(heir), network: None };
    world.twice(&heir_op);
    assert_eq!(world.observe().leftovers.keys().collect::<Vec<_>>(), ["shop.web.new"]);
    world.twice(&EngineOp::RemoveContainer { name: "shop.web.new".into(), volumes: BTreeSet::new() });
    assert_eq!(world.lab.docker(&["volume", "ls", "-q"]).lines().count(), 2);
    world.twice(&EngineOp::RemoveContainer { name: "shop.web".into(), volumes: numbers });
    assert_eq!(world.lab.docker(&["volume", "ls", "-q"]), "");
    assert_eq!(world.observe().machines.len(), 0);
}

#[test]
fn limits_come_and_go_while_the_machine_runs() {
    let world = World::start();
    world.run("web", plain("web"), None);
    let before = world.lab.pid_and_start("shop.web");
    let some = Limits { cpus: Some(Cpus(1_500_000_000)), cpuset: Some("1".into()), memory: Some(Bytes(100 << 20)), pids: Some(77) };
    for (limits, restart) in [
        (some.clone(), Restart::Always),
        (Limits::default(), Restart::No),
        (Limits { memory: Some(Bytes(50 << 20)), ..some }, Restart::OnFailure(2)),
        (Limits::default(), Restart::UnlessStopped),
    ] {
        world.twice(&EngineOp::UpdateContainer { name: "shop.web".into(), limits: limits.clone(), restart });
        let found = &world.observe().machines[&name("web")].container;
        assert_eq!((&found.limits, found.restart), (&limits, restart));
        assert_eq!(world.lab.inspect("shop.web")["HostConfig"]["CpuQuota"], 0);
    }
    assert_eq!(world.lab.pid_and_start("shop.web"), before);
}

#[test]
fn networks_are_joined_and_left_live() {
    let world = World::start();
    world.twice(&back());
    world.run("web", plain("web"), None);
    let connect = EngineOp::Connect { container: "shop.web".into(), network: "shop.back".into(), endpoint: endpoint("10.55.0.9") };
    let disconnect = |network: &str| EngineOp::Disconnect { container: "shop.web".into(), network: network.into() };
    world.twice(&disconnect("none"));
    world.twice(&connect);
    assert!(world.lab.in_machine("shop.web", &["ip", "-o", "-4", "addr"]).contains("10.55.0.9/24"));
    // Somebody has deleted the link; the engine does not know.
    world.lab.in_machine("shop.web", &["sh", "-c", "ip -o link | sed -n 's/^[0-9]*: \\(eth[0-9]*\\)@.*/\\1/p' | xargs -n1 ip link del"]);
    world.once(&connect);
    assert!(world.lab.in_machine("shop.web", &["ip", "-o", "-4", "addr"]).contains("10.55.0.9/24"));
    world.twice(&disconnect("shop.back"));
    assert_eq!(world.observe().machines[&name("web")].endpoints, BTreeMap::new());
    // NICs that are not the engine's have the names that it would take.
    for nic in ["eth0", "eth1", "eth2", "eth3", "eth4"] {
        world.lab.in_machine("shop.web", &["ip", "link", "add", nic, "type", "veth", "peer", "name", &format!("p{nic}")]);
    }
    world.once(&connect);
    let addresses = world.lab.in_machine("shop.web", &["ip", "-o", "-4", "addr"]);
    assert!(addresses.contains("eth5") && addresses.contains("10.55.0.9/24"), "{addresses}");
    let found = &world.observe().machines[&name("web")].endpoints;
    assert_eq!(found["shop.back"].ipv4, endpoint("10.55.0.9").ipv4);
    // Created in none, it is connected without leaving that first.
    world.run("db", plain("db"), None);
    world.once(&EngineOp::Connect { container: "shop.db".into(), network: "shop.back".into(), endpoint: endpoint("10.55.0.10") });
    // An address in use is a conflict.
    world.run("third", plain("third"), None);
    let taken = EngineOp::Connect { container: "shop.third".into(), network: "shop.back".into(), endpoint: endpoint("10.55.0.10") };
    assert_eq!(world.try_do(&taken).unwrap_err().kind, EngineErrorKind::Conflict);
}

#[test]
fn the_life_of_a_container_can_be_told_twice() {
    let world = World::start();
    let name_of = |name: &str| name.to_owned();
    let create = EngineOp::CreateContainer { name: name_of("shop.web.new"), container: Box::new(plain("web")), network: None };
    world.twice(&create);
    world.twice(&EngineOp::RenameContainer { name: name_of("shop.web.new"), to: name_of("shop.web") });
    let pid = world.once(&EngineOp::StartContainer { name: name_of("shop.web") });
    assert_eq!(pid.map(u64::from), Some(world.lab.pid_and_start("shop.web").0));
    assert_eq!(world.once(&EngineOp::StartContainer { name: name_of("shop.web") }), pid);
    world.lab.docker(&["pause", "shop.web"]);
    assert_eq!(world.observe().machines[&name("web")].state, RunState::Paused);
    world.twice(&EngineOp::UnpauseContainer { name: name_of("shop.web") });
    world.twice(&EngineOp::StopContainer { name: name_of("shop.web") });
    assert!(matches!(world.observe().machines[&name("web")].state, RunState::Exited { .. }));
    world.twice(&EngineOp::RemoveContainer { name: name_of("shop.web"), volumes: BTreeSet::new() });
    world.twice(&EngineOp::StopContainer { name: name_of("shop.web") });
    assert_eq!(world.try_do(&EngineOp::StartContainer { name: name_of("shop.web") }).unwrap_err().kind, EngineErrorKind::NotFound);
    world.twice(&back());
    world.twice(&EngineOp::DeleteNetwork { name: name_of("shop.back") });
    world.twice(&EngineOp::CreateVolume { name: name_of("shop.data"), labels: labels(LABEL_RESOURCE, "data") });
    world.twice(&EngineOp::DeleteVolume { name: name_of("shop.data") });
    let empty = world.observe();
    assert!(empty.machines.is_empty() && empty.networks.is_empty() && empty.volumes.is_empty());
}

#[test]
fn strangers_keep_what_is_theirs() {
    let world = World::start();
    let lab = &world.lab;
    lab.docker(&["create", "--name=shop.web", IMAGE]);
    lab.docker(&["create", "--name=other.web", "--label=fly.project=other", "--label=fly.machine=web", IMAGE]);
    // Labels that come from the image prove nothing; nor do labels under another name.
    lab.image("liar", &["LABEL fly.project=shop fly.machine=db", "CMD [\"/bin/stay\"]"]);
    lab.docker(&["create", "--name=shop.db", "liar"]);
    lab.docker(&["create", "--name=shop.moved", "--label=fly.project=shop", "--label=fly.machine=cache", IMAGE]);
    lab.docker(&["network", "create", "shop.back"]);
    lab.docker(&["volume", "create", "shop.data"]);
    let before = lab.canonical();
    let snapshot = world.observe();
    assert!(snapshot.machines.is_empty() && snapshot.leftovers.is_empty() && snapshot.networks.is_empty() && snapshot.volumes.is_empty());
    let owners: Vec<(&str, &Owner)> = snapshot.taken.containers.iter().map(|(name, owner)| (name.as_str(), owner)).collect();
    let other = Owner::Project(name("other"));
    let stranger = &Owner::Stranger;
    assert_eq!(owners, [("other.web", &other), ("shop.db", stranger), ("shop.moved", stranger), ("shop.web", stranger)]);
    assert_eq!(snapshot.taken.networks["shop.back"], Owner::Stranger);
    assert_eq!(snapshot.taken.volumes["shop.data"], Owner::Stranger);
    for op in [
        EngineOp::CreateContainer { name: "shop.web".into(), container: Box::new(plain("web")), network: None },
        back(),
        EngineOp::CreateVolume { name: "shop.data".into(), labels: labels(LABEL_RESOURCE, "data") },
        EngineOp::RemoveContainer { name: "shop.web".into(), volumes: BTreeSet::new() },
        EngineOp::DeleteVolume { name: "shop.data".into() },
    ] {
        let error = world.try_do(&op).unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Conflict, "{error}");
        assert!(!error.to_string().contains('\n'));
    }
    world.once(&EngineOp::DeleteNetwork { name: "shop.back".into() });
    lab.is_as_before(&before);
}

#[test]
fn waiting_ends_as_soon_as_the_end_is_known() {
    let world = World::start();
    let check = |test: &str, retries| {
        let second: Option<Seconds> = Some("1s".parse().unwrap());
        Some(Healthcheck {
            test: words(&["CMD-SHELL", test]),
            interval: second,
            timeout: second,
            retries: Some(retries),
            ..Healthcheck::default()
        })
    };
    let shell = |text: &str| Some(words(&["sh", "-c", text]));
    world.run("well", Container { healthcheck: check("true", 1), ..plain("well") }, None);
    world.run("ill", Container { healthcheck: check("echo no route to db; false", 1), ..plain("ill") }, None);
    world.run("done", Container { command: shell("sleep 0.3"), ..plain("done") }, None);
    world.run("broken", Container { command: shell("echo cannot open database >&2; exit 3"), ..plain("broken") }, None);
    let wait = |container: &str, until, timeout: &str| {
        let timeout = timeout.parse().unwrap();
        world.try_do(&EngineOp::Wait { container: format!("shop.{container}"), until, timeout })
    };
    wait("well", WaitFor::Healthy, "20s").unwrap();
    assert_eq!(world.observe().machines[&name("well")].health, Health::Healthy);
    wait("done", WaitFor::Completed, "20s").unwrap();
    let ill = wait("ill", WaitFor::Healthy, "20s").unwrap_err();
    assert_eq!((ill.kind, ill.message.contains("no route to db")), (EngineErrorKind::Unhealthy, true), "{ill}");
    let broken = wait("broken", WaitFor::Completed, "20s").unwrap_err();
    assert_eq!(broken.kind, EngineErrorKind::Unhealthy);
    assert!(broken.message.contains("code 3") && broken.message.contains("cannot open database"), "{broken}");
    let late = wait("well", WaitFor::Completed, "300ms").unwrap_err();
    assert_eq!(late.kind, EngineErrorKind::Timeout, "{late}");
}

#[test]
fn who_cannot_be_reached_is_said() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kind = |address: &str| {
        let error = runtime.block_on(Docker::connect(Some(address))).err().unwrap();
        (error.kind, error.to_string())
    };
    let (unreachable, text) = kind("unix:///nowhere/docker.sock");
    assert_eq!(unreachable, EngineErrorKind::Unreachable);
    assert!(text.contains("/nowhere/docker.sock") && text.contains("no such file"), "{text}");
    assert_eq!(kind("tcp://127.0.0.1:1").0, EngineErrorKind::Unreachable);
    assert_eq!(kind("npipe://host").0, EngineErrorKind::Way);
}

#[test]
fn an_engine_that_is_gone_is_unreachable() {
    let world = World::start();
    let kind = |result: Result<EngineSnapshot, EngineError>| result.unwrap_err().kind;
    world.lab.signal_engine(rustix::process::Signal::KILL);
    std::thread::sleep(Duration::from_millis(300));
    let query = EngineQuery { project: name("shop"), images: BTreeSet::new() };
    assert_eq!(kind(world.runtime.block_on(world.engine.observe(&query))), EngineErrorKind::Unreachable);
    let start = EngineOp::StartContainer { name: "shop.web".into() };
    let refused = world.try_do(&start).unwrap_err();
    assert_eq!(refused.kind, EngineErrorKind::Unreachable, "{refused}");
    world.lab.restart_engine();
    assert_eq!(world.observe().machines.len(), 0);
}

#[test]
fn an_image_that_no_registry_has_is_an_error() {
    let world = World::start();
    let error = world.try_do(&EngineOp::PullImage { image: "127.0.0.1:1/no/such:1".into() }).unwrap_err();
    assert!(error.to_string().starts_with("pull image 127.0.0.1:1/no/such:1: "), "{error}");
}

#[test]
fn fifty_machines_are_seen_in_no_time() {
    let world = World::start();
    for i in 0..50 {
        let machine = format!("m{i}");
        world.run(&machine, plain(&machine), None);
    }
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(world.observe().machines.len(), 50);
            start.elapsed()
        })
        .collect();
    times.sort();
    // A fraction of this on an idle machine; the suite runs on busy ones.
    assert!(times[4] < Duration::from_millis(400), "{times:?}");
    assert!(world.runtime.block_on(world.engine.writable_layer("shop.m0")).is_some());
}
