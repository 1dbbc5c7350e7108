//! The program's own streams, while a session goes on.
//!
//! Each has a thread of its own that blocks: a terminal, a pipe and a file can all be waited for so, and nothing has to be switched in
//! a descriptor that other programs use, too. A read that never returns keeps nobody: such a thread ends with the process.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;
use crate::diag::{Diagnostic, Kind};

const BUFFER: usize = 64 << 10;
/// Pieces under way between two threads.
const QUEUE: usize = 4;

/// What is read from stdin, piece by piece, until it ends. An error is its end as well: nobody can do anything about it.
pub(super) fn stdin() -> mpsc::Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel(QUEUE);
    thread::spawn(move || {
        let mut buffer = vec![0; BUFFER];
        loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                Ok(0) => return,
                Ok(length) if tell.blocking_send(buffer[..length].to_vec()).is_err() => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(rustix::stdio::stdin(), PollFlags::IN),
                Err(_) => return,
            }
        }
    });
    told
}

/// Where a program's output goes.
pub(super) struct Sink {
    tell: mpsc::Sender<Vec<u8>>,
    ended: oneshot::Receiver<io::Result<()>>,
}

/// Nobody takes what is written any more.
#[derive(Debug)]
pub(super) struct Closed;

impl Sink {
    pub(super) fn stdout() -> Self {
        Self::new(rustix::stdio::stdout)
    }

    pub(super) fn stderr() -> Self {
        Self::new(rustix::stdio::stderr)
    }

    fn new(descriptor: fn() -> BorrowedFd<'static>) -> Self {
        let (tell, mut told) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let mut result = Ok(());
            while let (Ok(()), Some(bytes)) = (&result, told.blocking_recv()) {
                result = write(descriptor(), &bytes);
            }
            drop(told);
            let _ = end.send(result);
        });
        Self { tell, ended }
    }

    pub(super) async fn write(&self, bytes: Vec<u8>) -> Result<(), Closed> {
        self.tell.send(bytes).await.map_err(|_| Closed)
    }

    /// Waits until everything is written. A reader that went away has read enough: that is no failure.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        drop(self.tell);
        match self.ended.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Diagnostic::new(Kind::Failed, "cannot write the output").cause(error).into())
            }
            _ => Ok(()),
        }
    }
}

fn write(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(to, PollFlags::OUT),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Another program has made the descriptor one that does not wait.
fn wait(on: BorrowedFd<'_>, until: PollFlags) {
    let _ = poll(&mut [PollFd::from_borrowed_fd(on, until)], None);
}
