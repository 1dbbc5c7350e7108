//! Every machine finds every other that it shares a network with by name, on every kind of network, also after a restart of either and
//! while machines come and go.

use crate::sample::{changes, edited};
use crate::support::{Lab, Project};

/// One network of each kind, with two machines on each; `a` and `b` also by cable.
const NAMES: &str = r#"
name: names
defaults: {image: "fly/busybox:test"}
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.199}
  back: {subnet: [10.10.0.0/24, "fd00:10::/64"]}
  out: {kind: nat, subnet: 10.30.0.0/24}
machines:
  lan1: {nics: {eth0: lan}}
  lan2: {nics: {eth0: lan}, links: ["lan1:gate"]}
  back1: {nics: {eth0: back}}
  back2: {nics: {eth0: back}, links: ["back1:store", "back1:archive"]}
  out1: {nics: {eth0: out}}
  out2: {nics: {eth0: out}, links: ["out1:way"]}
  cable1: {nics: {}}
  cable2: {nics: {}, links: ["cable1:end"]}
  many: {scale: 2, nics: {eth0: back}}
links:
  - ends: [{nic: "cable1:eth0", ip: 10.99.0.1/30}, {nic: "cable2:eth0", ip: 10.99.0.2/30}]
"#;

/// From, to.
const FOUND: &[(&str, &str)] = &[
    ("lan1", "lan2"),
    ("lan2", "lan1"),
    ("lan2", "gate"),
    ("back1", "back2"),
    ("back2", "back1"),
    ("back2", "store"),
    ("back2", "archive"),
    ("out1", "out2"),
    ("out2", "out1"),
    ("out2", "way"),
    ("cable1", "cable2"),
    ("cable2", "end"),
    ("back1", "many"),
    ("back1", "many-1"),
    ("many-1", "many-2"),
    ("many-2", "back2"),
    // Everybody finds himself, at an address that others can reach.
    ("back1", "back1"),
];

fn running(lab: &Lab) -> Project<'_> {
    let project = lab.project("names", NAMES);
    project.fly(&["up", "--yes"]).success();
    project
}

#[track_caller]
fn all_found(lab: &Lab) {
    let lost: Vec<String> = FOUND
        .iter()
        .filter_map(|(from, to)| {
            let output = lab.try_docker(&["exec", &format!("names.{from}"), "ping", "-c1", "-W2", to]);
            (output.code != 0).then(|| format!("{from} -> {to}: {output}{}", hosts(lab, from)))
        })
        .collect();
    assert_eq!(lost, Vec::<String>::new());
}

fn hosts(lab: &Lab, machine: &str) -> String {
    lab.docker(&["exec", &format!("names.{machine}"), "cat", "/etc/hosts"])
}

#[test]
fn on_every_kind_of_network() {
    let lab = Lab::start();
    running(&lab);
    all_found(&lab);
    // By IPv6 where both have it.
    lab.docker(&["exec", "names.back1", "ping", "-6", "-c1", "-W2", "back2"]);
    // Nobody is promised whom he could not reach.
    for (from, to) in [("lan1", "back1"), ("out1", "lan1"), ("cable1", "out1"), ("back1", "gate")] {
        let hosts = hosts(&lab, from);
        assert!(!hosts.split_whitespace().any(|word| word == to), "{from}: {hosts}");
    }
    // The engine's DNS says the same of its network, also for who does not read the file.
    for (from, to) in [("out1", "out2"), ("out2", "out1")] {
        let answer = lab.docker(&["exec", &format!("names.{from}"), "nslookup", to, "127.0.0.11"]);
        assert!(answer.contains("10.30.0."), "{answer}");
    }
    // And it leads to the world's, which is the host's own name server.
    let resolv = lab.docker(&["exec", "names.out1", "cat", "/etc/resolv.conf"]);
    assert!(resolv.contains("nameserver 127.0.0.11"), "{resolv}");
}

#[test]
fn after_a_restart_of_either() {
    let lab = Lab::start();
    let project = running(&lab);
    let stays = lab.pid_and_start("names.back1");
    for name in ["lan1", "back2", "out1", "out2", "cable2", "many-1"] {
        lab.docker(&["restart", &format!("names.{name}")]);
    }
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    all_found(&lab);
    assert_eq!(lab.pid_and_start("names.back1"), stays);
    // All of them, and the engine itself.
    lab.docker(&["stop", "names.lan2", "names.back1", "names.out2", "names.cable1"]);
    lab.signal_engine(rustix::process::Signal::TERM);
    lab.restart_engine();
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    all_found(&lab);
}

#[test]
fn while_machines_come_and_go() {
    let lab = Lab::start();
    let project = running(&lab);
    let machines = ["names.back1", "names.out1", "names.lan1", "names.many-1"];
    let before = machines.map(|name| lab.pid_and_start(name));
    let more =
        edited(NAMES, "  cable1:", "  back3: {nics: {eth0: back}}\n  out3: {nics: {eth0: out}}\n  lan3: {nics: {eth0: lan}}\n  cable1:");
    project.write("fly.yml", &more.replace("scale: 2", "scale: 3"));
    project.fly(&["up", "--yes"]).success();
    for (from, to) in
        [("back1", "back3"), ("back3", "back1"), ("out1", "out3"), ("lan1", "lan3"), ("many-1", "many-3"), ("many-3", "back3")]
    {
        lab.docker(&["exec", &format!("names.{from}"), "ping", "-c1", "-W2", to]);
    }
    all_found(&lab);
    assert_eq!(changes(&project), vec![]);
    // Gone again, and so are the names.
    project.write("fly.yml", NAMES);
    project.fly(&["up", "--yes"]).success();
    for (machine, name) in [("back1", "back3"), ("out1", "out3"), ("lan1", "lan3"), ("many-1", "many-3")] {
        let hosts = hosts(&lab, machine);
        assert!(!hosts.split_whitespace().any(|word| word == name), "{hosts}");
    }
    all_found(&lab);
    assert_eq!(changes(&project), vec![]);
    assert_eq!(machines.map(|name| lab.pid_and_start(name)), before);
}

#[test]
fn what_somebody_wrote_by_hand_stays() {
    let lab = Lab::start();
    let project = running(&lab);
    lab.docker(&["exec", "names.back1", "sh", "-c", "printf '# mine\\n192.0.2.9 elsewhere\\n' >> /etc/hosts"]);
    assert_eq!(changes(&project), vec![]);
    project.write("fly.yml", &edited(NAMES, "[\"back1:store\", \"back1:archive\"]", "[\"back1:store\"]"));
    project.write("fly.yml", &edited(NAMES, "  cable1:", "  back3: {nics: {eth0: back}}\n  cable1:"));
    project.fly(&["up", "--yes"]).success();
    let text = hosts(&lab, "back1");
    assert!(text.contains("# mine\n192.0.2.9 elsewhere\n") && text.contains("back3"), "{text}");
    // A line of fly's that somebody took out is drift, and comes back.
    lab.docker(&["exec", "names.back1", "sh", "-c", "grep -v back2 /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts"]);
    assert_eq!(changes(&project), vec![crate::sample::change("machine/back1", "update", &["names"])]);
    project.fly(&["up", "--yes"]).success();
    all_found(&lab);
    assert!(hosts(&lab, "back1").contains("192.0.2.9 elsewhere"));
}
