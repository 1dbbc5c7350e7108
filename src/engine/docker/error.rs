//! What went wrong between us and the engine, before it is known what was being done.

use std::io;

use bollard::errors::Error as Bollard;

use super::address::Address;
use crate::engine::{EngineError, EngineErrorKind as Kind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// The status of the engine's answer, if it gave one.
    pub(super) status: Option<u16>,
    pub(super) message: String,
    /// What to do now, where that depends on the way to the engine.
    pub(super) hints: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// It passes through other libraries' errors, for whoever finds it there.
impl std::error::Error for Failure {}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self { kind, status: None, message: one_line(message.as_ref()), hints: vec![] }
    }

    /// The engine answered with an error.
    pub(super) fn answered(status: u16, message: &str) -> Self {
        Self { kind: kind_of(status, message), status: Some(status), message: one_line(message), hints: vec![] }
    }

    pub(super) fn timeout(seconds: u64) -> Self {
        Self::new(Kind::Timeout, format!("the engine has not answered for {seconds} s"))
    }

    /// The connection could not be made.
    pub(super) fn connecting(address: &Address, error: &io::Error) -> Self {
        let (kind, what) = match error.kind() {
            io::ErrorKind::PermissionDenied => (Kind::Denied, "this user may not open"),
            _ => (Kind::Unreachable, "no engine answers at"),
        };
        let failure = Self::new(kind, format!("{what} `{address}` ({})", io_words(error)));
        let hints = match address {
            Address::Unix(_) | Address::Ssh(_) => vec![],
            Address::Tcp(_) | Address::Tls(_) => vec![
                "does it listen there? `ss -ltn` on its host says where".to_owned(),
                "an engine listens on its own socket alone, unless told otherwise: `export DOCKER_HOST=ssh://user@host` reaches that"
                    .to_owned(),
            ],
        };
        failure.hinting(hints)
    }

    pub(super) fn hinting(mut self, hints: Vec<String>) -> Self {
        self.hints = hints;
        self
    }

    /// A connection that stood broke off.
    pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = Self::within(error) {
                return failure;
            }
            next = error.source();
        }
        Self::new(Kind::Transient, format!("the connection to the engine broke off: {error}"))
    }

    /// One that the connection itself has told of.
    fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let told = error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<Self>();
        told.cloned()
    }

    pub(super) fn is_broken_off(&self) -> bool {
        self.status.is_none() && self.kind == Kind::Transient
    }

    pub(super) fn is(&self, status: u16) -> bool {
        self.status == Some(status)
    }

    pub(super) fn says(&self, words: &str) -> bool {
        self.message.to_ascii_lowercase().contains(&words.to_ascii_lowercase())
    }

    /// No answer came: the engine may still have done it, or may yet do it.
    pub(super) fn is_lost_answer(&self) -> bool {
        self.status.is_none() && matches!(self.kind, Kind::Timeout | Kind::Transient)
    }

    pub(super) fn doing(self, doing: impl std::fmt::Display) -> EngineError {
        EngineError { kind: self.kind, doing: doing.to_string(), message: self.message, hints: self.hints }
    }
}

/// `No such file or directory`, without Rust's `(os error 2)`.
pub(super) fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_ascii_lowercase()
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The status says little: what is in use comes as 409, 403 or 500, depending on who noticed.
fn kind_of(status: u16, message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["is restarting", "removal of container", "is not running", "non running container"]) && matches!(status, 409 | 500) {
        return Kind::Transient;
    }
    if has(&[
        "already in use",
        "already allocated",
        "already exists",
        "pool overlaps",
        "conflicts with",
        "is ambiguous",
        "active endpoints",
    ]) {
        return Kind::Conflict;
    }
    match status {
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        408 | 504 => Kind::Timeout,
        502 | 503 => Kind::Transient,
        _ => Kind::Other,
    }
}

impl From<Bollard> for Failure {
    fn from(error: Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => Self::answered(status_code, &message),
            Bollard::DockerStreamError { error } => Self::answered(500, &error),
            Bollard::RequestTimeoutError => Self::new(Kind::Timeout, "the engine has not answered in time"),
            // It shows what is within as if it were that itself, so that no walk along the causes meets it.
            Bollard::IOError { err } => {
                let words = format!("no connection to the engine: {}", io_words(&err));
                Self::within(&err).unwrap_or_else(|| Self::new(kind_of_io(&err), words))
            }
            other => {
                let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&other);
                let mut text = other.to_string();
                while let Some(error) = next {
                    if let Some(failure) = Self::within(error) {
                        return failure;
                    }
                    if let Some(io) = error.downcast_ref::<io::Error>() {
                        return Self::new(kind_of_io(io), format!("no connection to the engine: {}", io_words(io)));
                    }
                    if error.downcast_ref::<hyper::Error>().is_some_and(|e| e.is_incomplete_message() || e.is_canceled() || e.is_closed()) {
                        return Self::broken(error);
                    }
                    text = error.to_string();
                    next = error.source();
                }
                Self::new(Kind::Other, text)
            }
        }
    }
}

fn kind_of_io(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::Denied,
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Kind::Unreachable,
        _ => Kind::Transient,
    }
}
