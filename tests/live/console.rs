//! `fly console`: the first process of a machine, looked at and typed to, and left without harm.

use std::time::Duration;

use crate::support::{Lab, Output, Project, eventually};

const SHOP: &str = r#"name: shop
defaults: {image: "fly/busybox:test", restart: "no", stop_grace_period: 1s}
machines:
  plain: {command: [sh, -c, "n=0; while :; do n=$$((n+1)); echo line $$n; sleep 0.2; done"]}
"#;

/// A machine whose first process has a terminal, or only an open input: no key of fly.yml makes one yet, an engine can.
fn interactive(lab: &Lab, name: &str, flags: &str, command: &str) {
    let (container, label) = (format!("--name=shop.{name}"), format!("--label=fly.machine={name}"));
    lab.docker(&["run", "-d", flags, &container, "--label=fly.project=shop", &label, "fly/busybox:test", "sh", "-c", command]);
}

fn on_terminal(shop: &Project<'_>, keys: &str, args: &[&str]) -> Output {
    let script = format!("({keys}) | script -qec \"stty rows 33 cols 111; $*\" /dev/null");
    shop.command().by(&["sh", "-c", &script, "sh"]).env("SHELL", "/bin/sh").args(args).run()
}

#[test]
fn it_shows_the_log_and_what_comes() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    eventually("some lines", Duration::from_secs(20), || {
        if lab.docker(&["logs", "shop.plain"]).contains("line 5\n") { Ok(()) } else { Err("not yet".into()) }
    });
    let before = lab.pid_and_start("shop.plain");
    let console = shop.command().args(&["console", "plain"]).start();
    eventually("old and new lines", Duration::from_secs(20), || {
        let text = console.so_far();
        let numbers: Vec<u32> = text.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
        if text.contains("line 5\n") && numbers.len() > 25 { Ok(()) } else { Err(text) }
    });
    console.signal(rustix::process::Signal::INT);
    let said = console.wait();
    said.expect_code(130);
    // Nothing is missing between the log and what came after it.
    let mut numbers: Vec<u32> = said.stdout.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    numbers.dedup();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(lab.pid_and_start("shop.plain"), before, "it goes on");
    shop.fly(&["console", "palin"]).expect_code(64);
}

#[test]
fn what_is_typed_reaches_it_and_keys_leave_it() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    interactive(&lab, "tty", "-it", "echo hello; stty size; exec sh");
    let before = lab.pid_and_start("shop.tty");
    for (leave, flags) in [("\\035", &[][..]), ("\\020\\021", &[]), ("\\001d", &["--detach-keys=ctrl-a,d"])] {
        let keys = format!("sleep 2; printf 'stty size; echo is $((40+2))\\n'; sleep 1; printf '{leave}'; sleep 1");
        let said = on_terminal(&shop, &keys, &[&["console"], flags, &["tty"]].concat());
        said.success();
        for text in ["hello", "33 111", "is 42", "left; machine tty goes on"] {
            assert!(said.stdout.contains(text), "{text}: {said}");
        }
        assert_eq!(lab.pid_and_start("shop.tty"), before);
    }
    let said = on_terminal(&shop, "sleep 2; printf 'echo never\\n\\003'; sleep 1", &["console", "--no-stdin", "tty"]);
    said.expect_code(130);
    assert!(!lab.docker(&["logs", "shop.tty"]).contains("never"), "{said}");

    // Its end is the session's.
    let said = on_terminal(&shop, "sleep 2; printf 'exit 3\\n'; sleep 1", &["console", "tty"]);
    said.expect_code(3);
    assert!(said.stdout.contains("machine tty has ended with code 3"), "{said}");
    lab.docker(&["rm", "-f", "shop.tty"]);

    // Without a terminal, through a pipe.
    interactive(&lab, "pipe", "-i", "while read line; do echo got $line; done; echo end");
    let script = "(echo one; sleep 1; echo two; sleep 1) | \"$@\"";
    let said = shop.command().by(&["sh", "-c", script, "sh"]).args(&["console", "pipe"]).run();
    assert!(said.stdout.contains("got one\n") && said.stdout.contains("got two\n"), "{said}");
    lab.docker(&["rm", "-f", "shop.pipe"]);
}
