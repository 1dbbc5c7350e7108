//! What goes from one machine, card or network to another: whoever gives something up does so before who takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fly::apply::{Options, Report, apply};
use fly::desired::{Context, Desired, resolve};
use fly::diag::Kind;
use fly::diff::{Action, Change};
use fly::fake::{Fault, FaultKind, When, World};
use fly::observe::{ask_registries, observe, processes};
use fly::plan::{Plan, plan};
use fly::types::ImageDefaults;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn desired(text: &str) -> Desired {
    let text = format!("name: shop\ndefaults: {{image: debian}}\n{text}");
    let spec = fly::spec::parse("fly.yml", &text, &BTreeMap::new()).unwrap();
    resolve(&spec, &Context { directory: "/srv/shop".into(), ..Context::default() }).unwrap()
}

fn world() -> World {
    let world = World::new();
    for image in ["debian", "job", "quick", "bad"] {
        world.add_image(image, ImageDefaults::default());
    }
    world.set_image_ends("job", 0);
    world.set_image_ends_at_once("quick", 0);
    world.set_image_ends_at_once("bad", 7);
    world
}

/// What `fly up` does, so many steps at a time.
fn run(world: &World, text: &str, parallel: usize) -> (Plan, Report) {
    let desired = desired(text);
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let mut actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap();
    block_on(ask_registries(&*world.engine(), &mut actual, desired.newest_images()));
    let plan = plan(&desired, &actual).unwrap_or_else(|refusals| panic!("{refusals:?}"));
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let options = Options { parallel, rest: Duration::ZERO };
    let report = block_on(apply(&plan, world.engine(), world.net(), processes(&actual), options, |_| {}, stop));
    (plan, report)
}

fn differing(plan: &Plan) -> Vec<&Change> {
    plan.changes.iter().filter(|change| change.action != Action::Keep).collect()
}

/// As a reader has it: resource, what is done, fields.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |change: &&Change| {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let fields: Vec<String> = change.fields.iter().map(|it| format!("{} {} > {}", it.field, value(&it.old), value(&it.new))).collect();
        format!("{} {}: {}", change.addr, change.action.verb(), fields.join("; "))
    };
    differing(plan).iter().map(line).collect()
}

/// `up` goes well, and there is nothing left to do.
#[track_caller]
fn up(world: &World, text: &str, parallel: usize) -> Plan {
    let (plan, report) = run(world, text, parallel);
    let failures: Vec<_> = report.failures().collect();
    let steps: Vec<String> =
        plan.steps.iter().map(|step| format!("\n{} {}: {} after {:?}", step.id, step.addr, step.op, step.after)).collect();
    assert!(report.is_success(), "{failures:?}{}", steps.concat());
    let (again, _) = run(&world.fork(), text, 1);
    assert_eq!(lines(&again), Vec::<String>::new(), "after{}", steps.concat());
    plan
}

/// From one file to the other and back, one step at a time and many.
#[track_caller]
fn there_and_back(one: &str, other: &str) {
    for parallel in [1, 16] {
        let world = world();
        for text in [one, other, one] {
            up(&world, text, parallel);
        }
    }
}

const NAT: &str = "networks: {out: {kind: nat, subnet: 10.68.0.0/24}, dmz: {kind: nat, subnet: 10.69.0.0/24}, lan: {parent: eth1, subnet: 192.168.77.0/24}}\n";

fn pair(a: &str, b: &str) -> String {
    format!("{NAT}machines:\n  a: {a}\n  b: {b}\n")
}

#[test]
fn addresses_in_a_docker_network_are_swapped_while_both_machines_are_made_anew() {
    let file = |a: u8, b: u8, mode: &str| {
        let machine = |ip| format!("{{environment: {{M: {mode}}}, nics: {{eth0: {{network: out, ip: 10.68.0.{ip}}}}}}}");
        pair(&machine(a), &machine(b))
    };
    there_and_back(&file(20, 21, "one"), &file(21, 20, "two"));
}

#[test]
fn published_ports_are_swapped_while_both_machines_are_made_anew() {
    let file = |a: u16, b: u16| {
        let machine = |port, network| format!("{{ports: ['{port}:80'], nics: {{eth0: {network}}}}}");
        pair(&machine(a, "out"), &machine(b, "dmz"))
    };
    there_and_back(&file(8080, 8081), &file(8081, 8080));
    // From one that goes to one that comes, on another network.
    let only = |name: &str, network: &str| format!("{NAT}machines: {{{name}: {{ports: ['8080:80'], nics: {{eth0: {network}}}}}}}\n");
    there_and_back(&only("a", "out"), &only("b", "dmz"));
    there_and_back(&only("b", "out"), &only("a", "dmz"));
}

