//! Random worlds: what somebody did there before, and what somebody else did to that by hand.

use std::collections::{BTreeMap, BTreeSet};

use fly::fake::{Fault, FaultKind, When, World};
use fly::net::{LinkSet, Tune};
use fly::types::{Bytes, Healthcheck, ImageDefaults, Limits, Name, Restart, Route, Routing, Traffic};
use proptest::prelude::*;

use crate::properties::up;
use crate::sketch::{IMAGES, MACHINES, NETWORKS, Sketch, sketch};

/// A world with a history: what somebody did there before, and what somebody else did to that by hand.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) newer_engine: bool,
    pub(crate) drops_bridged: bool,
    pub(crate) strangers: u8,
    pub(crate) earlier: Option<Sketch>,
    /// The earlier run was killed at this call.
    pub(crate) killed: Option<(usize, When)>,
    pub(crate) drifts: Vec<Drift>,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { newer_engine, drops_bridged, strangers, earlier, killed, drifts } = self;
        let head = format!("newer {newer_engine} drops {drops_bridged} strangers {strangers:#b} killed {killed:?} drifts {drifts:?}");
        write!(f, "{head}\n earlier {earlier:?}")
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Drift {
    Kill(usize),
    Restart(usize),
    Remove(usize),
    Pause(usize),
    Limits(usize),
    Disconnect(usize, usize),
    DeleteLink(usize, usize),
    SetLink(usize, usize, u8),
    /// To one of `NAMES`, or the two exchange their names.
    RenameLink(usize, usize, usize),
    SwapNames(usize, usize, usize),
    SwapMacs(usize, usize, usize),
    ClearHosts(usize),
    ClearRules,
    /// Rules and dead ends.
    Routing(usize),
    HostLink(usize, bool),
}

/// Names that cards get by hand; some of them are other cards'.
const NAMES: [&str; 4] = ["moved", "eth0", "eth1", "lan0"];

pub(crate) fn drift() -> impl Strategy<Value = Drift> {
    let machine = || 0..MACHINES.len();
    prop_oneof![
        1 => machine().prop_map(Drift::Kill),
        1 => machine().prop_map(Drift::Restart),
        1 => machine().prop_map(Drift::Remove),
        1 => machine().prop_map(Drift::Pause),
        1 => machine().prop_map(Drift::Limits),
        1 => (machine(), 0..2_usize).prop_map(|(machine, network)| Drift::Disconnect(machine, network)),
        1 => (machine(), 0..6_usize).prop_map(|(machine, link)| Drift::DeleteLink(machine, link)),
        1 => (machine(), 0..6_usize, 0..9_u8).prop_map(|(machine, link, what)| Drift::SetLink(machine, link, what)),
        1 => (machine(), 0..6_usize, 0..NAMES.len()).prop_map(|(machine, link, to)| Drift::RenameLink(machine, link, to)),
        3 => (machine(), 0..6_usize, 0..6_usize).prop_map(|(machine, one, other)| Drift::SwapNames(machine, one, other)),
        1 => (machine(), 0..6_usize, 0..6_usize).prop_map(|(machine, one, other)| Drift::SwapMacs(machine, one, other)),
        1 => machine().prop_map(Drift::ClearHosts),
        1 => Just(Drift::ClearRules),
        1 => machine().prop_map(Drift::Routing),
        1 => (0..6_usize, any::<bool>()).prop_map(|(link, delete)| Drift::HostLink(link, delete)),
    ]
}

pub(crate) fn when() -> impl Strategy<Value = When> {
    prop::sample::select(vec![When::Before, When::Halfway, When::After])
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    let killed = prop::option::weighted(0.3, (1..40_usize, when()));
    let drifts = prop::collection::vec(drift(), 0..=3);
    (any::<bool>(), any::<bool>(), any::<u8>(), prop::option::weighted(0.7, sketch()), killed, drifts).prop_map(
        |(newer_engine, drops_bridged, strangers, earlier, killed, drifts)| History {
            newer_engine,
            drops_bridged,
            strangers,
            earlier,
            killed,
            drifts,
        },
    )
}

/// A world and a file; often one in which nothing, or only what there is few of, has changed since the last `up`: then machines stay,
/// and it goes from card to card.
pub(crate) fn case() -> impl Strategy<Value = (History, Sketch)> {
    let turn = prop::option::weighted(0.6, (1..3_u8, 0..8_u8));
    (history(), sketch(), turn).prop_map(|(history, sketch, turn)| match turn {
        Some((by, what)) => (History { earlier: Some(sketch.turned(by, what)), ..history }, sketch),
        None => (history, sketch),
    })
}

