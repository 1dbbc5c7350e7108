//! What the ssh server tells of itself: a file of its own, so that no two processes write one.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::hostkey::replace;

/// In the guest's home.
pub(crate) const SSHD_STATUS: &str = "sshd.json";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SshdStatus {
    /// What is wrong, in words for a user: the port is in use, the host key cannot be read.
    pub(crate) error: Option<String>,
    /// Addresses with their ports, as `0.0.0.0:22` and `[::]:22`.
    pub(crate) listening: Vec<String>,
}

impl SshdStatus {
    /// `None` if the server has told nothing yet.
    #[allow(dead_code, reason = "the first process reads it")]
    pub(crate) fn read(home: &Path) -> Option<SshdStatus> {
        serde_json::from_slice(&std::fs::read(home.join(SSHD_STATUS)).ok()?).ok()
    }

    pub(crate) fn write(&self, home: &Path) -> io::Result<()> {
        replace(&home.join(SSHD_STATUS), &serde_json::to_vec(self)?, 0o644)
    }
}