#[test]
fn macs_on_one_parent_are_swapped_while_both_machines_are_made_anew() {
    let file = |a: &str, b: &str, mode: &str| {
        let machine =
            |mac| format!("{{environment: {{M: {mode}}}, nics: {{eth0: {{network: lan, ip: none, mac: '02:00:00:00:00:{mac}'}}}}}}");
        pair(&machine(a), &machine(b))
    };
    there_and_back(&file("0a", "0b", "one"), &file("0b", "0a", "two"));
}

/// The one that takes the address is what the other one needs: who gives it up stops first.
#[test]
fn an_address_goes_to_the_owner_of_the_namespace_that_its_holder_moves_into() {
    let one =
        pair("{environment: {M: one}, nics: {eth0: {network: out, ip: 10.68.0.20}}}", "{nics: {eth0: {network: out, ip: 10.68.0.21}}}");
    let other = pair("{environment: {M: two}, nics: {eth0: {network: out, ip: 10.68.0.21}}}", "{network_mode: 'machine:a'}");
    there_and_back(&one, &other);
}

/// Somebody's trouble is not everybody's: who only shares a network with a machine that cannot be made is not held up by it.
#[test]
fn who_takes_nothing_from_another_does_not_wait_for_it() {
    let world = world();
    let file = |mode: &str| {
        pair(
            &format!("{{environment: {{M: {mode}}}, nics: {{eth0: out, eth1: lan}}}}"),
            &format!("{{environment: {{M: {mode}}}, nics: {{eth0: out, eth1: lan}}}}"),
        )
    };
    up(&world, &file("one"), 16);
    world.plan_fault(Fault { at: world.performs() + 1, when: When::Before, kind: FaultKind::Other });
    let (plan, report) = run(&world, &file("two"), 1);
    assert_eq!(report.failures().count(), 1);
    let held_up = plan.steps.iter().filter(|step| report.outcome(step.id) != Some(&fly::apply::Outcome::Done));
    let machines: BTreeSet<String> = held_up.filter_map(|step| Some(step.addr.machine()?.to_string())).collect();
    assert_eq!(machines.len(), 1, "{machines:?}");
}

#[test]
fn a_docker_network_gets_another_name_and_keeps_its_subnet() {
    let file = |name: &str| {
        format!(
            "networks: {{{name}: {{kind: nat, subnet: 10.68.0.0/24}}}}\nmachines: {{a: {{nics: {{eth0: {{network: {name}, ip: 10.68.0.9}}}}}}}}\n"
        )
    };
    there_and_back(&file("out"), &file("exit"));
    // Two of them change places.
    let nets = |one: u8, other: u8| {
        let net = |number| format!("{{kind: nat, subnet: 10.{number}.0.0/24}}");
        format!("networks: {{out: {}, dmz: {}}}\nmachines: {{a: {{nics: {{eth0: out, eth1: dmz}}}}}}\n", net(one), net(other))
    };
    there_and_back(&nets(68, 69), &nets(69, 68));
}

/// With a second network the engine chooses the machine's way out anew.
#[test]
fn a_machine_that_gets_another_docker_network_keeps_its_way_out() {
    for (first, second) in [("out", "dmz"), ("{network: lan, gateway: 192.168.77.2}", "out")] {
        let file = |more: &str| format!("{NAT}machines: {{a: {{nics: {{eth0: {first}{more}}}}}}}\n");
        there_and_back(&file(""), &file(&format!(", eth1: {{network: {second}, gateway: none}}")));
    }
}

const CARDS: &str =
    "networks: {out: {kind: nat, subnet: 10.68.0.0/24}, back: {subnet: 10.10.0.0/24}, lan: {parent: eth1, subnet: 192.168.77.0/24}}\n";

fn cards(nics: &str) -> String {
    format!("{CARDS}machines: {{a: {{nics: {{{nics}}}}}}}\n")
}

/// The card of the Docker network, known by its port, gets another name; the alias that it bears is not another card's claim to it.
#[test]
fn a_docker_networks_card_changes_its_name_and_its_old_one_goes_to_another_network() {
    let one = cards("eth0: lan, eth1: {network: out, ip: 10.68.0.11}, eth2: back");
    there_and_back(&one, &cards("eth0: {network: out, ip: 10.68.0.11}, eth1: back, eth2: lan"));
    let world = world();
    up(&world, &one, 16);
    let plan = up(&world, &cards("eth0: {network: out, ip: 10.68.0.11}, eth1: back, eth2: lan"), 16);
    let told = lines(&plan);
    let has = |start: &str, part: &str| told.iter().any(|line| line.starts_with(start) && line.contains(part));
    assert!(has("nic/a:eth0 update: name eth1 > eth0;", "network macvlan on eth1, mode bridge > out (nat)"), "{told:#?}");
    assert!(has("nic/a:eth1 create: network - > back (bridge)", ""), "{told:#?}");
    assert!(has("nic/a:eth2 replace: network back (bridge) > lan (macvlan on eth1)", ""), "{told:#?}");
}

