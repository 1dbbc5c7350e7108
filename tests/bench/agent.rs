//! Cards that stay, and cards beside others: how soon the agent has put one back, what a helper beside the engine costs, and what passes
//! a macvlan card against a published port of Docker's bridge.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::report::{self, Times};
use crate::support::{Lab, Project, command, eventually};

const KILLS: usize = 100;
const SECONDS: &str = "3";

const FILE: &str = "name: shop
networks: {lan: {parent: eth1, subnet: 192.168.77.0/24}, back: {subnet: 10.20.0.0/24}}
machines:
  web: {image: fly/busybox:test, nics: {eth0: {network: lan, ip: 192.168.77.10}, eth1: {network: back, ip: 10.20.0.5/24}}}
  out: {image: fly/busybox:test, ports: [\"5201:5201\"]}
";

pub(crate) fn figures() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    project.command().with_agent().args(&["up", "--yes"]).run().success();
    back_again(&lab);
    helper(&project);
    throughput(&lab);
    project.command().with_agent().args(&["down", "--yes"]).run().success();
}

/// From the engine's event, which comes after the start, until the kernel shows both addresses.
fn back_again(lab: &Lab) {
    let mut times = Times::default();
    for _ in 0..KILLS {
        lab.docker(&["kill", "shop.web"]);
        let before = now();
        let begun = std::thread::scope(|scope| {
            let start = scope.spawn(|| lab.docker(&["start", "shop.web"]));
            let there = eventually("both cards", Duration::from_secs(20), || {
                let pid = lab.inspect("shop.web")["State"]["Pid"].as_u64().unwrap_or(0);
                let table = lab.machine().run(&["cat", &format!("/proc/{pid}/net/fib_trie")]).stdout;
                if table.contains("192.168.77.10") && table.contains("10.20.0.5") { Ok(now()) } else { Err("not there".to_owned()) }
            });
            start.join().unwrap();
            there
        });
        times.add(Duration::from_nanos(begun.saturating_sub(event(lab, before))));
    }
    report::percentile("both cards back after the engine's `start`, 99 of 100 kills", &times, 99, Duration::from_millis(100));
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// When the engine said that it has started, in nanoseconds since 1970.
fn event(lab: &Lab, since: u64) -> u64 {
    let since = format!("{}.{:09}", since / 1_000_000_000, since % 1_000_000_000);
    let until = format!("{}", now() / 1_000_000_000 + 1);
    let events = lab.docker(&[
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        "event=start",
        "--format",
        "{{.TimeNano}} {{.Actor.Attributes.name}}",
    ]);
    events.lines().find_map(|line| line.strip_suffix(" shop.web")?.parse().ok()).unwrap_or(0)
}

fn helper(project: &Project<'_>) {
    let (mut own, mut beside) = (Times::default(), Times::default());
    for _ in 0..7 {
        for (times, by_user) in [(&mut own, false), (&mut beside, true)] {
            let command = project.command().with_agent().args(&["plan"]);
            let command = if by_user { command.by_user() } else { command };
            let begun = Instant::now();
            command.run().success();
            times.add(begun.elapsed());
        }
    }
    report::compared("plan through a helper beside the engine, against as root", &beside, &own);
}

fn throughput(lab: &Lab) {
    let rate = |machine: &str, address: &str| {
        let server = lab.container(machine).running(command(&["iperf3", "--server", "--one-off"]), Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(300));
        let said = lab.lan_neighbour().run(&["iperf3", "--client", address, "--time", SECONDS, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        server.kill();
        json["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_else(|| panic!("{said}")) / 1e9
    };
    let (mut card, mut port) = (vec![], vec![]);
    for _ in 0..3 {
        card.push(rate("shop.web", "192.168.77.10"));
        port.push(rate("shop.out", "192.168.77.1"));
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (card, port) = (median(&mut card), median(&mut port));
    let values = format!("{card:.1} Gbit/s against {port:.1} Gbit/s: {:.2} times", card / port);
    report::shown("throughput of a macvlan card, against a published port", &values);
}
