//! Between a program in a machine and our own streams.

use tokio::io::AsyncWriteExt as _;

use super::detach::{Keys, Typed};
use super::failure::Failure;
use super::machine::refused;
use super::streams::{self, Closed, Sink};
use super::terminal::{self, Event, Raw};
use crate::engine::EngineError;
use crate::engine::session::{Channel, Input, Output, Session, Size};

/// Why a session is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The program writes no more.
    Output,
    /// Somebody typed the keys for it.
    Left,
    Signal(u8),
    /// Nobody reads what the program writes.
    Closed,
}

/// What may be the engine's words in place of a program's: the first piece of output, if it begins as they do, until another follows.
pub(super) struct Held {
    beginnings: &'static [&'static str],
    is_first: bool,
    words: Option<String>,
}

impl Held {
    pub(super) fn beginning_with(beginnings: &'static [&'static str]) -> Self {
        Self { beginnings, is_first: true, words: None }
    }

    fn holds(&mut self, channel: Channel, bytes: &[u8]) -> bool {
        let begins = |beginning: &&str| bytes.starts_with(beginning.as_bytes());
        if std::mem::take(&mut self.is_first) && channel == Channel::Stdout && self.beginnings.iter().any(begins) {
            self.words = String::from_utf8(bytes.to_vec()).ok();
            return self.words.is_some();
        }
        false
    }

    /// Once.
    pub(super) fn text(&mut self) -> Option<String> {
        self.words.take()
    }
}

/// Carries everything between a program in a machine and our own streams until the session is over, and all of it is written.
pub(super) async fn pump(
    session: Session,
    stdin: bool,
    keys: Option<Keys>,
    mut raw: Option<&mut Raw>,
    held: Option<&mut Held>,
    resize: impl AsyncFn(Size),
) -> Result<End, Failure> {
    let Session { input, output } = session;
    let (stdout, stderr) = (Sink::stdout(), Sink::stderr());
    let terminal = async {
        let Some(raw) = &mut raw else { return std::future::pending().await };
        if let Some(size) = terminal::size() {
            resize(size).await;
        }
        loop {
            match raw.event().await {
                Event::Signal(number) => return number,
                Event::Resized => {
                    if let Some(size) = terminal::size() {
                        resize(size).await;
                    }
                }
            }
        }
    };
    let end = tokio::select! {
        end = drain(output, &stdout, &stderr, held) => end,
        () = feed(input, stdin, keys) => Ok(End::Left),
        number = terminal => Ok(End::Signal(number)),
    };
    // After a signal nobody waits for a terminal that may have been stopped.
    if !matches!(end, Ok(End::Signal(_))) {
        stdout.finish().await?;
        stderr.finish().await?;
    }
    end.map_err(|error| refused(&error).into())
}

/// From the program to us; returns when there is no more, or nobody to take it.
async fn drain(mut output: Output, stdout: &Sink, stderr: &Sink, mut held: Option<&mut Held>) -> Result<End, EngineError> {
    while let Some(chunk) = output.next().await? {
        if let Some(held) = &mut held {
            if held.holds(chunk.channel, chunk.bytes) {
                continue;
            }
            if let Some(words) = held.text()
                && stdout.write(words.into_bytes()).await.is_err()
            {
                return Ok(End::Closed);
            }
        }
        let sink = match chunk.channel {
            Channel::Stdout => stdout,
            Channel::Stderr => stderr,
        };
        if let Err(Closed) = sink.write(chunk.bytes.to_vec()).await {
            return Ok(End::Closed);
        }
    }
    Ok(End::Output)
}

/// From us to the program; returns when somebody leaves. The end of what we read is no end of the session: the program goes on.
async fn feed(mut input: Input, stdin: bool, mut keys: Option<Keys>) {
    let mut ours = if stdin { Some(streams::stdin()) } else { None };
    while let Some(bytes) = async { ours.as_mut()?.recv().await }.await {
        let (bytes, leave) = match keys.as_mut().map(|keys| keys.typed(&bytes)) {
            None => (bytes, false),
            Some(Typed::Send(bytes)) => (bytes, false),
            Some(Typed::Leave(bytes)) => (bytes, true),
        };
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            // It reads no more; what it still writes is worth waiting for.
            break;
        }
        if leave {
            return;
        }
    }
    if stdin {
        drop(input.shutdown().await);
    }
    // Held on to: letting go of it would look like our leaving.
    std::future::pending::<()>().await;
    drop(input);
}
