//! What live tests stand on: a [`Lab`], a small machine with a Docker Engine and a LAN of its own.
//!
//! A lab is one pid, one mount and one network namespace. In it run a private containerd and dockerd; it has a network
//! card `eth1` (192.168.77.1, `fd00:77::1`) on a pretend LAN, where a neighbour (192.168.77.2, `fd00:77::2`) answers, who is
//! also the router to "the world" (203.0.113.1, `2001:db8:77::1`). Nothing is pulled; the images are made here:
//!
//! | image | what it is |
//! |---|---|
//! | `fly/busybox:test` | busybox; without a command it stays up and ends at once on SIGTERM |
//! | `fly/busybox:next` | the same with another content: "the image has changed" |
//! | `fly/defaults:test` | one whose configuration has ENV, VOLUME, WORKDIR, EXPOSE, HEALTHCHECK and LABEL |
//!
//! **One lab a test.** It starts in well under a second, so sharing would save little and cost much: a test that compares
//! the whole world before and after, counts every change, or kills the engine must be alone in it, and one that fails
//! leaves nothing that another could trip over. Names and subnets are therefore free in every test.
//!
//! However the test process ends, the kernel ends the lab: its first process waits on a pipe that only the test process
//! holds. Files and cgroups that a killed test leaves are swept when the next lab starts. Labs never touch the links,
//! routes, firewall, files or engine of the machine on which they run; `tests/live/lab.rs` proves it.
//!
//! ```ignore
//! let lab = Lab::start();
//! let shop = lab.project("shop", "machines: {web: {image: fly/busybox:test, nics: {eth0: lan}}}\nnetworks: …");
//! let before = lab.canonical();
//! shop.fly(&["up", "--yes"]).success();
//! let (pid, _) = lab.pid_and_start("shop-web-1");             // as `docker inspect` has it
//! lab.neighbour(&["ping", "-c1", "192.168.77.100"]);          // panics unless it succeeds
//! assert!(lab.in_machine("shop-web-1", &["ip", "addr"]).contains("192.168.77.100/24"));
//! let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.100");
//! let (proxy, kernel) = (lab.proxy(), lab.watch_kernel(&["shop-web-1"]));
//! shop.command().via(&proxy).args(&["up", "--yes"]).run().success();   // the second one
//! assert_eq!(proxy.mutations(), Vec::<String>::new());
//! assert_eq!(kernel.stop(), Vec::<String>::new());
//! assert_eq!(ping.stop().lost, 0);
//! shop.fly(&["down", "--yes"]).success();
//! lab.is_as_before(&before);
//! ```

mod api;
mod debian;
mod dice;
mod engine;
mod fly;
mod images;
pub(crate) mod janitor;
mod kernel;
mod output;
mod ping;
mod place;
mod proxy;
mod registry;
mod wait;
pub(crate) mod world;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use dice::Dice;
use engine::Engine;
pub(crate) use fly::{FlyCommand, Project, user};
pub(crate) use kernel::KernelWatch;
pub(crate) use output::Output;
pub(crate) use ping::Ping;
pub(crate) use place::{Place, Running, command};
pub(crate) use proxy::Proxy;
pub(crate) use registry::{LOGIN, Registry};
pub(crate) use wait::eventually;

/// A machine of a test's own; see the module.
pub(crate) struct Lab {
    name: String,
    dir: PathBuf,
    inside: Place,
    neighbour: Place,
    engine: Mutex<Engine>,
    init: Child,
    /// Its owner's mark for the janitor: locked while this process lives.
    _lock: File,
    _seat: Seat,
}

impl Lab {
    /// Starts one, with the engine up and the images loaded.
    pub(crate) fn start() -> Self {
        let seat = Seat::take();
        janitor::sweep();
        let (name, dir, lock) = own_folder();
        let (init, outer) = first_process(&dir);
        let inside = Place::of_init(&name, outer).expect("the lab's namespaces");
        // `ip netns add` has put it into the lab's own /run, reached through the root of its first process.
        let run = PathBuf::from(format!("/proc/{outer}/root/run/netns/neighbour"));
        let neighbour = inside.with_net("neighbour", &run).expect("the neighbour's namespace");
        let engine = Mutex::new(Engine::start(&inside, &name, &dir));
        let lab = Self { name, dir, inside, neighbour, engine, init, _lock: lock, _seat: seat };
        lab.api().load(images::archive());
        janitor::hold_if_asked(&lab.dir);
        lab
    }

    /// Its folder: logs, sockets, homes and projects; gone with the lab.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The engine's socket, as inside so outside; in the lab `/run/docker.sock` points to it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// The lab's own machine: the one that the engine and fly run on.
    pub(crate) fn machine(&self) -> Place {
        self.inside.clone()
    }

    /// The other computer on the LAN.
    pub(crate) fn lan_neighbour(&self) -> Place {
        self.neighbour.clone()
    }

