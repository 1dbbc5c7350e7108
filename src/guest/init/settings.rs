//! What fly has written down for this machine, and what the machine says of itself.

use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;

use super::super::{files, log};
use crate::types::{GUEST_CONFIG, GUEST_STATUS, GuestConfig, GuestSettings, GuestState, GuestStatus, SshServer, began};

/// How long a new container's settings are waited for. They come as soon as it has started.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Settings {
    /// The last ones that could be read; none where nobody has written any.
    pub(super) config: Option<GuestConfig>,
    /// Those that were written for another container are not this one's.
    container: Option<String>,
}

impl Settings {
    pub(super) fn read(home: &Path, container: Option<&str>) -> Self {
        let mut settings = Self { config: None, container: container.map(ToOwned::to_owned) };
        settings.refresh(home);
        let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        let is_refused = || std::fs::File::open(home.join(GUEST_CONFIG)).is_err_and(refused);
        if settings.config.is_none() && (is_refused() || settings.are_awaited() && !geteuid().is_root()) {
            // What is written for it, it could not read.
            settings.container = None;
            // As far as it can be known from here.
            log::line(
                "this machine's `user` is not root and fly may not become root in it (`no-new-privileges`?): \
                 its program waits for no cards, and nobody can log in",
            );
        }
        settings
    }

    /// The first process's, read by another one beside it.
    pub(super) fn of_first(home: &Path) -> Self {
        let status = std::fs::read(home.join(GUEST_STATUS)).ok().and_then(|text| serde_json::from_slice::<GuestStatus>(&text).ok());
        Self::read(home, status.and_then(|status| status.container).as_deref())
    }

    /// A file that is half written, or gone, changes nothing.
    pub(super) fn refresh(&mut self, home: &Path) {
        if let Ok(text) = std::fs::read(home.join(GUEST_CONFIG))
            && let Ok(GuestSettings { container, config }) = serde_json::from_slice(&text)
            && container == self.container
        {
            self.config = Some(config);
        }
    }

    /// Somebody has started this container, and is about to say what for.
    pub(super) fn are_awaited(&self) -> bool {
        self.config.is_none() && self.container.is_some()
    }

    pub(super) fn patience(&self) -> Duration {
        match &self.config {
            Some(config) => Duration::from_nanos(config.patience.nanos()),
            None if self.are_awaited() => PATIENCE,
            None => Duration::ZERO,
        }
    }

    pub(super) fn becomes_program(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.becomes_program)
    }

    pub(super) fn wants_server(&self) -> Option<SshServer> {
        Some(self.config.as_ref()?.sshd.as_ref()?.server)
    }

    /// Says how the machine is.
    pub(super) fn tell(&self, home: &Path, state: GuestState) {
        let began = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| began(&stat)).unwrap_or_default();
        tell(home, &GuestStatus { version: env!("CARGO_PKG_VERSION").to_owned(), state, container: self.container.clone(), began });
    }
}

fn tell(home: &Path, status: &GuestStatus) {
    let text = serde_json::to_vec(status).map_err(std::io::Error::from);
    let written = text.and_then(|text| files::replace(&home.join(GUEST_STATUS), &text, 0o644));
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::PermissionDenied
    {
        log::line(&format!("cannot write `{}`: {error}", home.join(GUEST_STATUS).display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_to_another_container_is_not_ours() {
        let home = std::env::temp_dir().join(format!("fly-settings-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let write = |container: &str| {
            let text = format!(r#"{{{container}"machine":"web","nics":{{}},"patience":1000000000,"sshd":null}}"#);
            std::fs::write(home.join(GUEST_CONFIG), text).unwrap();
        };
        write(r#""container":"other","#);
        let mut ours = Settings::read(&home, Some("own"));
        assert!(ours.are_awaited() && ours.patience() > Duration::from_secs(1));
        write("");
        ours.refresh(&home);
        assert!(ours.are_awaited(), "one that was written before containers were told apart");
        write(r#""container":"own","#);
        ours.refresh(&home);
        assert!(!ours.are_awaited() && ours.patience() == Duration::from_secs(1));
        // A container from before that has no name for itself, and waits for nothing where nothing was said.
        write("");
        assert!(Settings::read(&home, None).config.is_some());
        assert!(!Settings::read(&home.join("nowhere"), None).are_awaited());
    }
}
