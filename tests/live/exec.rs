//! `fly exec`: commands in machines, with streams and with a terminal.

use std::time::{Duration, Instant};

use crate::support::{FlyCommand, Lab, Output, Project, eventually};

const SHOP: &str = "name: shop
machines:
  web: {image: 'fly/busybox:test', volumes: ['./app:/srv/app']}
  many: {image: 'fly/busybox:test', scale: 2}
  spare: {image: 'fly/busybox:test'}
";

fn running(lab: &Lab) -> Project<'_> {
    let shop = lab.project("shop", SHOP);
    std::fs::create_dir_all(shop.dir().join("app")).unwrap();
    shop.fly(&["up", "--yes"]).success();
    shop
}

/// In a shell on the lab's machine, where `"$@"` is fly with its arguments.
fn in_shell(shop: &Project<'_>, script: &str, args: &[&str]) -> Output {
    shell(shop, script).args(args).run()
}

fn shell(shop: &Project<'_>, script: &str) -> FlyCommand {
    shop.command().by(&["sh", "-c", script, "sh"])
}

/// On a terminal of 33 rows and 111 columns; `keys` are commands that type.
fn on_terminal(shop: &Project<'_>, keys: &str, args: &[&str]) -> Output {
    let script = format!("({keys}) | script -qec \"stty rows 33 cols 111; $*\" /dev/null");
    shell(shop, &script).env("TERM", "xterm-fly").env("SHELL", "/bin/sh").args(args).run()
}

#[test]
fn a_command_runs_in_its_machine() {
    let lab = Lab::start();
    let shop = running(&lab);
    let said = shop.fly(&["exec", "web", "sh", "-c", "hostname; echo oh >&2; exit 7"]);
    said.expect_code(7);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("web\n", "oh\n"), "{said}");

    // What there is to be said of how, and options of the command are the command's.
    let said = shop.command().env("HERE", "from here").args(&[
        "exec",
        "-u",
        "1000",
        "-w",
        "/var",
        "-e",
        "A=b c",
        "-e",
        "HERE",
        "-e",
        "NOTHERE",
        "web",
        "sh",
        "-c",
        "id -u; pwd; echo $A; echo $HERE; echo ${NOTHERE-unset}",
        "-u",
    ]);
    let said = said.run();
    assert_eq!(said.success().stdout, "1000\n/var\nb c\nfrom here\nunset\n");

    // As docker has it, to the letter.
    for command in [&["false"][..], &["sh", "-c", "kill -9 $$"], &["cat", "/no/such"]] {
        let ours = shop.fly(&[&["exec", "web"][..], command].concat());
        let docker = lab.try_docker(&[&["exec", "shop.web"][..], command].concat());
        assert_eq!((ours.code, &ours.stdout, &ours.stderr), (docker.code, &docker.stdout, &docker.stderr), "{command:?}");
    }

    // What cannot be run is said in fly's words, on stderr, by the codes of a shell, whatever the engine's are.
    for (command, code, words) in [
        (&["no-such-program"][..], 127, "machine `web` has no program `no-such-program`"),
        (&["/no/such"], 127, "machine `web` cannot find `/no/such`"),
        (&["/etc"], 126, "`/etc` in machine `web`"),
        (&["/etc/passwd"], 126, "`/etc/passwd` in machine `web` may not be run"),
        (&["sh", "-c", "no-such-program"], 127, "not found"),
    ] {
        for detached in [&[][..], &["-d"][..]] {
            let said = shop.fly(&[&["exec"][..], detached, &["web"], command].concat());
            if command[0] == "sh" && !detached.is_empty() {
                continue;
            }
            said.expect_code(code);
            assert!(said.stderr.contains(words) && said.stdout.is_empty() && !said.stderr.contains("OCI"), "{said}");
        }
    }
    let said = shop.fly(&["exec", "-w", "/nowhere", "web", "true"]);
    assert!(said.code == 126 && said.stderr.contains("machine `web` has no directory `/nowhere`"), "{said}");
    let said = shop.fly(&["exec", "-u", "nobody-knows", "web", "true"]);
    assert!(said.code == 126 && said.stderr.contains("unable to find user") && said.stdout.is_empty(), "{said}");
    // What a program says is the program's, whatever it looks like.
    let said = shop.fly(&["exec", "web", "sh", "-c", "echo OCI runtime exec failed: not at all; exit 3"]);
    assert_eq!((said.code, said.stdout.as_str()), (3, "OCI runtime exec failed: not at all\n"), "{said}");
    let said = on_terminal(&shop, "sleep 1", &["exec", "web", "no-such-program"]);
    assert!(said.stdout.contains("has no program") && !said.stdout.contains("OCI"), "{said}");

    // Nobody waits for this one.
    shop.fly(&["exec", "-d", "web", "sh", "-c", "sleep 0.2; echo done > /tmp/later"]).success();
    eventually("what was left to itself", Duration::from_secs(10), || {
        let said = shop.fly(&["exec", "web", "cat", "/tmp/later"]);
        if said.stdout == "done\n" { Ok(()) } else { Err(said.to_string()) }
    });
}

