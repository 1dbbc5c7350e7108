//! Changes of the file that replace and restart nothing.

use crate::sample::{self, SHOP, changes, edited};
use crate::support::{Lab, Ping};

const MACHINES: [&str; 3] = ["shop.web", "shop.db", "shop.spare"];

/// Edits the file, runs `up`, and shows that every machine kept its process, that a ping over another card lost nothing, and
/// that afterwards there is nothing left to do.
fn change_in_place(edits: &[(&str, &str)], look: impl Fn(&Lab)) {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    let before = MACHINES.map(|name| lab.pid_and_start(name));
    let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.10");
    let text = edits.iter().fold(SHOP.to_owned(), |text, (from, to)| edited(&text, from, to));
    shop.write("fly.yml", &text);
    let check = shop.fly(&["plan", "--check"]);
    check.expect_code(2);
    shop.fly(&["up"]).success();
    let pinged = ping.stop();
    assert_eq!(pinged.lost, 0, "{pinged:?}");
    assert_eq!(MACHINES.map(|name| lab.pid_and_start(name)), before, "{check}");
    look(&lab);
    assert_eq!(changes(&shop), vec![], "{check}");
    // And back, by the same way.
    shop.write("fly.yml", SHOP);
    shop.fly(&["up"]).success();
    assert_eq!(changes(&shop), vec![]);
    assert_eq!(MACHINES.map(|name| lab.pid_and_start(name)), before);
}

#[test]
fn an_address_of_a_card() {
    change_in_place(&[("ip: [10.10.0.50, \"fd00:10::50\"]", "ip: [10.10.0.60, \"fd00:10::60\", 10.10.0.61]")], |lab| {
        let text = lab.in_machine("shop.spare", &["ip", "addr", "show", "eth1"]);
        for there in ["10.10.0.60/24", "10.10.0.61/24", "fd00:10::60/64"] {
            assert!(text.contains(there), "{text}");
        }
        assert!(!text.contains("10.10.0.50") && !text.contains("::50"), "{text}");
        lab.in_machine("shop.web", &["ping", "-c1", "-W2", "10.10.0.60"]);
        // The names followed.
        assert!(lab.docker(&["exec", "shop.web", "cat", "/etc/hosts"]).contains("10.10.0.60"));
    });
}

#[test]
fn routes_and_gateway() {
    let routes = "ip: [10.10.0.50, \"fd00:10::50\"], gateway: 10.10.0.1, routes: [{to: 10.77.0.0/16, via: 10.10.0.9}]";
    change_in_place(&[("ip: [10.10.0.50, \"fd00:10::50\"]", routes)], |lab| {
        let text = lab.in_machine("shop.spare", &["ip", "route"]);
        assert!(text.contains("default via 10.10.0.1 dev eth1") && text.contains("10.77.0.0/16 via 10.10.0.9"), "{text}");
    });
}

#[test]
fn mtu_and_mac() {
    change_in_place(
        &[("ip: [10.10.0.50, \"fd00:10::50\"]", "ip: [10.10.0.50, \"fd00:10::50\"], mtu: 1400, mac: \"02:00:00:00:00:50\"")],
        |lab| {
            let text = lab.in_machine("shop.spare", &["ip", "link", "show", "eth1"]);
            assert!(text.contains("mtu 1400") && text.contains("02:00:00:00:00:50"), "{text}");
            lab.in_machine("shop.web", &["ping", "-c1", "-W2", "10.10.0.50"]);
        },
    );
}

#[test]
fn a_card_comes_and_goes() {
    change_in_place(&[("nics: {eth0: back}", "nics: {eth0: back, eth1: lan, eth2: out}")], |lab| {
        let text = lab.in_machine("shop.db", &["ip", "addr"]);
        assert!(text.contains("192.168.77.1") && text.contains("10.30.0."), "{text}");
    });
}

#[test]
fn a_card_goes_and_comes() {
    change_in_place(&[(", eth1: {network: back, ip: [10.10.0.50, \"fd00:10::50\"]}", "")], |lab| {
        assert!(!lab.in_machine("shop.spare", &["ip", "link"]).contains("eth1"));
    });
}

