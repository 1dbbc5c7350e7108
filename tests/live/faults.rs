//! The engine fails, hangs, or ends while fly is at work; several of fly are at work at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::sample::{SHOP, changes, edited};
use crate::support::{Dice, Lab, eventually};

/// What the engine is asked for, one after the other, and does not do.
#[test]
fn a_call_that_fails_holds_up_only_what_needs_it() {
    let lab = Lab::start();
    let before = lab.canonical();
    let shop = lab.project("shop", SHOP);
    for (refused, machine) in [
        ("POST /volumes/create", "db"),
        ("name=shop.db", "db"),
        ("POST /containers/shop.spare/start", "spare"),
        ("POST /networks/create", "web"),
    ] {
        let proxy = lab.proxy();
        proxy.refuse(refused, 500);
        let up = shop.command().via(&proxy).args(&["up", "--yes"]).run();
        up.expect_code(6);
        assert!(up.stderr.contains("refused by the test"), "{up}");
        assert!(!lab.docker(&["ps", "--format", "{{.Names}}"]).lines().any(|it| it == format!("shop.{machine}")), "{up}");
        shop.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&shop), vec![]);
        shop.fly(&["down", "--volumes", "--yes"]).success();
        lab.is_as_before(&before);
    }
    // What cannot be looked at is not guessed.
    for asked in ["GET /containers/json", "GET /networks", "GET /info"] {
        let proxy = lab.proxy();
        proxy.refuse(asked, 500);
        let up = shop.command().via(&proxy).args(&["up", "--yes"]).run();
        assert!(matches!(up.code, 1 | 9), "{up}");
        assert_eq!(proxy.mutations(), Vec::<String>::new(), "{up}");
    }
}

#[test]
fn a_down_that_fails_half_way_is_finished_by_the_next() {
    let lab = Lab::start();
    let before = lab.canonical();
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    for refused in ["DELETE /containers", "DELETE /networks", "DELETE /volumes", "/stop"] {
        let proxy = lab.proxy();
        proxy.refuse(refused, 500);
        let down = shop.command().via(&proxy).args(&["down", "--volumes", "--yes"]).run();
        assert!(matches!(down.code, 1 | 6), "{refused}: {down}");
        shop.fly(&["down", "--volumes", "--yes"]).success();
        lab.is_as_before(&before);
        shop.fly(&["up", "--yes"]).success();
    }
}

#[test]
fn an_engine_that_hangs_is_said_to() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    lab.signal_engine(Signal::STOP);
    let begun = Instant::now();
    let plan = shop.fly(&["plan"]);
    lab.signal_engine(Signal::CONT);
    plan.expect_code(9);
    assert!(plan.stderr.contains("did not answer in time"), "{plan}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    // A short stop only takes its time.
    let up = shop.command().args(&["up", "--yes"]).start();
    eventually(
        "the first container",
        Duration::from_secs(30),
        || {
            if lab.containers().is_empty() { Err("none".to_owned()) } else { Ok(()) }
        },
    );
    lab.signal_engine(Signal::STOP);
    std::thread::sleep(Duration::from_secs(2));
    lab.signal_engine(Signal::CONT);
    up.wait().success();
    assert_eq!(changes(&shop), vec![]);
}

#[test]
fn an_engine_that_is_killed_in_between_costs_one_more_run() {
    let lab = Lab::start();
    // An engine that was killed takes ports for allocated whose container is long gone: that is its own to put right.
    let shop = lab.project("shop", &edited(SHOP, "    ports: [\"8080:80\"]\n", ""));
    // Killed while it starts a container, this engine never starts that one again (`failed to start shim: file exists`).
    let moments = [(50, Signal::KILL), (150, Signal::KILL), (250, Signal::KILL), (300, Signal::TERM), (600, Signal::TERM)];
    for (wait, signal) in moments {
        let up = shop.command().args(&["up", "--yes"]).start();
        std::thread::sleep(Duration::from_millis(wait));
        lab.signal_engine(signal);
        lab.restart_engine();
        let up = up.wait();
        assert!(matches!(up.code, 0 | 1 | 6 | 8 | 9), "{wait}: {up}");
        let again = shop.fly(&["up", "--yes"]);
        assert_eq!(again.code, 0, "{wait}: {up}\n{again}");
        assert_eq!(changes(&shop), vec![], "{wait}: {up}\n{again}");
        // A bridge that it was killed over, and has taken over since, it leaves behind: fly sees that, and takes it away.
        let down = shop.fly(&["down", "--volumes", "--yes"]);
        assert!(matches!(down.code, 0 | 8), "{wait}: {down}");
        shop.fly(&["down", "--volumes", "--yes"]).success();
        // The engine itself may have made its firewall and default bridge anew, but nothing of ours is left.
        for list in [["ps", "--all", "--quiet"], ["network", "ls", "--filter=name=shop"], ["volume", "ls", "--quiet"]] {
            let text = lab.docker(&list);
            assert!(!text.contains("shop") && (list[0] == "network" || text.is_empty()), "{wait}: {text}");
        }
        let links = lab.ip(&["-o", "link"]);
        assert!(!links.contains(": fly"), "{wait}: {links}");
    }
}

