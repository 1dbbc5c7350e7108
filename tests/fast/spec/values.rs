//! What is read means what it says.

use fly::spec::{Condition, Entries, Ip, Machine, NetworkModeSpec, VolumeMountKind};
use fly::types::{Relabel, Restart};

use super::parse;

fn get<'a, T>(entries: &'a Entries<T>, name: &str) -> &'a T {
    &entries.0.iter().find(|(key, _)| key.value == name).unwrap().1
}

fn everything() -> fly::spec::Spec {
    parse(include_str!("valid/everything.yml")).unwrap()
}

fn variable(machine: &Machine, name: &str) -> Option<String> {
    get(machine.environment.as_ref().unwrap(), name).as_ref().map(|value| value.value.clone())
}

#[test]
fn texts_stay_as_they_are_written() {
    let spec = everything();
    let web = get(&spec.machines, "web");
    let expected = [
        ("MODE", Some("dev")),
        ("NUMBER", Some("010")),
        ("FLOAT", Some("1.50")),
        ("TRUTH", Some("true")),
        ("TIME", Some("12:30")),
        ("YES", Some("yes")),
        ("EMPTY", None),
        ("BLANK", Some("")),
    ];
    for (name, value) in expected {
        assert_eq!(variable(web, name).as_deref(), value, "{name}");
    }
    assert_eq!(web.command.as_ref().unwrap().value, ["sh", "-c", "echo \"hello world\""]);
    assert_eq!(web.entrypoint.as_ref().unwrap().value, ["/init", "--", "5", "true"]);
    assert_eq!(web.user.as_ref().unwrap().value, "1000");
    let caps: Vec<_> = web.cap_add.iter().flatten().map(|cap| cap.value.as_str()).collect();
    assert_eq!(caps, ["NET_ADMIN", "SYS_TIME"]);
}

#[test]
fn restart_policies() {
    let spec = everything();
    let policy = |name| get(&spec.machines, name).restart.as_ref().unwrap().value;
    assert_eq!(policy("web"), Restart::UnlessStopped);
    assert_eq!([policy("db"), policy("one"), policy("two")], [Restart::No; 3]);
    assert_eq!([policy("cron"), policy("three")], [Restart::OnFailure(3), Restart::OnFailure(0)]);
}

#[test]
fn mounts() {
    let spec = everything();
    let mounts: Vec<_> = get(&spec.machines, "web").volumes.iter().flatten().map(|mount| &mount.value).collect();
    assert_eq!(mounts[0].kind, VolumeMountKind::Bind("./src".into()));
    assert_eq!((mounts[1].read_only, mounts[1].relabel, mounts[1].target.as_str()), (true, Some(Relabel::Private), "/x"));
    assert_eq!(mounts[2].kind, VolumeMountKind::Volume("data".into()));
    assert_eq!(mounts[3].kind, VolumeMountKind::Anonymous);
    assert_eq!((mounts[4].propagation.as_deref(), mounts[4].relabel), (Some("rslave"), Some(Relabel::Shared)));
    assert_eq!(mounts[7].kind, VolumeMountKind::Tmpfs { size: Some(fly::types::Bytes(64 << 20)), mode: Some(0o1777) });
}

#[test]
fn ports() {
    let spec = everything();
    let ports: Vec<_> = get(&spec.machines, "web").ports.iter().flatten().map(|port| &port.value).collect();
    assert_eq!((ports[0].published, ports[0].target), (None, (80, 80)));
    assert_eq!((ports[1].published, ports[1].target), (Some((8080, 8080)), (80, 80)));
    assert_eq!((ports[3].host_ip, ports[3].protocol), (Some("127.0.0.1".parse().unwrap()), fly::types::Protocol::Udp));
    assert_eq!((ports[4].host_ip, ports[4].published), (Some("::1".parse().unwrap()), Some((54, 54))));
    assert_eq!((ports[5].published, ports[5].target), (None, (81, 81)));
    assert_eq!((ports[6].published, ports[6].target), (Some((9000, 9005)), (90, 95)));
    assert_eq!(ports[7].published, Some((8081, 8081)));
}

