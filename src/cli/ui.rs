//! Where text leaves the program: data on stdout, talk on stderr.

use std::io::{self, ErrorKind, Write as _};

use anstyle::AnsiColor;

use super::args::When;
use super::color;
use super::environment::Environment;
use super::failure::Failure;
use crate::diag::{Diagnostic, Kind};

pub(super) struct Ui {
    /// Colours on stdout.
    pub(super) out_color: bool,
    /// Colours on stderr.
    pub(super) err_color: bool,
    /// Somebody can be asked.
    pub(super) can_ask: bool,
    /// Lines can be drawn over.
    pub(super) can_draw: bool,
}

impl Ui {
    pub(super) fn new(environment: &Environment, when: When) -> Self {
        Self {
            out_color: color::wanted(when, environment.stdout_is_terminal, environment),
            err_color: color::wanted(when, environment.stderr_is_terminal, environment),
            can_ask: environment.stdin_is_terminal && environment.stderr_is_terminal,
            can_draw: environment.stderr_is_terminal && environment.variable("TERM") != Some("dumb"),
        }
    }

    /// Data. A reader that went away has read enough: that is no failure.
    #[expect(clippy::unused_self, reason = "whoever prints has to have been given the right to")]
    pub(super) fn out(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Diagnostic::new(Kind::Failed, "cannot write the output").cause(error).into())
            }
            _ => Ok(()),
        }
    }

    /// Talk: where nobody listens, nothing is lost.
    #[expect(clippy::unused_self, reason = "whoever prints has to have been given the right to")]
    pub(super) fn say(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    pub(super) fn failure(&self, failure: &Failure) {
        self.say(&failure.render(self.err_color));
    }

    /// `warning: …`, one line.
    pub(super) fn warn(&self, text: &str) {
        let style = AnsiColor::Yellow.on_default().bold();
        if self.err_color {
            self.say(&format!("{style}warning:{style:#} {text}\n"));
        } else {
            self.say(&format!("warning: {text}\n"));
        }
    }

    /// Yes or no; no answer is no.
    pub(super) fn confirm(&self, question: &str) -> bool {
        self.say(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer).unwrap_or(0);
        if read == 0 {
            self.say("\n");
        }
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}