#[test]
fn a_card_that_moves_from_a_bridge_to_a_docker_network_is_told_of_with_its_fields() {
    let world = world();
    up(&world, &cards("eth0: back"), 16);
    let told = lines(&up(&world, &cards("eth0: out"), 16));
    assert!(
        told.iter().any(|line| line.starts_with("nic/a:eth0 replace: network back (bridge) > out (nat); ip - > 10.68.0.")),
        "{told:#?}"
    );
    let told = lines(&up(&world, &cards("eth0: lan"), 16));
    assert!(told.iter().any(|line| line.starts_with("nic/a:eth0 replace: network out (nat) > lan (macvlan on eth1)")), "{told:#?}");
}

fn awaited(image: &str, nics: &str) -> String {
    format!("{CARDS}machines:\n  job: {{image: {image}, nics: {nics}}}\n  w: {{depends_on: {{job: {{condition: completed}}}}}}\n")
}

#[test]
fn a_job_that_ends_before_it_has_its_cards_has_done_its_work() {
    for nics in ["{eth0: out}", "{eth0: back}", "{eth0: lan, eth1: out, eth2: back}"] {
        for parallel in [1, 16] {
            up(&world(), &awaited("quick", nics), parallel);
        }
        // In the middle of it.
        for at in 1..12 {
            let world = world();
            world.plan_fault(Fault { at, when: When::After, kind: FaultKind::EndContainer("shop.job".into(), 0) });
            up(&world, &awaited("job", nics), 1);
        }
    }
}

#[test]
fn a_job_that_fails_before_it_has_its_cards_has_failed() {
    let world = world();
    let (plan, report) = run(&world, &awaited("bad", "{eth0: out, eth1: back}"), 16);
    let failures: Vec<&str> = report.failures().map(|(_, message)| message).collect();
    assert_eq!(failures, ["wait until container shop.job has completed: it ended with 7"]);
    let starts: Vec<_> = plan.steps.iter().filter(|step| step.op.to_string() == "start container shop.w").collect();
    assert!(matches!(report.outcome(starts[0].id), Some(fly::apply::Outcome::Skipped(_))));
    // Nobody waits for this one: it was to stay.
    let alone = format!("{CARDS}machines: {{job: {{image: quick, nics: {{eth0: back}}}}}}\n");
    assert!(!run(&world, &alone, 16).1.is_success());
}

fn pulled(b: &str) -> String {
    format!("machines:\n  a: {{image: far}}\n{b}")
}

/// A pull moves the name of an image under a machine that was made from it.
#[test]
fn a_pull_takes_along_who_runs_the_same_image() {
    for (b, gone) in [("  b: {image: far}\n", true), ("  b: {image: far, pull_policy: always}\n", false)] {
        let world = world();
        world.add_to_registry("far", ImageDefaults::default());
        up(&world, &pulled(""), 16);
        world.add_to_registry("far", ImageDefaults::default());
        if gone {
            world.drift_untag("far");
        }
        let told = lines(&up(&world, &pulled(b), 16));
        assert!(told.iter().any(|line| line.starts_with("machine/a replace: image far (")), "{told:#?}");
        // Whoever shares its namespace comes along.
        let (again, _) = run(&world, &pulled(b), 16);
        assert_eq!(lines(&again), Vec::<String>::new());
    }
    // Nothing is pulled for who has its image, though another has been pushed.
    let world = world();
    world.add_to_registry("far", ImageDefaults::default());
    up(&world, &pulled(""), 16);
    world.add_to_registry("far", ImageDefaults::default());
    let told = lines(&up(&world, &pulled("  b: {image: far}\n"), 16));
    assert!(!told.iter().any(|line| line.starts_with("image/") || line.contains(" replace: ")), "{told:#?}");
}

/// What stands in the way of `up`: kind, message and hints.
fn refused(world: &World, text: &str) -> Vec<(Kind, String)> {
    let desired = desired(text);
    let actual = block_on(observe(&*world.engine(), &*world.net(), &desired.project, BTreeSet::from(["debian".to_owned()]))).unwrap();
    let refusals = plan(&desired, &actual).err().unwrap_or_default();
    refusals.into_iter().map(|refusal| (refusal.kind, format!("{} {}", refusal.message, refusal.hints.join(" ")))).collect()
}

