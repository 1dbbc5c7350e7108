//! The world does what was measured of the real one.

use super::*;
use crate::engine::{Engine, EngineErrorKind, EngineQuery};
use crate::net::{LinkSet, NetErrorKind, NetPlane, Processes};
use crate::types::{HostEntry, Link, LinkKind, LinkRef, Mac, MacvlanMode, Manners, MountSource, PlacedLink};

struct Lab {
    world: World,
    runtime: tokio::runtime::Runtime,
}

impl Lab {
    fn new() -> Self {
        let world = World::new();
        world.add_image("debian", ImageDefaults::default());
        Self { world, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "an operation is made for one call")]
    fn engine(&self, op: EngineOp) -> Result<Option<u32>, EngineErrorKind> {
        let engine = self.world.engine();
        self.runtime.block_on(engine.perform(&op, &|_| {})).map(|done| done.pid).map_err(|error| error.kind)
    }

    #[expect(clippy::needless_pass_by_value, reason = "an operation is made for one call")]
    fn net(&self, op: NetOp) -> Result<(), NetErrorKind> {
        let project = Name::new("shop").unwrap();
        let processes: Processes = ["web", "db"]
            .into_iter()
            .filter_map(|machine| Some((Name::new(machine).unwrap(), self.world.pid(&format!("shop.{machine}"))?)))
            .collect();
        self.runtime.block_on(self.world.net().perform(&op, &project, &processes)).map_err(|error| error.kind)
    }

    fn machine(&self, name: &str, container: Container) {
        let labels = [("fly.project", "shop"), ("fly.machine", name.strip_prefix("shop.").unwrap())];
        let container = Box::new(Container { labels: owned(&labels), ..container });
        self.engine(EngineOp::CreateContainer { name: name.into(), container, network: None }).unwrap();
        self.engine(EngineOp::StartContainer { name: name.into() }).unwrap().unwrap();
    }

    fn network(&self, name: &str, subnet: &str) {
        let network = EngineNetwork {
            subnets: [subnet.parse().unwrap()].into(),
            gateways: BTreeSet::new(),
            mtu: None,
            bridge: Some(format!("br-{name}")),
            internal: false,
            labels: owned(&[("fly.project", "shop"), ("fly.resource", name.strip_prefix("shop.").unwrap())]),
        };
        self.engine(EngineOp::CreateNetwork { name: name.into(), network }).unwrap();
    }

    fn connect(&self, container: &str, network: &str) {
        let op = EngineOp::Connect { container: container.into(), network: network.into(), endpoint: Endpoint::default() };
        self.engine(op).unwrap();
    }

    fn disconnect(&self, container: &str, network: &str) {
        self.engine(EngineOp::Disconnect { container: container.into(), network: network.into() }).unwrap();
    }
}

fn macvlan(machine: &str, name: &str, mac: &str) -> NetOp {
    let kind = LinkKind::macvlan(LinkRef::host("eth1"), MacvlanMode::Bridge);
    NetOp::CreateLink { link: Box::new(placed(LinkRef::machine(&Name::new(machine).unwrap(), name), kind, mac)) }
}

fn placed(at: LinkRef, kind: LinkKind, mac: &str) -> PlacedLink {
    let link = Link {
        kind,
        mac: Some(mac.parse::<Mac>().unwrap()),
        mtu: None,
        up: true,
        master: None,
        addresses: BTreeSet::new(),
        routes: BTreeSet::new(),
        tuning: crate::types::Tuning::default(),
    };
    PlacedLink { at, link, alias: None, manners: Manners::default() }
}

#[test]
fn a_new_start_is_a_new_namespace_without_what_was_attached_by_hand() {
    let lab = Lab::new();
    lab.network("shop.out", "172.30.0.0/24");
    lab.machine("shop.web", blank("debian"));
    lab.connect("shop.web", "shop.out");
    lab.net(macvlan("web", "lan0", "02:f1:00:00:00:01")).unwrap();
    assert_eq!(lab.world.links(Some("shop.web")), ["eth0", "lan0"]);
    let pid = lab.world.pid("shop.web");
    lab.world.drift_restart("shop.web");
    assert_eq!(lab.world.links(Some("shop.web")), ["eth0"]);
    assert_ne!(lab.world.pid("shop.web"), pid);
}

