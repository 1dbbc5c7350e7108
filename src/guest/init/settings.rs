//! What fly has written down for this machine, and what the machine says of itself.

use std::path::Path;
use std::time::Duration;

use super::super::log;
use crate::types::{GUEST_CONFIG, GUEST_STATUS, GuestConfig, GuestState, GuestStatus, SshServer};

/// The last settings that could be read; none where nobody has written any.
pub(super) struct Settings(pub(super) Option<GuestConfig>);

impl Settings {
    pub(super) fn read(home: &Path) -> Self {
        let mut settings = Self(None);
        settings.refresh(home);
        settings
    }

    /// A file that is half written, or gone, changes nothing.
    pub(super) fn refresh(&mut self, home: &Path) {
        if let Ok(text) = std::fs::read(home.join(GUEST_CONFIG))
            && let Ok(config) = serde_json::from_slice(&text)
        {
            self.0 = Some(config);
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |config| Duration::from_nanos(config.patience.nanos()))
    }

    pub(super) fn becomes_program(&self) -> bool {
        self.0.as_ref().is_some_and(|config| config.becomes_program)
    }

    pub(super) fn wants_server(&self) -> Option<SshServer> {
        Some(self.0.as_ref()?.sshd.as_ref()?.server)
    }
}

pub(super) fn tell(home: &Path, state: GuestState) {
    let status = GuestStatus { version: env!("CARGO_PKG_VERSION").to_owned(), state };
    let written = serde_json::to_vec(&status).map_err(std::io::Error::from).and_then(|text| {
        let (new, name) = (home.join(format!("{GUEST_STATUS}.new")), home.join(GUEST_STATUS));
        std::fs::write(&new, text)?;
        std::fs::rename(&new, &name)
    });
    if let Err(error) = written {
        log::line(&format!("cannot write `{}`: {error}", home.join(GUEST_STATUS).display()));
    }
}