pub(crate) fn shop() -> Name {
    Name::new("shop").unwrap()
}

fn container(machine: usize) -> String {
    format!("shop.{}", MACHINES[machine])
}

impl History {
    /// The world before anybody used fly in it.
    pub(crate) fn untouched(&self) -> World {
        let world = World::new();
        world.set_engine(if self.newer_engine { "28.5.1" } else { "20.10.24" });
        world.set_drops_bridged(self.drops_bridged);
        world.add_bridge("br0");
        for card in ["eth2", "eth3", "eth4", "eth5"] {
            world.add_parent(card);
        }
        images(&world);
        strangers(&world, self.strangers);
        world
    }

    pub(crate) fn world(&self) -> World {
        let world = self.untouched();
        let earlier = self.earlier.as_ref().and_then(|sketch| sketch.desired().ok());
        if let Some(desired) = earlier {
            if let Some((at, when)) = self.killed {
                world.plan_fault(Fault { at, when, kind: FaultKind::Crash });
            }
            let _ = up(&world, &desired, 16);
            world.clear_faults();
        }
        for drift in &self.drifts {
            drift.happen(&world);
        }
        world.forget_calls();
        world
    }
}

/// A host as there are many, with images that say nothing.
pub(crate) fn ordinary() -> World {
    let world = World::new();
    world.set_engine("28.5.1");
    world.set_drops_bridged(true);
    world.add_bridge("br0");
    for card in ["eth2", "eth3", "eth4"] {
        world.add_parent(card);
    }
    for image in IMAGES {
        let check = Healthcheck { test: vec!["CMD-SHELL".into(), "(the image's)".into()], ..Healthcheck::default() };
        world.add_image(image, ImageDefaults { healthcheck: (image == "checked").then_some(check), ..ImageDefaults::default() });
    }
    world.set_image_ends("job", 0);
    world
}

fn images(world: &World) {
    let words = |text: &str| Some(vec![text.to_owned()]);
    for image in IMAGES {
        let check = Healthcheck { test: vec!["CMD".into(), "true".into()], ..Healthcheck::default() };
        let defaults = ImageDefaults {
            command: words("serve"),
            entrypoint: (image == "app").then(|| words("/entry")).flatten(),
            environment: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned()), ("MODE".to_owned(), "image".to_owned())]),
            volumes: if matches!(image, "app" | "far") { BTreeSet::from(["/state".to_owned()]) } else { BTreeSet::new() },
            healthcheck: (image == "checked").then_some(check),
            labels: BTreeMap::from([("made.by".to_owned(), "somebody".to_owned())]),
            ..ImageDefaults::default()
        };
        if image == "far" { world.add_to_registry(image, defaults) } else { world.add_image(image, defaults) }
    }
    world.set_image_ends("job", 0);
}

/// Some of those who live there too: some of them pretend to be ours.
fn strangers(world: &World, which: u8) {
    let marks = [("fly.project", "shop"), ("fly.machine", "a")];
    world.add_image("spoof", ImageDefaults { labels: BTreeMap::from([("fly.project".into(), "shop".into())]), ..ImageDefaults::default() });
    let add: [&dyn Fn(); 7] = [
        &|| world.add_stranger_container("other", "debian", &[]),
        &|| world.add_stranger_container("copy", "debian", &marks),
        &|| world.add_stranger_container("shop.z", "spoof", &[("fly.project", "shop"), ("fly.machine", "z")]),
        &|| world.add_stranger_container("blog.a", "debian", &[("fly.project", "blog"), ("fly.machine", "a")]),
        &|| world.add_stranger_network("shop.net", "10.66.0.0/24", &[]),
        &|| world.add_stranger_volume("shop.vol", &[("fly.project", "shop"), ("fly.resource", "other")]),
        &|| world.add_bridge("flyaaaaaaaaaaaa"),
    ];
    for (at, add) in add.iter().enumerate() {
        if which >> at & 1 == 1 {
            add();
        }
    }
    if which & 0b1_0001 == 0b1_0001 {
        world.connect_stranger("other", "shop.net");
    }
}

