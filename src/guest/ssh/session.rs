//! A session channel: what runs in it, and what goes in and out.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use russh::Sig;
use russh::server::Handle;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::{Child, Command};

use super::auth::Login;
use super::channels::{Input, Output, Word, Words, pour};
use super::process::{self, Ties};
use super::pty::{Control, Master, Terminal};

/// What one read takes: as much as a packet bears.
const CHUNK: usize = 32 * 1024;
/// What a terminal gets to say its last words, when something else still holds it.
const LAST_WORDS: Duration = Duration::from_millis(250);
const STANDARD_ERROR: u32 = 1;

/// A session that has been opened and waits for what it is to do.
pub(crate) struct Setup {
    pub(crate) output: Output,
    pub(crate) input: Input,
    pub(crate) words: Words,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) agent: Option<OsString>,
}

/// Something that runs.
pub(crate) struct Running {
    child: Child,
    ties: Ties,
    master: Option<Master>,
    output: Output,
    input: Input,
    words: Words,
}

impl Setup {
    pub(crate) fn start(self, mut command: Command) -> std::io::Result<Running> {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        let (child, ties, master) = if let Some(terminal) = self.terminal {
            command.env("TERM", &terminal.name).env("SSH_TTY", &terminal.path);
            let ties = Ties::terminal(&terminal.path);
            (process::spawn_on_terminal(&mut command, terminal.slave)?, ties, Some(terminal.master))
        } else {
            let child = process::spawn_on_pipes(&mut command)?;
            let ties = Ties::pipes(&child);
            (child, ties, None)
        };
        Ok(Running { child, ties, master, output: self.output, input: self.input, words: self.words })
    }
}

/// Carries a session to its end, and tells the client how it ended.
pub(crate) async fn run(running: Running, login: &Login, handle: Handle) {
    let Running { mut child, ties, master, output, mut input, mut words } = running;
    let pid = child.id();
    let status = {
        let (ends, control) = master.map_or((None, None), |master| (Some((master.reader, master.writer)), Some(master.control)));
        let carried = async {
            match ends {
                Some((reader, writer)) => on_terminal(&mut child, reader, writer, control.as_ref(), &output, &mut input).await,
                None => on_pipes(&mut child, &output, &mut input).await,
            }
        };
        tokio::select! {
            status = carried => status,
            () = listen(&mut words, control.as_ref(), pid) => None,
        }
    };
    let Some(status) = status else {
        // The client has closed the channel, or is gone. The terminal went first: that is what its programs listen to.
        process::end(login, &mut child, pid, &ties).await;
        let _ = output.half.close().await;
        return;
    };
    tell(&output, &handle, status).await;
}

/// What the client says besides its data, until there is no channel any more.
async fn listen(words: &mut Words, terminal: Option<&Control>, pid: Option<u32>) {
    while let Some(word) = words.recv().await {
        match (word, terminal) {
            (Word::Signal(signal), _) => process::signal(pid, signal),
            (Word::Resize(size), Some(terminal)) => terminal.resize(size),
            (Word::Resize(_), None) => {}
        }
    }
}

async fn on_pipes(child: &mut Child, output: &Output, input: &mut Input) -> Option<ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let inwards = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read is no fault; what comes after that is taken and dropped.
            let _ = pour(input, &mut stdin).await;
            drop(stdin);
        }
        while input.next().await.is_some() {}
        std::future::pending::<()>().await;
    };
    // As with OpenSSH, the end is when the program has ended and nobody can write any more.
    let outwards = async {
        let (status, (), ()) = tokio::join!(child.wait(), copy(stdout, output, None), copy(stderr, output, Some(STANDARD_ERROR)));
        status.ok()
    };
    tokio::select! {
        status = outwards => status,
        () = inwards => None,
    }
}

async fn on_terminal(
    child: &mut Child,
    reader: Receiver,
    mut writer: Sender,
    control: Option<&Control>,
    output: &Output,
    input: &mut Input,
) -> Option<ExitStatus> {
    let inwards = async {
        let _ = pour(input, &mut writer).await;
        // A terminal has no other end of input than a key.
        if let Some(key) = control.and_then(Control::end_of_file) {
            let _ = writer.write_all(&[key]).await;
        }
        std::future::pending::<()>().await;
    };
    let outwards = async {
        let all = copy(Some(reader), output, None);
        tokio::pin!(all);
        let status = tokio::select! {
            status = child.wait() => status.ok(),
            () = &mut all => return child.wait().await.ok(),
        };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
        status
    };
    tokio::select! {
        status = outwards => status,
        () = inwards => None,
    }
}

/// From a program to the client. What the client does not take any more is read all the same, so that the program can end.
async fn copy(from: Option<impl AsyncRead + Unpin>, output: &Output, kind: Option<u32>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; CHUNK];
    let mut taken = true;
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        taken = taken && output.send(kind, buffer.get(..count).unwrap_or_default().to_vec()).await;
    }
}

async fn tell(output: &Output, handle: &Handle, status: ExitStatus) {
    let half = &output.half;
    if let Some(code) = status.code() {
        let _ = half.exit_status(code.unsigned_abs()).await;
    } else if let Some(signal) = status.signal() {
        let _ = handle.exit_signal_request(half.id(), name(signal), status.core_dumped(), String::new(), String::new()).await;
    }
    let _ = half.eof().await;
    let _ = half.close().await;
}

/// As the protocol names it; others with the kernel's number.
fn name(number: i32) -> Sig {
    match Signal::from_named_raw(number) {
        Some(Signal::ABORT) => Sig::ABRT,
        Some(Signal::ALARM) => Sig::ALRM,
        Some(Signal::FPE) => Sig::FPE,
        Some(Signal::HUP) => Sig::HUP,
        Some(Signal::ILL) => Sig::ILL,
        Some(Signal::INT) => Sig::INT,
        Some(Signal::KILL) => Sig::KILL,
        Some(Signal::PIPE) => Sig::PIPE,
        Some(Signal::QUIT) => Sig::QUIT,
        Some(Signal::SEGV) => Sig::SEGV,
        Some(Signal::TERM) => Sig::TERM,
        Some(Signal::USR1) => Sig::USR1,
        Some(Signal::USR2) => Sig::Custom("USR2".to_owned()),
        Some(Signal::BUS) => Sig::Custom("BUS@openssh.com".to_owned()),
        _ => Sig::Custom(format!("{number}@openssh.com")),
    }
}

/// What a client may send to its processes.
pub(crate) fn signal(name: &Sig) -> Option<Signal> {
    Some(match name {
        Sig::ABRT => Signal::ABORT,
        Sig::ALRM => Signal::ALARM,
        Sig::FPE => Signal::FPE,
        Sig::HUP => Signal::HUP,
        Sig::ILL => Signal::ILL,
        Sig::INT => Signal::INT,
        Sig::KILL => Signal::KILL,
        Sig::PIPE => Signal::PIPE,
        Sig::QUIT => Signal::QUIT,
        Sig::SEGV => Signal::SEGV,
        Sig::TERM => Signal::TERM,
        Sig::USR1 => Signal::USR1,
        Sig::Custom(name) if name == "USR2" => Signal::USR2,
        Sig::Custom(_) => return None,
    })
}
