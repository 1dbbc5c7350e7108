//! Good manners on a LAN: nobody's address is taken away, and everybody is told of a new one.

use std::time::Duration;

use crate::sample::{changes, edited};
use crate::support::{Lab, Project, Running, command, eventually};

const FILE: &str = r#"
name: polite
defaults: {image: "fly/busybox:test"}
networks:
  lan: {parent: eth1, subnet: [192.168.77.0/24, "fd00:77::/64"]}
  old: {bridge: br0, subnet: 10.66.0.0/24}
  own: {subnet: 10.67.0.0/24}
machines:
  a: {nics: {eth0: {network: lan, ip: [192.168.77.101, "fd00:77::101"]}}}
  b: {nics: {eth0: {network: lan, ip: [192.168.77.102, "fd00:77::102"]}, eth1: {network: old, ip: 10.66.0.2}, eth2: own}}
"#;

fn lab() -> Lab {
    let lab = Lab::start();
    lab.ip(&["link", "add", "br0", "type", "bridge"]);
    lab.ip(&["link", "set", "br0", "up"]);
    lab
}

/// The addresses of a machine's card that are not the kernel's own.
fn addresses(lab: &Lab, machine: &str, nic: &str) -> Vec<String> {
    let text = lab.in_machine(machine, &["ip", "-o", "address", "show", "dev", nic, "scope", "global"]);
    text.lines().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
}

/// From `ip -br link show eth0`: name, state, MAC.
fn mac(link: &str) -> String {
    link.split_whitespace().nth(2).unwrap_or_else(|| panic!("{link}")).to_owned()
}

const LINK: &[&str] = &["ip", "-br", "link", "show", "eth0"];

#[test]
fn an_address_that_somebody_has_is_not_taken() {
    for (theirs, length) in [("192.168.77.101", "24"), ("fd00:77::101", "64")] {
        let lab = lab();
        let project = lab.project("polite", FILE);
        lab.neighbour(&["ip", "address", "add", &format!("{theirs}/{length}"), "dev", "eth0", "nodad"]);
        let output = project.fly(&["up", "--yes"]);
        output.expect_code(6);
        let words = format!("{theirs} is in use by {}", mac(&lab.neighbour(LINK)));
        assert!(output.stderr.contains(&words) && output.stderr.contains("a:eth0"), "{words}: {output}");
        assert!(output.stderr.contains("fly up --no-probe"), "{output}");
        // The card is there and without addresses; everything else is done.
        assert_eq!(addresses(&lab, "polite.a", "eth0"), Vec::<String>::new());
        assert_eq!(addresses(&lab, "polite.b", "eth0").len(), 2);
        lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.102"]);
        // Again is no better, until it is free.
        project.fly(&["up", "--yes"]).expect_code(1);
        lab.neighbour(&["ip", "address", "delete", &format!("{theirs}/{length}"), "dev", "eth0"]);
        project.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&project), vec![]);
        lab.neighbour(&["ping", "-c1", "-W2", theirs]);
    }
}

