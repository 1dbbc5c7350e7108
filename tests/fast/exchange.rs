//! What one card holds and another is to have: the order in which it goes from hand to hand.

use fly::fake::World;
use fly::net::NetOp;
use fly::plan::{Op, Plan};
use fly::types::Mac;

use crate::properties::{fixed, planned, seen, up};

/// The steps that change cards of machines, with their reasons.
fn moves(plan: &Plan) -> Vec<String> {
    let is_move = |op: &Op| matches!(op, Op::Net(NetOp::SetLink { .. } | NetOp::AdoptPort { .. }));
    plan.steps.iter().filter(|step| is_move(&step.op)).map(|step| format!("{}: {}", step.op, step.reason.as_str())).collect()
}

#[test]
fn names_that_were_exchanged_come_back() {
    let swapped = |one: &'static str, other: &'static str| seen(move |world: &World| world.drift_swap_names("shop.a", one, other));
    assert_eq!(swapped("eth0", "eth1"), ["nic/a:eth0 update name", "nic/a:eth1 update name"]);
    assert_eq!(swapped("eth0", "lan0"), ["nic/a:eth0 update name", "nic/a:lan0 update name"]);
    assert_eq!(swapped("cable0", "lan0"), ["nic/a:cable0 update name", "nic/a:lan0 update name"]);
    let pushed = seen(|world| {
        world.drift_rename_link("shop.a", "eth0", "other");
        world.drift_rename_link("shop.a", "eth1", "eth0");
    });
    assert_eq!(pushed, ["nic/a:eth0 update name", "nic/a:eth1 update name"]);
}

#[test]
fn a_circle_is_broken_by_a_step_of_its_own_that_says_why() {
    let (world, desired) = fixed();
    world.drift_swap_names("shop.a", "eth0", "eth1");
    let plan = planned(&world, &desired).unwrap();
    let [release, first, second] = &moves(&plan)[..] else { panic!("{:?}", moves(&plan)) };
    assert!(release.starts_with("change a:eth") && release.contains("is to have the name eth"), "{release}");
    assert!(first.ends_with("differs from the file") && second.ends_with("differs from the file"), "{first}, {second}");
}

#[test]
fn macs_go_from_hand_to_hand() {
    let (world, desired) = fixed();
    let mac = |text: &str| text.parse::<Mac>().unwrap();
    let with = |a: &str, b: &str| {
        let mut desired = desired.clone();
        for (machine, text) in [("a", a), ("b", b)] {
            let nics = &mut desired.machines.get_mut(&machine.parse().unwrap()).unwrap().nics;
            nics.get_mut(&"eth0".parse().unwrap()).unwrap().mac = mac(text);
        }
        desired
    };
    let (one, two, three) = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03");
    // Both get one; they exchange them; each goes on to the next, in both orders.
    for (a, b, steps) in [(one, two, 2), (two, one, 3), (three, two, 2), (two, one, 2)] {
        let desired = with(a, b);
        let plan = planned(&world, &desired).unwrap();
        assert_eq!(moves(&plan).len(), steps, "{:?}", moves(&plan));
        let (_, report) = up(&world, &desired, 16).unwrap();
        assert!(report.is_success(), "{:?}", report.failures().collect::<Vec<_>>());
        assert!(planned(&world, &desired).unwrap().is_empty());
    }
}
