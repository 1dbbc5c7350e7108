//! Connections with an engine by OpenSSH's own client, which knows the user's keys, hosts and settings: Docker's client over there
//! joins its input and output with the engine's socket (`docker system dial-stdio`), as Docker's client here would ask it to.
//!
//! Logging in is what takes time, so connections share a login (`ControlMaster`): the first is the master, the next ones run through
//! its socket. A server lets ten through one login by default (`MaxSessions`); for more there is another.
//!
//! ssh never asks anything: several of them run at once, and Ctrl-C is fly's to understand. So they have a process group of their own,
//! and end with fly, however that ends.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::address::Ssh;
use super::dial::Stream;
use super::error::{Failure, io_words};
use super::ssh_words;
use crate::engine::EngineErrorKind as Kind;

/// Connections of one login; two of ten are left to whoever else uses it.
const SHARED: usize = 8;
/// How often it is looked whether ssh has logged in.
const LOOK: Duration = Duration::from_millis(5);
/// How long ssh may take to say its last words.
const WORDS: Duration = Duration::from_secs(1);
/// A socket's path has at most 107 bytes, and ssh adds 17 while it makes one.
const LONGEST: usize = 90;

const OPTIONS: [&str; 10] = [
    "BatchMode=yes",
    "ConnectTimeout=20",
    "ServerAliveInterval=15",
    "ControlPersist=no",
    // What the user's settings may have for sessions with people.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "LogLevel=ERROR",
];

/// What leads to the engine of one host.
pub(super) struct Logins {
    ssh: Ssh,
    private: Option<PathBuf>,
    current: tokio::sync::Mutex<Option<Arc<Master>>>,
}

/// A login.
struct Master {
    child: Mutex<Child>,
    socket: PathBuf,
    sessions: AtomicUsize,
    /// Its own session is over: it ends with the others, and takes no more.
    is_over: AtomicBool,
}

