//! Between the connection, which is waited for, and the archive, which blocks: pieces through a short queue, so that neither runs
//! ahead of the other.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::diag::{Diagnostic, Kind};
use crate::engine::Download;
use crate::engine::EngineError;

/// Pieces under way; of 256 KiB at most, so some MiB.
const QUEUE: usize = 8;
const PIECE: usize = 256 << 10;

pub(super) type Piece = io::Result<Vec<u8>>;

/// The end that something is written to.
pub(super) struct Inlet {
    tell: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

/// The end that something is read from.
pub(super) struct Outlet {
    told: mpsc::Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    is_over: bool,
}

pub(super) fn inlet() -> (Inlet, mpsc::Receiver<Piece>) {
    let (tell, told) = mpsc::channel(QUEUE);
    (Inlet { tell, piece: Vec::with_capacity(PIECE) }, told)
}

pub(super) fn outlet() -> (mpsc::Sender<Piece>, Outlet) {
    let (tell, told) = mpsc::channel(QUEUE);
    (tell, Outlet { told, piece: vec![], at: 0, is_over: false })
}

impl Inlet {
    fn pass(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.tell.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Breaks it off: what has been written is not all.
    pub(super) fn fail(&self, error: &io::Error) {
        let _ = self.tell.blocking_send(Err(io::Error::other(error.to_string())));
    }
}

impl Write for &mut Inlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..length]);
        if self.piece.len() == PIECE {
            self.pass()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.pass() }
    }
}

impl Read for Outlet {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.is_over {
            match self.told.blocking_recv() {
                // An empty one is the end; without it, whoever sent them has gone away in the middle.
                Some(Ok(piece)) if piece.is_empty() => self.is_over = true,
                Some(Ok(piece)) => (self.piece, self.at) = (piece, 0),
                Some(Err(error)) => return Err(error),
                None => return Err(io::Error::other("it was broken off")),
            }
        }
        let length = buf.len().min(self.piece.len() - self.at);
        buf[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Feeds what comes from the engine to whoever reads the outlet; returns when it is all there, or nobody wants it any more.
pub(super) async fn feed(mut download: Download, tell: mpsc::Sender<Piece>) -> Result<(), EngineError> {
    loop {
        // The engine's own are small: every one that is passed on alone wakes a thread.
        let mut piece = Vec::with_capacity(2 * PIECE);
        let mut is_more = true;
        while is_more && piece.len() < PIECE {
            is_more = download.read(&mut piece).await?;
        }
        if !piece.is_empty() && tell.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
        if !is_more {
            drop(tell.send(Ok(vec![])).await);
            return Ok(());
        }
    }
}

/// Work that blocks, on a thread of its own.
pub(super) fn work(job: impl FnOnce() -> io::Result<()> + Send + 'static) -> JoinHandle<io::Result<()>> {
    spawn_blocking(job)
}

/// Its end. A fault of ours on that thread is one here.
pub(super) async fn done(work: JoinHandle<io::Result<()>>) -> io::Result<()> {
    work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

pub(super) fn failed(what: &str, error: &io::Error) -> Diagnostic {
    let text = error.to_string();
    Diagnostic::new(Kind::Failed, format!("cannot {what}")).cause(text.split(" (os error").next().unwrap_or_default())
}
