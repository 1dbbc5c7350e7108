//! Random files and random worlds, small enough that thousands of them can be tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use fly::desired::{Context, Desired, resolve};
use fly::diag::{At, Diagnostic, Place};
use fly::spec::{
    Broken, Cable, CableEnd, Condition, Dependency, Entries, Ip, Machine, MachineLink, ModeSpec, Network, NetworkKind, NetworkModeSpec,
    Nic, PortRange, RuleSpec, Spec, Sshd, TrafficSpec, Tuning, Volume, VolumeMount, VolumeMountKind,
};
use fly::types::{Bytes, IpvlanMode, Protocol, Restart};
use proptest::prelude::*;

pub(crate) const MACHINES: [&str; 4] = ["a", "b", "c", "d"];
/// In this order: nat, nat, macvlan, bridge, existing bridge; and, as `turn` says, a vxlan, an ipvlan, a VLAN, a bridge with an uplink; a
/// card of the host's, for one machine.
pub(crate) const NETWORKS: [&str; 10] = ["out", "dmz", "lan", "back", "old", "far", "air", "tag", "wan", "bare"];
pub(crate) const IMAGES: [&str; 5] = ["debian", "app", "checked", "job", "far"];
const CARDS: [&str; 4] = ["eth0", "eth1", "eth2", "lan0"];
const VOLUMES: [&str; 2] = ["data", "more"];

/// A file, as far as it is made at random. What is left out is left to the defaults.
#[derive(Clone)]
pub(crate) struct Sketch {
    pub(crate) networks: Vec<NetSketch>,
    pub(crate) machines: BTreeMap<usize, MachineSketch>,
    /// Machine, machine and a choice of address.
    pub(crate) cables: Vec<(usize, usize, bool)>,
    /// The same file, written in another order.
    pub(crate) backwards: bool,
}

