//! What the kernel answers when it refuses, and what that means for the caller.

use std::io;

use rustix::io::Errno;

use crate::net::{NetError, NetErrorKind};

/// A refusal, not yet said while doing what.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) errno: Errno,
    /// The kernel's own words (extended ack), where it has some.
    pub(super) words: Option<String>,
}

impl Refused {
    pub(super) fn new(errno: Errno, words: impl Into<String>) -> Self {
        Self { errno, words: Some(words.into()) }
    }

    pub(super) fn is(&self, errnos: &[Errno]) -> bool {
        errnos.contains(&self.errno)
    }

    fn kind(&self) -> NetErrorKind {
        match self.errno {
            Errno::PERM | Errno::ACCESS | Errno::ROFS => NetErrorKind::Denied,
            Errno::EXIST | Errno::BUSY | Errno::ADDRINUSE => NetErrorKind::Conflict,
            Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::NXIO => NetErrorKind::NotFound,
            Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT => NetErrorKind::Unsupported,
            Errno::NOBUFS | Errno::AGAIN | Errno::INTR | Errno::MFILE | Errno::NFILE | Errno::NOMEM => NetErrorKind::Transient,
            _ => NetErrorKind::Other,
        }
    }

    pub(super) fn doing(self, doing: impl Into<String>) -> NetError {
        let kind = self.kind();
        NetError { kind, doing: doing.into(), message: self.to_string() }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // `Invalid argument (os error 22)`: the number says nothing to a reader.
        let errno = io::Error::from(self.errno).to_string();
        let errno = errno.split(" (os error").next().unwrap_or_default().to_lowercase();
        match &self.words {
            Some(words) => write!(f, "{words} ({errno})"),
            None => f.write_str(&errno),
        }
    }
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self { errno, words: None }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self { errno, words: None },
            None => Self::new(Errno::IO, error.to_string()),
        }
    }
}

/// Says what was being done when the kernel refused.
pub(super) trait While<T> {
    fn doing<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T, NetError>;
}

impl<T, E: Into<Refused>> While<T> for Result<T, E> {
    fn doing<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T, NetError> {
        self.map_err(|error| error.into().doing(doing()))
    }
}

pub(super) fn fault(kind: NetErrorKind, doing: impl Into<String>, message: impl Into<String>) -> NetError {
    NetError { kind, doing: doing.into(), message: message.into() }
}
