//! A guest's server on loopback, and OpenSSH's own client.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

pub(crate) const FLY: &str = env!("CARGO_BIN_EXE_fly");
/// For everything that ought to take less than a second; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Ends, with its folder, when it is dropped.
pub(crate) struct Guest {
    pub(crate) home: PathBuf,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) server: Child,
    /// Options of the server: times, where a test waits for their end.
    pub(crate) options: Vec<String>,
}

impl Guest {
    /// With one key, `id`, for the user that the tests run as.
    pub(crate) fn start() -> Guest {
        let guest = Guest::prepare();
        guest.allow(&[&guest.public_key("id")]);
        guest.serve()
    }

    /// One that bears strangers for so many seconds.
    pub(crate) fn start_with_grace(seconds: u32) -> Guest {
        Guest::start_with(&["--grace", &seconds.to_string()])
    }

    pub(crate) fn start_with(options: &[&str]) -> Guest {
        let mut guest = Guest::prepare();
        guest.options = options.iter().map(|&option| option.to_owned()).collect();
        guest.allow(&[&guest.public_key("id")]);
        guest.serve()
    }

    pub(crate) fn prepare() -> Guest {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Short, because a socket's path must be.
        let home = PathBuf::from(format!("/tmp/fly-ssh-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&home).unwrap();
        let user = text(&run(Command::new("id").arg("-un")));
        let server = Command::new("true").spawn().unwrap();
        let guest = Guest { home, port: free_port(), user, server, options: vec![] };
        guest.make_key("id");
        guest
    }

    pub(crate) fn serve(mut self) -> Guest {
        self.server.wait().unwrap();
        let log = fs::File::create(self.home.join("log")).unwrap();
        self.server = self.server_command().stderr(log).spawn().unwrap();
        self.until("the server listens", || self.log().contains("listening on"));
        let key = fs::read_to_string(self.home.join("ssh_host_ed25519_key.pub")).unwrap();
        fs::write(self.home.join("known"), format!("fly-guest {key}")).unwrap();
        self
    }

    /// As root with a passwd of its own, so that no start file of the one who tests takes part.
    fn server_command(&self) -> Command {
        let mut plain = Command::new(FLY);
        plain.args(["guest", "serve", "--home"]).arg(&self.home).args(&self.options);
        let unshare = ["--mount", "--propagation", "private"];
        if self.user != "root" || !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
            return plain;
        }
        let (passwd, home) = (self.home.join("passwd"), self.home.join("root"));
        fs::create_dir_all(&home).unwrap();
        fs::write(&passwd, format!("root:x:0:0:root:{}:/bin/sh\n", home.display())).unwrap();
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", "mount --bind \"$1\" /etc/passwd && shift && exec \"$@\"", "sh"]);
        command.arg(passwd).arg(FLY).args(["guest", "serve", "--home"]).arg(&self.home).args(&self.options);
        command
    }

    pub(crate) fn make_key(&self, name: &str) {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(self.home.join(name)));
    }

    pub(crate) fn public_key(&self, name: &str) -> String {
        fs::read_to_string(self.home.join(format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    pub(crate) fn allow(&self, keys: &[&str]) {
        self.configure(
            &json!({"server": "fly", "port": self.port, "users": {&self.user: {"authorized_keys": keys, "password_hash": null}}}),
        );
    }

    /// As fly writes it: beside, and then renamed.
    pub(crate) fn configure(&self, sshd: &serde_json::Value) {
        let config = json!({"machine": "web", "nics": {}, "patience": 1_000_000_000_u64, "sshd": sshd});
        fs::write(self.home.join("config.new"), config.to_string()).unwrap();
        fs::rename(self.home.join("config.new"), self.home.join("config.json")).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        fs::read(self.home.join("sshd.json")).map_or(serde_json::Value::Null, |text| serde_json::from_slice(&text).unwrap())
    }

    /// With strict host key checking, against the public key that the guest has written.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let known = format!("UserKnownHostsFile={}", self.home.join("known").display());
        command.args([
            "-F",
            "none",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "HostKeyAlias=fly-guest",
            "-o",
            "LogLevel=ERROR",
        ]);
        command.args(["-o", &known]).env_remove("SSH_AUTH_SOCK").current_dir(&self.home);
        command
    }

    /// ssh to the guest with a key and options.
    pub(crate) fn ssh_with(&self, key: &str, options: &[&str]) -> Command {
        let mut command = self.client("ssh");
        command.args(["-o", "BatchMode=yes", "-p", &self.port.to_string(), "-i", key]).args(options);
        command.arg(format!("{}@127.0.0.1", self.user));
        command
    }

    pub(crate) fn ssh(&self, options: &[&str], line: &str) -> Output {
        run(self.ssh_with("id", options).arg(line))
    }

    pub(crate) fn until(&self, what: &str, done: impl FnMut() -> bool) {
        assert!(eventually(done), "{what}: never\n{}", self.log());
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

pub(crate) fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(30));
    }
    false
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn run(command: &mut Command) -> Output {
    run_with(command, &[])
}

/// Runs to the end, or fails the test when it does not come.
pub(crate) fn run_with(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let (out, err) = (reader(child.stdout.take().unwrap()), reader(child.stderr.take().unwrap()));
    let status = ended(&mut child).unwrap_or_else(|| {
        let _ = child.kill();
        panic!("{command:?} does not end");
    });
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn reader(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = vec![];
        from.read_to_end(&mut all).unwrap();
        all
    })
}

pub(crate) fn ended(child: &mut Child) -> Option<std::process::ExitStatus> {
    let mut status = None;
    eventually(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// A server that says back what it is told, and then its end.
pub(crate) fn echo(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || back(stream.unwrap()));
        }
    });
}

fn back(stream: TcpStream) {
    let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Sends all, ends, and returns the whole answer.
pub(crate) fn ask(port: u16, words: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut writer, words) = (stream.try_clone()?, words.to_vec());
    thread::spawn(move || {
        let _ = writer.write_all(&words);
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let mut all = vec![];
    stream.read_to_end(&mut all)?;
    Ok(all)
}

pub(crate) fn script(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Bytes that no compression and no repetition makes look right.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(count)
    .collect()
}

pub(crate) fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
