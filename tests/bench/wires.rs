//! Many cards: how long a look at all of them takes, and how long many cables.

use std::time::{Duration, Instant};

use fly::net::{NetOp, NetPlane};
use fly::types::Ns;

use crate::report::{self, Times};
use crate::world::{World, macvlan, name, nic, route, veth};

const ROUNDS: usize = 9;
const MACHINES: usize = 100;
const CARDS: usize = 5;
const CABLES: usize = 300;
/// As many as `up` does at a time.
const PARALLEL: usize = 16;

pub(crate) fn figures() {
    looked_at();
    cabled();
}

/// 500 cards of 100 machines, with addresses of both families, a route and a neighbour each.
fn looked_at() {
    let mut world = World::new(&["neighbour"]);
    world.parent("neighbour");
    for machine in 0..MACHINES {
        world.start(&format!("m{machine}"));
        for card in 0..CARDS {
            let (high, low) = (100 + card, machine + 1);
            let mut link = macvlan(
                &format!("m{machine}"),
                &format!("eth{card}"),
                &[&format!("10.{high}.0.{low}/16"), &format!("fd00:{high}::{low}/64")],
            );
            link.link.routes = [route(&format!("10.{}.0.0/16", 200 + card), &format!("10.{high}.0.254"), None)].into();
            link.link.tuning.neighbours = [(format!("10.{high}.0.254").parse().unwrap(), "02:00:5e:00:00:fe".parse().unwrap())].into();
            world.block_on(world.kernel.perform(&NetOp::CreateLink { link: Box::new(link) }, &world.project, &world.processes)).unwrap();
        }
    }
    let look = || {
        let begun = Instant::now();
        let seen = world.block_on(world.kernel.observe(&world.project, &world.processes)).unwrap();
        let took = begun.elapsed();
        let of_machines = seen.namespaces.iter().filter(|(ns, _)| **ns != Ns::Host && **ns != Ns::Machine(name("neighbour")));
        assert_eq!(of_machines.map(|(_, ns)| ns.links.len()).sum::<usize>(), MACHINES * CARDS);
        took
    };
    look();
    let times: Times = (0..ROUNDS).map(|_| look()).collect();
    report::within("500 NICs of 100 machines, observed", &times, Duration::from_millis(250));
}

/// 300 cables between two machines, with an address at each end.
fn cabled() {
    let one = || {
        let world = World::new(&["web", "db"]);
        let cable = |n: usize| {
            let address = |last: usize| format!("10.{}.{}.{last}/30", n / 60, n % 60 * 4);
            NetOp::CreateVeth {
                a: Box::new(nic("web", &format!("c{n}"), veth(), &[&address(1)])),
                b: Box::new(nic("db", &format!("c{n}"), veth(), &[&address(2)])),
            }
        };
        let all: Vec<NetOp> = (0..CABLES).map(cable).collect();
        let begun = Instant::now();
        world.block_on(async {
            let work = all.iter().map(|op| world.kernel.perform(op, &world.project, &world.processes));
            let mut rest = work.collect::<Vec<_>>().into_iter();
            let mut running: futures_util::stream::FuturesUnordered<_> = rest.by_ref().take(PARALLEL).collect();
            while let Some(done) = futures_util::StreamExt::next(&mut running).await {
                done.unwrap();
                running.extend(rest.next());
            }
        });
        let took = begun.elapsed();
        assert_eq!(world.observe().namespaces[&Ns::Machine(name("web"))].links.len(), CABLES);
        took
    };
    let times: Times = (0..3).map(|_| one()).collect();
    report::within("300 cables", &times, Duration::from_secs(1));
}
