//! Plans that are made first and done later; parts of a project; progress for programs.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::sample::{self, SHOP, changes, edited};
use crate::support::{Dice, Lab, Project, Registry, eventually};

const PLAN: &str = "plan.json";

fn save(shop: &Project<'_>) {
    shop.fly(&["plan", "--out", PLAN]).success();
}

/// `fly up --plan` without anybody to ask.
fn up_saved(shop: &Project<'_>, code: i32) -> crate::support::Output {
    let output = shop.fly(&["up", "--plan", PLAN]);
    output.expect_code(code);
    output
}

#[test]
fn a_plan_is_saved_and_done() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    let proxy = lab.proxy();
    shop.command().via(&proxy).args(&["plan", "--out", PLAN]).run().success();
    assert_eq!(proxy.mutations(), Vec::<String>::new());
    let mode = std::fs::metadata(shop.dir().join(PLAN)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Others come and go, and somebody looks at the file.
    lab.docker(&["run", "--detach", "--name", "other", "fly/busybox:test", "sleep", "1000"]);
    lab.docker(&["network", "create", "--subnet", "10.222.0.0/24", "others"]);
    lab.ip(&["link", "add", "dummy7", "type", "bridge"]);
    shop.write("fly.yml", &format!("# A comment.\n{SHOP}"));
    up_saved(&shop, 0);
    assert_eq!(changes(&shop), vec![]);
    assert!(up_saved(&shop, 0).stdout.starts_with("nothing to do"));

    // What needs a yes has had it.
    shop.write("fly.yml", &edited(SHOP, "    nics: {eth0: back}\n", "    nics: {eth0: back}\n    hostname: base\n"));
    save(&shop);
    let before = lab.inspect("shop.db")["Id"].take();
    up_saved(&shop, 0);
    assert_ne!(lab.inspect("shop.db")["Id"], before);
    assert_eq!(changes(&shop), vec![]);
}

#[test]
fn what_somebody_does_meanwhile_makes_it_stale() {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    shop.write("fly.yml", &edited(SHOP, "memory: 64M", "memory: 96M"));
    save(&shop);
    let by_hand: [(&[&str], &[&str], &str); 2] = [
        (&["ip", "link", "set", "eth1", "mtu", "1400"], &["ip", "link", "set", "eth1", "mtu", "1500"], "nic/db:eth0"),
        (&["docker"], &["docker"], "machine/spare"),
    ];
    for (doing, undoing, named) in by_hand {
        let hand = |words: &[&str], update: &str| {
            if words[0] == "docker" {
                lab.docker(&["update", "--memory", update, "--memory-swap", "-1", "shop.spare"]);
            } else {
                let words: Vec<&str> = words.iter().map(|word| if *word == "eth1" { "eth0" } else { word }).collect();
                lab.in_machine("shop.db", &words);
            }
        };
        hand(doing, "99m");
        let before = lab.canonical();
        let stale = up_saved(&shop, 4);
        assert!(stale.stderr.contains(named) && stale.stderr.contains("+ "), "{stale}");
        assert!(stale.stderr.contains("the world has changed since the plan was made"), "{stale}");
        assert_eq!(stale.stdout, "");
        assert_eq!(lab.canonical(), before);
        // Put back by hand it holds again, as far as that can be: the engine has no word for no limit.
        if undoing[0] == "docker" {
            shop.write("fly.yml", SHOP);
            shop.fly(&["up", "--yes"]).success();
            shop.write("fly.yml", &edited(SHOP, "memory: 64M", "memory: 96M"));
        } else {
            hand(undoing, "");
        }
    }
    up_saved(&shop, 0);
    assert_eq!(lab.inspect("shop.web")["HostConfig"]["Memory"], 96 << 20);
    assert_eq!(changes(&shop), vec![]);
}