    /// The network namespace of a running container, with the tools of the machine.
    pub(crate) fn container(&self, container: &str) -> Place {
        let (pid, _) = self.pid_and_start(container);
        let file = PathBuf::from(format!("/proc/{}/root/proc/{pid}/ns/net", self.outer()));
        self.inside.with_net(container, &file).unwrap_or_else(|error| panic!("namespace of {container}: {error}"))
    }

    /// `docker ARGS` against the private engine; panics unless it succeeds; its standard output.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        self.try_docker(args).success().stdout.clone()
    }

    /// The same, whatever it exits with.
    pub(crate) fn try_docker(&self, args: &[&str]) -> Output {
        let host = format!("unix://{}", self.socket().display());
        self.inside.run(&[&["docker", "-H", &host], args].concat())
    }

    /// `ip ARGS` on the lab's machine; panics unless it succeeds; its standard output.
    pub(crate) fn ip(&self, args: &[&str]) -> String {
        self.inside.ok(&[&["ip"], args].concat())
    }

    /// A command on the neighbour; panics unless it succeeds; its standard output.
    pub(crate) fn neighbour(&self, argv: &[&str]) -> String {
        self.neighbour.ok(argv)
    }

    /// A command in a container's network namespace, with the machine's tools: the view from outside.
    pub(crate) fn in_machine(&self, container: &str, argv: &[&str]) -> String {
        self.container(container).ok(argv)
    }

    /// The process id (as the engine has it) and start time of a running container.
    pub(crate) fn pid_and_start(&self, container: &str) -> (u64, String) {
        let state = self.inspect(container)["State"].take();
        let pid = state["Pid"].as_u64().unwrap_or(0);
        assert!(pid > 0, "container {container} does not run: {state}");
        (pid, state["StartedAt"].as_str().unwrap_or_default().to_owned())
    }

    /// Every container, `NAME STATE`, in order; but none that fly only has beside the engine for a moment.
    pub(crate) fn containers(&self) -> Vec<String> {
        let all = self.docker(&["ps", "--all", "--format", "{{.Label \"fly.helper\"}}:{{.Names}} {{.State}}"]);
        let mut all: Vec<String> = all.lines().filter_map(|line| line.strip_prefix(':').map(str::to_owned)).collect();
        all.sort();
        all
    }

    /// `GET /containers/NAME/json`.
    pub(crate) fn inspect(&self, container: &str) -> serde_json::Value {
        self.api().get(&format!("/containers/{container}/json"))
    }

    /// The lab's world as text: links, addresses, routes, rules, firewall, sysctls, containers, networks, volumes, without
    /// what changes by itself. Two are equal if nothing has changed.
    pub(crate) fn canonical(&self) -> String {
        world::network(&self.inside) + &world::engine(&self.api())
    }

    /// Panics with what differs from `before`, an earlier `canonical`.
    #[track_caller]
    pub(crate) fn is_as_before(&self, before: &str) {
        if let Err(diff) = self.settles_as(before) {
            panic!("the world is not as before:\n{diff}");
        }
    }

    /// The kernel takes its time with the network namespace of a container that has gone: a card in there goes later, and
    /// with it the promiscuous mode of its parent.
    pub(crate) fn settles_as(&self, before: &str) -> Result<(), String> {
        wait::within(Duration::from_secs(10), || {
            let now = self.canonical();
            let differs = || similar::TextDiff::from_lines(before, &now).unified_diff().context_radius(1).to_string();
            if now == before { Ok(()) } else { Err(differs()) }
        })
    }

    /// An image with one layer of busybox and these Dockerfile instructions: `lab.image("x:1", &["LABEL a=b"])`.
    pub(crate) fn image(&self, name: &str, changes: &[&str]) {
        let layer = images::layer_file(&self.dir);
        let changes = changes.iter().flat_map(|change| ["--change", change]);
        let args: Vec<&str> = ["import"].into_iter().chain(changes).chain([layer.as_str(), name]).collect();
        self.docker(&args);
    }

    /// `fly/debian:test`: Debian with OpenSSH, rsync and Python, and the users `app` and `locked`.
    pub(crate) fn debian_image(&self) {
        let tarball = debian::tarball().display().to_string();
        self.docker(&["import", "--change", "CMD [\"/bin/bash\"]", &tarball, "fly/debian:test"]);
    }

    /// `fly/static:test`: one program without libraries, and nothing besides: no shell, no passwd, no /tmp. Alone it just sleeps; with
    /// words it says them and ends with their number.
    pub(crate) fn static_image(&self) {
        let tar = self.dir.join("static.tar");
        fs::write(&tar, images::single_program()).expect("a file in our own folder");
        self.docker(&["import", "--change", "CMD [\"/program\"]", &tar.display().to_string(), "fly/static:test"]);
    }

    /// Where `ansible` and its companions are.
    pub(crate) fn ansible() -> PathBuf {
        debian::ansible()
    }

    /// A socket that passes everything on to the engine and records it.
    pub(crate) fn proxy(&self) -> Proxy {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = self.dir.join(format!("proxy-{}.sock", NEXT.fetch_add(1, Ordering::Relaxed)));
        Proxy::start(path, self.socket())
    }

    /// Watches the kernel for changes of links, addresses, routes and rules, on the lab's machine and in these containers.
    pub(crate) fn watch_kernel(&self, containers: &[&str]) -> KernelWatch {
        let places = containers.iter().map(|it| self.container(it)).chain([self.machine()]);
        KernelWatch::start(places.collect())
    }

    /// The `fly` under test, in `project_dir`, on the lab's machine.
    pub(crate) fn fly(&self, project_dir: &Path) -> FlyCommand {
        FlyCommand::new(self, project_dir)
    }

    /// A folder with this `fly.yml` in it.
    pub(crate) fn project(&self, name: &str, fly_yml: &str) -> Project<'_> {
        Project::new(self, name, fly_yml)
    }

    /// Sends dockerd a signal: kill it, stop it, let it go on.
    pub(crate) fn signal_engine(&self, signal: rustix::process::Signal) {
        self.engine().signal(signal);
    }

    /// Waits for dockerd's end, after a signal, and starts it again.
    pub(crate) fn restart_engine(&self) {
        self.engine().restart(&self.inside);
    }

    /// Starts dockerd again, with these words besides.
    pub(crate) fn restart_engine_with(&self, words: &[&str]) {
        self.engine().tell(words);
        self.signal_engine(rustix::process::Signal::TERM);
        self.restart_engine();
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api(&self) -> api::Api {
        api::Api::new(self.socket())
    }

    /// The pid of the lab's first process, as seen from here.
    pub(crate) fn outer(&self) -> u32 {
        janitor::init_of(&self.dir).expect("written when the lab started")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.join("dockerd.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(12).collect();
            let last: String = last.into_iter().rev().flat_map(|line| [line, "\n"]).collect();
            // Not print: the test's output has been taken already when a thread unwinds.
            let _ = io::Write::write_all(&mut io::stderr(), format!("last words of {}:\n{last}", self.name).as_bytes());
        }
        self.engine().end();
        drop(self.init.stdin.take());
        let removed = janitor::remove(&self.dir).and_then(|()| {
            // A command that the test has started and not yet waited for would keep it.
            wait::within(Duration::from_secs(10), || match self.init.try_wait() {
                Ok(Some(_)) => Ok(()),
                _ => Err("a command still runs in it".into()),
            })
        });
        assert!(removed.is_ok() || std::thread::panicking(), "taking the lab down: {removed:?}");
    }
}