#[test]
fn cards_and_cables() {
    let spec = everything();
    let web = get(&spec.machines, "web").nics.as_ref().unwrap();
    let address = |text: &str, prefix| Ip::Address { address: text.parse().unwrap(), prefix };
    let ips = |nic: &str| get(web, nic).ip.iter().flatten().map(|ip| ip.value).collect::<Vec<_>>();
    assert_eq!(ips("eth0"), [address("192.168.1.100", None)]);
    assert_eq!(ips("eth1"), [Ip::Auto, address("10.10.0.5", Some(24)), address("fd00:10::5", Some(64))]);
    assert_eq!(ips("eth2"), [Ip::None]);
    assert_eq!(get(web, "eth3").network.as_ref().unwrap().value, "out");
    let routes: Vec<_> = get(web, "eth1").routes.iter().flatten().map(|route| &route.value).collect();
    assert_eq!((routes[1].metric, routes[1].via), (Some(5), Some("10.10.0.1".parse().unwrap())));
    assert_eq!(routes[2].to, Some("::/0".parse().unwrap()));
    assert_eq!(routes[3].to, Some("10.0.0.5/32".parse().unwrap()));
    let mail: Vec<_> = get(&spec.machines, "mail").nics.as_ref().unwrap().0.iter().map(|(name, _)| name.value.as_str()).collect();
    assert_eq!(mail, ["eth0", "eth1"]);
    let ends: Vec<_> = spec.links[1].ends.iter().map(|end| (end.machine.as_str(), end.ifname.as_str())).collect();
    assert_eq!(ends, [("web", "eth6"), ("db", "eth6")]);
    assert_eq!(get(&spec.networks, "old").subnet.as_ref().unwrap().len(), 0);
    assert_eq!(get(&spec.networks, "back").pool.as_ref().unwrap().len(), 2);
}

#[test]
fn needs() {
    let spec = everything();
    let depends = get(&spec.machines, "web").depends_on.as_ref().unwrap();
    assert_eq!(get(depends, "db").condition.value, Condition::Healthy);
    assert_eq!(get(depends, "mail").condition.value, Condition::Started);
    assert!(!get(depends, "cron").required);
    let mode = |name| get(&spec.machines, name).network_mode.as_ref().unwrap().value.clone();
    assert_eq!([mode("db"), mode("two")], [NetworkModeSpec::Machine("web".into()), NetworkModeSpec::Machine("web".into())]);
    assert_eq!(mode("one"), NetworkModeSpec::Container("other".into()));
    let test = |name| get(&spec.machines, name).healthcheck.as_ref().unwrap().test.clone();
    assert_eq!(test("web"), ["CMD-SHELL", "curl -f localhost"]);
    assert_eq!([test("db"), test("one")], [["NONE"], ["NONE"]]);
    let external = |name| get(&spec.volumes, name).external.as_ref().map(|name| name.value.clone());
    assert_eq!(external("old").as_deref(), Some("old"));
    assert_eq!(external("older").as_deref(), Some("the-old-one"));
    assert_eq!(external("oldest").as_deref(), Some("the-oldest-one"));
    assert_eq!(external("no"), None);
}

#[test]
fn variables_become_values_of_every_type() {
    let spec = parse(include_str!("valid/variables.yml")).unwrap();
    let web = get(&spec.machines, "web");
    assert_eq!(spec.name.as_ref().unwrap().value, "shop");
    assert_eq!(web.image.as_ref().unwrap().value, "debian:12");
    assert_eq!((web.memory.as_ref().unwrap().value.0, web.scale.as_ref().unwrap().value), (512 << 20, 2));
    assert!(web.privileged.as_ref().unwrap().value);
    assert_eq!(web.command.as_ref().unwrap().value, ["echo", "$HOME", "yes", "$1"]);
    assert_eq!(variable(web, "EMPTY").as_deref(), Some(""));
    assert_eq!(variable(web, "DOLLAR").as_deref(), Some("5$"));
    assert_eq!(get(web.nics.as_ref().unwrap(), "eth0").mtu.as_ref().unwrap().value, 1400);
}

/// A value that comes by an anchor stands where it was written.
#[test]
fn places_are_where_values_were_written() {
    let text = "x-a: &a\n  image: debian\nmachines:\n  web:\n    <<: *a\n    ports: [\"8080:80\"]\n    links: [\"db:é\", \"db:base\"]\n";
    let errors = parse(text).unwrap_err();
    assert_eq!(errors[0].place.as_ref().unwrap().to_string(), "fly.yml:7:17");
    let spec = parse(&text.replace('é', "e")).unwrap();
    let web = get(&spec.machines, "web");
    assert_eq!(web.image.as_ref().unwrap().place.to_string(), "fly.yml:2:10");
    assert_eq!(web.place.to_string(), "fly.yml:4:3");
    let links = web.links.as_ref().unwrap();
    assert_eq!(links[1].alias.as_ref().unwrap().place.to_string(), "fly.yml:7:25");
    let place = &links[1].machine.place;
    assert_eq!(&text.replace('é', "e")[place.offset..place.offset + place.len], "db");
}
