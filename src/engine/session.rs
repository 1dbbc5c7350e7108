//! Sessions with one container: a command run in it, its console, its log, its files.
//!
//! They are no operations of a plan: nothing that is planned changes by them. So they are not part of the trait `Engine`, and only the
//! real engine has them. The types are here, the calls are `Docker`'s.
//!
//! A session is two halves of one connection. `Input` is what the program reads: write to it, and shut it down to say that there is no
//! more, while the program goes on. `Output` is what it writes, in pieces, as the engine sends them: nothing is held back to make
//! lines of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};

use super::{EngineError, EngineErrorKind, RunState};
use crate::types::Name;

/// A machine's container, as far as a session with it needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub machine: Name,
    pub id: String,
    /// The engine's name of it.
    pub name: String,
    pub state: RunState,
    /// Its first process has a terminal: then both of its outputs are one.
    pub tty: bool,
    /// Its first process can be written to.
    pub stdin: bool,
    /// As the engine writes it; changes with every start.
    pub started_at: String,
}

/// What bears a machine's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Ours(Member),
    /// A container that is not fly's; its name.
    Stranger(String),
    Nothing,
}

/// A command to be run in a container that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    pub argv: Vec<String>,
    /// `user`, `user:group`, or numbers; nothing is the container's own.
    pub user: Option<String>,
    pub workdir: Option<String>,
    /// `NAME=value`, beside the container's own.
    pub env: Vec<String>,
    pub stdin: bool,
    pub tty: bool,
    /// Of the terminal, from the first moment on, where the engine can (API 1.42).
    pub size: Option<Size>,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Stdout,
    Stderr,
}

/// A piece of what a program has written.
#[derive(Debug)]
pub struct Chunk<'a> {
    pub channel: Channel,
    pub bytes: &'a [u8],
    /// It ends something that the engine sent as one: of a log, an entry. With a terminal there are no such ends.
    pub ends: bool,
}

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    pub follow: bool,
    /// The last so many lines.
    pub tail: Option<u64>,
    /// Seconds since 1970, with a fraction.
    pub since: Option<String>,
    pub until: Option<String>,
}

/// What the engine says of a path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    pub name: String,
    pub size: u64,
    pub kind: PathKind,
    /// Where a symbolic link points to.
    pub target: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    File,
    Directory,
    Symlink,
    /// A device, socket or FIFO.
    Special,
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// What the program reads. Shutting it down is the end of its input; its output goes on.
pub struct Input(Writer);

impl Input {
    pub(super) fn new(writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(writer))
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What the program writes.
pub struct Output {
    reader: Reader,
    buffer: Box<[u8]>,
    /// What is in the buffer and has not been handed out.
    from: usize,
    to: usize,
    framing: Framing,
    doing: String,
}

/// How the engine tells the two outputs apart.
enum Framing {
    /// Not at all: there is a terminal, which has one.
    Raw,
    /// Eight bytes before each piece: which output, and how long. What is left of the piece that is being read.
    Frames { channel: Channel, left: usize },
}

const BUFFER: usize = 64 << 10;
const HEADER: usize = 8;

impl Output {
    /// `early` has been read already. `doing` is for messages.
    pub(super) fn new(reader: impl AsyncRead + Send + Unpin + 'static, early: &[u8], tty: bool, doing: impl Into<String>) -> Self {
        let mut buffer = vec![0; BUFFER.max(early.len())].into_boxed_slice();
        buffer[..early.len()].copy_from_slice(early);
        let framing = if tty { Framing::Raw } else { Framing::Frames { channel: Channel::Stdout, left: 0 } };
        Self { reader: Box::new(reader), buffer, from: 0, to: early.len(), framing, doing: doing.into() }
    }

    /// The next piece; nothing when there is no more.
    pub async fn next(&mut self) -> Result<Option<Chunk<'_>>, EngineError> {
        let (channel, length, ends) = loop {
            let there = self.to - self.from;
            match &mut self.framing {
                Framing::Raw if there > 0 => break (Channel::Stdout, there, false),
                Framing::Frames { channel, left } if *left > 0 && there > 0 => {
                    let length = there.min(*left);
                    *left -= length;
                    break (*channel, length, *left == 0);
                }
                Framing::Frames { channel, left } if *left == 0 && there >= HEADER => {
                    let header = &self.buffer[self.from..self.from + HEADER];
                    *channel = match header[0] {
                        0 | 1 => Channel::Stdout,
                        2 => Channel::Stderr,
                        _ => return Err(broken(&self.doing, "what it sends is not what was agreed on")),
                    };
                    *left = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
                    self.from += HEADER;
                    continue;
                }
                _ => {}
            }
            if !self.fill().await? {
                return if self.is_whole() { Ok(None) } else { Err(broken(&self.doing, "it ended in the middle")) };
            }
        };
        let start = self.from;
        self.from += length;
        Ok(Some(Chunk { channel, bytes: &self.buffer[start..start + length], ends }))
    }

