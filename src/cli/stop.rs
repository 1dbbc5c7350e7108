//! The wish that a run ends: the user's (Ctrl-C) or the system's (SIGTERM).

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::diag::{Diagnostic, Kind};

pub(super) struct Stop(mpsc::UnboundedReceiver<()>);

impl Stop {
    /// From now on these signals no longer end the process by themselves.
    pub(super) fn signals() -> Result<Self, Diagnostic> {
        let cannot = |error: std::io::Error| Diagnostic::new(Kind::Failed, "cannot listen for signals").cause(error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if tell.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(Self(told))
    }

    #[cfg(test)]
    pub(super) fn from(wishes: mpsc::UnboundedReceiver<()>) -> Self {
        Self(wishes)
    }

    /// Returns once for every wish; never, where there are none.
    pub(super) async fn asked(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
