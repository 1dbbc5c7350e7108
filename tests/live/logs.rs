//! `fly logs`: what machines have written, and write.

use std::time::Duration;

use crate::support::{Lab, Project, eventually};

const SHOP: &str = r#"name: shop
defaults: {image: "fly/busybox:test", restart: "no", stop_grace_period: 1s}
machines:
  web: {command: [sh, -c, "for n in 1 2 3; do echo web $$n; sleep 0.4; done; exec sleep 1000"]}
  db: {command: [sh, -c, "sleep 0.2; for n in 1 2 3; do echo db $$n >&2; sleep 0.4; done; exec sleep 1000"]}
  bar: {command: [sh, -c, "printf '10%%\\r20%%\\rdone\\n\\033[1mbold\\033[0m\\n'; head -c 40000 /dev/zero | tr '\\0' x; echo; printf open"]}
"#;

fn running(lab: &Lab) -> Project<'_> {
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]);
    eventually("the last lines", Duration::from_secs(20), || {
        let all = lab.docker(&["logs", "shop.web"]) + &lab.try_docker(&["logs", "shop.db"]).stderr;
        if all.contains("web 3") && all.contains("db 3") { Ok(()) } else { Err(all) }
    });
    shop
}

#[test]
fn lines_come_in_the_order_of_time() {
    let lab = Lab::start();
    let shop = running(&lab);
    let said = shop.fly(&["logs", "web", "db"]);
    assert_eq!(said.success().stdout, "web | web 1\ndb  | db 1\nweb | web 2\ndb  | db 2\nweb | web 3\ndb  | db 3\n", "{said}");
    assert_eq!(said.stderr, "");
    let said = shop.fly(&["logs", "--no-prefix", "-n", "1", "web", "db"]);
    assert_eq!(said.success().stdout, "web 3\ndb 3\n");

    // As docker has it.
    for flags in [&["--timestamps"][..], &["--tail=2"], &["-t", "--since=10m"], &["--until=10m"], &["--since", "2020-01-01T00:00:00Z"]] {
        let ours = shop.fly(&[&["logs", "--no-prefix", "web"][..], flags].concat());
        let docker = lab.docker(&[&["logs"][..], flags, &["shop.web"]].concat());
        assert_eq!(ours.success().stdout, docker, "{flags:?}");
    }
    // The time of a line is one that can be asked for.
    let stamped = shop.fly(&["logs", "-t", "--no-prefix", "web"]).success().stdout.clone();
    let second = stamped.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(shop.fly(&["logs", "--since", &second, "web"]).success().stdout, "web | web 2\nweb | web 3\n");

    // A colour is its name's, whoever else is there.
    let coloured = |args: &[&str]| shop.fly(&[&["--color=always", "logs", "-n1"][..], args].concat()).success().stdout.clone();
    let (alone, both) = (coloured(&["web"]), coloured(&["web", "bar"]));
    assert!(alone.starts_with("\u{1b}[") && both.contains(&alone), "{alone:?} {both:?}");
    shop.fly(&["logs", "wbe"]).expect_code(64);
}

#[test]
fn a_prefix_is_never_written_over_and_a_long_line_is_one() {
    let lab = Lab::start();
    let shop = running(&lab);
    let long = "x".repeat(40_000);
    let said = shop.fly(&["logs", "bar"]);
    let expected = format!("bar | 10%\nbar | 20%\nbar | done\nbar | \u{1b}[1mbold\u{1b}[0m\nbar | {long}\nbar | open\n");
    assert!(said.success().stdout == expected, "{}", said.stdout.replace(&long, "[long]"));
    // Without a prefix, to the letter, but for an end to the last line. Docker's client has times in the midst of a long line.
    let said = shop.fly(&["logs", "--no-prefix", "-t", "bar"]);
    assert!(said.stdout.contains(&format!("Z {long}\n")), "the time stands before the line alone");

    // With a terminal in the machine there is one stream, without frames.
    lab.docker(&[
        "run",
        "-dt",
        "--name=shop.tty",
        "--label=fly.project=shop",
        "--label=fly.machine=tty",
        "fly/busybox:test",
        "sh",
        "-c",
        "echo out; echo err >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; sleep 1000",
    ]);
    let expected = format!("tty | out\ntty | err\ntty | {long}\n");
    eventually("the terminal's lines", Duration::from_secs(10), || {
        let said = shop.fly(&["logs", "tty"]);
        if said.stdout == expected { Ok(()) } else { Err(said.stdout.replace(&long, "[long]")) }
    });
    lab.docker(&["rm", "-f", "shop.tty"]);
}

#[test]
fn following_goes_on_over_restarts_and_ends_with_the_last() {
    let lab = Lab::start();
    let shop = running(&lab);
    let mut follow = shop.command().args(&["logs", "-f", "-n", "1", "web", "db"]).start();
    let has = |follow: &crate::support::Running, text: &str| {
        eventually(text, Duration::from_secs(20), || if follow.so_far().contains(text) { Ok(()) } else { Err(follow.so_far()) });
    };
    has(&follow, "web | web 3\n");
    has(&follow, "db  | db 3\n");
    lab.docker(&["restart", "--time=1", "shop.web"]);
    has(&follow, "web | web 1\n");
    has(&follow, "web | web 2\n");
    eventually("all of its lines once more", Duration::from_secs(20), || {
        if follow.so_far().matches("web | web 3\n").count() == 2 { Ok(()) } else { Err(follow.so_far()) }
    });
    assert!(!follow.has_ended());
    lab.docker(&["stop", "--time=1", "shop.web"]);
    std::thread::sleep(Duration::from_secs(3));
    assert!(!follow.has_ended(), "one still runs");
    lab.docker(&["start", "shop.web"]);
    eventually("it has begun once more", Duration::from_secs(20), || {
        if follow.so_far().matches("web | web 1\n").count() == 2 { Ok(()) } else { Err(follow.so_far()) }
    });
    lab.docker(&["kill", "shop.web", "shop.db"]);
    let said = follow.wait();
    assert_eq!(said.success().stderr, "");
    // Nothing twice: each restart has said its lines once.
    assert_eq!(said.stdout.matches("web | web 3\n").count(), 1 + said.stdout.matches("web | web 1\n").count().min(1), "{said}");

    lab.docker(&["start", "shop.db"]);
    let follow = shop.command().args(&["logs", "-f", "db"]).start();
    has(&follow, "db | db 3\n");
    follow.signal(rustix::process::Signal::INT);
    follow.wait().expect_code(130);
}
