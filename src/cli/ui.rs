//! Where text leaves the program: data on stdout, talk on stderr.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};

use anstyle::AnsiColor;

use super::args::When;
use super::color;
use super::environment::Environment;
use super::failure::Failure;
use crate::diag::{Diagnostic, Kind};

#[expect(clippy::struct_excessive_bools, reason = "four answers about the terminal, none of which follows from another")]
pub(super) struct Ui {
    /// Colours on stdout.
    pub(super) out_color: bool,
    /// Colours on stderr.
    pub(super) err_color: bool,
    /// Somebody can be asked.
    pub(super) can_ask: bool,
    /// Lines can be drawn over.
    pub(super) can_draw: bool,
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
}

impl Ui {
    pub(super) fn new(environment: &Environment, when: When) -> Self {
        Self {
            out_color: color::wanted(when, environment.stdout_is_terminal, environment),
            err_color: color::wanted(when, environment.stderr_is_terminal, environment),
            can_ask: environment.stdin_is_terminal && environment.stderr_is_terminal,
            can_draw: environment.stderr_is_terminal && environment.variable("TERM") != Some("dumb"),
            out: RefCell::new(Box::new(io::stdout())),
            err: RefCell::new(Box::new(io::stderr())),
        }
    }

    /// Without a terminal, and with somewhere else to write to.
    #[cfg(test)]
    pub(super) fn into(out: impl Write + 'static, err: impl Write + 'static) -> Self {
        let (out, err): (Box<dyn Write>, Box<dyn Write>) = (Box::new(out), Box::new(err));
        Self { out_color: false, err_color: false, can_ask: false, can_draw: false, out: RefCell::new(out), err: RefCell::new(err) }
    }

    /// Data. A reader that went away has read enough: that is no failure.
    pub(super) fn out(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.borrow_mut();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Diagnostic::new(Kind::Failed, "cannot write the output").cause(error).into())
            }
            _ => Ok(()),
        }
    }

    /// Talk: where nobody listens, nothing is lost.
    pub(super) fn say(&self, text: &str) {
        let mut err = self.err.borrow_mut();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
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