#[test]
fn streams_pass_as_they_are() {
    let lab = Lab::start();
    let shop = running(&lab);
    let dir = shop.dir();
    // Every byte, and more than any buffer.
    let bytes: Vec<u8> = (0..10_u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    std::fs::write(dir.join("in"), &bytes).unwrap();
    let began = Instant::now();
    in_shell(&shop, "cat in | \"$@\" > out", &["exec", "web", "cat"]).success();
    eprintln!("40 MiB there and back: {:?}", began.elapsed());
    assert!(std::fs::read(dir.join("out")).unwrap() == bytes, "what went in comes out");
    in_shell(&shop, "\"$@\" < in > out", &["exec", "web", "sh", "-c", "cat >&2; echo said"]).success();
    assert_eq!(std::fs::read(dir.join("out")).unwrap(), b"said\n");

    // The end of the input is told, and what comes after it still arrives.
    let said = in_shell(&shop, "printf 'a\\nb\\n' | \"$@\"", &["exec", "web", "sh", "-c", "wc -l; sleep 0.5; echo after"]);
    assert_eq!(said.success().stdout, "2\nafter\n");
    let began = Instant::now();
    // A command that reads nothing is no trouble, nor is one that ends before its input does.
    in_shell(&shop, "mkfifo held; sleep 20 > held & \"$@\" < held; code=$?; kill $!; exit $code", &["exec", "web", "true"]).success();
    assert!(began.elapsed() < Duration::from_secs(15), "it does not wait for an input that nobody reads");
    let said = in_shell(&shop, "yes | head -c 50000000 | \"$@\"", &["exec", "web", "head", "-n1"]);
    assert_eq!(said.success().stdout, "y\n");
    // Nor is a reader that has read enough.
    let said = in_shell(&shop, "(\"$@\"; echo $? >&2) | head -n1", &["exec", "web", "yes"]);
    assert_eq!((said.success().stdout.as_str(), said.stderr.as_str()), ("y\n", "141\n"), "{said}");

    // What is written comes at once, not when a buffer is full.
    let mut slow = shop.command().args(&["exec", "web", "sh", "-c", "printf now; sleep 30"]).start();
    let began = Instant::now();
    eventually("the first word", Duration::from_secs(10), || if slow.so_far() == "now" { Ok(()) } else { Err(slow.so_far()) });
    assert!(began.elapsed() < Duration::from_secs(5) && !slow.has_ended());
    // As of docker's client: without a terminal Ctrl-C ends it.
    slow.signal(rustix::process::Signal::INT);
    slow.wait().expect_code(130);
}

#[test]
fn a_terminal_is_one_in_the_machine_too() {
    let lab = Lab::start();
    let shop = running(&lab);
    let app = shop.dir().join("app");
    std::fs::write(app.join("look"), "sleep 1; test -t 0 && test -t 1 && stty size && echo $TERM; exit 5\n").unwrap();
    let said = on_terminal(&shop, "sleep 3", &["exec", "web", "sh", "/srv/app/look"]);
    said.expect_code(5);
    assert_eq!(said.stdout, "33 111\r\nxterm-fly\r\n", "{said}");
    let said = on_terminal(&shop, "sleep 1", &["exec", "-T", "web", "test", "-t", "1"]);
    said.expect_code(1);

    // Ctrl-C, Ctrl-Z and Ctrl-P are the program's.
    std::fs::write(app.join("keys"), "stty raw -echo; echo ready; head -c 4 | od -An -tx1; exit 6\n").unwrap();
    let said = on_terminal(&shop, "sleep 2; printf '\\003\\032\\020q'; sleep 1", &["exec", "web", "sh", "/srv/app/keys"]);
    said.expect_code(6);
    assert!(said.stdout.contains("03 1a 10 71"), "{said}");
    std::fs::write(app.join("trap"), "trap 'echo caught; exit 9' INT; echo ready; sleep 20 & wait\n").unwrap();
    let said = on_terminal(&shop, "sleep 2; printf '\\003'; sleep 1", &["exec", "web", "sh", "/srv/app/trap"]);
    said.expect_code(9);
    assert!(said.stdout.contains("caught"), "{said}");

    // Another size is told at once.
    std::fs::write(app.join("wait"), "n=0; while [ $n -lt 60 ]; do stty size; sleep 0.1; n=$((n+1)); done\n").unwrap();
    let script = "sleep 5 | script -qec \"stty rows 33 cols 111; (sleep 2; stty rows 44 cols 122 < /dev/tty) & $*\" /dev/null";
    let said = shell(&shop, script).env("SHELL", "/bin/sh").args(&["exec", "web", "sh", "/srv/app/wait"]).run();
    assert!(said.stdout.contains("33 111") && said.stdout.contains("44 122"), "{said}");
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let lab = Lab::start();
    let shop = running(&lab);
    // Ends by itself; by a signal; because the machine goes.
    for (how, code) in [("true", "0"), ("kill -TERM $pid", "143"), ("kill -HUP $pid", "129"), ("kill -INT $pid", "130")] {
        let inner = format!(
            "stty -g > before; exec 3<&0; $FLY exec web sleep 3 <&3 & pid=$!; sleep 1.5; stty -g > during; {how}; \
             wait $pid; echo code $?; stty -g > after"
        );
        std::fs::write(shop.dir().join("inner"), inner).unwrap();
        let script = "sleep 5 | FLY=\"$1\" script -qec 'sh ./inner' /dev/null";
        let said = shell(&shop, script).env("SHELL", "/bin/sh").args(&["exec"]).run();
        let read = |file: &str| std::fs::read_to_string(shop.dir().join(file)).unwrap();
        assert!(said.stdout.contains(&format!("code {code}")), "{how}: {said}");
        assert_eq!(read("before"), read("after"), "{how}");
        assert_ne!(read("before"), read("during"), "{how}: it was raw in between");
    }
}

#[test]
fn without_a_command_it_is_a_login_shell() {
    let lab = Lab::start();
    let shop = running(&lab);
    let said = in_shell(&shop, "echo 'echo $0; pwd; exit 4' | \"$@\"", &["exec", "web"]);
    said.expect_code(4);
    assert!(said.stdout.contains("sh"), "{said}");
    let said = on_terminal(&shop, "sleep 2; printf 'echo from $((40+2))\\nexit 3\\n'; sleep 1", &["exec", "web"]);
    said.expect_code(3);
    assert!(said.stdout.contains("from 42"), "{said}");
}

#[test]
fn a_machine_that_cannot_be_reached_is_told_with_what_to_do() {
    let lab = Lab::start();
    let shop = running(&lab);
    let says = |args: &[&str], code: i32, texts: &[&str]| {
        let said = shop.fly(args);
        said.expect_code(code);
        assert_eq!(said.stdout, "");
        for text in texts {
            assert!(said.stderr.contains(text), "{text}: {said}");
        }
    };
    says(&["exec", "wbe", "true"], 64, &["there is no machine `wbe` in `shop`", "did you mean `web`?"]);
    says(&["exec", "many", "true"], 64, &["`many` is 2 machines; name one of them, as `many-1`"]);
    says(&["exec", "a.b", "true"], 64, &["there is no machine `a.b`"]);
    lab.docker(&["stop", "--time=1", "shop.spare"]);
    says(&["exec", "spare", "true"], 1, &["machine `spare` does not run", "fly up", "fly logs spare"]);
    lab.docker(&["pause", "shop.web"]);
    says(&["exec", "web", "true"], 1, &["machine `web` is paused"]);
    lab.docker(&["unpause", "shop.web"]);
    lab.docker(&["rm", "-f", "shop.spare"]);
    says(&["exec", "spare", "true"], 1, &["machine `spare` is not there yet", "fly up"]);
    lab.docker(&["run", "-d", "--name=shop.spare", "fly/busybox:test"]);
    says(&["exec", "spare", "true"], 7, &["container `shop.spare` is not a machine of `shop`"]);
    lab.docker(&["rm", "-f", "shop.spare"]);

    // One that the file no longer names is still there; so are those of a file that cannot be read.
    shop.write("fly.yml", "name: shop\nmachines: {many: {image: 'fly/busybox:test', scale: 2}}\n");
    assert_eq!(shop.fly(&["exec", "web", "hostname"]).success().stdout, "web\n");
    shop.write("fly.yml", "name: shop\nmachines: {many: {iamge: a}}\n");
    let said = shop.fly(&["exec", "many-2", "hostname"]);
    assert_eq!(said.success().stdout, "many-2\n");
    assert!(said.stderr.contains("warning: fly.yml cannot be read as it is"), "{said}");
}
