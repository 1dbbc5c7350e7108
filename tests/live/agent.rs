//! The agent: cards, addresses, routes and names are back without anybody running fly.

use std::time::Duration;

use crate::sample::{changes_in, edited};
use crate::support::{Lab, Output, Project, eventually};

const FILE: &str = "name: shop
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, host_ip: 192.168.77.99}
  back: {subnet: [10.20.0.0/24, \"fd00:20::/64\"]}
  jumbo: {subnet: 10.30.0.0/24, mtu: 9000}
machines:
  web:
    image: fly/busybox:test
    restart: always
    nics:
      eth0: {network: lan, ip: 192.168.77.10}
      eth1: {network: back, ip: [10.20.0.5/24, \"fd00:20::5/64\"], routes: [{to: 10.99.0.0/16, via: 10.20.0.6}]}
      eth3: {network: jumbo, ip: 10.30.0.5}
  db: {image: fly/busybox:test, restart: always, nics: {eth0: {network: back, ip: 10.20.0.6/24}}, links: [\"web:shopfront\"]}
  out: {image: fly/busybox:test, restart: always}
links: [[\"web:eth5\", \"db:eth5\"]]
";

fn fly(project: &Project<'_>, args: &[&str]) -> Output {
    project.command().with_agent().args(args).run()
}

fn is_whole(lab: &Lab, project: &Project<'_>, what: &str) {
    eventually(what, Duration::from_secs(20), || {
        let plan = fly(project, &["plan", "--format", "json"]);
        let changes = changes_in(&plan);
        if changes.is_empty() { Ok(()) } else { Err(format!("{changes:?}\n{}", lab.try_docker(&["logs", "fly-agent"]).stderr)) }
    });
}

#[test]
fn a_machine_that_starts_again_has_its_cards_and_names() {
    let lab = Lab::start();
    let before = lab.canonical();
    let project = lab.project("shop", FILE);
    let up = fly(&project, &["up", "--yes"]);
    assert!(up.success().stderr.contains("agent"), "{up}");
    assert!(fly(&project, &["plan", "--check"]).success().stdout.contains("nothing to do"));
    let links = lab.in_machine("shop.web", &["ip", "-o", "addr"]);
    let names = lab.docker(&["exec", "shop.db", "cat", "/etc/hosts"]);
    for disturb in [&["restart", "--time=1"][..], &["kill"]] {
        for machine in ["shop.web", "shop.db", "shop.out"] {
            lab.docker(&[disturb, &[machine]].concat());
            if disturb[0] == "kill" {
                lab.docker(&["start", machine]);
            }
            is_whole(&lab, &project, &format!("{machine} after {}", disturb[0]));
        }
    }
    let addresses = |text: &str| text.lines().filter_map(|line| line.split_whitespace().nth(3).map(str::to_owned)).collect::<Vec<_>>();
    let same = |text: &str| {
        let mut all = addresses(text);
        all.retain(|address| !address.starts_with("fe80"));
        all.sort();
        all
    };
    assert_eq!(same(&lab.in_machine("shop.web", &["ip", "-o", "addr"])), same(&links));
    assert_eq!(lab.docker(&["exec", "shop.db", "cat", "/etc/hosts"]).lines().count(), names.lines().count());
    assert!(lab.in_machine("shop.web", &["ip", "link", "show", "eth3"]).contains("mtu 9000"));
    assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("10.99.0.0/16 via 10.20.0.6"));
    lab.docker(&["exec", "shop.db", "ping", "-c1", "-W3", "shopfront"]);
    lab.neighbour(&["ping", "-c1", "-W3", "192.168.77.10"]);
    assert!(lab.docker(&["logs", "fly-agent"]).is_empty() || !lab.try_docker(&["logs", "fly-agent"]).stderr.contains("error"));
    fly(&project, &["down", "--yes"]).success();
    lab.is_as_before(&before);
    let images = lab.docker(&["images", "--all", "--format={{.Repository}}:{{.Tag}} {{.ID}}"]);
    assert!(!images.contains("fly-guest") && !images.contains("<none>"), "{images}");
}

/// Every life of the program writes down which addresses it found.
const CRASHING: &str = "name: shop
networks: {back: {subnet: 10.20.0.0/24}}
machines:
  web:
    image: fly/busybox:test
    restart: always
    command: [sh, -c, 'ip -o addr show dev eth7 > /lives/$$(cat /proc/sys/kernel/random/uuid) 2>&1; sleep 0.2; exit 3']
    volumes: [\"./lives:/lives\"]
    nics: {eth7: {network: back, ip: 10.20.0.5/24}}
";

#[test]
fn a_program_that_crashes_never_runs_without_its_cards() {
    let lab = Lab::start();
    let project = lab.project("shop", CRASHING);
    let lives = project.dir().join("lives");
    std::fs::create_dir(&lives).unwrap();
    // It is restarted while `up` still looks: what that says hangs on the moment.
    fly(&project, &["up", "--yes"]);
    eventually("several lives", Duration::from_secs(40), || {
        let count = std::fs::read_dir(&lives).unwrap().count();
        if count >= 6 { Ok(()) } else { Err(format!("{count}\n{}", lab.try_docker(&["logs", "fly-agent"]).stderr)) }
    });
    lab.docker(&["stop", "--time=1", "shop.web"]);
    for life in std::fs::read_dir(&lives).unwrap() {
        let text = std::fs::read_to_string(life.unwrap().path()).unwrap();
        assert!(text.contains("10.20.0.5/24"), "{text}");
    }
    fly(&project, &["down", "--yes"]).success();
}

#[test]
fn an_engine_that_starts_again_brings_machines_back_whole() {
    let lab = Lab::start();
    // Another card of the host, and what is plugged in there.
    lab.ip(&["link", "add", "up0", "type", "veth", "peer", "name", "up0-far"]);
    for link in ["up0", "up0-far"] {
        lab.ip(&["link", "set", link, "up"]);
    }
    lab.ip(&["addr", "add", "10.40.0.1/24", "dev", "up0-far"]);
    let project = lab.project("shop", &with_lower_links());
    fly(&project, &["up", "--yes"]).success();
    let before = lab.pid_and_start("shop.web");
    // Killed: the containers go with it at the latest when it is there again.
    lab.signal_engine(rustix::process::Signal::KILL);
    lab.restart_engine();
    is_whole(&lab, &project, "after the end of the engine");
    assert_ne!(lab.pid_and_start("shop.web"), before, "this engine does not keep containers alive");
    // The host was switched off: nothing is left of its links and rules, but what the engine knows.
    lab.signal_engine(rustix::process::Signal::TERM);
    for link in host_links(&lab) {
        // The other ends of cards are going with their machines.
        lab.machine().run(&["ip", "link", "delete", &link]);
    }
    let mark = altname(&lab, "up0");
    lab.ip(&["link", "property", "del", "dev", "up0", "altname", &mark]);
    assert_eq!(host_links(&lab), Vec::<String>::new());
    lab.machine().ok(&["iptables", "-F", "DOCKER-USER"]);
    lab.restart_engine();
    is_whole(&lab, &project, "after a reboot");
    assert_eq!(altname(&lab, "up0"), mark);
    assert!(lab.ip(&["link", "show", "type", "vxlan"]).contains("master fly"));
    lab.docker(&["exec", "shop.db", "ping", "-c1", "-W3", "10.40.0.1"]);
    lab.neighbour(&["ping", "-c1", "-W3", "192.168.77.10"]);
    lab.docker(&["exec", "shop.db", "ping", "-c1", "-W3", "shopfront"]);
    // With live-restore everything lives on, and the agent hears of the new engine.
    std::fs::write(lab.dir().join("daemon.json"), r#"{"live-restore": true}"#).unwrap();
    lab.signal_engine(rustix::process::Signal::HUP);
    eventually("live-restore", Duration::from_secs(10), || {
        let info = lab.docker(&["info", "--format", "{{.LiveRestoreEnabled}}"]);
        if info.trim() == "true" { Ok(()) } else { Err(info) }
    });
    let before = lab.pid_and_start("shop.web");
    lab.signal_engine(rustix::process::Signal::KILL);
    lab.restart_engine();
    assert_eq!(lab.pid_and_start("shop.web"), before);
    is_whole(&lab, &project, "with live-restore");
    lab.docker(&["restart", "--time=1", "shop.web"]);
    is_whole(&lab, &project, "a restart after that");
    fly(&project, &["down", "--yes"]).success();
}

/// The same, with links beneath its networks: a vxlan, and a card of the host's that is a port.
fn with_lower_links() -> String {
    let networks = "networks:\n  far: {kind: vxlan, vni: 77, subnet: 10.50.0.0/24}\n  wan: {uplink: up0, subnet: 10.40.0.0/24}\n";
    let cards = "nics: {eth1: {network: far, ip: 10.50.0.6}, eth2: {network: wan, ip: 10.40.0.6}, eth0:";
    edited(
        &edited(FILE, "networks:\n", networks),
        "nics: {eth0: {network: back, ip: 10.20.0.6/24}",
        &format!("{cards} {{network: back, ip: 10.20.0.6/24}}"),
    )
}

fn altname(lab: &Lab, link: &str) -> String {
    let shown: serde_json::Value = serde_json::from_str(&lab.ip(&["-j", "link", "show", link])).unwrap();
    shown[0]["altnames"][0].as_str().unwrap_or_default().to_owned()
}

/// fly's own, in the host's namespace.
fn host_links(lab: &Lab) -> Vec<String> {
    let links = lab.ip(&["-o", "link"]);
    let names = links.lines().filter_map(|line| line.split(": ").nth(1)).filter_map(|name| name.split('@').next());
    names.filter(|name| name.starts_with("fly")).map(str::to_owned).collect()
}

#[test]
fn it_is_there_as_long_as_a_project_needs_it() {
    let lab = Lab::start();
    let before = lab.canonical();
    let shop = lab.project("shop", FILE);
    let other = lab.project("other", "name: other\nmachines: {a: {image: fly/busybox:test}}\n");
    let agent = |args: &[&str]| fly(&shop, &[&["agent"], args].concat());
    assert!(agent(&["status"]).expect_code(1).stdout.contains("no agent on this engine"));
    assert!(agent(&["stop"]).expect_code(1).stderr.contains("no agent is on this engine"));
    fly(&shop, &["up", "--yes"]).success();
    fly(&other, &["up", "--yes"]).success();
    let status = agent(&["status"]).success().stdout.clone();
    assert!(status.contains("running") && status.contains("shop: 3 machines") && status.contains("other: 1 machine\n"), "{status}");
    // Drift: stopped, removed, without its orders.
    agent(&["stop"]).success();
    // Not even the engine's own next start brings it back.
    let policy = |lab: &Lab| lab.docker(&["inspect", "--format={{.HostConfig.RestartPolicy.Name}} {{.State.Running}}", "fly-agent"]);
    assert_eq!(policy(&lab), "no false\n");
    let drift = |action: &str, fields: &[&str]| vec![crate::sample::change("agent", action, fields)];
    assert_eq!(changes_in(&fly(&shop, &["plan", "--format", "json"])), drift("update", &["state"]));
    fly(&shop, &["up", "--yes"]).success();
    lab.docker(&["rm", "--force", "fly-agent"]);
    assert_eq!(changes_in(&fly(&shop, &["plan", "--format", "json"])), drift("create", &[]));
    fly(&shop, &["up", "--yes"]).success();
    // It has to have heard of them first.
    eventually("the new agent", Duration::from_secs(20), || {
        let log = agent(&["logs"]).stdout.clone();
        if log.contains("projects: other, shop") { Ok(()) } else { Err(log) }
    });
    lab.docker(&["volume", "prune", "--force"]);
    assert_eq!(changes_in(&fly(&shop, &["plan", "--format", "json"])), drift("update", &["puts back"]));
    // Until then it remembers.
    lab.docker(&["restart", "--time=1", "shop.db"]);
    eventually("the card of db", Duration::from_secs(10), || {
        let there = lab.in_machine("shop.db", &["ip", "-o", "addr"]);
        if there.contains("10.20.0.6/24") { Ok(()) } else { Err(there) }
    });
    fly(&shop, &["up", "--yes"]).success();
    fly(&other, &["up", "--yes"]).success();
    assert!(agent(&["logs"]).success().stdout.contains("shop/db: put back eth0, eth5"));
    // A change of one project is no business of the other's agent.
    fly(&shop, &["down", "--yes"]).success();
    let status = agent(&["status", "--format", "json"]).success().stdout.clone();
    assert!(status.contains("\"other\"") && !status.contains("\"shop\""), "{status}");
    other.write("fly.yml", "name: other\nagent: false\nmachines: {a: {image: fly/busybox:test}}\n");
    fly(&other, &["up", "--yes"]).success();
    agent(&["status"]).expect_code(1);
    assert!(fly(&other, &["plan", "--check"]).success().stdout.contains("nothing to do"));
    fly(&other, &["down", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn one_of_another_build_makes_way_and_a_strangers_name_does_not() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    lab.docker(&["run", "--detach", "--name=fly-agent", "--network=none", "fly/busybox:test"]);
    let up = fly(&project, &["up", "--yes"]);
    assert!(up.expect_code(7).stderr.contains("the name of container `fly-agent` is taken"), "{up}");
    lab.docker(&["rm", "--force", "fly-agent"]);
    lab.docker(&["run", "--detach", "--name=fly-agent", "--network=none", "--label=fly.agent=0123456789ab", "fly/busybox:test"]);
    let plan = fly(&project, &["plan"]);
    assert!(plan.success().stdout.contains("another build of fly"), "{plan}");
    fly(&project, &["up", "--yes"]).success();
    lab.docker(&["restart", "--time=1", "shop.web"]);
    is_whole(&lab, &project, "with its successor");
    // Orders of a form that this build does not know are another's, and are written anew.
    fly(&project, &["down", "--yes"]).success();
}

#[test]
fn two_of_them_and_a_machine_that_does_not_rest() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    fly(&project, &["up", "--yes"]).success();
    let links = host_links(&lab).len();
    let socket = lab.socket().display().to_string();
    let second =
        lab.machine().running(crate::support::command(&[env!("CARGO_BIN_EXE_fly"), "agent", "run", &socket]), Duration::from_secs(300));
    for _ in 0..15 {
        lab.docker(&["restart", "--time=0", "shop.db"]);
        lab.docker(&["restart", "--time=0", "shop.web"]);
    }
    is_whole(&lab, &project, "with two agents");
    assert_eq!(host_links(&lab).len(), links, "nothing twice");
    second.kill();
    fly(&project, &["down", "--yes"]).success();
}

/// The engine's own time between a kill and its event is not the agent's.
#[test]
fn a_card_is_back_soon_after_the_start() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    fly(&project, &["up", "--yes"]).success();
    for _ in 0..20 {
        lab.docker(&["kill", "shop.db"]);
        lab.docker(&["start", "shop.db"]);
        eventually("its card", Duration::from_secs(10), || {
            let there = lab.in_machine("shop.db", &["ip", "-o", "addr"]);
            if there.contains("10.20.0.6/24") { Ok(()) } else { Err(there) }
        });
    }
    is_whole(&lab, &project, "after twenty kills");
    let log = fly(&project, &["agent", "logs"]);
    let times =
        log.success().stdout.lines().filter(|line| line.contains("shop/db")).filter_map(|line| line.rsplit(' ').nth(1)?.parse().ok());
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    // Not every life has a line of its own: a kill may come while the agent still looks around.
    assert!(times.len() >= 8, "{times:?}");
    // Ten times what it takes on an idle machine.
    assert!(times[times.len() / 2] < 200, "{times:?}");
    fly(&project, &["down", "--yes"]).success();
}

/// Somebody else's work on a project, as far as the kernel can tell: the name of a socket in the host's namespace.
fn at_work(lab: &Lab, project: &str) -> crate::support::Running {
    let script = format!(
        "import socket, time\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0fly/{project}')\ns.listen()\nprint('held', flush=True)\ntime.sleep(60)"
    );
    let held = lab.machine().running(crate::support::command(&["python3", "-c", &script]), Duration::from_secs(120));
    eventually("the socket", Duration::from_secs(10), || if held.so_far().contains("held") { Ok(()) } else { Err(held.errors_so_far()) });
    held
}

fn has_card(lab: &Lab, container: &str, address: &str) -> Result<(), String> {
    let there = lab.container(container).run(&["ip", "-o", "addr"]).stdout;
    if there.contains(address) { Ok(()) } else { Err(there) }
}

#[test]
fn who_works_on_one_project_keeps_no_other_waiting_and_its_own_not_for_ever() {
    let lab = Lab::start();
    let file = |name: &str, ip: &str| {
        format!(
            "name: {name}\nnetworks: {{net: {{subnet: {ip}/24}}}}\nmachines: {{a: {{image: 'fly/busybox:test', nics: {{eth0: {{network: net, ip: {ip}5}}}}}}}}\n"
        )
    };
    let one = lab.project("one", &file("one", "10.21.0.").replace("10.21.0./24", "10.21.0.0/24"));
    let two = lab.project("two", &file("two", "10.22.0.").replace("10.22.0./24", "10.22.0.0/24"));
    fly(&one, &["up", "--yes"]).success();
    fly(&two, &["up", "--yes"]).success();
    let held = at_work(&lab, "one");
    lab.docker(&["restart", "--time=0", "one.a"]);
    lab.docker(&["restart", "--time=0", "two.a"]);
    eventually("the other project's card", Duration::from_secs(3), || has_card(&lab, "two.a", "10.22.0.5/24"));
    assert!(has_card(&lab, "one.a", "10.21.0.5/24").is_err(), "it waits for whoever is at work");
    eventually("its own card", Duration::from_secs(15), || has_card(&lab, "one.a", "10.21.0.5/24"));
    held.kill();
    is_whole(&lab, &one, "with nobody at work");
}

/// What the engine wrote into their files when they started, is written over for both.
#[test]
fn both_ends_of_a_cable_start_at_once() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    fly(&project, &["up", "--yes"]).success();
    for round in 0..5 {
        lab.docker(&["restart", "--time=0", "shop.web", "shop.db"]);
        is_whole(&lab, &project, &format!("round {round}"));
    }
}

/// A file that nobody reads to its end is that machine's own affair.
#[test]
fn names_without_end_in_one_machine_keep_nobody_from_looking() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    fly(&project, &["up", "--yes"]).success();
    lab.docker(&["exec", "shop.db", "sh", "-c", "head -c 2000000 /dev/zero >/etc/hosts"]);
    let plan = fly(&project, &["plan", "--format", "json"]);
    assert_eq!(changes_in(&plan), vec![crate::sample::change("machine/db", "update", &["names"])]);
    lab.docker(&["restart", "--time=0", "shop.web"]);
    eventually("the other's card", Duration::from_secs(10), || has_card(&lab, "shop.web", "10.20.0.5/24"));
    fly(&project, &["down", "--yes"]).success();
}
