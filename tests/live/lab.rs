//! The harness itself: a lab is what its description says, and nothing of it is ever seen outside or left behind.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Lab, Ping, Place, command, eventually, janitor, world};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_engine_of_its_own_comes_up() {
    let lab = Lab::start();
    assert_eq!(lab.docker(&["ps", "--all", "--quiet"]), "");
    for image in ["fly/busybox:test", "fly/busybox:next", "fly/defaults:test"] {
        lab.docker(&["image", "inspect", image]);
    }
    assert_eq!(lab.docker(&["run", "--rm", "--network=none", "fly/busybox:test", "echo", "hello"]), "hello\n");
    assert_eq!(lab.docker(&["run", "--rm", "--network=none", "fly/busybox:next", "cat", "/etc/release"]), "next\n");
    assert_eq!(lab.docker(&["info", "--format={{.Driver}}"]), "overlay2\n");
    // In the lab, the engine is where everybody looks for one.
    assert!(lab.machine().ok(&["docker", "-H", "unix:///run/docker.sock", "version"]).contains("Server"));
    // Its processes are the lab's alone.
    let ps = lab.machine().ok(&["ls", "/proc"]);
    assert!(ps.lines().filter(|line| line.parse::<u32>().is_ok()).count() < 20, "{ps}");
}