impl Drop for Master {
    fn drop(&mut self) {
        // Nobody uses it any more. Killed, it leaves its socket behind.
        let _ = self.child.get_mut().unwrap_or_else(PoisonError::into_inner).start_kill();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Logins {
    pub(super) fn new(ssh: Ssh, private: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self { ssh, private, current: tokio::sync::Mutex::default() })
    }

    pub(super) async fn connect(&self) -> Result<Stream, Failure> {
        let Some(folder) = &self.private else { return Ok(Box::new(self.alone()?)) };
        // Held while somebody logs in: whoever comes meanwhile waits for that login.
        let mut current = self.current.lock().await;
        if let Some(master) = current.as_ref().filter(|master| master.has_room()) {
            let (child, mut session) = self.start(&["-o", "ControlMaster=no", "-S", &pattern(&master.socket)])?;
            session.child = Some(child);
            session.join(Arc::clone(master), false);
            return Ok(Box::new(session));
        }
        let (master, session) = self.log_in(folder).await?;
        *current = Some(master);
        Ok(Box::new(session))
    }

    /// A login for one connection only.
    fn alone(&self) -> Result<Session, Failure> {
        let (child, mut session) = self.start(&["-o", "ControlMaster=no", "-o", "ControlPath=none"])?;
        session.child = Some(child);
        Ok(session)
    }

    async fn log_in(&self, folder: &Path) -> Result<(Arc<Master>, Session), Failure> {
        let socket = own_socket(folder)?;
        let (child, mut session) = self.start(&["-o", "ControlMaster=yes", "-S", &pattern(&socket)])?;
        let master = Master { child: Mutex::new(child), socket, sessions: AtomicUsize::new(0), is_over: AtomicBool::new(false) };
        let master = Arc::new(master);
        session.join(Arc::clone(&master), true);
        // The socket is there as soon as it has logged in.
        while !master.socket.exists() {
            if master.has_ended() {
                return Err(session.last_words().await);
            }
            sleep(LOOK).await;
        }
        Ok((master, session))
    }

    fn start(&self, sharing: &[&str]) -> Result<(Child, Session), Failure> {
        let Ssh { user, host, port, path } = &self.ssh;
        let mut command = Command::new("ssh");
        command.args(OPTIONS.iter().flat_map(|option| ["-o", option])).args(sharing);
        command.args(user.iter().flat_map(|user| ["-l", user]));
        command.args(port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
        command.args(["-T", "--", host, "docker"]);
        if let Some(path) = path {
            // The words meet a shell over there.
            command.args(["--host".to_owned(), format!("'unix://{}'", path.replace('\'', r"'\''"))]);
        }
        command.args(["system", "dial-stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let end_with_us = || rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).map_err(io::Error::from);
        // SAFETY: between fork and exec it makes one system call and nothing else.
        unsafe { command.pre_exec(end_with_us) };
        let mut child = command.spawn().map_err(|error| {
            let hint = "install it: `apt-get install openssh-client`".to_owned();
            Failure::new(Kind::Way, format!("cannot run OpenSSH's client `ssh` ({})", io_words(&error))).hinting(vec![hint])
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else { unreachable!("all three are piped") };
        let words = tokio::spawn(listen(stderr));
        let ssh = self.ssh.clone();
        Ok((
            child,
            Session { stdin: Some(stdin), stdout, is_alive: false, words: Some(words), ending: None, ssh, child: None, master: None },
        ))
    }
}

impl Master {
    /// Whether one more may go through it. Those that have ended are not counted.
    fn has_room(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) < SHARED && !self.is_over.load(Ordering::Relaxed) && !self.has_ended()
    }

    fn has_ended(&self) -> bool {
        !matches!(self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None))
    }
}

/// `%` means something to ssh.
fn pattern(socket: &Path) -> String {
    socket.display().to_string().replace('%', "%%")
}

/// A name that nobody has, in a folder where nobody else can make one.
fn own_socket(folder: &Path) -> Result<PathBuf, Failure> {
    let cannot = |why: &str| {
        let hint = "ssh needs a folder for its sockets that is yours alone: `export XDG_RUNTIME_DIR=…`".to_owned();
        Failure::new(Kind::Way, format!("`{}` cannot be used: {why}", folder.display())).hinting(vec![hint])
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| cannot(&io_words(&error)))?;
    let about = std::fs::symlink_metadata(folder).map_err(|error| cannot(&io_words(&error)))?;
    if !about.is_dir() || about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Err(cannot("others may write there"));
    }
    sweep(folder);
    let mut number = [0_u8; 8];
    rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty()).map_err(|error| cannot(&error.to_string()))?;
    let socket = folder.join(format!("ssh-{:016x}", u64::from_ne_bytes(number)));
    if socket.as_os_str().len() > LONGEST { Err(cannot("its path is too long for a socket in it")) } else { Ok(socket) }
}

/// Takes away the sockets of those that were killed before they could: nobody listens there any more. ssh gives a socket its name only
/// when it listens.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(b"ssh-");
        let answer = if is_ours { std::os::unix::net::UnixStream::connect(entry.path()).map(drop) } else { Ok(()) };
        if answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The end of what ssh says, which is where it says why it ends.
async fn listen(mut stderr: ChildStderr) -> String {
    let (mut all, mut buffer) = (vec![], [0; 1024]);
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        all.extend_from_slice(&buffer[..length]);
        let surplus = all.len().saturating_sub(4096);
        all.drain(..surplus);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// One connection: a program that runs.
struct Session {
    /// Closed when there is nothing more to say.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// The engine has said something.
    is_alive: bool,
    words: Option<JoinHandle<String>>,
    ending: Option<Pin<Box<dyn Future<Output = Failure> + Send>>>,
    ssh: Ssh,
    /// Of the master, the login has it.
    child: Option<Child>,
    master: Option<(Arc<Master>, bool)>,
}

impl Session {
    fn join(&mut self, master: Arc<Master>, is_first: bool) {
        master.sessions.fetch_add(1, Ordering::Relaxed);
        self.master = Some((master, is_first));
    }

    /// Why it has ended.
    fn last_words(&mut self) -> impl Future<Output = Failure> + Send + use<> {
        let (words, ssh) = (self.words.take(), self.ssh.clone());
        async move {
            let words = match words {
                Some(words) => timeout(WORDS, words).await.ok().and_then(Result::ok).unwrap_or_default(),
                None => String::new(),
            };
            ssh_words::failure(&ssh, &words)
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some((master, is_first)) = &self.master {
            master.sessions.fetch_sub(1, Ordering::Relaxed);
            master.is_over.fetch_or(*is_first, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Session {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ending.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
            self.is_alive |= buf.filled().len() > before;
            if self.is_alive {
                return Poll::Ready(Ok(()));
            }
            // The end, before anything came: then it is not the engine that has ended it.
            let words = self.last_words();
            self.ending = Some(Box::pin(words));
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(Ok(())) };
        Poll::Ready(Err(io::Error::other(ready!(ending.as_mut().poll(cx)))))
    }
}

impl AsyncWrite for Session {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing it is the only way to say so through a program.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
