//! What engines have answered, and what newer ones may answer, read.

mod addresses;
mod server;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use self::server::Server;
use super::address::Address;
use super::dial::Dialer;
use super::error::Failure;
use super::raw::Http;
use super::{Docker, body};
use crate::engine::{Engine as _, EngineEndpoint, EngineErrorKind as Kind, EngineQuery, EngineSnapshot, Health, RunState};
use crate::types::{Endpoint, Limits, MountSource, Name, NetworkMode, Owner, Relabel, Restart};

fn recorded(name: &str) -> Value {
    let text = match name {
        "info" => include_str!("answers/20.10-info.json"),
        "containers" => include_str!("answers/20.10-containers.json"),
        "inspect" => include_str!("answers/20.10-inspect.json"),
        "networks" => include_str!("answers/20.10-networks.json"),
        "volumes" => include_str!("answers/20.10-volumes.json"),
        "image" => include_str!("answers/20.10-image.json"),
        other => panic!("{other}"),
    };
    serde_json::from_str(text).unwrap()
}

/// All the answers that an observation of `shop` reads.
fn world() -> BTreeMap<String, Value> {
    let id = recorded("inspect")["Id"].as_str().unwrap().to_owned();
    let image = recorded("image")["Id"].as_str().unwrap().to_owned();
    [
        ("/info".to_owned(), recorded("info")),
        ("/containers/json".to_owned(), recorded("containers")),
        ("/networks".to_owned(), recorded("networks")),
        ("/volumes".to_owned(), recorded("volumes")),
        (format!("/containers/{id}/json"), recorded("inspect")),
        (format!("/images/{image}/json"), recorded("image")),
        ("/images/bb:1/json".to_owned(), recorded("image")),
    ]
    .into()
}

/// The answers with the one inspected container changed.
fn with_inspect(change: impl FnOnce(&mut Value)) -> BTreeMap<String, Value> {
    let mut world = world();
    let inspect = world.iter_mut().find(|(path, _)| path.starts_with("/containers/") && path.len() > 60).unwrap().1;
    change(inspect);
    world
}