#[test]
fn of_twenty_runs_at_once_one_works() {
    let lab = Lab::start();
    let file = "name: slow\nmachines:\n  job: {image: 'fly/busybox:test', command: [sleep, '3']}\n\
                \x20 web: {image: 'fly/busybox:test', depends_on: {job: {condition: completed}}}\n";
    let project = lab.project("slow", file);
    let proxy = lab.proxy();
    let all: Vec<_> = (0..20).map(|_| project.command().via(&proxy).args(&["up", "--yes"]).start()).collect();
    let codes: Vec<i32> = all.into_iter().map(|run| run.wait().code).collect();
    let count = |code: i32| codes.iter().filter(|it| **it == code).count();
    assert!(count(0) >= 1 && count(0) + count(5) == 20, "{codes:?}");
    let creates = proxy.mutations().into_iter().filter(|it| it.starts_with("POST /containers/create?name=slow.")).count();
    assert_eq!(creates, 2, "{:?}", proxy.mutations());
    assert_eq!(changes(&project), vec![]);
}

#[test]
fn projects_side_by_side_do_not_meet() {
    let lab = Lab::start();
    let before = lab.canonical();
    let file = |n: usize| {
        format!(
            "name: p{n}\ndefaults: {{image: 'fly/busybox:test'}}\nnetworks:\n\
             \x20 lan: {{parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.1{n}0-192.168.77.1{n}9, host_ip: 192.168.77.20{n}}}\n\
             \x20 back: {{subnet: 10.1{n}.0.0/24}}\n  out: {{kind: nat, subnet: 10.2{n}.0.0/24}}\n\
             machines:\n  a: {{nics: {{eth0: lan, eth1: back, eth2: out}}}}\n  b: {{nics: {{eth0: lan, eth1: back}}}}\n"
        )
    };
    let projects: Vec<_> = (0..6).map(|n| lab.project(&format!("p{n}"), &file(n))).collect();
    for round in 0..2 {
        let runs: Vec<_> = projects.iter().map(|project| project.command().args(&["up", "--yes"]).start()).collect();
        for run in runs {
            let up = run.wait();
            assert_eq!(up.code, 0, "round {round}: {up}");
        }
        for project in &projects {
            assert_eq!(changes(project), vec![], "round {round}");
        }
        for n in 0..6 {
            lab.docker(&["exec", &format!("p{n}.a"), "ping", "-c1", "-W2", "b"]);
        }
        let runs: Vec<_> = projects.iter().map(|project| project.command().args(&["down", "--yes"]).start()).collect();
        for run in runs {
            let down = run.wait();
            assert_eq!(down.code, 0, "round {round}: {down}");
        }
        lab.is_as_before(&before);
    }
}

/// fly's own cards that are in the host's namespace.
fn host_links(lab: &Lab) -> Vec<String> {
    let links = lab.ip(&["-o", "link"]);
    let names = links.lines().filter_map(|line| line.split(": ").nth(1)).filter_map(|name| name.split('@').next());
    names.filter(|name| name.starts_with("fly")).map(str::to_owned).collect()
}