#[test]
fn an_edited_file_is_refused() {
    let lab = Lab::start();
    let shop = lab.project("shop", &edited(SHOP, "memory: 64M", "memory: \"${SIZE:-64M}\""));
    save(&shop);
    shop.write(".env", "SIZE=96M\n");
    let before = lab.canonical();
    let stale = up_saved(&shop, 4);
    assert!(stale.stderr.contains("~ machine/web") && !stale.stderr.contains("machine/db"), "{stale}");
    assert!(stale.stderr.contains("fly.yml, or what goes into it, has changed since the plan was made"), "{stale}");
    assert_eq!(lab.canonical(), before);
    // For another project, or another engine, it is of no use.
    let other = shop.fly(&["--project", "blog", "up", "--plan", PLAN]);
    other.expect_code(64);
    let text = std::fs::read_to_string(shop.dir().join(PLAN)).unwrap();
    let engine: serde_json::Value = serde_json::from_str(&text).unwrap();
    shop.write(".env", "");
    shop.write(PLAN, &text.replace(engine["engine"].as_str().unwrap(), "ELSE:WHERE"));
    let elsewhere = up_saved(&shop, 64);
    assert!(elsewhere.stderr.contains("is for the engine `ELSE:WHERE`"), "{elsewhere}");
    shop.write(PLAN, &text);
    up_saved(&shop, 0);
}

#[test]
fn a_run_that_was_cut_off_is_taken_up() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    let mut dice = Dice::new(0x5a_7ed);
    for round in 0..6 {
        save(&shop);
        let mut kills = 0;
        for _ in 0..3 {
            let mut running = shop.command().args(&["up", "--plan", PLAN, "--parallel", "2"]).start();
            let limit = Duration::from_millis(300 + dice.below(2500));
            let begun = std::time::Instant::now();
            while begun.elapsed() < limit && !running.has_ended() {
                std::thread::sleep(Duration::from_millis(2));
            }
            if running.has_ended() {
                running.wait().success();
            } else if round % 2 == 0 {
                running.kill();
                kills += 1;
            } else {
                running.signal(Signal::INT);
                let code = running.wait().code;
                assert!(matches!(code, 0 | 130), "{code}");
                kills += 1;
            }
        }
        let done = up_saved(&shop, 0);
        assert_eq!(changes(&shop), vec![], "round {round}, cut off {kills} times: {done}");
        // The next round replaces two of them.
        let name = format!("hostname: h{round}");
        let text = edited(SHOP, "    nics: {eth0: back}\n", &format!("    nics: {{eth0: back}}\n    {name}\n"));
        shop.write("fly.yml", &edited(&text, "  spare:\n", &format!("  spare:\n    {name}\n")));
    }
}

#[test]
fn a_tag_that_moves_makes_it_stale() {
    let lab = Lab::start();
    lab.image("fly/busybox:next", &["ENV NEXT=1"]);
    let registry = Registry::start(&lab, 5000, false);
    registry.push("fly/busybox:test", "web:1");
    let image = registry.name("web:1");
    let shop = lab.project("pulled", &format!("name: pulled\nmachines:\n  web: {{image: \"{image}\", command: [sleep, inf]}}\n"));
    let _ = lab.try_docker(&["rmi", "--force", &image]);
    save(&shop);
    let plan = std::fs::read_to_string(shop.dir().join(PLAN)).unwrap();
    assert!(plan.contains("\"digest\": \"sha256:"), "{plan}");
    registry.push("fly/busybox:next", "web:1");
    let _ = lab.try_docker(&["rmi", "--force", &image]);
    let stale = up_saved(&shop, 4);
    assert!(stale.stderr.contains(&format!("image/{image}")), "{stale}");
    assert!(lab.docker(&["ps", "--all", "--quiet"]).is_empty());
    // Back again, and pulled by somebody else meanwhile: it is the one that was meant.
    registry.push("fly/busybox:test", "web:1");
    lab.docker(&["pull", &image]);
    up_saved(&shop, 0);
}

