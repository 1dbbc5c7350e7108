//! Looking while others change things (FAULTS.md F36): dumps that the kernel had to interrupt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fly::net::{NetOp, NetSnapshot};
use fly::types::{Ns, Tuning};

use super::world::{World, at, macvlan, name, nic, texts, veth};

const CARDS: usize = 40;

/// Links come and go in `web`, as fast as one program can make them.
fn churn(world: &World, stop: &AtomicBool) -> usize {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        let lines: String =
            (0..30).map(|n| format!("link add x{n} type veth peer name y{n}\naddr add 10.200.{n}.1/24 dev x{n}\n")).collect();
        let gone: String = (0..30).map(|n| format!("link del x{n}\n")).collect();
        world.ok("web", &format!("printf '{lines}{gone}' | ip -batch -"));
        rounds += 1;
    }
    rounds
}

/// How often `ip` itself says that the kernel was interrupted.
fn interrupted(world: &World) -> bool {
    let (_, text) = world.run("web", "ip -d address show; ip -d link show");
    text.contains("Dump was interrupted")
}

fn steady(seen: &NetSnapshot) {
    let links = &seen.namespaces[&Ns::Machine(name("web"))].links;
    for n in 0..CARDS {
        let link = links.get(&format!("c{n}")).unwrap_or_else(|| panic!("c{n} is not among {:?}", links.keys()));
        assert_eq!(link.link.addresses.len(), 1, "c{n}");
        assert_eq!(link.link.kind, fly::types::LinkKind::Veth { peer: Some(at("db", &format!("c{n}"))) });
        assert_eq!(link.link.tuning, Tuning::default());
    }
}

#[test]
fn what_is_seen_while_links_come_and_go_is_whole_or_says_that_it_is_not() {
    let world = World::new(&["web", "db"]);
    for n in 0..CARDS {
        world.op(&NetOp::CreateVeth {
            a: Box::new(nic("web", &format!("c{n}"), veth(), &[&format!("10.1.{n}.1/30")])),
            b: Box::new(nic("db", &format!("c{n}"), veth(), &[&format!("10.1.{n}.2/30")])),
        });
    }
    let stop = AtomicBool::new(false);
    let (whole, partial, interruptions, rounds) = std::thread::scope(|scope| {
        let churning = scope.spawn(|| churn(&world, &stop));
        // Until enough has happened, however slow this computer is today.
        let (mut whole, mut partial, mut interruptions) = (0, 0, 0);
        let deadline = Instant::now() + Duration::from_secs(120);
        while (whole < 100 || interruptions < 5) && Instant::now() < deadline {
            let seen = world.observe();
            match &seen.incomplete {
                None => {
                    steady(&seen);
                    whole += 1;
                }
                Some(why) => {
                    assert_eq!(why, "the links of machine/web kept changing while they were read");
                    partial += 1;
                }
            }
            interruptions += usize::from(interrupted(&world));
        }
        stop.store(true, Ordering::Relaxed);
        (whole, partial, interruptions, churning.join().unwrap())
    });
    println!("{whole} whole views and {partial} partial ones; `ip` was interrupted {interruptions} times, in {rounds} rounds");
    assert!(whole >= 100 && interruptions >= 5 && rounds > 0, "the premise: {whole} {partial} {interruptions} {rounds}");
    let after = world.observe();
    assert_eq!(after.incomplete, None);
    steady(&after);
}

#[test]
fn links_are_changed_while_others_come_and_go() {
    let world = World::new(&["web", "neighbour"]);
    world.parent("neighbour");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churning = scope.spawn(|| churn(&world, &stop));
        for round in 0..25 {
            let card = macvlan("web", &format!("n{round}"), &[&format!("192.168.1.{}/24", 100 + round), &format!("fd00:1::{round}/64")]);
            world.op(&NetOp::CreateLink { link: Box::new(card) });
            let there = texts(&[&format!("192.168.1.{}/24", 100 + round), &format!("fd00:1::{round:x}/64")]);
            assert_eq!(world.addresses("web", &format!("n{round}")).len(), there.len());
            if round % 2 == 0 {
                world.op(&NetOp::DeleteLink { at: at("web", &format!("n{round}")) });
            }
        }
        stop.store(true, Ordering::Relaxed);
        churning.join().unwrap();
    });
    let left = world.observe().namespaces[&Ns::Machine(name("web"))].links.keys().filter(|link| link.starts_with('n')).count();
    assert_eq!(left, 12);
}
