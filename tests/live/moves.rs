//! What goes from one machine, card or network to another in one `up`, on the real engine and kernel.

use crate::sample::{changes, changes_in, edited};
use crate::support::{Lab, Project};

/// `up` from one file to the other and back, with nothing left to do each time.
#[track_caller]
fn there_and_back(lab: &Lab, one: &str, other: &str) {
    let project = lab.project("moved", one);
    for file in [one, other, one] {
        project.write("fly.yml", file);
        project.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&project), vec![], "{file}");
    }
    project.fly(&["down", "--yes"]).success();
}

const HEAD: &str = "name: moved\ndefaults: {image: 'fly/busybox:test'}\n\
                    networks: {out: {kind: nat, subnet: 10.68.0.0/24}, dmz: {kind: nat, subnet: 10.69.0.0/24}, back: {subnet: 10.10.0.0/24}, \
                    lan: {parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.109}}\nmachines:\n";

#[test]
fn machines_that_are_made_anew_swap_what_they_hold() {
    let lab = Lab::start();
    let file = |mode: &str, a: (u8, u16, &str), b: (u8, u16, &str)| {
        let machine = |name: &str, (ip, port, mac): (u8, u16, &str)| {
            format!(
                "  {name}:\n    environment: {{M: {mode}}}\n    ports: ['{port}:80']\n    nics:\n      eth0: {{network: out, ip: 10.68.0.{ip}}}\n\
                 \x20     eth1: {{network: lan, ip: none, mac: '02:00:00:00:00:{mac}'}}\n"
            )
        };
        format!("{HEAD}{}{}", machine("a", a), machine("b", b))
    };
    there_and_back(&lab, &file("one", (20, 8080, "0a"), (21, 8081, "0b")), &file("two", (21, 8081, "0b"), (20, 8080, "0a")));
    // A port of one that goes, on another network.
    let only = |name: &str, network: &str| format!("{HEAD}  {name}: {{ports: ['8080:80'], nics: {{eth0: {network}}}}}\n");
    there_and_back(&lab, &only("a", "out"), &only("b", "dmz"));
    // What holds the address moves into the namespace of who takes it.
    let one =
        "  a: {environment: {M: one}, nics: {eth0: {network: out, ip: 10.68.0.20}}}\n  b: {nics: {eth0: {network: out, ip: 10.68.0.21}}}\n";
    let other = "  a: {environment: {M: two}, nics: {eth0: {network: out, ip: 10.68.0.21}}}\n  b: {network_mode: 'machine:a'}\n";
    there_and_back(&lab, &format!("{HEAD}{one}"), &format!("{HEAD}{other}"));
}

#[test]
fn a_docker_network_gets_another_name_and_two_change_their_subnets() {
    let lab = Lab::start();
    let named = |name: &str| {
        format!(
            "name: moved\ndefaults: {{image: 'fly/busybox:test'}}\nnetworks: {{{name}: {{kind: nat, subnet: 10.68.0.0/24}}}}\n\
             machines: {{a: {{nics: {{eth0: {{network: {name}, ip: 10.68.0.9}}}}}}}}\n"
        )
    };
    there_and_back(&lab, &named("out"), &named("exit"));
    let one = format!("{HEAD}  a: {{nics: {{eth0: out, eth1: dmz}}}}\n");
    there_and_back(&lab, &one, &edited(&edited(&edited(&one, "10.68.", "10.70."), "10.69.", "10.68."), "10.70.", "10.69."));
}

/// With a second network the engine chooses the machine's way out anew.
#[test]
fn a_machine_that_gets_another_docker_network_keeps_its_way_out() {
    let lab = Lab::start();
    let routes = || lab.docker(&["exec", "moved.a", "sh", "-c", "ip route | grep default"]);
    for (first, second) in [("out", "dmz"), ("{network: lan, gateway: 192.168.77.2}", "out")] {
        let one = nics(&format!("eth0: {first}"));
        let project = lab.project("moved", &one);
        project.fly(&["up", "--yes"]).success();
        let before = routes();
        for file in [&nics(&format!("eth0: {first}, eth1: {{network: {second}, gateway: none}}")), &one] {
            project.write("fly.yml", file);
            up_and_done(&project);
            assert_eq!(routes(), before, "{first}");
        }
        project.fly(&["down", "--yes"]).success();
    }
}

fn nics(nics: &str) -> String {
    format!("{HEAD}  a: {{nics: {{{nics}}}}}\n")
}

#[test]
fn cards_of_a_machine_change_networks_and_names() {
    let lab = Lab::start();
    let one = nics("eth0: lan, eth1: {network: out, ip: 10.68.0.11}, eth2: back");
    there_and_back(&lab, &one, &nics("eth0: {network: out, ip: 10.68.0.11}, eth1: back, eth2: lan"));
    let project = lab.project("moved", &nics("eth0: back"));
    project.fly(&["up", "--yes"]).success();
    let machine = lab.pid_and_start("moved.a");
    project.write("fly.yml", &nics("eth0: out"));
    let plan = project.fly(&["plan"]);
    assert!(plan.success().stdout.contains("back (bridge)") && plan.stdout.contains("out (nat)"), "{plan}");
    let found = changes_in(&project.fly(&["plan", "--format", "json"]));
    assert!(
        found.iter().any(|(addr, action, fields)| addr == "nic/a:eth0" && action == "replace" && fields.contains(&"ip".into())),
        "{found:?}"
    );
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    assert_eq!(lab.pid_and_start("moved.a"), machine);
}

fn up_and_done(project: &Project<'_>) {
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(project), vec![]);
}

#[test]
fn a_job_that_ends_at_once_has_done_its_work() {
    let lab = Lab::start();
    for (name, cards) in [("nat", "{eth0: out}"), ("bridge", "{eth0: back}"), ("all", "{eth0: lan, eth1: out, eth2: back}")] {
        for round in 0..3 {
            let file = format!(
                "{HEAD}  job: {{command: ['true'], environment: {{ROUND: {round}}}, nics: {cards}}}\n\
                 \x20 w: {{depends_on: {{job: {{condition: completed}}}}, nics: {{eth0: back}}}}\n"
            );
            up_and_done(&lab.project(name, &file));
        }
        lab.project(name, &format!("{HEAD}  w: {{}}\n")).fly(&["down", "--yes"]).success();
    }
    // One that fails at once has failed, and says so in its own words.
    let project = lab.project(
        "fails",
        &format!(
            "{HEAD}  job: {{command: [sh, -c, 'echo no such table; exit 7'], nics: {{eth0: back, eth1: out}}}}\n\
             \x20 w: {{depends_on: {{job: {{condition: completed}}}}}}\n"
        ),
    );
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(6);
    assert!(up.stderr.contains("code 7") && up.stderr.contains("no such table") && !up.stderr.contains("it has ended"), "{up}");
    assert_ne!(lab.inspect("moved.w")["State"]["Running"], true);
}