#[test]
fn the_host_end_of_a_cable_dies_with_the_namespace() {
    let lab = Lab::new();
    lab.machine("shop.web", blank("debian"));
    let (web, host) = (LinkRef::machine(&Name::new("web").unwrap(), "eth0"), LinkRef::host("flyx"));
    let veth = |peer: &LinkRef| LinkKind::Veth { peer: Some(peer.clone()) };
    let a = Box::new(placed(web.clone(), veth(&host), "02:f1:00:00:00:01"));
    let b = Box::new(placed(host, veth(&web), "02:f1:00:00:00:02"));
    let op = NetOp::CreateVeth { a, b };
    lab.net(op.clone()).unwrap();
    lab.net(op).expect("done already is success");
    assert!(lab.world.links(None).contains(&"flyx".to_owned()));
    lab.world.drift_kill("shop.web");
    assert!(!lab.world.links(None).contains(&"flyx".to_owned()));
}

#[test]
fn the_engine_disconnects_whoever_bears_the_name_it_remembers() {
    let lab = Lab::new();
    for (name, subnet) in [("shop.a", "172.30.0.0/24"), ("shop.b", "172.30.1.0/24")] {
        lab.network(name, subnet);
    }
    lab.machine("shop.web", blank("debian"));
    lab.connect("shop.web", "shop.a");
    lab.connect("shop.web", "shop.b");
    lab.world.drift_rename_link("shop.web", "eth0", "moved");
    lab.world.drift_rename_link("shop.web", "eth1", "eth0");
    lab.disconnect("shop.web", "shop.a");
    // The card of `b`, which had got that name, is gone; that of `a` is left over.
    assert_eq!(lab.world.links(Some("shop.web")), ["moved"]);
    // Names are counted up and never used again in this life of the namespace.
    lab.connect("shop.web", "shop.a");
    assert_eq!(lab.world.links(Some("shop.web")), ["eth2", "moved"]);
}

#[test]
fn two_macvlans_of_one_mac_do_not_live_on_one_parent() {
    let lab = Lab::new();
    lab.machine("shop.web", blank("debian"));
    lab.machine("shop.db", blank("debian"));
    lab.net(macvlan("web", "eth0", "02:f1:00:00:00:01")).unwrap();
    assert_eq!(lab.net(macvlan("db", "eth0", "02:f1:00:00:00:01")), Err(NetErrorKind::Conflict));
    lab.world.drift_unplug("eth1");
    assert_eq!(lab.world.links(Some("shop.web")), Vec::<String>::new(), "the children go with their parent");
    assert_eq!(lab.net(macvlan("web", "eth0", "02:f1:00:00:00:01")), Err(NetErrorKind::NotFound));
}

#[test]
fn an_image_fills_in_what_is_not_said() {
    let lab = Lab::new();
    let words = |text: &str| Some(vec![text.to_owned()]);
    let defaults = ImageDefaults {
        command: words("serve"),
        entrypoint: words("/entry"),
        environment: owned(&[("A", "image"), ("B", "image")]),
        volumes: ["/data".to_owned()].into(),
        ..ImageDefaults::default()
    };
    lab.world.add_image("app", defaults);
    lab.machine("shop.web", Container { environment: owned(&[("B", "mine")]), ..blank("app") });
    lab.machine("shop.db", Container { entrypoint: words("/mine"), ..blank("app") });
    let query = EngineQuery { project: Name::new("shop").unwrap(), images: BTreeSet::new() };
    let snapshot = lab.runtime.block_on(lab.world.engine().observe(&query)).unwrap();
    let container = |name: &str| snapshot.machines[&Name::new(name).unwrap()].container.clone();
    assert_eq!((container("web").entrypoint, container("web").command), (words("/entry"), words("serve")));
    assert_eq!((container("db").entrypoint, container("db").command), (words("/mine"), None));
    assert_eq!(container("web").environment, owned(&[("A", "image"), ("B", "mine")]));
    assert!(matches!(&container("web").mounts["/data"].source, MountSource::Volume(name) if name.len() == 64));
}