    fn is_whole(&self) -> bool {
        self.from == self.to && !matches!(self.framing, Framing::Frames { left: 1.., .. })
    }

    /// Reads on; false at the end.
    async fn fill(&mut self) -> Result<bool, EngineError> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.buffer.len() {
            // At most the seven bytes of an unfinished header.
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        match self.reader.read(&mut self.buffer[self.to..]).await {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.to += count;
                Ok(true)
            }
            Err(error) => Err(broken(&self.doing, &error.to_string())),
        }
    }

    /// Both outputs as streams of their own, for whoever wants to read them so. They have to be read at the same time: the engine sends
    /// them over one connection, and one that is full holds up the other.
    pub fn streams(mut self) -> (DuplexStream, DuplexStream) {
        let (mut stdout, theirs) = tokio::io::duplex(BUFFER);
        let (mut stderr, also_theirs) = tokio::io::duplex(BUFFER);
        tokio::spawn(async move {
            while let Ok(Some(chunk)) = self.next().await {
                let to = match chunk.channel {
                    Channel::Stdout => &mut stdout,
                    Channel::Stderr => &mut stderr,
                };
                // Whoever has let go of one of them may still read the other.
                drop(to.write_all(chunk.bytes).await);
            }
        });
        (theirs, also_theirs)
    }
}

fn broken(doing: &str, message: &str) -> EngineError {
    EngineError {
        kind: EngineErrorKind::Transient,
        doing: doing.to_owned(),
        message: format!("the connection to the engine broke off: {message}"),
        hints: vec![],
    }
}

/// Both halves of a connection to a program.
pub struct Session {
    pub input: Input,
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(channel: u8, text: &str) -> Vec<u8> {
        [&[channel, 0, 0, 0][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
    }

    /// All that comes out when the engine sends `bytes` in pieces of `size`.
    fn read(bytes: &[u8], size: usize, early: usize, tty: bool) -> Result<(String, String, usize), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut engine, ours) = tokio::io::duplex(size);
            let (early, later) = bytes.split_at(early);
            let mut output = Output::new(ours, early, tty, "read");
            let (mut stdout, mut stderr, mut entries) = (String::new(), String::new(), 0);
            let send = async move { engine.write_all(later).await.unwrap() };
            let receive = async {
                while let Some(chunk) = output.next().await.map_err(|error| error.to_string())? {
                    entries += usize::from(chunk.ends);
                    let to = if chunk.channel == Channel::Stdout { &mut stdout } else { &mut stderr };
                    to.push_str(std::str::from_utf8(chunk.bytes).unwrap());
                }
                Ok((stdout, stderr, entries))
            };
            tokio::join!(send, receive).1
        })
    }

    #[test]
    fn outputs_are_told_apart_however_they_are_cut() {
        let sent = [frame(1, "one\n"), frame(2, "oh\n"), frame(1, ""), frame(1, "two\n"), frame(0, "three\n")].concat();
        for size in 1..20 {
            for early in [0, 3, 8, 15, sent.len()] {
                let said = read(&sent, size, early, false);
                assert_eq!(said, Ok(("one\ntwo\nthree\n".to_owned(), "oh\n".to_owned(), 4)), "{size} {early}");
            }
        }
        assert_eq!(read(b"\x01\x02abc", 3, 1, true).unwrap().0, "\x01\x02abc");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let sent = frame(1, "one\n");
        for length in 1..sent.len() {
            assert!(read(&sent[..length], 5, 0, false).unwrap_err().contains("in the middle"), "{length}");
        }
        assert!(read(&frame(7, "x"), 5, 0, false).unwrap_err().contains("agreed"));
        assert_eq!(read(&[], 5, 0, false), Ok((String::new(), String::new(), 0)));
    }
}
