//! Machines that end, share a namespace, or look into the wrong file; `/etc/hosts`; the firewall.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fly::net::{Firewall, HostsLine, NetErrorKind, NetOp, NetPlane};
use fly::types::{HostEntries, HostEntry, LinkKind, LinkRef, Ns};

use super::world::{World, at, macvlan, name, nic, of_host, veth};

fn entry(name: &str, address: &str) -> HostEntry {
    HostEntry { name: name.into(), address: address.parse().unwrap() }
}

#[test]
fn a_machine_that_ended_is_not_found_and_not_seen() {
    let mut world = World::new(&["web", "db", "neighbour"]);
    world.parent("neighbour");
    let op = NetOp::CreateLink { link: Box::new(macvlan("web", "eth0", &["192.168.1.100/24"])) };
    world.op(&op);
    world.kill("web");
    let start = Instant::now();
    for op in [
        &op,
        &NetOp::DeleteLink { at: at("web", "eth0") },
        &NetOp::SetHosts { machine: name("web"), set: HostEntries::default(), remove: BTreeSet::new() },
    ] {
        let error = world.try_op(op).unwrap_err();
        assert_eq!((error.kind, error.to_string().as_str()), (NetErrorKind::Ended, "reach machine web: it has ended"));
    }
    let snapshot = world.observe();
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(
        snapshot.namespaces.keys().cloned().collect::<Vec<_>>(),
        [Ns::Host, Ns::Machine(name("db")), Ns::Machine(name("neighbour"))]
    );
    assert_eq!(snapshot.incomplete, None);
}

#[test]
fn ended_while_it_was_being_worked_on() {
    let mut world = World::new(&["db"]);
    let mut outcomes = BTreeMap::new();
    for round in 0..20 {
        world.start("web");
        let port = of_host("nic/web:eth1", veth(), &[]);
        let op = NetOp::CreateVeth { a: Box::new(nic("web", "eth1", veth(), &["10.0.0.1/24"])), b: Box::new(port) };
        let (kernel, project, processes) = (world.kernel.clone(), world.project.clone(), world.processes.clone());
        let work = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(kernel.perform(&op, &project, &processes))
        });
        std::thread::sleep(Duration::from_micros(100 * round));
        world.kill("web");
        let start = Instant::now();
        let outcome = work.join().unwrap().map_err(|error| error.kind);
        assert!(start.elapsed() < Duration::from_secs(3));
        *outcomes.entry(format!("{outcome:?}")).or_insert(0) += 1;
        assert!(matches!(outcome, Ok(()) | Err(NetErrorKind::Ended)), "{outcome:?}");
    }
    println!("ended at some point of it: {outcomes:?}");
    // The name is free for the next machine at once, although namespaces die at their leisure.
    world.start("web");
    let port = of_host("nic/web:eth1", veth(), &[]);
    let inner = nic("web", "eth1", LinkKind::Veth { peer: Some(port.at.clone()) }, &["10.0.0.1/24"]);
    world.op(&NetOp::CreateVeth { a: Box::new(inner.clone()), b: Box::new(port) });
    assert_eq!(world.seen("web", "eth1").link, inner.link);
}