#[test]
fn a_part_leaves_the_rest_alone() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    let fly = |args: &[&str]| shop.command().with_agent().args(args).run();
    let containers = || {
        lab.docker(&["ps", "--all", "--format", "{{.Names}}"])
            .lines()
            .filter(|it| it.starts_with("shop."))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let up = fly(&["up", "--only", "db"]);
    up.success();
    assert_eq!(containers(), ["shop.db"]);
    assert!(up.stderr.contains("left out by --only: ") && up.stderr.contains("machine/web"), "{up}");
    let nothing = fly(&["up", "--only", "db"]);
    assert!(nothing.stdout.starts_with("nothing to do"), "{nothing}");
    // The agent knows of it, and of nothing else.
    let back = |machine: &str, card: &str| {
        eventually("the card is back", Duration::from_secs(10), || {
            let text = lab.container(machine).run(&["ip", "-br", "addr", "show", card]);
            if text.code == 0 && text.stdout.contains('/') { Ok(()) } else { Err(text.to_string()) }
        });
    };
    lab.docker(&["restart", "--time", "1", "shop.db"]);
    back("shop.db", "eth0");

    let db = lab.pid_and_start("shop.db");
    fly(&["up", "--only", "spare"]).success();
    assert_eq!((containers().len(), lab.pid_and_start("shop.db")), (2, db.clone()));
    lab.docker(&["restart", "--time", "1", "shop.db"]);
    back("shop.db", "eth0");
    let (db, spare) = (lab.pid_and_start("shop.db"), lab.pid_and_start("shop.spare"));

    // web brings its cable, whose other end runs.
    fly(&["up", "--only", "web"]).success();
    assert_eq!((lab.pid_and_start("shop.db"), lab.pid_and_start("shop.spare")), (db.clone(), spare.clone()));
    lab.in_machine("shop.web", &["ping", "-c1", "-W2", "10.99.0.2"]);
    let rest = fly(&["plan"]);
    assert!(rest.stdout.starts_with("nothing to do"), "{rest}");

    // Drift elsewhere stays; and a saved part is a part.
    lab.in_machine("shop.spare", &["ip", "link", "set", "eth1", "mtu", "1400"]);
    lab.in_machine("shop.web", &["ip", "link", "set", "eth1", "mtu", "1400"]);
    fly(&["plan", "--only", "web", "--out", PLAN]).success();
    fly(&["up", "--plan", PLAN]).success();
    let has = |machine: &str, mtu: &str| lab.in_machine(machine, &["ip", "link", "show", "eth1"]).contains(&format!("mtu {mtu} "));
    assert!(has("shop.web", "1500") && has("shop.spare", "1400"));

    // Machines that the file has no more are not the part's.
    shop.write("fly.yml", &SHOP.replace("  spare:\n    nics: {eth0: lan, eth1: {network: back, ip: [10.10.0.50, \"fd00:10::50\"]}}\n", ""));
    fly(&["up", "--yes", "--only", "web"]).success();
    assert_eq!(lab.pid_and_start("shop.spare"), spare);
    shop.fly(&["up", "--only", "wbe"]).expect_code(64);
}

#[test]
fn programs_read_how_it_goes() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    let events = |args: &[&str], code: i32| {
        let output = shop.fly(args);
        output.expect_code(code);
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let events: Vec<serde_json::Value> = output.stdout.lines().map(parse).collect();
        assert!(events.iter().all(|event| event["version"] == 1 && event["event"].is_string()), "{output}");
        assert_eq!((events[0]["event"].as_str(), events.last().unwrap()["event"].as_str()), (Some("start"), Some("end")));
        assert_eq!(events.last().unwrap()["exit"], code);
        events
    };
    let up = events(&["up", "--yes", "--format", "jsonl"], 0);
    let steps = up[1]["plan"]["steps"].as_array().unwrap().len();
    let states = |of: &[serde_json::Value], state: &str| of.iter().filter(|event| event["state"] == state).count();
    assert!(steps > 10 && states(&up, "started") == steps && states(&up, "done") == steps);
    assert!(up.iter().any(|event| event["event"] == "verify" && event["ok"] == true));
    assert_eq!(up.last().unwrap()["counts"]["done"], steps);
    assert_eq!(events(&["up", "--format", "jsonl"], 0).len(), 3);
    shop.write("fly.yml", "machines: {[\n");
    let wrong = shop.fly(&["up", "--format", "jsonl"]);
    wrong.expect_code(65);
    assert!(wrong.stdout.starts_with("{\"counts\""), "{wrong}");
    shop.write("fly.yml", SHOP);
    let down = events(&["down", "--format", "jsonl"], 0);
    assert!(states(&down, "done") > 3);
}
