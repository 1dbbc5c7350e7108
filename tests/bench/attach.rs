//! One more card for a machine that runs: by fly's network plane, and by the commands that a script in the manner of pipework runs.

use std::time::Instant;

use fly::net::{NetOp, NetPlane};

use crate::report::{self, Times};
use crate::world::{World, macvlan, name, route};

const ROUNDS: usize = 21;

pub(crate) fn figures() {
    let world = World::new(&["web", "neighbour"]);
    world.parent("neighbour");
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for round in 0..ROUNDS {
        let mut card = macvlan("web", &format!("n{round}"), &[&format!("192.168.1.{}/24", 100 + round)]);
        card.link.routes = [route(&format!("10.1.{round}.0/24"), "192.168.1.1", None)].into();
        let op = NetOp::CreateLink { link: Box::new(card) };
        let begun = Instant::now();
        world.block_on(world.kernel.perform(&op, &world.project, &world.processes)).unwrap();
        ours.add(begun.elapsed());

        let (address, via) = (format!("192.168.2.{}/24", 100 + round), format!("10.2.{round}.0/24 via 192.168.2.1"));
        let script = commands(world.pid("web"), "eth1", &format!("m{round}"), &address, &via);
        let begun = Instant::now();
        world.ok("host", &script);
        theirs.add(begun.elapsed());
    }
    assert_eq!(world.observe().namespaces[&fly::types::Ns::Machine(name("web"))].links.len(), 2 * ROUNDS);
    report::faster("attach a macvlan NIC, against `ip` commands", &ours, &theirs, 10.0);
}

/// Make, move, rename, address, up, route: one command each.
pub(crate) fn commands(pid: u32, parent: &str, card: &str, address: &str, route: &str) -> String {
    let inside = format!("nsenter --net=/proc/{pid}/ns/net ip");
    [
        format!("ip link add link {parent} name tmp{pid} type macvlan mode bridge"),
        format!("ip link set tmp{pid} netns {pid}"),
        format!("{inside} link set tmp{pid} name {card}"),
        format!("{inside} addr add {address} dev {card}"),
        format!("{inside} link set {card} up"),
        format!("{inside} route add {route} dev {card}"),
    ]
    .join(" && ")
}
