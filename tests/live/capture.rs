//! `fly capture`, as tcpdump reads it.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Lab, Output, Place, Project, Running, eventually};

const FILE: &str = r#"
name: cap
defaults: {image: "fly/busybox:test"}
networks:
  back: {subnet: [10.10.0.0/24, "fd00:10::/64"]}
machines:
  a: {nics: {eth0: {network: back, ip: [10.10.0.1, "fd00:10::1"]}}}
  b: {nics: {eth0: {network: back, ip: [10.10.0.2, "fd00:10::2"]}}}
links:
  - ends: [{nic: "a:eth5", ip: 10.99.0.1/30}, {nic: "b:eth5", ip: 10.99.0.2/30}]
"#;

fn up(lab: &Lab) -> Project<'_> {
    let project = lab.project("cap", FILE);
    project.fly(&["up", "--yes"]).success();
    project
}

/// Started, and listening.
fn start(project: &Project<'_>, args: &[&str]) -> Running {
    let capture = project.command().args(&[&["capture"], args].concat()).start();
    eventually("the capture to begin", Duration::from_secs(20), || {
        let said = capture.errors_so_far();
        if said.contains("capturing on ") { Ok(()) } else { Err(said) }
    });
    capture
}

fn end(capture: Running) -> Output {
    capture.signal(Signal::INT);
    let output = capture.wait();
    output.success();
    output
}

/// What tcpdump says of a file of the project.
fn read(project: &Project<'_>, file: &str, words: &[&str]) -> Vec<String> {
    let path = project.dir().join(file).display().to_string();
    let said = Place::outside().run(&[&["tcpdump", "-nnr", &path], words].concat());
    said.success();
    assert!(!said.stderr.contains("truncated") && !said.stderr.contains("error"), "{said}");
    said.stdout.lines().map(str::to_owned).collect()
}

fn ping(lab: &Lab, to: &str, more: &[&str]) {
    lab.in_machine("cap.a", &[&["ping", "-c3", "-i0.1", "-W2"], more, &[to]].concat());
}

#[test]
fn what_passes_is_in_the_file_and_nothing_is_missing_at_its_end() {
    let lab = Lab::start();
    let project = up(&lab);
    let capture = start(&project, &["a:eth0", "--write", "one.pcapng"]);
    ping(&lab, "10.10.0.2", &[]);
    ping(&lab, "fd00:10::2", &[]);
    ping(&lab, "10.99.0.2", &[]);
    let output = end(capture);
    let lines = read(&project, "one.pcapng", &["icmp or icmp6"]);
    let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!((count("10.10.0.1 > 10.10.0.2: ICMP echo request"), count("10.10.0.2 > 10.10.0.1: ICMP echo reply")), (3, 3), "{lines:?}");
    assert_eq!((count("ICMP6, echo request"), count("ICMP6, echo reply")), (3, 3), "{lines:?}");
    assert_eq!(count("10.99.0.2"), 0, "another card's");
    // As many as it says.
    let all = read(&project, "one.pcapng", &[]).len();
    assert!(output.stderr.contains(&format!("captured {all} packets to one.pcapng, 0 dropped\n")), "{output}");

    // However fast they come, and however soon it is to end afterwards.
    let capture = start(&project, &["a:eth0", "--write", "flood.pcapng", "--filter", "icmp", "--snaplen", "64"]);
    lab.in_machine("cap.a", &["ping", "-q", "-f", "-c4000", "10.10.0.2"]);
    let output = end(capture);
    assert!(output.stderr.contains("captured 8000 packets to flood.pcapng, 0 dropped\n"), "{output}");
    assert_eq!(read(&project, "flood.pcapng", &[]).len(), 8000);

    // Times are the clock's: each packet is within this test's last minute.
    let epoch: f64 = read(&project, "one.pcapng", &["-tt"])[0].split(' ').next().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((0.0..120.0).contains(&(now - epoch)), "{epoch} and now {now}");
}