fn dialer(address: &str) -> Dialer {
    Dialer::new(&EngineEndpoint { host: Some(address.to_owned()), ..EngineEndpoint::default() }).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn observe(answers: BTreeMap<String, Value>) -> EngineSnapshot {
    block_on(async {
        let server = Server::start(answers, u32::MAX);
        let docker = Docker::connect(Some(&server.address())).await.unwrap();
        let images = BTreeSet::from(["bb:1".to_owned(), "no/such:1".to_owned()]);
        docker.observe(&EngineQuery { project: Name::new("shop").unwrap(), images }).await.unwrap()
    })
}

fn web(snapshot: &EngineSnapshot) -> &crate::engine::MachineState {
    &snapshot.machines[&Name::new("web").unwrap()]
}

#[test]
fn what_engine_20_10_has_answered_is_read() {
    let snapshot = observe(world());
    let facts = &snapshot.facts;
    assert_eq!((facts.version.as_str(), facts.api.as_str(), facts.cpus), ("20.10.24+dfsg1", "1.41", 2));
    let web = web(&snapshot);
    assert_eq!((web.state, web.health, web.pid.is_some()), (RunState::Running, Health::Healthy, true));
    let container = &web.container;
    assert_eq!(container.hostname.as_deref(), Some("web"));
    assert_eq!(container.environment["B"], "");
    let bind = &container.mounts["/srv/a"];
    assert_eq!((bind.read_only, bind.relabel), (true, Some(Relabel::Shared)));
    // The engine marks volumes with a `z` that nobody asked for.
    assert_eq!((&container.mounts["/data"].source, container.mounts["/data"].relabel), (&MountSource::Volume("shop.data".into()), None));
    assert!(matches!(&container.mounts["/anon"].source, MountSource::Volume(number) if number.len() == 64));
    assert_eq!(container.tmpfs["/t"], "mode=700,size=1m");
    assert_eq!((container.restart, &container.network_mode), (Restart::OnFailure(3), &NetworkMode::Own));
    // Limits as wide as the machine are none.
    let memory = container.limits.memory.map(|it| it.to_string());
    assert_eq!((memory.as_deref(), &container.limits), (Some("64M"), &Limits { memory: container.limits.memory, ..Limits::default() }));
    assert_eq!(container.hosts.len(), 2);
    let published: Vec<String> = web.published.iter().map(ToString::to_string).collect();
    assert_eq!(published, ["8080:80/tcp"]);
    let place = &web.endpoints["shop.back"];
    assert_eq!(place.ipv4, Some("10.5.0.7".parse().unwrap()));
    assert_eq!(place.ipv6, Some("fd05::2".parse().unwrap()));
    assert_eq!(place.aliases, BTreeSet::from(["w".to_owned(), "web".to_owned()]));
    let back = &snapshot.networks[&Name::new("back").unwrap()];
    assert_eq!((back.network.mtu, back.network.bridge.as_deref()), (Some(1400), Some("flyabc")));
    assert_eq!(back.containers, BTreeSet::from(["shop.web".to_owned()]));
    assert!(snapshot.volumes.contains_key(&Name::new("data").unwrap()));
    assert_eq!(snapshot.images.keys().collect::<Vec<_>>(), ["bb:1"]);
    assert_eq!(snapshot.taken.containers, BTreeMap::from([("stranger".to_owned(), Owner::Stranger)]));
    assert_eq!(snapshot.taken.volumes, BTreeMap::new(), "anonymous ones have no name that anybody could want");
    let foreign: Vec<String> = snapshot.foreign_subnets.iter().map(|(subnet, name)| format!("{name} {subnet}")).collect();
    assert_eq!(foreign, ["bridge 172.17.0.0/16", "plain 172.18.0.0/16"]);
}

#[test]
fn a_newer_engine_does_not_make_us_blind() {
    let before = observe(world());
    let answers = with_inspect(|inspect| {
        let settings = inspect["NetworkSettings"].as_object_mut().unwrap();
        // Engine 29 has these no more.
        settings.retain(|name, _| ["Ports", "Networks", "SandboxKey"].contains(&name.as_str()));
        let place = &mut settings["Networks"]["shop.back"];
        place["Aliases"] = json!(["w", "web"]);
        place["DNSNames"] = json!(["shop.web", "w", "web"]);
        place["GwPriority"] = json!(0);
        inspect["State"]["Status"] = json!("hibernating");
        inspect["State"]["Health"]["Status"] = json!("pondering");
        inspect["HostConfig"]["NewThing"] = json!({"deep": [1, 2]});
        inspect["HostConfig"]["RestartPolicy"] = Value::Null;
        inspect["Mounts"].as_array_mut().unwrap().push(json!({"Type": "hologram", "Destination": "/h", "RW": true}));
        inspect["ImageManifestDescriptor"] = json!({"mediaType": "x"});
    });
    let after = observe(answers);
    let (before, after) = (web(&before), web(&after));
    // The word is unknown; the flags beside it say that it runs.
    assert_eq!((after.state, after.health, after.pid), (RunState::Running, Health::Starting, before.pid));
    assert_eq!(after.container.restart, Restart::No);
    assert_eq!(after.container.mounts, before.container.mounts);
    assert_eq!(after.endpoints, before.endpoints);
}

#[test]
fn what_vanishes_while_we_look_is_not_there() {
    let mut answers = world();
    answers.retain(|path, _| !(path.starts_with("/containers/") && path.len() > 60));
    let snapshot = observe(answers);
    assert!(snapshot.machines.is_empty() && !snapshot.taken.containers.contains_key("shop.web"));
}

#[test]
fn labels_of_the_image_prove_nothing() {
    let labelled = json!({"fly.project": "shop", "fly.machine": "web"});
    let mut answers = world();
    for (path, answer) in &mut answers {
        if path.starts_with("/images/") {
            answer["Config"]["Labels"] = labelled.clone();
        }
    }
    let snapshot = observe(answers);
    assert!(snapshot.machines.is_empty());
    assert_eq!(snapshot.taken.containers["shop.web"], Owner::Stranger);
}

#[test]
fn places_of_an_images_volumes_are_those_at_which_they_are_mounted() {
    let mut answers = world();
    for (path, answer) in &mut answers {
        if path.starts_with("/images/") {
            answer["Config"]["Volumes"] = json!({"/data/": {}, "/a//b/../c/.": {}});
        }
    }
    let snapshot = observe(answers);
    assert_eq!(snapshot.images["bb:1"].defaults.volumes, BTreeSet::from(["/a/c".to_owned(), "/data".to_owned()]));
}

#[test]
fn of_two_networks_with_one_name_the_one_in_use_is_meant() {
    let mut answers = world();
    let networks = answers.get_mut("/networks").unwrap().as_array_mut().unwrap();
    let mut twin = networks.iter().find(|it| it["Name"] == "shop.back").unwrap().clone();
    let mut strangers = twin.clone();
    let id = twin["Id"].clone();
    (twin["Id"], strangers["Id"], strangers["Labels"]) = (json!("0000"), json!("1111"), Value::Null);
    networks.insert(0, twin);
    networks.push(strangers);
    let snapshot = observe(answers);
    assert_eq!(json!(snapshot.networks[&Name::new("back").unwrap()].id), id);
    assert!(!snapshot.taken.networks.contains_key("shop.back"));
}

#[test]
fn connections_are_kept_and_a_closed_one_is_replaced() {
    block_on(async {
        let server = Server::start(world(), 2);
        let http = Http::new(dialer(&server.address()));
        for _ in 0..5 {
            http.get::<Value>("/info").await.unwrap();
        }
        assert_eq!(server.connections.load(std::sync::atomic::Ordering::Relaxed), 3);
    });
}

#[test]
fn an_engine_that_says_nothing_is_not_waited_for() {
    block_on(async {
        let server = Server::start([("/info".to_owned(), Value::Null)].into(), 2);
        let http = Http::new(dialer(&server.address())).with_deadline(Duration::from_millis(50));
        assert_eq!(http.get::<Value>("/info").await.unwrap_err().kind, Kind::Timeout);
    });
}

#[test]
fn who_may_not_and_what_is_not_there_are_told_apart() {
    let address = Address::parse("unix:///run/docker.sock", false).unwrap();
    let say = |number| Failure::connecting(&address, &std::io::Error::from_raw_os_error(number));
    let denied = say(libc::EACCES);
    assert_eq!(denied.kind, Kind::Denied);
    assert_eq!(denied.message, "this user may not open `unix:///run/docker.sock` (permission denied)");
    assert_eq!(say(libc::ENOENT).kind, Kind::Unreachable);
    assert_eq!(say(libc::ECONNREFUSED).kind, Kind::Unreachable);
}

#[test]
fn refusals_fall_into_kinds() {
    let kind = |status, message| Failure::answered(status, message).kind;
    assert_eq!(kind(404, "No such container: x"), Kind::NotFound);
    assert_eq!(kind(409, "Conflict. The container name \"/x\" is already in use"), Kind::Conflict);
    assert_eq!(kind(500, "driver failed: Bind for 0.0.0.0:80 failed: port is already allocated"), Kind::Conflict);
    assert_eq!(kind(403, "Address already in use"), Kind::Conflict);
    assert_eq!(kind(403, "error while removing network: network x has active endpoints"), Kind::Conflict);
    assert_eq!(kind(409, "removal of container x is already in progress"), Kind::Transient);
    assert_eq!(kind(500, "OCI runtime create failed"), Kind::Other);
    assert_eq!(Failure::answered(500, "a\n  b\tc ").message, "a b c");
}

#[test]
fn taking_limits_away_says_the_most_there_is() {
    let update = |limits, cpus| serde_json::to_value(body::update(&limits, Restart::No, cpus)).unwrap();
    let none = update(Limits::default(), 4);
    let expected = json!({
        "NanoCpus": 4_000_000_000_u64, "CpusetCpus": "0-3", "Memory": 9_223_372_036_854_771_712_i64,
        "MemorySwap": 9_223_372_036_854_771_712_i64, "PidsLimit": -1, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    });
    assert_eq!(none, expected);
    assert_eq!(update(Limits::default(), 1)["CpusetCpus"], "0");
}

#[test]
fn only_engines_that_listen_are_told_the_name_of_a_nic() {
    let endpoint = Endpoint { ifname: Some("lan0".parse().unwrap()), ..Endpoint::default() };
    assert_eq!(body::endpoint(&endpoint, (1, 41)).driver_opts, None);
    assert_eq!(body::endpoint(&endpoint, (1, 48)).driver_opts.unwrap()[body::IFNAME], "lan0");
}
