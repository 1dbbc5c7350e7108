//! Machines that can be logged into: what the guest costs at `up`, how soon one is in, what it holds in memory, and how fast files go.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Asked;
use crate::report::{self, Times};
use crate::support::{Lab, Project, Running, command};

const MACHINES: usize = 50;
const ADDRESS: &str = "10.20.0.5";
const LIMIT: Duration = Duration::from_secs(300);
/// The guest lets go of what its start needed after two seconds.
const SETTLED: Duration = Duration::from_secs(5);
const FILE: u64 = 256 << 20;
const LOGINS: usize = 7;
/// Of one machine, init and ssh server together, in KiB.
const MEMORY: u64 = 8 << 10;

/// `count` machines on a bridge that this host is on; the first one has a place in memory for files.
fn fly_yml(name: &str, count: usize, guest: &str) -> String {
    let machine = |number: usize| format!("  m{number}: {{tmpfs: /data, nics: {{eth0: {{network: back, ip: 10.20.0.{}}}}}}}\n", 5 + number);
    let machines: String = (0..count).map(machine).collect();
    format!(
        "name: {name}\ndefaults: {{image: 'fly/busybox:test', stop_grace_period: 1s, {guest}}}\n\
         networks: {{back: {{subnet: 10.20.0.0/24, host_ip: 10.20.0.1}}}}\nmachines:\n{machines}"
    )
}

fn keyed(lab: &Lab) -> String {
    format!("sshd: {{authorized_keys: [{}]}}", key(lab).with_extension("pub").display())
}

fn key(lab: &Lab) -> PathBuf {
    lab.dir().join("bench-key")
}

fn timed(project: &Project<'_>, args: &[&str]) -> Duration {
    let begun = Instant::now();
    project.fly(args).success();
    begun.elapsed()
}

pub(crate) fn figures(asked: &Asked) {
    let lab = Lab::start();
    lab.machine().ok(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &key(&lab).display().to_string()]);
    let first = keep(&lab);
    many(&lab, asked.rounds);
    login(&lab);
    report::shown("first `up` of an engine, with the guest to be installed", &report::time(first));
    drop(lab);
}

/// As long as one machine has the guest, it stays on the engine: what is measured afterwards is not its one installation, which this was.
pub(crate) fn keep(lab: &Lab) -> Duration {
    let keeper = lab.project("keeper", "name: keeper\nmachines: {m: {image: 'fly/busybox:test', network_mode: none}}\n");
    timed(&keeper, &["up", "--yes"])
}

/// The same machines with and without, in turn.
fn many(lab: &Lab, rounds: usize) {
    let (with, without) = (
        lab.project("with", &fly_yml("fleet", MACHINES, &keyed(lab))),
        lab.project("without", &fly_yml("fleet", MACHINES, "guest: false")),
    );
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    // One round more than asked for: the first of all warms the engine.
    for round in 0..=rounds {
        for (project, times) in [(&without, &mut theirs), (&with, &mut ours)] {
            let time = timed(project, &["up", "--yes"]);
            times.extend((round > 0).then_some(time).into_iter());
            project.fly(&["down", "--yes", "--volumes"]).success();
        }
    }
    report::ratio(&format!("up of {MACHINES} machines with sshd, against without a guest"), &ours, &theirs, 1.05);
}

fn login(lab: &Lab) {
    let project = lab.project("login", &fly_yml("login", 1, &keyed(lab)));
    let (mut after, mut whole) = (Times::default(), Times::default());
    for round in 0..LOGINS {
        let begun = Instant::now();
        project.fly(&["up", "--yes"]).success();
        let up = Instant::now();
        lab.machine().run(&ssh(lab, "ssh", &["-p", "22", &format!("root@{ADDRESS}"), "true"])).success();
        after.add(up.elapsed());
        whole.add(begun.elapsed());
        if round + 1 < LOGINS {
            project.fly(&["down", "--yes", "--volumes"]).success();
        }
    }
    report::within("first login, after `up`", &after, Duration::from_secs(1));
    report::shown("  from the start of `up`, the image being there", &whole.text());
    memory(lab);
    files(lab);
    std::thread::sleep(SETTLED);
    memory(lab);
}

