//! How a request ends that does not bring anything, and how errors of the kernel are said in the protocol.

use std::borrow::Cow;

use rustix::io::Errno;

use super::codec::Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    Ok = 0,
    Eof = 1,
    NoSuchFile = 2,
    PermissionDenied = 3,
    Failure = 4,
    BadMessage = 5,
    Unsupported = 8,
}

/// The client does not speak the protocol: there is nothing to answer to, and nothing that follows can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("a packet of {0} bytes")]
    BadLength(u32),
    #[error("a packet without a number")]
    NoNumber,
    #[error("a request before the greeting")]
    NoGreeting,
}

/// Why a request was not fulfilled: the code is for programs and says little, the text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) text: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(code: Code, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }

    /// A handle that was never given out, or has been closed. Which code that is depends on the request, as in OpenSSH.
    pub(super) fn handle(code: Code) -> Self {
        Self::new(code, "Bad handle")
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        let code = match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::BADF | Errno::LOOP => Code::NoSuchFile,
            Errno::PERM | Errno::ACCESS | Errno::FAULT => Code::PermissionDenied,
            Errno::NAMETOOLONG | Errno::INVAL => Code::BadMessage,
            Errno::NOSYS => Code::Unsupported,
            _ => Code::Failure,
        };
        // There is no code for a full disk or a folder that is not empty, and that is what people want to know.
        let text = std::io::Error::from(errno).to_string();
        let text = text.split(" (os error").next().unwrap_or_default().to_owned();
        Self { code, text: Cow::Owned(text) }
    }
}

impl From<Malformed> for Failure {
    fn from(Malformed: Malformed) -> Self {
        Self::new(Code::BadMessage, "Bad message")
    }
}
