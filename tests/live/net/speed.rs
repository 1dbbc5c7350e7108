//! How fast it is. The figures are printed; what is asserted is generous, for slow machines, except for ratios.

use std::time::{Duration, Instant};

use fly::net::{NetOp, NetPlane};
use fly::types::{LinkKind, Ns};

use super::world::{World, macvlan, name, nic, veth};

/// The median of `n` runs.
fn median(n: u32, mut work: impl FnMut(u32)) -> Duration {
    let mut times: Vec<Duration> = (0..n)
        .map(|round| {
            let start = Instant::now();
            work(round);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// Of this process and of the commands that it ran, which another user of the machine does not make longer.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn attaching_a_nic_is_ten_times_faster_than_by_commands() {
    let world = World::new(&["web", "neighbour"]);
    world.parent("neighbour");
    let pid = world.pid("web");
    let ours = median(30, |round| {
        let address = format!("192.168.1.{}/24", 100 + round);
        world.op(&NetOp::CreateLink { link: Box::new(macvlan("web", &format!("n{round}"), &[&address])) });
    });
    // As pipework does it: make, move, rename, address, up.
    let theirs = median(30, |round| {
        let (net, address) = (format!("nsenter --net=/proc/{pid}/ns/net"), format!("192.168.2.{}/24", 100 + round));
        world.ok(
            "host",
            &format!(
                "ip link add link eth1 name tmp{round} type macvlan mode bridge && ip link set tmp{round} netns {pid} && \
                 {net} ip link set tmp{round} name m{round} && {net} ip addr add {address} dev m{round} && {net} ip link set m{round} up"
            ),
        );
    });
    println!("attach one macvlan: {ours:?}, by `ip` commands {theirs:?}: {:.1} times", theirs.as_secs_f64() / ours.as_secs_f64());
    assert!(theirs > ours * 5);
}

#[test]
fn two_hundred_cables_at_once() {
    let world = World::new(&["web", "db"]);
    let start = Instant::now();
    let ops: Vec<NetOp> = (0..200)
        .map(|n| NetOp::CreateVeth {
            a: Box::new(nic("web", &format!("c{n}"), LinkKind::Veth { peer: None }, &[&format!("10.1.{n}.1/30")])),
            b: Box::new(nic("db", &format!("c{n}"), veth(), &[&format!("10.1.{n}.2/30")])),
        })
        .collect();
    // Eight at a time, while somebody looks on.
    world.block_on(async {
        for chunk in ops.chunks(8) {
            let work = chunk.iter().map(|op| world.kernel.perform(op, &world.project, &world.processes));
            let look = world.kernel.observe(&world.project, &world.processes);
            let (done, seen) = tokio::join!(futures_util::future::try_join_all(work), look);
            done.unwrap();
            assert_eq!(seen.unwrap().incomplete, None);
        }
    });
    println!("200 cables, 8 at a time, 25 looks beside: {:?}", start.elapsed());
    let start = Instant::now();
    let snapshot = world.observe();
    println!("look at 3 namespaces with 400 links: {:?}", start.elapsed());
    let links = &snapshot.namespaces[&Ns::Machine(name("web"))].links;
    assert_eq!(links.len(), 200);
    assert_eq!(world.ip("web", "link show type veth").as_array().unwrap().len(), 200);
    for (link, state) in links {
        assert_eq!(state.link.kind, LinkKind::Veth { peer: Some(super::world::at("db", link)) });
        assert_eq!(state.link.addresses.len(), 1);
    }
}

#[test]
fn looking_at_many_machines() {
    let names: Vec<String> = (0..500).map(|n| format!("m{n}")).collect();
    let mut world = World::new(&["neighbour"]);
    world.parent("neighbour");
    for (made, machine) in names.iter().enumerate() {
        world.start(machine);
        world.op(&NetOp::CreateLink {
            link: Box::new(macvlan(machine, "eth0", &[&format!("192.168.{}.{}/16", made / 250 + 2, made % 250 + 1)])),
        });
        if [50, 500].contains(&(made + 1)) {
            let time = median(9, |_| assert_eq!(world.observe().namespaces.len(), made + 3));
            world.ok("host", "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0");
            let bare = median(9, |_| assert_eq!(world.observe().namespaces.len(), made + 3));
            world.ok("host", "sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1");
            let before = processor_time();
            (0..20).for_each(|_| assert_eq!(world.observe().namespaces.len(), made + 3));
            println!("  of the processor's time: {:?}", processor_time().checked_sub(before).unwrap() / 20);
            println!("look at {} namespaces: {time:?}, of which the firewall takes {:?}", made + 1, time.saturating_sub(bare));
            assert!(time < Duration::from_millis(4 * (made as u64 + 10)));
        }
    }
    for machine in names {
        world.kill(&machine);
    }
}