#[test]
fn images_have_what_tests_of_defaults_need() {
    let lab = Lab::start();
    lab.docker(&["run", "--detach", "--name=box", "--network=none", "fly/defaults:test"]);
    let config = lab.inspect("box")["Config"].take();
    assert_eq!(config["Labels"]["from.image"], "yes");
    assert_eq!(config["WorkingDir"], "/srv");
    assert!(config["Volumes"]["/var/data"].is_object(), "{config}");
    assert!(config["ExposedPorts"]["80/tcp"].is_object(), "{config}");
    assert!(config["Env"].to_string().contains("FROM_IMAGE=yes"), "{config}");
    eventually("health", LIMIT, || match lab.inspect("box")["State"]["Health"]["Status"].as_str() {
        Some("healthy") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // It ends at once when it is asked to, with 0.
    let start = Instant::now();
    lab.docker(&["stop", "box"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(lab.inspect("box")["State"]["ExitCode"], 0);

    lab.image("spoof:1", &["LABEL claims=everything"]);
    assert_eq!(lab.docker(&["inspect", "--format={{.Config.Labels.claims}}", "spoof:1"]), "everything\n");
}

#[test]
fn the_lan_reaches_the_machine_and_its_containers() {
    let lab = Lab::start();
    lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.1"]);
    lab.neighbour(&["ping", "-c1", "-W2", "fd00:77::1"]);
    lab.docker(&["run", "--detach", "--name=box", "--network=none", "fly/busybox:test"]);
    let (pid, start) = lab.pid_and_start("box");
    lab.ip(&["link", "add", "tmp0", "link", "eth1", "type", "macvlan", "mode", "bridge"]);
    lab.ip(&["link", "set", "tmp0", "netns", &pid.to_string(), "name", "eth0"]);
    lab.in_machine("box", &["ip", "addr", "add", "192.168.77.100/24", "dev", "eth0"]);
    lab.in_machine("box", &["ip", "link", "set", "eth0", "up"]);
    lab.in_machine("box", &["ip", "route", "add", "default", "via", "192.168.77.2"]);
    lab.in_machine("box", &["ping", "-c1", "-W2", "203.0.113.1"]);
    let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.100");
    lab.in_machine("box", &["ip", "link", "set", "eth0", "alias", "harmless"]);
    let pinged = ping.stop();
    assert_eq!(pinged.lost, 0, "{pinged:?}");
    assert!(pinged.sent > 0);
    assert_eq!(lab.pid_and_start("box"), (pid, start));

    // A ping that is cut off loses, and says so.
    let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.100");
    lab.in_machine("box", &["ip", "link", "set", "eth0", "down"]);
    std::thread::sleep(Duration::from_millis(100));
    lab.in_machine("box", &["ip", "link", "set", "eth0", "up"]);
    let pinged = ping.stop();
    assert!(pinged.lost > 0, "{pinged:?}");
}

#[test]
fn a_snapshot_shows_every_change_and_nothing_else() {
    let lab = Lab::start();
    let before = lab.canonical();
    // Traffic, a container and a network that come and go change nothing.
    lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.1"]);
    lab.docker(&["network", "create", "n"]);
    lab.docker(&["run", "--rm", "--network=n", "--publish=8080:80", "--volume=/data", "fly/busybox:test", "true"]);
    lab.docker(&["network", "rm", "n"]);
    assert_eq!(lab.canonical(), before);

    let undone: &[(&[&str], &[&str])] = &[
        (&["ip", "link", "set", "eth1", "mtu", "1400"], &["ip", "link", "set", "eth1", "mtu", "1500"]),
        (&["ip", "addr", "add", "10.1.1.1/24", "dev", "eth1"], &["ip", "addr", "del", "10.1.1.1/24", "dev", "eth1"]),
        (&["ip", "route", "add", "10.9.0.0/16", "dev", "eth1"], &["ip", "route", "del", "10.9.0.0/16", "dev", "eth1"]),
        (&["ip", "rule", "add", "pref", "9", "table", "9"], &["ip", "rule", "del", "pref", "9", "table", "9"]),
        (&["iptables", "-I", "DOCKER-USER", "-j", "ACCEPT"], &["iptables", "-D", "DOCKER-USER", "-j", "ACCEPT"]),
        (&["nft", "add", "table", "inet", "x"], &["nft", "delete", "table", "inet", "x"]),
        (&["sysctl", "-q", "-w", "net.ipv4.conf.eth1.arp_notify=1"], &["sysctl", "-q", "-w", "net.ipv4.conf.eth1.arp_notify=0"]),
        (&["ip", "link", "add", "br9", "type", "bridge"], &["ip", "link", "del", "br9"]),
    ];
    for (change, undo) in undone {
        lab.machine().ok(change);
        assert_ne!(lab.canonical(), before, "{change:?} is not seen");
        lab.machine().ok(undo);
        assert_eq!(lab.canonical(), before, "{undo:?}");
    }
    lab.docker(&["volume", "create", "data"]);
    assert_ne!(lab.canonical(), before);
}

#[test]
fn changes_are_counted() {
    let lab = Lab::start();
    lab.docker(&["run", "--detach", "--name=box", "--network=none", "fly/busybox:test"]);
    let proxy = lab.proxy();
    let via = format!("unix://{}", proxy.socket().display());
    let docker = |args: &[&str]| lab.machine().run(&[&["docker", "-H", &via], args].concat());

    let kernel = lab.watch_kernel(&["box"]);
    docker(&["ps"]).success();
    docker(&["inspect", "box"]).success();
    assert!(proxy.requests().iter().any(|it| it == "GET /containers/box/json"), "{:?}", proxy.requests());
    assert_eq!(proxy.mutations(), Vec::<String>::new());
    assert_eq!(kernel.stop(), Vec::<String>::new());

    proxy.clear();
    let kernel = lab.watch_kernel(&["box"]);
    // Also a request that becomes a stream of its own.
    assert_eq!(docker(&["exec", "box", "echo", "through"]).success().stdout, "through\n");
    let mutations = proxy.mutations();
    assert_eq!(mutations.len(), 2, "{mutations:?}");
    assert!(mutations[0].starts_with("POST /containers/box/exec"), "{mutations:?}");
    lab.in_machine("box", &["ip", "link", "set", "lo", "mtu", "9000"]);
    let changes = kernel.stop();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("box: ") && changes[0].contains("mtu 9000"), "{changes:?}");

    proxy.refuse("POST /volumes/create", 507);
    assert!(docker(&["volume", "create", "data"]).stderr.contains("refused by the test"));
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]), "");
}

