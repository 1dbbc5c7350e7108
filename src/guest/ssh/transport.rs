//! The way between a client and russh, with a hand on the tap.
//!
//! russh opens a channel's window again as soon as it has read from it, whether anybody has taken the data or not; what it does not
//! offer is to wait. Waiting inside its callbacks instead would stop the whole connection, and for good where a command waits for its
//! output to be read. So input is queued, and when too much of it lies there, nothing more is read from the network, while output flows.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::limits::{BYTES_BEFORE_LOGIN, MISSED};

/// Input that waits for a process, of one connection.
const QUEUE: usize = 4 * 1024 * 1024;
/// The same while output waits for the client: what says that it may flow again may stand behind input.
const STARVING_QUEUE: usize = 64 * 1024 * 1024;
/// While nothing is read, whether the client is still there is seen this often.
const PEEK: Duration = Duration::from_secs(1);

/// What the tasks of one connection know of it together.
pub(crate) struct Gate {
    login_time: Duration,
    keepalive: Duration,
    state: Mutex<State>,
}

struct State {
    queued: usize,
    starving: usize,
    logged_in: bool,
    read: u64,
    since: Instant,
    heard: Instant,
    broken: bool,
    readers: Option<Waker>,
    writers: Option<Waker>,
}

impl State {
    fn paused(&self) -> bool {
        self.queued >= if self.starving > 0 { STARVING_QUEUE } else { QUEUE }
    }

    fn wake(&mut self) {
        for waker in [self.readers.take(), self.writers.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Gate {
    pub(crate) fn new(login_time: Duration, keepalive: Duration) -> Arc<Gate> {
        let now = Instant::now();
        let state = State {
            queued: 0,
            starving: 0,
            logged_in: false,
            read: 0,
            since: now,
            heard: now,
            broken: false,
            readers: None,
            writers: None,
        };
        Arc::new(Gate { login_time, keepalive, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn logged_in(&self) {
        self.state().logged_in = true;
    }

    /// Input has come that nobody has taken yet.
    pub(crate) fn queue(&self, bytes: usize) {
        self.state().queued += bytes;
    }

    #[cfg(test)]
    pub(crate) fn is_full(&self) -> bool {
        self.state().paused()
    }

    pub(crate) fn unqueue(&self, bytes: usize) {
        let mut state = self.state();
        state.queued = state.queued.saturating_sub(bytes);
        if !state.paused() {
            state.wake();
        }
    }

    /// Output waits for the client as long as the answer lives.
    pub(crate) fn starve(self: &Arc<Self>) -> Starving {
        let mut state = self.state();
        state.starving += 1;
        if !state.paused() {
            state.wake();
        }
        Starving(Arc::clone(self))
    }

    /// Ends the connection from outside: russh has no other way while it waits for the client.
    pub(crate) fn break_off(&self) {
        let mut state = self.state();
        state.broken = true;
        state.wake();
    }

    /// Returns, with the reason, when the client has had its time.
    pub(crate) async fn overdue(&self) -> &'static str {
        loop {
            let wait = match self.time_left() {
                Ok(wait) => wait,
                Err(reason) => return reason,
            };
            tokio::time::sleep(wait.max(Duration::from_millis(10))).await;
        }
    }

    fn time_left(&self) -> Result<Duration, &'static str> {
        let state = self.state();
        if !state.logged_in {
            return self.login_time.checked_sub(state.since.elapsed()).filter(|left| !left.is_zero()).ok_or("did not log in in time");
        }
        if state.paused() {
            // It cannot be heard. TCP itself asks whether it lives.
            return Ok(self.keepalive);
        }
        let silence = self.keepalive * (MISSED + 1);
        silence.checked_sub(state.heard.elapsed()).filter(|left| !left.is_zero()).ok_or("does not answer any more")
    }
}

pub(crate) struct Starving(Arc<Gate>);

impl Drop for Starving {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.starving = state.starving.saturating_sub(1);
    }
}

pub(crate) struct Transport<S> {
    stream: S,
    gate: Arc<Gate>,
    peek: Option<Pin<Box<Sleep>>>,
}

impl<S: AsFd> Transport<S> {
    pub(crate) fn new(stream: S, gate: Arc<Gate>) -> Transport<S> {
        Transport { stream, gate, peek: None }
    }

    /// Nothing is read now; but a client that has gone is seen.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let peek = self.peek.get_or_insert_with(|| Box::pin(tokio::time::sleep(PEEK)));
            if peek.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.peek = None;
            let mut files = [PollFd::new(&self.stream, PollFlags::RDHUP)];
            let gone = poll(&mut files, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0);
            if gone {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Transport<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let paused = {
            let mut state = self.gate.state();
            if state.broken || (!state.logged_in && state.read > BYTES_BEFORE_LOGIN) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            state.readers = Some(cx.waker().clone());
            state.paused()
        };
        if paused {
            return self.wait(cx);
        }
        self.peek = None;
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let count = buffer.filled().len().saturating_sub(before);
        if count > 0 {
            let mut state = self.gate.state();
            state.read = state.read.saturating_add(count as u64);
            state.heard = Instant::now();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        {
            let mut state = self.gate.state();
            if state.broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            state.writers = Some(cx.waker().clone());
        }
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