/// F19: the card that a network hangs on goes after the plan, before the cards are made.
#[test]
fn a_parent_that_goes_in_between_fails_what_needs_it() {
    let lab = Lab::start();
    let add = || {
        lab.ip(&["link", "add", "card", "type", "veth", "peer", "name", "wire"]);
        lab.ip(&["link", "set", "wire", "up"]);
        lab.ip(&["link", "set", "card", "up"]);
    };
    let before = lab.canonical();
    add();
    let file = "name: shop\ndefaults: {image: 'fly/busybox:test'}\nnetworks:\n  lan: {parent: card, subnet: 192.168.88.0/24}\n\
                \x20 back: {subnet: 10.10.0.0/24}\nmachines:\n  a: {nics: {eth0: {network: lan, ip: 192.168.88.5}, eth1: back}}\n  b: {nics: {eth0: back}}\n";
    let shop = lab.project("shop", file);
    let proxy = lab.proxy();
    proxy.hold("POST /containers/shop.a/start");
    let up = shop.command().via(&proxy).args(&["up", "--yes"]).start();
    eventually("the start of a", Duration::from_secs(30), || {
        let requests = proxy.requests();
        if requests.iter().any(|it| it == "POST /containers/shop.a/start") { Ok(()) } else { Err(format!("{requests:?}")) }
    });
    lab.ip(&["link", "del", "card"]);
    proxy.let_go();
    let up = up.wait();
    assert!(up.expect_code(6).stderr.contains("card"), "{up}");
    lab.docker(&["exec", "shop.b", "true"]);
    assert!(!lab.in_machine("shop.a", &["ip", "link"]).contains("eth0"));
    // As long as it is away, it is said so.
    let plan = shop.fly(&["plan"]);
    assert!(plan.expect_code(65).stderr.contains("this host has no such network card"), "{plan}");
    add();
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&shop), vec![]);
    shop.fly(&["down", "--yes"]).success();
    lab.ip(&["link", "del", "card"]);
    lab.is_as_before(&before);
}

/// F14: a machine's first process ends while its cards are being made, at any moment of that.
#[test]
fn a_machine_that_dies_while_it_gets_its_cards_leaves_none_behind() {
    let lab = Lab::start();
    let cards: Vec<String> = (1..10).map(|n| format!("eth{n}: {{network: back, ip: 10.10.0.{n}}}")).collect();
    let file = format!(
        "name: shop\nnetworks: {{back: {{subnet: 10.10.0.0/24}}}}\nmachines:\n  a: {{image: 'fly/busybox:test', nics: {{{}}}}}\n",
        cards.join(", ")
    );
    let shop = lab.project("shop", &file);
    let before = lab.canonical();
    shop.fly(&["up", "--yes"]).success();
    let whole = host_links(&lab).len();
    assert_eq!(whole, 10, "a bridge and nine ports");
    let (mut dice, mut hit) = (Dice::new(0xdead_beef), 0);
    // When it dies is chance: as often as it takes to have died in the middle, and a few times at least.
    for round in 0..60 {
        if round >= 8 && hit > 0 {
            break;
        }
        shop.fly(&["down", "--yes"]).success();
        let up = shop.command().args(&["up", "--yes"]).start();
        let pid = eventually("its first process", Duration::from_secs(30), || {
            let all = lab.machine().run(&[
                "docker",
                "-H",
                &format!("unix://{}", lab.socket().display()),
                "inspect",
                "-f",
                "{{.State.Pid}}",
                "shop.a",
            ]);
            all.stdout.trim().parse::<u32>().ok().filter(|pid| *pid > 0).ok_or_else(|| all.to_string())
        });
        std::thread::sleep(Duration::from_millis(dice.below(60)));
        let _ = lab.machine().run(&["kill", "-9", &pid.to_string()]);
        let up = up.wait();
        assert!(matches!(up.code, 0 | 6 | 8), "round {round}: {up}");
        hit += usize::from(up.code != 0);
        eventually("no card on the host", Duration::from_secs(10), || {
            let left = host_links(&lab);
            if left.len() <= 1 { Ok(()) } else { Err(format!("round {round}: {left:?}\n{up}")) }
        });
        shop.fly(&["up", "--yes"]).success();
        assert_eq!(changes(&shop), vec![], "round {round}");
        assert_eq!(host_links(&lab).len(), whole, "round {round}");
    }
    assert!(hit > 0, "it never died in between");
    shop.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}