/// On one line: a failing case is read by people.
impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, network) in self.networks.iter().enumerate() {
            let line = format!("{network:?}");
            write!(f, "\n  {}: {line}", NETWORKS[at])?;
        }
        for (at, machine) in &self.machines {
            let line = format!("{machine:?}");
            write!(f, "\n  {} ({}): {line}", MACHINES[*at], IMAGES[machine.image])?;
        }
        let (cables, backwards) = (&self.cables, self.backwards);
        f.write_str(&format!("\n  cables {cables:?} backwards {backwards}"))
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
#[derive(Clone, Debug)]
pub(crate) struct NetSketch {
    pub(crate) mtu: Option<u32>,
    pub(crate) other_subnet: bool,
    pub(crate) v6: bool,
    pub(crate) host_ip: bool,
    /// Of a network that there are several forms of, which.
    pub(crate) turn: u8,
    /// Nobody is asked before an address is used.
    pub(crate) rude: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct MachineSketch {
    pub(crate) image: usize,
    pub(crate) environment: Option<u8>,
    pub(crate) memory: Option<u64>,
    pub(crate) restart: bool,
    pub(crate) port: bool,
    /// A named volume, and an anonymous one.
    pub(crate) volume: Option<usize>,
    pub(crate) anonymous: bool,
    /// An ssh server on this port.
    pub(crate) sshd: Option<u16>,
    /// Machines before it that it needs: their number, and whether as a link, and whether healthy or completed.
    pub(crate) needs: Vec<(usize, bool)>,
    pub(crate) mode: ModeSketch,
    pub(crate) nics: BTreeMap<usize, NicSketch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModeSketch {
    Own,
    None,
    Host,
    /// The first machine of the file, where this is another one.
    Member,
}

#[derive(Clone, Debug)]
pub(crate) struct NicSketch {
    pub(crate) network: usize,
    pub(crate) ip: IpSketch,
    pub(crate) mtu: Option<u32>,
    pub(crate) up: bool,
    /// The destination of a route: one of a few, so that it moves from card to card.
    pub(crate) route: Option<u8>,
    /// One of a few MACs, likewise.
    pub(crate) mac: Option<u8>,
    /// What else it carries, one bit for each.
    pub(crate) tuning: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpSketch {
    Auto,
    None,
    Given,
    /// One of a few, so that it moves from card to card.
    Shared(u8),
}

pub(crate) fn sketch() -> impl Strategy<Value = Sketch> {
    let networks = prop::collection::vec(network(), NETWORKS.len());
    let machines = prop::collection::btree_map(0..MACHINES.len(), machine(), 0..=3);
    let cables = prop::collection::vec((0..MACHINES.len(), 0..MACHINES.len(), any::<bool>()), 0..=2);
    (networks, machines, cables, any::<bool>()).prop_map(|(networks, machines, cables, backwards)| Sketch {
        networks,
        machines,
        cables,
        backwards,
    })
}

fn network() -> impl Strategy<Value = NetSketch> {
    let rare = || prop::bool::weighted(0.2);
    (prop::option::weighted(0.2, prop::sample::select(vec![1400, 1500])), rare(), rare(), any::<bool>(), rare(), 0..3_u8)
        .prop_map(|(mtu, other_subnet, v6, host_ip, rude, turn)| NetSketch { mtu, other_subnet, v6, host_ip, turn, rude })
}

fn machine() -> impl Strategy<Value = MachineSketch> {
    let mode = prop_oneof![
        12 => Just(ModeSketch::Own),
        1 => Just(ModeSketch::None),
        1 => Just(ModeSketch::Host),
        2 => Just(ModeSketch::Member),
    ];
    let first = (0..IMAGES.len(), prop::option::of(0..2_u8), prop::option::of(prop::sample::select(vec![64 << 20, 128 << 20])));
    let sshd = prop::option::weighted(0.4, prop::sample::select(vec![22, 2222]));
    let second = (any::<bool>(), prop::bool::weighted(0.2), prop::option::of(0..VOLUMES.len()), prop::bool::weighted(0.2), sshd);
    let needs = prop::collection::vec((0..MACHINES.len(), any::<bool>()), 0..=2);
    let nics = prop::collection::btree_map(0..CARDS.len(), nic(), 0..=3);
    (first, second, needs, mode, nics).prop_map(
        |((image, environment, memory), (restart, port, volume, anonymous, sshd), needs, mode, nics)| MachineSketch {
            image,
            environment,
            memory,
            restart,
            port,
            volume,
            anonymous,
            sshd,
            needs,
            mode,
            nics,
        },
    )
}

fn nic() -> impl Strategy<Value = NicSketch> {
    let ip = prop_oneof![4 => Just(IpSketch::Auto), 1 => Just(IpSketch::None), 2 => Just(IpSketch::Given), 2 => (0..3_u8).prop_map(IpSketch::Shared)];
    let mtu = prop::option::weighted(0.2, prop::sample::select(vec![1300, 1400]));
    let few = |chance| prop::option::weighted(chance, 0..3_u8);
    let network = prop_oneof![2 => 0..NETWORKS.len(), 1 => Just(2)];
    let tuning = prop::option::weighted(0.4, any::<u8>());
    (network, ip, mtu, prop::bool::weighted(0.9), few(0.3), few(0.5), tuning)
        .prop_map(|(network, ip, mtu, up, route, mac, tuning)| NicSketch { network, ip, mtu, up, route, mac, tuning })
}

impl Sketch {
    /// The same file, with MACs, routes or addresses (the bits of `what`) each at another card.
    pub(crate) fn turned(&self, by: u8, what: u8) -> Self {
        let mut turned = self.clone();
        let next = |which: u8| (which + by) % 3;
        for card in turned.machines.values_mut().flat_map(|machine| machine.nics.values_mut()) {
            if what & 1 != 0 {
                card.mac = card.mac.map(next);
            }
            if what & 2 != 0 {
                card.route = card.route.map(next);
            }
            if let (true, IpSketch::Shared(which)) = (what & 4 != 0, card.ip) {
                card.ip = IpSketch::Shared(next(which));
            }
        }
        turned
    }

    /// What the file comes to.
    pub(crate) fn desired(&self) -> Result<Desired, Vec<Diagnostic>> {
        resolve(
            &self.spec(),
            &Context {
                directory: "/srv/shop".into(),
                guest: "0123456789ab".into(),
                agent: Some("0123456789ab".into()),
                ..Context::default()
            },
        )
    }

    fn spec(&self) -> Spec {
        let mut networks: Vec<_> = (0..NETWORKS.len()).map(|at| (name(NETWORKS[at]), self.network(at))).collect();
        let mut machines: Vec<_> = self.machines.iter().map(|(at, machine)| (name(MACHINES[*at]), self.machine(*at, machine))).collect();
        let mut volumes: Vec<_> = VOLUMES.map(|volume| (name(volume), Volume { place: place(), external: None, labels: None })).into();
        let mut links: Vec<_> = self.cables();
        if self.backwards {
            networks.reverse();
            machines.reverse();
            volumes.reverse();
            links.reverse();
        }
        Spec {
            name: None,
            defaults: None,
            networks: Entries(networks),
            machines: Entries(machines),
            links,
            volumes: Entries(volumes),
            ..Spec::default()
        }
    }

    fn network(&self, at: usize) -> Network {
        let sketch = &self.networks[at];
        let third = at * 2 + usize::from(sketch.other_subnet);
        let mut subnet = vec![set(format!("10.77.{third}.0/24").parse().unwrap())];
        // The engine's IPv6 is another matter, and an existing bridge has what it has.
        if sketch.v6 && matches!(NETWORKS[at], "back" | "lan") {
            subnet.push(set(format!("fd77:{third}::/64").parse().unwrap()));
        }
        let host_ip =
            (sketch.host_ip && matches!(NETWORKS[at], "lan" | "back")).then(|| vec![set(format!("10.77.{third}.2").parse().unwrap())]);
        let network = Network {
            place: place(),
            kind: matches!(NETWORKS[at], "out" | "dmz").then(|| set(NetworkKind::Nat)),
            parent: (NETWORKS[at] == "lan").then(|| set("eth1".to_owned())),
            bridge: (NETWORKS[at] == "old").then(|| set("br0".to_owned())),
            mode: None,
            vlan: None,
            uplink: None,
            promiscuous: None,
            sources: None,
            vni: None,
            remotes: None,
            port: None,
            local: None,
            subnet: Some(subnet),
            gateway: None,
            pool: None,
            host_ip,
            mtu: sketch.mtu.filter(|_| NETWORKS[at] != "old").map(set),
            internal: None,
            probe: sketch.rude.then(|| set(false)),
            broken: Broken::default(),
        };
        beneath(NETWORKS[at], sketch.turn, network)
    }

    fn machine(&self, at: usize, sketch: &MachineSketch) -> Machine {
        let first = *self.machines.keys().next().expect("there is this one");
        let mode = self.mode(at);
        let nics = if mode == ModeSketch::Own { self.nics(at, sketch) } else { vec![] };
        let has_nat =
            nics.iter().any(|(_, nic)| nic.network.as_ref().is_some_and(|network| matches!(network.value.as_str(), "out" | "dmz")));
        let volume = |kind, target: &str| {
            set(VolumeMount {
                kind,
                target: target.into(),
                read_only: false,
                relabel: None,
                propagation: None,
                must_exist: false,
                nocopy: false,
            })
        };
        let named = sketch.volume.map(|volume_at| volume(VolumeMountKind::Volume(VOLUMES[volume_at].into()), "/data"));
        let anonymous = sketch.anonymous.then(|| volume(VolumeMountKind::Anonymous, "/scratch"));
        let needs: BTreeMap<usize, bool> =
            sketch.needs.iter().copied().filter(|(other, _)| *other < at && self.machines.contains_key(other)).collect();
        let links = needs
            .iter()
            .filter(|(_, link)| **link)
            .map(|(other, _)| MachineLink { machine: set(MACHINES[*other].into()), alias: Some(set(format!("the-{}", MACHINES[*other]))) });
        let needed = needs.iter().filter(|(_, link)| !**link).map(|(other, _)| {
            let condition = match IMAGES[self.machines[other].image] {
                "checked" => Condition::Healthy,
                "job" if !self.machines[other].restart => Condition::Completed,
                _ => Condition::Started,
            };
            (name(MACHINES[*other]), Dependency { condition: set(condition), required: true })
        });
        let port = PortRange { host_ip: None, published: None, target: (80, 80), protocol: Protocol::Tcp };
        Machine {
            image: Some(set(IMAGES[sketch.image].into())),
            environment: sketch.environment.map(|value| Entries(vec![(name("MODE"), Some(set(value.to_string())))])),
            memory: sketch.memory.map(|memory| set(Bytes(memory))),
            restart: sketch.restart.then(|| set(Restart::UnlessStopped)),
            ports: (sketch.port && has_nat).then(|| vec![set(port)]),
            volumes: Some(named.into_iter().chain(anonymous).collect()),
            links: Some(links.collect()),
            depends_on: Some(Entries(needed.collect())),
            network_mode: match mode {
                ModeSketch::Own => None,
                ModeSketch::None => Some(set(NetworkModeSpec::None)),
                ModeSketch::Host => Some(set(NetworkModeSpec::Host)),
                ModeSketch::Member => Some(set(NetworkModeSpec::Machine(MACHINES[first].into()))),
            },
            nics: (!nics.is_empty()).then_some(Entries(nics)),
            sshd: sketch.sshd.map(|port| sshd(port + 10 * u16::try_from(at).unwrap())),
            ..nothing()
        }
    }

    /// Nobody is a member of his own namespace, nor of one that comes to its end.
    fn mode(&self, at: usize) -> ModeSketch {
        let Some((first, owner)) = self.machines.iter().next() else { return ModeSketch::Own };
        match self.machines[&at].mode {
            ModeSketch::Member if *first == at || IMAGES[owner.image] == "job" => ModeSketch::Own,
            mode => mode,
        }
    }

    /// Who has what there is few of: the first that wants it on a network.
    fn first_to_want(&self, at: usize, card: usize, what: impl Fn(&NicSketch) -> Option<u8>) -> Option<u8> {
        let all = self.machines.iter().flat_map(|(at, machine)| machine.nics.iter().map(move |(card, nic)| ((*at, *card), nic)));
        let nic = &self.machines[&at].nics[&card];
        let mut same = all.filter(|(_, other)| other.network == nic.network && what(other) == what(nic));
        what(nic).filter(|_| same.next().is_some_and(|(first, _)| first == (at, card)))
    }

    fn nics(&self, at: usize, sketch: &MachineSketch) -> Vec<(At<String>, Nic)> {
        let (mut nats, mut routes) = (vec![], vec![]);
        let mut nics = vec![];
        for (card, nic) in &sketch.nics {
            let network = NETWORKS[nic.network];
            let is_nat = matches!(network, "out" | "dmz");
            // A container is on a network of the engine's once.
            if is_nat && nats.contains(&network) {
                continue;
            }
            nats.push(network);
            // And the host's card goes to the first that wants it.
            if network == "bare" && self.first_to_want(at, *card, |_| Some(0)).is_none() {
                continue;
            }
            let third = nic.network * 2 + usize::from(self.networks[nic.network].other_subnet);
            let address = |last: usize| Ip::Address { address: format!("10.77.{third}.{last}").parse().unwrap(), prefix: None };
            let shared = self.first_to_want(at, *card, |nic| if let IpSketch::Shared(which) = nic.ip { Some(which) } else { None });
            let ip = match nic.ip {
                IpSketch::Auto => None,
                IpSketch::None if is_nat => None,
                IpSketch::None => Some(vec![set(Ip::None)]),
                IpSketch::Shared(_) if !is_nat && shared.is_some() => shared.map(|which| vec![set(address(200 + usize::from(which)))]),
                IpSketch::Given | IpSketch::Shared(_) => Some(vec![set(address(50 + at * 8 + card))]),
            };
            let route = fly::spec::RouteSpec {
                to: Some(format!("10.99.{}.0/24", nic.route.unwrap_or_default()).parse().unwrap()),
                via: Some(format!("10.77.{third}.9").parse().unwrap()),
                metric: nic.tuning.filter(|bits| bits & 1 != 0).map(|_| 50),
                table: nic.tuning.filter(|bits| bits & 2 != 0).map(|_| "100".parse().unwrap()),
                ..fly::spec::RouteSpec::default()
            };
            let has_v6 = self.networks[nic.network].v6;
            let has_address = nic.ip != IpSketch::None && nic.up;
            // Two routes of a machine to one place are a mistake in the file.
            let has_route = has_address && nic.route.is_some_and(|to| !routes.contains(&to));
            routes.extend(nic.route.filter(|_| has_route));
            let mac = self.first_to_want(at, *card, |nic| nic.mac);
            let nic = Nic {
                place: place(),
                network: Some(set(network.into())),
                routes: has_route.then(|| vec![set(route)]),
                mtu: nic.mtu.filter(|mtu| !has_v6 && self.networks[nic.network].mtu.is_none_or(|whole| *mtu <= whole)).map(set),
                up: (!nic.up).then(|| set(false)),
                probe: None,
                ip,
                mac: mac
                    .filter(|_| network != "air" || self.networks[nic.network].turn == 2)
                    .map(|last| set(format!("02:00:00:00:00:0{last}").parse().unwrap())),
                gateway: None,
                tuning: self.tuning(nic, third, has_address),
                broken: Broken::default(),
            };
            nics.push((name(CARDS[*card]), nic));
        }
        nics
    }

    /// Rules, neighbours, kernel parameters, a rate.
    fn tuning(&self, nic: &NicSketch, third: usize, has_address: bool) -> Tuning {
        let has = |bit: u8| nic.tuning.is_some_and(|bits| bits >> bit & 1 == 1);
        let sysctl = |name: &str, value| (set(name.parse().unwrap()), set(value));
        let v6 = self.networks[nic.network].v6;
        let sysctls = [(3, sysctl("ipv4.rp_filter", 2)), (4, sysctl("ipv6.accept_ra", 0)), (5, sysctl("ipv6.disable_ipv6", 1))];
        let sysctls = sysctls.into_iter().filter(|(bit, _)| has(*bit) && (*bit != 5 || !v6)).map(|(_, sysctl)| sysctl).collect();
        let neighbour = (set(format!("10.77.{third}.7").parse().unwrap()), set("02:00:00:00:00:77".parse().unwrap()));
        let rule = RuleSpec {
            from: Some(format!("10.77.{third}.0/24").parse().unwrap()),
            table: Some("100".parse().unwrap()),
            priority: has(0).then_some(500),
            iif: has(1).then(|| "lo".to_owned()),
            ..RuleSpec::default()
        };
        Tuning {
            sysctls: Some(sysctls),
            neighbours: (has(6) && has_address).then(|| vec![neighbour]),
            rules: (has(2) && has_address).then(|| vec![set(rule)]),
            traffic: TrafficSpec {
                rate: has(7).then(|| set("10mbit".parse().unwrap())),
                delay: (has(7) && has(3)).then(|| set("10ms".parse().unwrap())),
                ..TrafficSpec::default()
            },
        }
    }

    fn cables(&self) -> Vec<Cable> {
        // Who has ended has no cards: a cable to it is there for some of the time only.
        let own =
            |at: &usize| self.machines.get(at).is_some_and(|machine| IMAGES[machine.image] != "job") && self.mode(*at) == ModeSketch::Own;
        let wanted = self.cables.iter().enumerate().filter(|(_, (a, b, _))| a != b && own(a) && own(b));
        let cable = |(number, (a, b, addressed)): (usize, &(usize, usize, bool))| {
            let end = |machine: usize, last: u8| CableEnd {
                nic: set(format!("{}:cable{number}", MACHINES[machine])),
                machine: MACHINES[machine].into(),
                ifname: format!("cable{number}"),
                ip: if *addressed {
                    vec![set(Ip::Address { address: format!("10.88.{number}.{last}").parse().unwrap(), prefix: Some(30) })]
                } else {
                    vec![]
                },
                mac: None,
                gateway: None,
                routes: None,
                up: None,
                tuning: Tuning::default(),
                broken: Broken::default(),
            };
            let traffic = TrafficSpec { rate: addressed.then(|| set("100mbit".parse().unwrap())), ..TrafficSpec::default() };
            Cable { place: place(), ends: vec![end(*a, 1), end(*b, 2)], mtu: None, traffic }
        };
        wanted.map(cable).collect()
    }
}

/// What lies beneath it on the host, in one of three forms.
fn beneath(network: &str, turn: u8, plain: Network) -> Network {
    let card = |name: &str| Some(set(name.to_owned()));
    let remotes = |last: &[u8]| Some(last.iter().map(|last| set(std::net::IpAddr::from([192, 0, 2, *last]))).collect());
    match (network, turn) {
        ("far", 0 | 1) => {
            let remotes = remotes(if turn == 0 { &[7] } else { &[7, 8] });
            Network { kind: Some(set(NetworkKind::Vxlan)), vni: Some(set(42)), remotes, mtu: plain.mtu.filter(|_| turn == 1), ..plain }
        }
        ("air", 0 | 1) => {
            let mode = Some(set(ModeSpec::Ipvlan(if turn == 0 { IpvlanMode::L2 } else { IpvlanMode::L3 })));
            Network { kind: Some(set(NetworkKind::Ipvlan)), parent: card("eth2"), mode, ..plain }
        }
        ("air", _) => Network { parent: card("eth2"), promiscuous: Some(set(true)), ..plain },
        ("tag", 2) => Network { parent: card("eth3"), ..plain },
        ("tag", _) => Network { parent: card("eth3"), vlan: Some(set(42 + u16::from(turn))), ..plain },
        ("bare", _) => Network { kind: Some(set(NetworkKind::Physical)), parent: card("eth5"), ..plain },
        ("wan", 0) => Network { uplink: card("eth4"), ..plain },
        ("wan", 1) => Network { uplink: card("eth4"), vlan: Some(set(7)), ..plain },
        _ => plain,
    }
}

fn place() -> Place {
    Place { file: Arc::from("fly.yml"), line: 1, column: 1, offset: 0, len: 0 }
}

fn set<T>(value: T) -> At<T> {
    At::new(value, place())
}

fn name(text: &str) -> At<String> {
    set(text.to_owned())
}

/// A server with a key of its own, whoever runs the tests.
fn sshd(port: u16) -> Sshd {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2yYx3fG2cZ0oYwUqI9d8B8l2yWw5m0m8oRrG1q2h3k ada";
    let keys = Some(vec![name(KEY)]);
    Sshd { place: place(), enabled: true, server: None, port: Some(set(port)), authorized_keys: keys, users: None }
}

/// A machine about which nothing is said.
fn nothing() -> Machine {
    Machine {
        place: place(),
        image: None,
        pull_policy: None,
        command: None,
        entrypoint: None,
        environment: None,
        env_file: None,
        hostname: None,
        user: None,
        working_dir: None,
        tty: None,
        stdin_open: None,
        volumes: None,
        tmpfs: None,
        shm_size: None,
        ports: None,
        links: None,
        depends_on: None,
        restart: None,
        healthcheck: None,
        stop_signal: None,
        stop_grace_period: None,
        cpus: None,
        cpuset: None,
        memory: None,
        pids_limit: None,
        ulimits: None,
        sysctls: None,
        cap_add: None,
        cap_drop: None,
        devices: None,
        privileged: None,
        security_opt: None,
        dns: None,
        dns_search: None,
        extra_hosts: None,
        labels: None,
        network_mode: None,
        scale: None,
        nics: None,
        rules: None,
        sshd: None,
        guest: None,
        init: None,
        broken: Broken::default(),
    }
}
