//! What the ssh server tells of itself: a file of its own, so that no two processes write one.

use std::io;
use std::path::Path;

use super::files::replace;
use super::log;
use crate::types::{GUEST_SSHD, SshdStatus};

pub(crate) fn write(home: &Path, status: &SshdStatus) -> io::Result<()> {
    replace(&home.join(GUEST_SSHD), &serde_json::to_vec(status)?, 0o644)
}

/// The same, for the log.
pub(crate) fn say(told: &SshdStatus) {
    if let Some(error) = &told.error {
        log::line(&format!("ssh: {error}; it is tried again"));
    }
    if !told.listening.is_empty() {
        log::line(&format!("ssh: listening on {}", told.listening.join(" and ")));
    } else if told.error.is_none() {
        log::line("ssh: off");
    }
}
