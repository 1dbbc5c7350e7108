//! A walk through files and accidents that nobody has thought of together: wherever it leads, `up` gets there, a second plan is
//! empty, and `down` gets back.

use crate::sample::{SHOP, changes, edited};
use crate::support::{Dice, Lab};

/// What the file can say otherwise; every one can be together with every other.
const EDITS: &[(&str, &str)] = &[
    ("cpus: 1.5", "cpus: 0.5"),
    ("memory: 64M", "memory: 96M\n    labels: {tier: front}"),
    ("    ports: [\"8080:80\"]\n", ""),
    ("restart: unless-stopped", "restart: always"),
    ("nics: {eth0: back}", "nics: {eth0: back, eth1: lan, eth2: out}"),
    ("eth0: {network: lan, ip: 192.168.77.10}", "eth0: {network: lan, ip: [192.168.77.10, 192.168.77.11], mtu: 1400}"),
    ("      eth1: back\n", "      eth1: {network: back, mac: \"02:00:00:00:00:77\", routes: [{to: 10.77.0.0/16, via: 10.10.0.9}]}\n"),
    (", eth1: {network: back, ip: [10.10.0.50, \"fd00:10::50\"]}", ""),
    ("[10.10.0.0/24, \"fd00:10::/64\"], host_ip: 10.10.0.1", "[10.10.0.0/16, \"fd00:10::/64\"], host_ip: 10.10.0.2, mtu: 1450"),
    ("subnet: 10.30.0.0/24", "subnet: 10.40.0.0/24"),
    (", host_ip: 192.168.77.99", ""),
    ("links: [\"db:database\"]", "depends_on: [spare]"),
    ("links:\n  - ends", "links:\n  - [web:eth6, spare:eth6]\n  - ends"),
    ("10.99.0.1/30}, {nic: \"db:eth5\", ip: 10.99.0.2/30}]", "10.98.0.1/30}, {nic: \"db:eth5\", ip: 10.98.0.2/30}]"),
    ("volumes: [\"data:/var/lib/data\"]", "volumes: [\"data:/var/lib/data\", /scratch]"),
    ("  spare:", "  many: {scale: 2, nics: {eth0: back, eth1: out}}\n  mate: {network_mode: \"machine:spare\"}\n  spare:"),
    ("machines:\n", "  more: {subnet: 10.60.0.0/24, host_ip: 10.60.0.1}\nmachines:\n  extra: {nics: {eth0: more, eth1: out, eth2: lan}}\n"),
];

/// What somebody does by hand to a machine, in its namespace or to the container.
const ACCIDENTS: &[&[&str]] = &[
    &["docker", "restart", "--time=1"],
    &["docker", "kill"],
    &["docker", "stop", "--time=1"],
    &["docker", "rm", "--force", "--volumes"],
    &["docker", "pause"],
    &["docker", "update", "--cpus=0.7", "--restart=no"],
    &["docker", "network", "disconnect", "shop.out"],
    &["ip", "link", "del", "eth0"],
    &["ip", "link", "del", "eth1"],
    &["ip", "link", "del", "eth5"],
    &["ip", "addr", "flush", "dev", "eth0"],
    &["ip", "link", "set", "eth1", "down"],
    &["ip", "link", "set", "eth0", "mtu", "1300"],
    &["ip", "route", "flush", "dev", "eth2"],
    &["sh", "-c", "ip link set eth1 down; ip link set eth1 name other; ip link set eth0 down; ip link set eth0 name eth1"],
];

/// Does it if it can be done: a machine need not have that card, or run.
fn accident(lab: &Lab, what: &[&str], machine: &str) -> String {
    let output = match what {
        ["docker", args @ ..] => lab.try_docker(&[args, &[machine]].concat()),
        argv if lab.inspect(machine)["State"]["Pid"].as_u64() > Some(0) => lab.container(machine).run(argv),
        _ => return format!("{what:?} of {machine}, which does not run"),
    };
    format!("{what:?} of {machine}: {}", output.code)
}

fn walk(seed: u64, rounds: u32) {
    let lab = Lab::start();
    let before = lab.canonical();
    let shop = lab.project("shop", SHOP);
    let mut dice = Dice::new(seed);
    let mut chosen = vec![false; EDITS.len()];
    let mut told = vec![format!("seed {seed:#x}")];
    for round in 0..rounds {
        for _ in 0..=dice.below(3) {
            let index = dice.index(EDITS.len());
            chosen[index] = !chosen[index];
        }
        let edits = EDITS.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(edit, _)| edit);
        shop.write("fly.yml", &edits.fold(SHOP.to_owned(), |text, (from, to)| edited(&text, from, to)));
        let on: Vec<usize> = chosen.iter().enumerate().filter(|(_, it)| **it).map(|(n, _)| n).collect();
        told.push(format!("round {round}: {on:?}"));
        let up = shop.fly(&["up", "--yes"]);
        assert!(up.code == 0, "{told:#?}\n{up}");
        assert_eq!(changes(&shop), vec![], "{told:#?}\n{up}");
        let machines = lab.docker(&["ps", "--format", "{{.Names}}"]);
        let machines: Vec<&str> = machines.lines().collect();
        for _ in 0..dice.below(3) {
            let (what, machine) = (ACCIDENTS[dice.index(ACCIDENTS.len())], machines[dice.index(machines.len())]);
            if lab.docker(&["ps", "--format", "{{.Names}}"]).lines().any(|it| it == machine) {
                told.push(accident(&lab, what, machine));
            }
        }
    }
    shop.fly(&["down", "--volumes", "--yes"]).success();
    if let Err(diff) = lab.settles_as(&before) {
        panic!("{told:#?}\n{diff}");
    }
}

#[test]
fn a_walk() {
    walk(0x0dd1_ba11, 10);
}

#[test]
fn another_walk() {
    walk(0x5ca1_ab1e, 10);
}

/// Longer ones, from a number that somebody gives.
#[test]
fn a_walk_of_ones_own() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seed, rounds) = (number("FLY_WALK").unwrap_or(7), number("FLY_ROUNDS").unwrap_or(5));
    walk(seed, u32::try_from(rounds).unwrap_or(5));
}
