//! `examples/quickstart/run`, as a newcomer runs it: beside an engine that is there, and where there is none.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Lab, Output, command};

/// What the second run may take; alone it takes two seconds.
const SECONDS: Duration = Duration::from_secs(30);

fn script() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "examples/quickstart/run"].iter().collect()
}

/// With the program that is built already.
fn run(lab: &Lab, args: &[&str]) -> Output {
    let script = script().display().to_string();
    let mut command = command(&[&[script.as_str()], args].concat());
    command.env("FLY", env!("CARGO_BIN_EXE_fly")).env("DOCKER_HOST", format!("unix://{}", lab.socket().display()));
    lab.machine().running(command, Duration::from_secs(120)).wait()
}

/// The lab's world, and what it does not list: images, named namespaces, files in /run.
fn world(lab: &Lab) -> String {
    let sorted = |text: String| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n") + "\n"
    };
    let images = lab.docker(&["images", "--all", "--no-trunc", "--format={{.Repository}}:{{.Tag}} {{.ID}}"]);
    // The engine's own folders live.
    let files = lab.machine().ok(&["find", "/run", "-name", "docker", "-prune", "-o", "-name", "containerd", "-prune", "-o", "-print"]);
    lab.canonical() + &sorted(images) + &lab.ip(&["netns", "list"]) + &sorted(files)
}

#[test]
fn beside_an_engine_it_shows_everything_and_leaves_nothing() {
    let lab = Lab::start();
    let before = world(&lab);

    let first = run(&lab, &[]);
    first.success();
    // Whether fly says it on standard output or on the other: the user sees both.
    let said = format!("{}{}", first.stdout, first.stderr);
    for part in [
        "3 packets transmitted, 3 received, 0% packet loss",
        "hello from a machine with an address of its own",
        "\nlogged into web as root\n",
        "\nlogged into web through the engine\n",
        "Plan: 12 to create",
        "up: 12 created",
        "web      running  eth0 192.168.50.10/24",
        "ip: 192.168.50.155/24 -> 192.168.50.77/24",
        "mtu: 1500 -> 1400",
        "Take it all away:",
    ] {
        assert!(said.contains(part), "`{part}` is missing:\n{first}");
    }
    assert!(!said.contains("starting Docker Engine"), "there is one: {first}");
    let processes: Vec<&str> = said.lines().filter(|line| line.ends_with('Z')).collect();
    assert!(processes.len() == 2 && processes[0] == processes[1], "spare keeps its process: {processes:?}");

    let start = Instant::now();
    let second = run(&lab, &[]);
    assert!(start.elapsed() < SECONDS, "{:?}", start.elapsed());
    assert!(second.success().stdout.contains("nothing to do: 3 machines are as fly.yml says"), "plan: {second}");
    assert!(!second.stdout.contains("making"), "image and LAN are there: {second}");

    run(&lab, &["down"]).success();
    same(&before, &world(&lab));
    // And again: nothing to take away.
    run(&lab, &["down"]).success();
    same(&before, &world(&lab));
    run(&lab, &["sideways"]).expect_code(1);
}

/// A machine inside the lab that has programs, cgroups and nothing else: no engine, no network, no state.
const BARE: &str = r#"
set -eu
dir=$1 script=$2
mkdir "$dir/bare"
mount -t proc proc /proc
mount -t tmpfs bare "$dir/bare"
mkdir "$dir/bare/cgroup"
mount --rbind /sys/fs/cgroup "$dir/bare/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/bare/cgroup" /sys/fs/cgroup
mount -t tmpfs run /run
mount -t tmpfs lib /var/lib
mkdir -p /run/lock "$dir/bare/said"
ip link set lo up

world() {
  ip link; ip addr; ip -4 route show table all; ip -6 route show table all; ip rule
  nft list ruleset; iptables-save | grep -v '^#' || :; ip6tables-save | grep -v '^#' || :
  grep -rs '' /proc/sys/net | grep -v nf_conntrack_count | sort
  find /run /var/lib /etc/docker 2>/dev/null | sort
  cut -d ' ' -f 2 /proc/mounts | sort
  cat /proc/[0-9]*/comm | grep -e docker -e containerd || :
}

world >"$dir/bare/before"
"$script"
"$script" down
world >"$dir/bare/after"
diff "$dir/bare/before" "$dir/bare/after" && echo 'as before'
"#;

#[test]
fn where_there_is_no_engine_it_starts_one_and_takes_it_away() {
    let lab = Lab::start();
    let (dir, script) = (lab.dir().display().to_string(), script().display().to_string());
    let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--net", "bash", "-c", BARE, "bare", &dir, &script];
    let mut command = command(&unshare);
    // Without modprobe: see the lab's engine.
    let path = format!("{dir}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("FLY", env!("CARGO_BIN_EXE_fly")).env("PATH", path);
    let said = lab.machine().running(command, Duration::from_secs(180)).wait();
    said.success();
    for part in ["starting Docker Engine", "3 received", "\nlogged into web as root\n", "The machines run", "nothing is left", "as before"]
    {
        assert!(said.stdout.contains(part), "`{part}` is missing:\n{said}");
    }
}

/// The first lines that differ, rather than two worlds whole.
#[track_caller]
fn same(before: &str, after: &str) {
    if before != after {
        let diff = similar::TextDiff::from_lines(before, after);
        panic!("the world is not as before:\n{}", diff.unified_diff().context_radius(1));
    }
}
