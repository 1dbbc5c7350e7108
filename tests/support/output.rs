//! What a finished command said.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Exit code and both streams of a command.
#[derive(Debug)]
pub(crate) struct Output {
    what: String,
    /// The exit code; for one that was ended by a signal, 128 and the signal, as a shell has it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    pub(super) fn new(what: &str, status: ExitStatus, stdout: String, stderr: String) -> Self {
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Self { what: what.to_owned(), code, stdout, stderr }
    }

    /// Panics with everything it said unless it exited with 0.
    #[track_caller]
    pub(crate) fn success(&self) -> &Self {
        self.expect_code(0)
    }

    /// Panics with everything it said unless it exited with `code`.
    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) -> &Self {
        assert!(self.code == code, "expected exit code {code}:\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, code, stdout, stderr } = self;
        write!(f, "{what}\nexit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}