#[test]
fn a_change_of_address_asks_as_well_and_keeps_what_there_was() {
    let lab = lab();
    let project = lab.project("polite", FILE);
    project.fly(&["up", "--yes"]).success();
    let pid = lab.pid_and_start("polite.b");
    // Here it is the host itself that has it.
    lab.ip(&["address", "add", "10.66.0.9/24", "dev", "br0"]);
    project.write("fly.yml", &edited(FILE, "10.66.0.2", "10.66.0.9"));
    let plan = project.fly(&["plan", "--steps"]).success().stdout.clone();
    assert!(plan.contains("change b:eth1, if nobody has 10.66.0.9"), "{plan}");
    let output = project.fly(&["up", "--yes"]);
    assert!([1, 6].contains(&output.code), "{output}");
    assert!(output.stderr.contains("10.66.0.9 is in use by "), "{output}");
    assert_eq!(addresses(&lab, "polite.b", "eth1"), ["10.66.0.2/24"]);
    // Whoever knows better says so.
    project.fly(&["up", "--yes", "--no-probe"]).success();
    assert_eq!(addresses(&lab, "polite.b", "eth1"), ["10.66.0.9/24"]);
    project.write("fly.yml", &edited(&edited(FILE, "10.66.0.2", "10.66.0.8"), "bridge: br0", "probe: false, bridge: br0"));
    lab.ip(&["address", "add", "10.66.0.8/24", "dev", "br0"]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(addresses(&lab, "polite.b", "eth1"), ["10.66.0.8/24"]);
    assert_eq!(lab.pid_and_start("polite.b"), pid);
}

/// What the neighbour hears.
pub(crate) fn listen(lab: &Lab) -> Running {
    let argv = ["tcpdump", "-nnel", "-i", "eth0", "arp or icmp6"];
    let tcpdump = lab.lan_neighbour().running(command(&argv), Duration::from_secs(120));
    eventually("tcpdump", Duration::from_secs(10), || {
        let said = tcpdump.errors_so_far();
        if said.contains("listening on") { Ok(()) } else { Err(said) }
    });
    tcpdump
}

#[test]
fn the_neighbours_are_asked_and_then_told_thrice() {
    let lab = lab();
    let project = lab.project("polite", FILE);
    let tcpdump = listen(&lab);
    project.fly(&["up", "--yes"]).success();
    let count = |text: &str, words: &[&str]| text.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
    eventually("what was said", Duration::from_secs(5), || {
        let text = tcpdump.so_far();
        for last in ["101", "102"] {
            let (v4, v6) = (format!("192.168.77.{last}"), format!("fd00:77::{last}"));
            let asked = (
                count(&text, &["ARP", &v4, "0.0.0.0"]).max(count(&text, &["ARP, Probe", &v4])),
                count(&text, &["neighbor solicitation", "> ff02::1:ff00", &v6]),
            );
            let told = (
                count(&text, &["ARP", &format!("{v4} tell {v4}")]).max(count(&text, &["ARP, Announcement", &v4])),
                count(&text, &["neighbor advertisement", &format!("tgt is {v6}")]),
            );
            // The kernel may say one more for itself.
            if asked != (3, 3) || told.0 < 3 || told.1 < 3 || told.0 > 4 || told.1 > 4 {
                return Err(format!("{last}: asked {asked:?}, told {told:?}\n{text}"));
            }
        }
        Ok(())
    });
    // What is there already is neither asked for nor told again.
    let before = tcpdump.so_far().len();
    project.fly(&["up", "--yes"]).success();
    let text = tcpdump.so_far()[before..].to_owned();
    assert_eq!(count(&text, &["Probe"]) + count(&text, &["0.0.0.0"]), 0, "{text}");
    // On a bridge of fly's own there is nobody to be asked: nothing stands in the plan.
    let plan = lab.project("polite2", &edited(FILE, "name: polite", "name: polite2")).fly(&["plan", "--steps"]).success().stdout.clone();
    assert!(plan.contains("create macvlan a:eth0, if nobody has 192.168.77.101 or fd00:77::101"), "{plan}");
    assert!(!plan.contains("if nobody has 10.67"), "{plan}");
}

/// The old card of a machine that is started anew may answer for a moment, and must not be taken for somebody else.
#[test]
fn there_is_no_false_alarm() {
    let lab = lab();
    let project = lab.project("polite", FILE);
    for round in 0..20 {
        let output = project.fly(&["up", "--yes"]);
        assert_eq!(output.code, 0, "round {round}: {output}");
        match round % 3 {
            0 => drop(project.fly(&["down", "--yes"]).success()),
            1 => drop(lab.docker(&["restart", "-t0", "polite.a", "polite.b"])),
            _ => drop(lab.docker(&["kill", "polite.a", "polite.b"])),
        }
    }
}

#[test]
fn a_mac_may_be_made_of_a_text_as_pipework_does() {
    let lab = Lab::start();
    let file = edited(FILE, r#"ip: [192.168.77.101, "fd00:77::101"]"#, r#"ip: 192.168.77.101, mac: "U:a host's name""#);
    let project = lab.project("polite", &edited(&file, "bridge: br0, ", ""));
    project.fly(&["up", "--yes"]).success();
    // As its script has it.
    let script = r#"macunique="a host's name"; echo $macunique|md5sum|sed 's/^\(..\)\(..\)\(..\)\(..\)\(..\).*$/02:\1:\2:\3:\4:\5/'"#;
    let theirs = lab.machine().ok(&["sh", "-c", script]);
    assert_eq!(mac(&lab.in_machine("polite.a", LINK)), theirs.trim());
    assert_eq!(changes(&project), vec![]);
}

/// A namespace that somebody keeps alive keeps its macvlans, and their MACs.
#[test]
fn a_mac_that_another_card_has_is_named() {
    let lab = Lab::start();
    let one = edited(&edited(FILE, "bridge: br0, ", ""), r#""fd00:77::101"]"#, r#""fd00:77::101"], mac: "02:00:5e:10:00:01""#);
    let project = lab.project("polite", &one);
    // On the host: seen before anything is touched.
    lab.ip(&["link", "add", "link", "eth1", "name", "theirs", "address", "02:00:5e:10:00:01", "type", "macvlan", "mode", "bridge"]);
    let refused = project.fly(&["plan"]);
    refused.expect_code(65);
    assert!(refused.stderr.contains("`theirs`, a macvlan of this host on `eth1`, has the MAC `02:00:5e:10:00:01`"), "{refused}");
    // Elsewhere: only the kernel knows, and says no when it is set up.
    lab.ip(&["netns", "add", "hidden"]);
    lab.ip(&["link", "set", "theirs", "netns", "hidden", "up"]);
    lab.machine().ok(&["ip", "-n", "hidden", "link", "set", "theirs", "up"]);
    let failed = project.fly(&["up", "--yes"]);
    assert!([1, 6].contains(&failed.code), "{failed}");
    assert!(failed.stderr.contains("another card on the same parent has the MAC 02:00:5e:10:00:01"), "{failed}");
    lab.ip(&["netns", "delete", "hidden"]);
    up_in_the_end(&project);
    assert_eq!(changes(&project), vec![]);
}

/// The deleted namespace goes at its leisure.
fn up_in_the_end(project: &Project<'_>) {
    eventually("the MAC to be free", Duration::from_secs(20), || {
        let output = project.fly(&["up", "--yes"]);
        if output.code == 0 { Ok(()) } else { Err(output.to_string()) }
    });
}