#[test]
fn a_container_that_somebody_has_renamed_is_told_of_and_not_made_again() {
    let world = world();
    let file = format!("{CARDS}machines: {{web: {{nics: {{eth0: lan}}}}}}\n");
    up(&world, &file, 16);
    world.drift_rename("shop.web", "foo");
    // `down` too: its cards would be left.
    for text in [file.as_str(), "machines: {}"] {
        let told = refused(&world, text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, Kind::Stranger);
        assert!(told[0].1.contains("container `foo` is `shop.web`") && told[0].1.contains("docker rename foo shop.web"), "{told:?}");
    }
    world.drift_rename("foo", "shop.web");
    assert!(up(&world, &file, 16).is_empty());
    // Labels alone can have been copied.
    world.add_stranger_container("copy", "debian", &[("fly.project", "shop"), ("fly.machine", "gone")]);
    assert!(up(&world, &file, 16).is_empty());
}

#[test]
fn who_lives_in_the_namespace_of_a_strangers_container_follows_it() {
    let world = world();
    world.add_stranger_container("vpn", "debian", &[]);
    let file = "machines: {app: {network_mode: 'container:vpn'}}\n";
    up(&world, file, 16);
    world.drift_restart("vpn");
    let plan = up(&world, file, 16);
    assert_eq!(lines(&plan), ["machine/app restart: "]);
    assert!(plan.changes[0].reason.contains("container vpn has left"), "{:?}", plan.changes);
}

#[test]
fn a_container_may_be_meant_by_its_id_but_not_one_of_the_projects_own() {
    let world = world();
    world.add_stranger_container("vpn", "debian", &[]);
    let by_id = |name: &str| format!("machines: {{app: {{network_mode: 'container:{}'}}, own: {{}}}}\n", &world.id(name).unwrap()[..12]);
    up(&world, &by_id("vpn"), 16);
    let told = refused(&world, &by_id("shop.own"));
    assert!(told.len() == 1 && told[0].1.ends_with("network_mode: machine:own"), "{told:?}");
    let told = refused(&world, "machines: {app: {network_mode: 'container:nobody'}}\n");
    assert!(told.len() == 1 && told[0].1.starts_with("there is no container `nobody`"), "{told:?}");
}

#[test]
fn extra_hosts_of_a_machine_on_the_hosts_network_are_fixed_at_creation() {
    let world = world();
    let file = |address: &str| format!("machines: {{app: {{network_mode: host, extra_hosts: ['far:{address}']}}}}\n");
    up(&world, &file("192.0.2.7"), 16);
    assert_eq!(lines(&up(&world, &file("192.0.2.8"), 16)), ["machine/app replace: extra_hosts 192.0.2.7 far > 192.0.2.8 far"]);
}

#[test]
fn a_privileged_machine_may_say_what_is_so_anyway() {
    let world = world();
    for options in ["['label=disable']", "['label=disable', 'no-new-privileges']"] {
        up(&world, &format!("machines: {{app: {{privileged: true, security_opt: {options}}}}}\n"), 16);
    }
}

#[test]
fn what_a_program_waits_for_is_said_by_its_cards() {
    let world = world();
    let file = |address: &str, up: bool| {
        format!(
            "machines: {{a: {{guest: true, nics: {{eth0: {{network: back, ip: {address}}}}}}}, b: {{guest: true, nics: {{eth0: back}}}}}}
networks: {{back: {{subnet: 10.1.0.0/24}}}}
links: [{{ends: [{{nic: 'a:eth5', ip: 10.9.0.1/29}}, {{nic: 'b:eth5', ip: 10.9.0.2/29, up: {up}}}], mtu: 9000}}]
"
        )
    };
    let made = lines(&up(&world, &file("10.1.0.9", true), 16));
    let cable = made.iter().find(|line| line.starts_with("link/")).unwrap();
    for part in ["ip of a:eth5 - > 10.9.0.1/29", "ip of b:eth5 - > 10.9.0.2/29", "mtu - > 9000"] {
        assert!(cable.contains(part), "{cable}");
    }
    // Its name goes with the address.
    let said = lines(&up(&world, &file("10.1.0.8", true), 16));
    let names = "names 10.1.0.9 a > 10.1.0.8 a";
    let a = [format!("machine/a update: {names}"), format!("machine/b update: {names}")];
    assert_eq!(said[..2], a);
    assert_eq!(said[2..], ["nic/a:eth0 update: ip 10.1.0.9/24 > 10.1.0.8/24"]);
    let plan = up(&world, &file("10.1.0.8", false), 16);
    assert_eq!(lines(&plan), ["nic/b:eth5 update: up up > down"]);
    assert!(plan.steps.iter().any(|step| step.op.to_string() == "write guest settings of b"), "{:?}", plan.steps);
}