#[test]
fn fly_runs_in_the_lab() {
    let lab = Lab::start();
    let shop = lab.project("shop", "machines: {}\n");
    let version = shop.fly(&["--version"]);
    assert_eq!(version.success().stdout, concat!("fly ", env!("CARGO_PKG_VERSION"), "\n"));
    let terminal = lab.fly(shop.dir()).args(&["--version"]).on_terminal("yes\n").run();
    assert!(terminal.success().stdout.ends_with(&version.stdout.replace('\n', "\r\n")), "{terminal}");
    // Through a proxy, and with more in its environment; nothing of the tester's own settings gets in.
    let proxy = lab.proxy();
    lab.fly(shop.dir()).args(&["--version"]).env("MODE", "test").via(&proxy).run().success();
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

#[test]
fn a_command_is_reached_by_its_own_pid() {
    let lab = Lab::start();
    let mut sleeping = lab.machine().running(command(&["sleep", "60"]), LIMIT);
    assert!(!sleeping.has_ended());
    // Whoever enters the lab first becomes the command a moment later.
    eventually("the command itself", LIMIT, || {
        let line = fs::read_to_string(format!("/proc/{}/cmdline", sleeping.pid())).expect("it runs");
        if line == "sleep\x0060\0" { Ok(()) } else { Err(line) }
    });
    // The engine's own clients see another number, the one inside.
    assert!(lab.machine().ok(&["pgrep", "-x", "sleep"]).trim() != sleeping.pid().to_string());
    sleeping.signal(Signal::TERM);
    assert_eq!(sleeping.wait().code, 128 + 15);
}

#[test]
fn the_engine_can_be_killed_and_comes_back() {
    let lab = Lab::start();
    lab.docker(&["run", "--detach", "--restart=always", "--name=box", "--network=none", "fly/busybox:test"]);
    let (pid, _) = lab.pid_and_start("box");
    lab.signal_engine(Signal::KILL);
    lab.restart_engine();
    eventually("the container's new life", LIMIT, || {
        let state = lab.inspect("box")["State"].take();
        let running = state["Running"] == true && state["Pid"].as_u64() != Some(pid);
        if running { Ok(()) } else { Err(state.to_string()) }
    });
}

#[test]
fn the_machine_outside_is_not_touched() {
    // Others may work on this machine: what a lab did would be there every time, what somebody else did would not.
    eventually("an untouched machine", LIMIT, || {
        let before = outside();
        let lab = Lab::start();
        lab.docker(&["run", "--detach", "--publish=8080:80", "--volume=data:/data", "fly/busybox:test"]);
        lab.docker(&["network", "create", "n"]);
        let during = outside();
        drop(lab);
        for (when, now) in [("while it runs", during), ("afterwards", outside())] {
            if now != before {
                return Err(format!("{when}:\n{}", similar::TextDiff::from_lines(&before, &now).unified_diff()));
            }
        }
        Ok(())
    });
}

/// The network of the machine on which the tests run, its mounts, and the folders that an engine would write to.
fn outside() -> String {
    let network = world::network(&Place::outside());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folders = ["/etc/docker", "/var/lib/docker", "/var/lib/containerd", "/run/docker", "/run/containerd", "/run/netns"];
    let folders = folders.map(|folder| {
        let names = fs::read_dir(folder).map(|it| it.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>());
        format!("{folder}: {:?}\n", names.ok())
    });
    network + &mounts + &folders.concat()
}

#[test]
fn a_killed_test_leaves_nothing() {
    // Another process of this binary starts a lab, runs a container in it, and is killed.
    let report = std::env::temp_dir().join(format!("fly-hold-{}", std::process::id()));
    let _ = fs::remove_file(&report);
    let mut victim = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "lab::an_engine_of_its_own_comes_up"])
        .env(janitor::HOLD, &report)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this binary");
    let dir = eventually("the other's lab", LIMIT, || match fs::read_to_string(&report) {
        Ok(dir) if !dir.is_empty() => Ok(PathBuf::from(dir)),
        other => Err(format!("{other:?}")),
    });
    fs::remove_file(&report).expect("just read");
    let socket = format!("unix://{}", dir.join("docker.sock").display());
    Place::outside().ok(&["docker", "-H", &socket, "run", "--detach", "--network=none", "fly/busybox:test"]);
    assert!(!janitor::cgroups(&dir).is_empty());
    assert!(!processes_of(&dir).is_empty());

    victim.kill().expect("it waits for this");
    victim.wait().expect("our child");
    // Its processes end without anybody's help.
    eventually("the end of its processes", LIMIT, || {
        let left = processes_of(&dir);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    janitor::sweep();
    assert!(!dir.exists());
    assert_eq!(janitor::cgroups(&dir), Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/mounts").expect("always there");
    assert!(!mounts.contains(&dir.display().to_string()), "{mounts}");
}

/// The command lines that name the lab's folder: its first process, both daemons and a shim for each container.
fn processes_of(dir: &std::path::Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let all = fs::read_dir("/proc").expect("always there").flatten();
    let lines = all.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&dir)).collect()
}
