//! Where a command runs: the machine itself, a lab, a computer on its LAN, or a container of it.
//!
//! A process is born in the namespaces, by a thread that enters them and is thrown away: its pid is the one that the test
//! sees, so a signal reaches it and nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustix::process::{chroot, fchdir};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::output::Output;

/// How long a command may take before the test fails.
const LIMIT: Duration = Duration::from_secs(60);
/// The environment's PATH may be anything; the programs that tests use are here.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Namespaces to run commands in. Holding one of a container keeps its network namespace alive: let it go before `down`.
#[derive(Clone)]
pub(crate) struct Place {
    name: String,
    enter: Vec<(Arc<File>, LinkNameSpaceType)>,
    /// What `/` is there: entering a mount namespace leads to its topmost root, which a tester in a chroot does not see.
    root: Option<Arc<File>>,
}

impl Place {
    /// The machine on which the tests run. For looking only.
    pub(crate) fn outside() -> Self {
        Self { name: "outside".into(), enter: Vec::new(), root: None }
    }

    /// The namespaces of the process `init`, which is the first of its pid namespace.
    pub(crate) fn of_init(name: &str, init: u32) -> io::Result<Self> {
        let open = |kind: &str, of| Ok::<_, io::Error>((Arc::new(File::open(format!("/proc/{init}/ns/{kind}"))?), of));
        // The mounts come last: after them this /proc is out of sight.
        let enter = vec![
            open("net", LinkNameSpaceType::Network)?,
            open("pid", LinkNameSpaceType::ProcessID)?,
            open("mnt", LinkNameSpaceType::Mount)?,
        ];
        let root = Some(Arc::new(File::open(format!("/proc/{init}/root"))?));
        Ok(Self { name: name.to_owned(), enter, root })
    }

    /// The same files and processes, but the network namespace that `file` names.
    pub(crate) fn with_net(&self, name: &str, file: &Path) -> io::Result<Self> {
        let mut place = self.clone();
        name.clone_into(&mut place.name);
        place.enter[0] = (Arc::new(File::open(file)?), LinkNameSpaceType::Network);
        Ok(place)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command to its end and returns what it said.
    pub(crate) fn run(&self, argv: &[&str]) -> Output {
        self.running(command(argv), LIMIT).wait()
    }

    /// Runs a command that must succeed and returns its standard output.
    pub(crate) fn ok(&self, argv: &[&str]) -> String {
        self.run(argv).success().stdout.clone()
    }

    /// Starts a command whose output is collected meanwhile.
    pub(crate) fn running(&self, mut command: Command, limit: Duration) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let text = format!("{command:?} in {}", self.name);
        let mut child = self.spawn(&mut command).unwrap_or_else(|error| panic!("{text}: {error}"));
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        Running { text, child, stdout, stderr, limit, start: Instant::now() }
    }

    /// Starts a process in these namespaces.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        if self.enter.is_empty() {
            return command.spawn();
        }
        thread::scope(|scope| {
            let born = scope.spawn(|| {
                // SAFETY: only the file system attributes (root, working directory) of this thread become its own, which
                // entering a mount namespace requires; the thread ends right after the spawn.
                unsafe { unshare_unsafe(UnshareFlags::FS) }?;
                for (file, kind) in &self.enter {
                    move_into_link_name_space(file.as_fd(), Some(*kind))?;
                }
                if let Some(root) = &self.root {
                    fchdir(root)?;
                    chroot(".")?;
                }
                command.spawn()
            });
            born.join().expect("the spawning thread does not panic")
        })
    }
}

/// A command with a clean environment.
pub(crate) fn command(argv: &[&str]) -> Command {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").current_dir("/");
    command
}

type Collected = (Arc<Mutex<Vec<u8>>>, Option<JoinHandle<()>>);

/// A command that has been started; ended with the value at the latest.
pub(crate) struct Running {
    text: String,
    child: Child,
    stdout: Collected,
    stderr: Collected,
    limit: Duration,
    start: Instant,
}

impl Running {
    /// The pid as the test process sees it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        super::signal(self.child.id(), signal).unwrap_or_else(|error| panic!("{}: {error}", self.text));
    }

    /// What it has written to standard output so far.
    pub(crate) fn so_far(&self) -> String {
        text(&self.stdout)
    }

    /// The same of its standard error.
    pub(crate) fn errors_so_far(&self) -> String {
        text(&self.stderr)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; panics when that takes too long.
    pub(crate) fn wait(mut self) -> Output {
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return self.output(status);
            }
            if self.start.elapsed() > self.limit {
                let status = self.end();
                let output = self.output(status);
                panic!("not within {:?}: {output}", self.limit);
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL, then what it had said until then.
    pub(crate) fn kill(mut self) -> Output {
        let status = self.end();
        self.output(status)
    }

    fn end(&mut self) -> ExitStatus {
        // Fails only if it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("it is our child")
    }

    fn output(&mut self, status: ExitStatus) -> Output {
        for (_, reader) in [&mut self.stdout, &mut self.stderr] {
            // A daemon that inherited the pipe may keep it open: what is there by now is enough.
            let start = Instant::now();
            while reader.as_ref().is_some_and(|it| !it.is_finished()) && start.elapsed() < Duration::from_secs(1) {
                sleep(Duration::from_millis(1));
            }
            *reader = None;
        }
        Output::new(&self.text, status, text(&self.stdout), text(&self.stderr))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Collected {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reader = pipe.map(|mut pipe| {
        let seen = Arc::clone(&seen);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                seen.lock().expect("no reader panics").extend_from_slice(&buffer[..n]);
            }
        })
    });
    (seen, reader)
}

fn text(collected: &Collected) -> String {
    String::from_utf8_lossy(&collected.0.lock().expect("no reader panics")).into_owned()
}