#[test]
fn an_engines_card_goes_and_comes() {
    let ports = ("\n    ports: [\"8080:80\"]", "");
    let lab = Lab::start();
    let without_ports = edited(SHOP, ports.0, ports.1);
    let shop = lab.project("shop", &without_ports);
    shop.fly(&["up", "--yes"]).success();
    let before = MACHINES.map(|name| lab.pid_and_start(name));
    let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.10");
    shop.write("fly.yml", &edited(&without_ports, "\n      eth2: out", ""));
    shop.fly(&["up"]).success();
    let links = lab.in_machine("shop.web", &["ip", "-br", "link"]);
    assert!(!links.contains("eth2") && links.contains("eth0") && links.contains("eth5"), "{links}");
    assert_eq!(changes(&shop), vec![]);
    shop.write("fly.yml", &without_ports);
    shop.fly(&["up"]).success();
    assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("default via 10.30.0.1 dev eth2"));
    assert_eq!(changes(&shop), vec![]);
    assert_eq!(ping.stop().lost, 0);
    assert_eq!(MACHINES.map(|name| lab.pid_and_start(name)), before);
}

#[test]
fn a_cable_comes_and_goes() {
    let second = "links:\n  - [web:eth6, spare:eth6]\n";
    change_in_place(&[("links:\n  - ends", &format!("{second}  - ends"))], |lab| {
        assert!(lab.in_machine("shop.web", &["ip", "link", "show", "eth6"]).contains("UP"));
        assert!(lab.in_machine("shop.spare", &["ip", "link", "show", "eth6"]).contains("UP"));
    });
}

#[test]
fn limits_and_restart_policy() {
    change_in_place(
        &[(
            "cpus: 1.5\n    memory: 64M\n    restart: unless-stopped",
            "cpus: 0.5\n    memory: 96M\n    pids_limit: 50\n    restart: always",
        )],
        |lab| {
            let config = &lab.inspect("shop.web")["HostConfig"];
            assert_eq!(config["NanoCpus"], 500_000_000_u64);
            assert_eq!(config["Memory"], 96 << 20);
            assert_eq!(config["PidsLimit"], 50);
            assert_eq!(config["RestartPolicy"]["Name"], "always");
        },
    );
}

#[test]
fn limits_taken_away() {
    change_in_place(&[("\n    cpus: 1.5\n    memory: 64M\n    restart: unless-stopped", "")], |lab| {
        let pid = lab.pid_and_start("shop.web").0.to_string();
        let path = lab.machine().ok(&["cat", &format!("/proc/{pid}/cgroup")]);
        let group = path.lines().find(|line| line.contains(":memory:") || line.starts_with("0::")).unwrap_or_default();
        let folder = group.rsplit(':').next().unwrap_or_default();
        let files = [format!("/sys/fs/cgroup/memory{folder}/memory.limit_in_bytes"), format!("/sys/fs/cgroup{folder}/memory.max")];
        let limit =
            files.iter().map(|file| lab.machine().run(&["cat", file])).find(|output| output.code == 0).expect("one of both versions");
        let limit = limit.stdout.trim();
        assert!(limit == "max" || limit.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 60), "{limit}");
    });
}

#[test]
fn names() {
    change_in_place(
        &[("links: [\"db:database\"]", "links: [\"db:database\", \"db:store\"]\n    extra_hosts: [\"far:192.0.2.7\"]")],
        |lab| {
            let text = lab.docker(&["exec", "shop.web", "cat", "/etc/hosts"]);
            assert!(text.contains("store") && text.contains("192.0.2.7"), "{text}");
            lab.docker(&["exec", "shop.web", "ping", "-c1", "-W2", "store"]);
        },
    );
}

#[test]
fn a_host_address_and_the_mtu_of_a_bridge() {
    change_in_place(&[("host_ip: 10.10.0.1}", "host_ip: 10.10.0.2, mtu: 9000}")], |lab| {
        assert!(lab.ip(&["addr"]).contains("10.10.0.2/24"));
        assert!(lab.in_machine("shop.db", &["ip", "link", "show", "eth0"]).contains("mtu 9000"));
        lab.in_machine("shop.db", &["ping", "-c1", "-W2", "-M", "do", "-s", "8900", "10.10.0.50"]);
    });
}