impl Drift {
    pub(crate) fn happen(&self, world: &World) {
        let link_of = |machine: usize, link: usize| {
            let links = world.links(Some(&container(machine)));
            links.get(link % links.len().max(1)).cloned().filter(|_| world.pid(&container(machine)).is_some())
        };
        match self {
            Self::Kill(machine) => world.drift_kill(&container(*machine)),
            Self::Restart(machine) => world.drift_restart(&container(*machine)),
            Self::Remove(machine) => world.drift_remove(&container(*machine)),
            Self::Pause(machine) => world.drift_pause(&container(*machine)),
            Self::Limits(machine) => {
                let limits = Limits { memory: Some(Bytes(99 << 20)), ..Limits::default() };
                world.drift_limits(&container(*machine), &limits, Restart::Always);
            }
            Self::Disconnect(machine, network) => world.drift_disconnect(&container(*machine), &format!("shop.{}", NETWORKS[*network])),
            Self::DeleteLink(machine, link) => {
                if let Some(link) = link_of(*machine, *link) {
                    world.drift_delete_link(Some(&container(*machine)), &link);
                }
            }
            Self::SetLink(machine, link, what) => {
                if let Some(link) = link_of(*machine, *link) {
                    world.drift_set_link(Some(&container(*machine)), &link, &link_drift(*what));
                }
            }
            Self::RenameLink(machine, link, to) => {
                if let Some(link) = link_of(*machine, *link) {
                    world.drift_rename_link(&container(*machine), &link, NAMES[*to]);
                }
            }
            Self::SwapNames(machine, one, other) => {
                if let (Some(one), Some(other)) = (link_of(*machine, *one), link_of(*machine, *other)) {
                    world.drift_swap_names(&container(*machine), &one, &other);
                }
            }
            Self::SwapMacs(machine, one, other) => {
                if let (Some(one), Some(other)) = (link_of(*machine, *one), link_of(*machine, *other)) {
                    world.drift_swap_macs(&container(*machine), &one, &other);
                }
            }
            Self::ClearHosts(machine) => world.drift_clear_hosts(&container(*machine)),
            Self::Routing(machine) => world.drift_routing(&container(*machine), &routing_drift()),
            Self::ClearRules => world.drift_clear_rules(),
            Self::HostLink(link, delete) => {
                let ours: Vec<_> =
                    world.links(None).into_iter().filter(|name| name.starts_with("fly") && name != "flyaaaaaaaaaaaa").collect();
                match ours.get(link % ours.len().max(1)) {
                    Some(link) if *delete => world.drift_delete_link(None, link),
                    Some(link) => world.drift_set_link(None, link, &link_drift(0)),
                    None => {}
                }
            }
        }
    }
}

fn tuned(tune: Tune) -> LinkSet {
    LinkSet { tune, ..LinkSet::default() }
}

/// All rules are gone, and there is a route that leads nowhere.
fn routing_drift() -> Routing {
    let route = Route { kind: fly::types::RouteKind::Blackhole, ..Route::new("10.66.0.0/16".parse().unwrap(), None) };
    Routing { routes: BTreeSet::from([route]), ..Routing::default() }
}

fn link_drift(what: u8) -> LinkSet {
    let nothing = LinkSet::default();
    match what {
        0 => LinkSet { mtu: Some(1280), ..nothing },
        1 => LinkSet { up: Some(false), ..nothing },
        2 => LinkSet { mac: Some("02:aa:00:00:00:01".parse().unwrap()), ..nothing },
        // A route that is another card's, or a card's on another network.
        5 => {
            let route = Route::new("10.99.0.0/24".parse().unwrap(), Some("10.77.4.9".parse().unwrap()));
            LinkSet { add_routes: BTreeSet::from([route]), ..nothing }
        }
        6 => tuned(Tune { sysctls: BTreeMap::from([("ipv4.rp_filter".parse().unwrap(), 1)]), ..Tune::default() }),
        7 => tuned(Tune {
            neighbours: BTreeMap::from([("10.77.4.7".parse().unwrap(), "02:00:00:00:00:99".parse().unwrap())]),
            ..Tune::default()
        }),
        8 => tuned(Tune { traffic: Some(Traffic { rate: "3mbit".parse().ok(), ..Traffic::default() }), ..Tune::default() }),
        3 => LinkSet { add_addresses: BTreeSet::from(["10.200.0.1/24".parse().unwrap()]), ..nothing },
        _ => LinkSet { remove_addresses: (0..=255).map(|last| format!("10.77.4.{last}/24").parse().unwrap()).collect(), ..nothing },
    }
}
