//! The terminal, while it belongs to a program in a machine: every key goes there, and comes back as that program wants it.

use std::io;

use futures_util::future::select_all;
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::Size;

/// While this lives, the terminal is raw. However fly ends, by an error, a signal or a fault of its own, it is as before.
pub(super) struct Raw {
    before: Termios,
    /// Those that would end fly without giving the terminal back.
    signals: Vec<(u8, Signal)>,
    resized: Signal,
}

impl Raw {
    pub(super) fn enter() -> Result<Self, Failure> {
        Self::switch().map_err(|error| Diagnostic::new(Kind::Failed, "cannot take the terminal").cause(error).into())
    }

    fn switch() -> io::Result<Self> {
        let resized = signal(SignalKind::window_change())?;
        let fatal = [(1, SignalKind::hangup()), (2, SignalKind::interrupt()), (3, SignalKind::quit()), (15, SignalKind::terminate())];
        let signals = fatal.into_iter().map(|(number, kind)| Ok((number, signal(kind)?))).collect::<io::Result<_>>()?;
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before, signals, resized })
    }

    /// Waits for the next thing that happens to the terminal, or to fly.
    pub(super) async fn event(&mut self) -> Event {
        let signals = self.signals.iter_mut().map(|(number, signal)| {
            Box::pin(async {
                signal.recv().await;
                *number
            })
        });
        tokio::select! {
            (number, ..) = select_all(signals) => Event::Signal(number),
            _ = self.resized.recv() => Event::Resized,
        }
    }
}

pub(super) enum Event {
    /// One that wants fly to end.
    Signal(u8),
    Resized,
}

impl Drop for Raw {
    fn drop(&mut self) {
        // One that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

pub(super) fn size() -> Option<Size> {
    let size = tcgetwinsize(stdin()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size { columns: size.ws_col, rows: size.ws_row })
}