#[test]
fn names_given_at_creation_come_back_and_names_written_later_do_not() {
    let lab = Lab::new();
    let entry = |name: &str| HostEntry { name: name.into(), address: [10, 0, 0, 1].into() };
    lab.machine("shop.web", Container { hosts: BTreeSet::from([entry("db")]).into(), ..blank("debian") });
    let web = Name::new("web").unwrap();
    let set = BTreeSet::from([entry("cache")]).into();
    lab.net(NetOp::SetHosts { machine: web.clone(), set, remove: [entry("db")].into() }).unwrap();
    let names = || {
        let processes = Processes::from([(web.clone(), lab.world.pid("shop.web").unwrap())]);
        let net = lab.world.net();
        let snapshot = lab.runtime.block_on(net.observe(&Name::new("shop").unwrap(), &processes)).unwrap();
        let hosts = &snapshot.namespaces[&crate::types::Ns::Machine(web.clone())].hosts;
        hosts.iter().map(|line| (line.entry.name.clone(), line.marked)).collect::<Vec<_>>()
    };
    assert_eq!(names(), [("cache".to_owned(), true)]);
    lab.world.drift_restart("shop.web");
    assert_eq!(names(), [("db".to_owned(), false)]);
}

#[test]
fn a_late_answer_is_an_error_with_an_effect() {
    let lab = Lab::new();
    lab.world.plan_fault(Fault { at: 1, when: When::After, kind: FaultKind::Timeout });
    let op = EngineOp::CreateVolume { name: "v".into(), labels: owned(&[("fly.project", "shop")]) };
    assert_eq!(lab.engine(op.clone()), Err(EngineErrorKind::Timeout));
    assert!(lab.world.volumes().contains("v"));
    lab.engine(op).expect("done already is success");
}

#[test]
fn a_label_that_the_image_has_makes_nothing_ours() {
    let lab = Lab::new();
    let labels = [("fly.project", "shop"), ("fly.machine", "web")];
    lab.world.add_image("spoof", ImageDefaults { labels: owned(&labels), ..ImageDefaults::default() });
    lab.world.add_stranger_container("shop.web", "spoof", &[]);
    lab.world.add_stranger_container("other", "debian", &labels);
    let query = EngineQuery { project: Name::new("shop").unwrap(), images: BTreeSet::new() };
    let snapshot = lab.runtime.block_on(lab.world.engine().observe(&query)).unwrap();
    assert!(snapshot.machines.is_empty() && snapshot.leftovers.is_empty());
    assert_eq!(snapshot.taken.containers.len(), 2);
}

#[test]
fn routes_go_with_their_address_and_with_a_link_that_goes_down() {
    let lab = Lab::new();
    lab.machine("shop.web", blank("debian"));
    lab.net(macvlan("web", "eth0", "02:f1:00:00:00:01")).unwrap();
    let at = LinkRef::machine(&Name::new("web").unwrap(), "eth0");
    let route = crate::types::Route::new("0.0.0.0/0".parse().unwrap(), Some("10.0.0.1".parse().unwrap()));
    let set = |set: LinkSet| lab.net(NetOp::SetLink { at: at.clone(), set: Box::new(set) });
    let routes = BTreeSet::from([route]);
    assert_eq!(set(LinkSet { add_routes: routes.clone(), ..LinkSet::default() }), Err(NetErrorKind::Other), "nobody knows that router");
    let addresses = BTreeSet::from(["10.0.0.2/24".parse().unwrap()]);
    set(LinkSet { add_addresses: addresses, add_routes: routes.clone(), ..LinkSet::default() }).unwrap();
    set(LinkSet { up: Some(false), ..LinkSet::default() }).unwrap();
    assert!(!lab.world.canonical().contains("0.0.0.0/0"));
    set(LinkSet { up: Some(true), keep_routes: routes, ..LinkSet::default() }).unwrap();
    assert!(lab.world.canonical().contains("0.0.0.0/0"));
}