#[test]
fn nothing_keeps_the_namespace_of_a_dead_machine() {
    let mut world = World::new(&["web"]);
    let port = of_host("nic/web:eth1", veth(), &[]);
    world.op(&NetOp::CreateVeth { a: Box::new(nic("web", "eth1", veth(), &[])), b: Box::new(port.clone()) });
    world.observe();
    world.kill("web");
    let deadline = Instant::now() + Duration::from_secs(5);
    while !world.link("host", &port.at.name).is_null() {
        assert!(Instant::now() < deadline, "the host's end is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn two_machines_in_one_namespace() {
    let mut world = World::new(&["web", "db"]);
    let pid = world.pid("web");
    let mut side = std::process::Command::new("nsenter").args([&format!("--net=/proc/{pid}/ns/net"), "sleep", "60"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    world.processes.insert(name("aside"), side.id());
    let (a, b) = (nic("web", "eth5", veth(), &["10.0.0.1/30"]), nic("db", "eth5", veth(), &["10.0.0.2/30"]));
    world.op(&NetOp::CreateVeth { a: Box::new(a.clone()), b: Box::new(b) });
    let snapshot = world.observe();
    let of = |machine: &str| &snapshot.namespaces[&Ns::Machine(name(machine))];
    assert_eq!(of("web"), &fly::net::Namespace { hosts: of("web").hosts.clone(), ..of("aside").clone() });
    assert!(of("web").links.contains_key("eth5"));
    assert_ne!(of("web").inode, of("db").inode);
    assert_eq!(of("db").links["eth5"].link.kind, LinkKind::Veth { peer: Some(a.at) }, "the one that the alias names");
    side.kill().unwrap();
    side.wait().unwrap();
}

#[test]
fn lines_of_hosts_files() {
    let world = World::new(&["web"]);
    let file = world.folder.join("web.hosts");
    let others = "127.0.0.1\tlocalhost\n172.17.0.2\tweb 0a1b2c\n10.0.0.9\told\n";
    std::fs::write(&file, others).unwrap();
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(file.clone());
    let set = |set: &[HostEntry], remove: &[HostEntry]| NetOp::SetHosts {
        machine: name("web"),
        set: set.iter().cloned().collect::<BTreeSet<_>>().into(),
        remove: remove.iter().cloned().collect(),
    };
    world.twice(&set(&[entry("db", "10.0.0.2"), entry("db", "fd00::2")], &[entry("old", "10.0.0.9")]));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, "127.0.0.1\tlocalhost\n172.17.0.2\tweb 0a1b2c\n10.0.0.2\tdb\t# fly\nfd00::2\tdb\t# fly\n");
    let line = |name: &str, address: &str, marked| HostsLine { entry: entry(name, address), marked };
    let wanted =
        [line("web", "172.17.0.2", false), line("0a1b2c", "172.17.0.2", false), line("db", "10.0.0.2", true), line("db", "fd00::2", true)];
    assert_eq!(world.observe().namespaces[&Ns::Machine(name("web"))].hosts, BTreeSet::from(wanted).into());
    world.twice(&set(&[], &[]));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "127.0.0.1\tlocalhost\n172.17.0.2\tweb 0a1b2c\n");
    assert_eq!(inode(file), before);
}

#[test]
fn a_symbolic_link_in_a_machine_does_not_lead_to_the_hosts_files() {
    let mut world = World::new(&[]);
    let (root, victim) = (world.folder.join("root"), world.folder.join("victim"));
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(&victim, "10.1.1.1 secret\n").unwrap();
    std::os::unix::fs::symlink(&victim, root.join("etc/hosts")).unwrap();
    let mounts = "for d in bin usr lib lib64; do mkdir -p $0/$d; mount --rbind /$d $0/$d; done; exec chroot $0 sleep 60";
    let mut child = std::process::Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "sh", "-c", mounts])
        .arg(&root)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let comm = format!("/proc/{}/comm", child.id());
    while std::fs::read_to_string(&comm).unwrap().trim() != "sleep" {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    world.processes.insert(name("evil"), child.id());
    let seen = world.observe().namespaces[&Ns::Machine(name("evil"))].hosts.clone();
    let op = NetOp::SetHosts { machine: name("evil"), set: BTreeSet::from([entry("x", "10.0.0.1")]).into(), remove: BTreeSet::new() };
    let outcome = world.try_op(&op);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.is_empty());
    assert!(outcome.is_err());
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "10.1.1.1 secret\n");
}

#[test]
fn bridged_frames_and_the_firewall() {
    let world = World::new(&["web", "db"]);
    let bridge = of_host("network/back", LinkKind::Bridge, &[]);
    let bridge_name = bridge.at.name.clone();
    assert_eq!(world.observe().firewall, Firewall::default());
    world.op(&NetOp::CreateLink { link: Box::new(bridge) });
    for (machine, address) in [("web", "10.10.0.1/24"), ("db", "10.10.0.2/24")] {
        let mut port = of_host(&format!("nic/{machine}:eth1"), veth(), &[]);
        port.link.master = Some(bridge_name.clone());
        world.op(&NetOp::CreateVeth { a: Box::new(nic(machine, "eth1", veth(), &[address])), b: Box::new(port) });
    }
    world.ok("host", "sysctl -qw net.bridge.bridge-nf-call-iptables=1");
    world.ok(
        "host",
        "iptables -P FORWARD DROP && iptables -N DOCKER-USER && iptables -A DOCKER-USER -j RETURN && iptables -I FORWARD -j DOCKER-USER",
    );
    let before = world.ok("host", "iptables-save | grep -v '^[#:]'");
    assert_eq!(world.observe().firewall, Firewall { drops_bridged: true, allowed: BTreeSet::new() });
    assert!(!world.run("web", "ping -c 1 -W 1 10.10.0.2").0);
    let comment = "fly:shop/back".to_owned();
    world.twice(&NetOp::AllowForward { bridge: bridge_name.clone(), comment: comment.clone() });
    assert_eq!(
        world.observe().firewall,
        Firewall { drops_bridged: true, allowed: BTreeSet::from([(bridge_name.clone(), comment.clone())]) }
    );
    assert_eq!(world.ok("host", "iptables -S DOCKER-USER").matches("fly:shop/back").count(), 1);
    world.ok("web", "ping -c 1 -W 2 10.10.0.2");
    world.twice(&NetOp::RevokeForward { bridge: bridge_name, comment });
    assert_eq!(world.ok("host", "iptables-save | grep -v '^[#:]'"), before);
}

#[test]
fn a_machine_on_the_hosts_network() {
    let mut world = World::new(&["neighbour"]);
    world.parent("neighbour");
    let pid = world.pid("host");
    world.processes.insert(name("agent"), pid);
    let snapshot = world.observe();
    assert_eq!(snapshot.namespaces[&Ns::Host].links, snapshot.namespaces[&Ns::Machine(name("agent"))].links);
    let LinkKind::Veth { peer } = &snapshot.namespaces[&Ns::Machine(name("neighbour"))].links["lan0"].link.kind else { panic!() };
    assert_eq!(*peer, Some(LinkRef::host("eth1")));
}