/// Sends a signal to a process by its id.
fn signal(pid: u32, signal: rustix::process::Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// A folder that is locked by this process from its first moment on.
fn own_folder() -> (String, PathBuf, File) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}{}-{}", janitor::PREFIX, std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(&name);
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let lock = File::create(dir.join("lock")).expect("a file in our own folder");
    lock.lock().expect("nobody else knows the folder");
    (name, dir, lock)
}

/// Starts the lab's first process; returns when its machine stands, with its pid.
fn first_process(dir: &Path) -> (Child, u32) {
    let script = dir.join("init.sh");
    fs::write(&script, include_str!("init.sh")).expect("a file in our own folder");
    let log = File::create(dir.join("init.log")).expect("a file in our own folder");
    let mut init = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount", "--net", "bash"])
        .args([&script, dir])
        .env_clear()
        .env("PATH", place::PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("unshare is part of util-linux");
    let mut line = String::new();
    // Its output ends with it, so this cannot wait for ever.
    let _ = BufReader::new(init.stdout.take().expect("piped")).read_line(&mut line);
    let Some(outer) = line.strip_prefix("ready ").and_then(|rest| rest.trim().parse().ok()) else {
        let _ = init.kill();
        let log = fs::read_to_string(dir.join("init.log")).unwrap_or_default();
        panic!("no lab: live tests need root and network namespaces: {line}{log}");
    };
    fs::write(dir.join("init.pid"), line.trim_start_matches("ready ")).expect("a file in our own folder");
    (init, outer)
}

/// Labs at one time: an engine takes some 150 MB, and more than the cores can drive only makes every wait longer.
struct Seat;

static FREE: (Mutex<Option<usize>>, Condvar) = (Mutex::new(None), Condvar::new());

impl Seat {
    fn take() -> Self {
        let all = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8));
        let free = FREE.0.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |free: &mut Option<usize>| *free.get_or_insert(all) == 0;
        let (mut free, wait) = FREE.1.wait_timeout_while(free, Duration::from_secs(600), busy).unwrap_or_else(PoisonError::into_inner);
        assert!(!wait.timed_out(), "every lab has been busy for ten minutes");
        *free = free.map(|n| n - 1);
        Self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut free = FREE.0.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.map(|n| n + 1);
        FREE.1.notify_one();
    }
}