/// Nobody's settings take part; a host key that is new is taken.
fn ssh<'a>(lab: &Lab, program: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let key: &'a str = Box::leak(key(lab).display().to_string().into_boxed_str());
    let options = ["-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"];
    let hosts = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
    [&[program], &options[..], &hosts, args].concat()
}

/// Of init and server: what they have mapped, and their share of it; the program's pages are shared by all machines of an engine.
fn memory(lab: &Lab) {
    std::thread::sleep(SETTLED);
    let init = lab.pid_and_start("login.m0").0.to_string();
    let children = lab.machine().ok(&["cat", &format!("/proc/{init}/task/{init}/children")]);
    let (mut resident, mut share, mut own) = (0, 0, 0);
    for pid in [init.as_str()].into_iter().chain(children.split_whitespace()) {
        let line = lab.machine().ok(&["cat", &format!("/proc/{pid}/cmdline")]);
        if line.contains("\0guest\0") {
            let rollup = lab.machine().ok(&["cat", &format!("/proc/{pid}/smaps_rollup")]);
            let field =
                |name: &str| rollup.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            resident += field("Rss:").unwrap();
            share += field("Pss:").unwrap();
            own += field("Pss_Anon:").unwrap();
        }
    }
    report::memory("an idle guest, init and server: resident (RSS)", resident, MEMORY);
    report::memory("  its share (PSS)", share, MEMORY);
    report::shown("  of that, data of its own", &format!("{own} KiB"));
}

/// A file in memory, gone with the value.
struct InMemory(PathBuf);

impl InMemory {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(format!("/dev/shm/fly-bench-{}-{name}", std::process::id())))
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// One file in and out, by the same client, against OpenSSH's server in the same network namespace.
fn files(lab: &Lab) {
    if !Path::new("/usr/sbin/sshd").exists() {
        println!("OpenSSH's server is not installed: nothing to measure against");
        return;
    }
    let (source, theirs, back) = (InMemory::new("source"), InMemory::new("theirs"), InMemory::new("back"));
    lab.machine().ok(&["sh", "-c", &format!("head -c {FILE} /dev/urandom >{}", source.text())]);
    let server = openssh(lab);
    let (mut times, mut opposite) = ([Times::default(), Times::default()], [Times::default(), Times::default()]);
    for _ in 0..LOGINS {
        for (port, there, times) in [("22", "/data/file", &mut times), ("2222", theirs.text().as_str(), &mut opposite)] {
            let there = format!("root@{ADDRESS}:{there}");
            for (number, (from, to)) in [(&source.text(), &there), (&there, &back.text())].into_iter().enumerate() {
                let words = ssh(lab, "scp", &["-q", "-P", port]);
                let begun = Instant::now();
                lab.machine().running(command(&[&words[..], &[from, to]].concat()), LIMIT).wait().success();
                times[number].add(begun.elapsed());
            }
            lab.machine().ok(&["cmp", &source.text(), &back.text()]);
        }
    }
    drop(server.kill());
    for (number, way) in ["into", "out of"].into_iter().enumerate() {
        report::ratio(&format!("scp of 256 MiB {way} a machine, against OpenSSH's server"), &times[number], &opposite[number], 1.0);
    }
}

fn openssh(lab: &Lab) -> Running {
    let file = lab.dir().join("sshd_config");
    let (host_key, keys) = (lab.dir().join("bench-host-key"), key(lab).with_extension("pub"));
    lab.machine().ok(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &host_key.display().to_string()]);
    let text = format!(
        "Port 2222\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n",
        host_key.display(),
        keys.display()
    );
    std::fs::write(&file, text).unwrap();
    lab.machine().ok(&["mkdir", "-p", "/run/sshd"]);
    let server = lab.container("login.m0").running(command(&["/usr/sbin/sshd", "-D", "-e", "-f", &file.display().to_string()]), LIMIT * 4);
    let end = Instant::now() + LIMIT;
    while !lab.machine().run(&ssh(lab, "ssh", &["-p", "2222", &format!("root@{ADDRESS}"), "true"])).code.eq(&0) {
        assert!(Instant::now() < end, "OpenSSH's server does not answer");
        std::thread::sleep(Duration::from_millis(100));
    }
    server
}