#[test]
fn all_cards_a_filter_and_limits() {
    let lab = Lab::start();
    let project = up(&lab);
    let capture = start(&project, &["a", "--write", "all.pcapng", "--filter", "icmp[icmptype] = icmp-echo", "--snaplen", "60"]);
    ping(&lab, "10.10.0.2", &["-s500"]);
    ping(&lab, "10.99.0.2", &["-s500"]);
    let output = end(capture);
    assert!(output.stderr.contains("capturing on a:eth0, a:eth5; Ctrl-C ends it\n"), "{output}");
    let lines = read(&project, "all.pcapng", &["-e"]);
    let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!((count("> 10.10.0.2: "), count("> 10.99.0.2: "), lines.len()), (3, 3, 6), "{lines:?}");
    // Cut, and yet as long as it was: 500, 8 of ICMP, 20 of IP, 14 of Ethernet.
    assert!(lines.iter().all(|line| line.contains("length 542")), "{lines:?}");

    // To a pipe, by number: `--count` ends it, and the reader has everything.
    let capture = project.command().args(&["capture", "a:eth0", "--count", "2", "--filter", "icmp"]).start();
    eventually("the capture to begin", Duration::from_secs(20), || {
        let said = capture.errors_so_far();
        if said.contains("capturing on a:eth0\n") { Ok(()) } else { Err(said) }
    });
    ping(&lab, "10.10.0.2", &[]);
    let output = capture.wait();
    output.success();
    assert!(output.stderr.contains("captured 2 packets, 0 dropped\n"), "{output}");

    // By time.
    let output = project.fly(&["capture", "a", "--duration", "300ms", "--write", "time.pcapng", "--filter", "icmp"]);
    assert!(output.success().stderr.contains("captured 0 packets to time.pcapng, 0 dropped\n"), "{output}");
    assert_eq!(read(&project, "time.pcapng", &[]), Vec::<String>::new());

    // A card is promiscuous only when asked, and only as long.
    let promiscuity = |is: &str| {
        let link = lab.in_machine("cap.a", &["ip", "-d", "link", "show", "eth0"]);
        assert!(link.contains(&format!("promiscuity {is} ")), "{link}");
    };
    let capture = start(&project, &["a:eth0", "--write", "mine.pcapng"]);
    promiscuity("0");
    end(capture);
    let capture = start(&project, &["a:eth0", "--write", "theirs.pcapng", "--promiscuous"]);
    promiscuity("1");
    end(capture);
    promiscuity("0");

    // With a reader, as it goes on.
    let fly = env!("CARGO_BIN_EXE_fly");
    let line = format!("{fly} capture a:eth5 --duration 3s --filter icmp | tcpdump -nnr - 2>/dev/null");
    let shown = project.command().by(&["sh", "-c", &line]).start();
    std::thread::sleep(Duration::from_millis(1500));
    ping(&lab, "10.99.0.2", &[]);
    let shown = shown.wait();
    assert_eq!(shown.stdout.lines().filter(|line| line.contains("10.99.0.1 > 10.99.0.2: ICMP echo request")).count(), 3, "{shown}");
}

#[test]
fn the_machines_end_is_the_captures_and_leaves_nothing() {
    let lab = Lab::start();
    let project = up(&lab);
    let capture = start(&project, &["b", "--write", "b.pcapng"]);
    ping(&lab, "10.10.0.2", &[]);
    lab.docker(&["kill", "cap.b"]);
    let output = capture.wait();
    output.success();
    assert!(output.stderr.contains("note: machine `b` has ended meanwhile\n"), "{output}");
    assert!(read(&project, "b.pcapng", &["icmp"]).len() >= 6);
    // Nothing of it keeps the namespace: `a` loses its end of the cable.
    eventually("the end of the cable", Duration::from_secs(10), || {
        let links = lab.in_machine("cap.a", &["ip", "-br", "link"]);
        if links.contains("eth5") { Err(links) } else { Ok(()) }
    });
}

#[test]
fn what_cannot_be_captured_is_said() {
    let lab = Lab::start();
    let project = up(&lab);
    for (args, code, words) in [
        (&["capture", "a:eth9", "-w", "x"][..], 64, "there is no such card"),
        (&["capture", "c", "-w", "x"], 64, "there is no machine `c` in `cap`"),
        (&["capture", "a", "-w", "x", "--filter", "icmp or or"], 64, "`icmp or or` is no filter"),
        (&["capture", "a", "-w", "x", "--snaplen", "0"], 64, "0"),
        (&["capture", "a", "-w", "x", "--duration", "soon"], 64, "a time, as `10s` or `1m30s`"),
        (&["capture", "a", "-w", "no/such/folder"], 1, "cannot write `no/such/folder`"),
    ] {
        let output = project.fly(args);
        output.expect_code(code);
        assert!(output.stderr.contains(words), "{words}: {output}");
        assert!(!project.dir().join("x").exists(), "{args:?}");
    }
    let output = project.command().args(&["capture", "a"]).on_terminal("").run();
    output.expect_code(64);
    assert!(output.stdout.contains("packets are nothing for a terminal"), "{output}");
    let output = project.command().args(&["capture", "a", "-w", "x", "--filter", "icmp"]).env("PATH", "/nowhere").run();
    output.expect_code(1);
    assert!(output.stderr.contains("apt-get install tcpdump"), "{output}");
    lab.docker(&["stop", "-t0", "cap.a"]);
    project.fly(&["capture", "a", "-w", "x"]).expect_code(1);
}
