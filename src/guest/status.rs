//! What the ssh server tells of itself: a file of its own, so that no two processes write one.

use std::io;
use std::path::Path;

use super::hostkey::replace;
use crate::types::{GUEST_SSHD, SshdStatus};

pub(crate) fn write(home: &Path, status: &SshdStatus) -> io::Result<()> {
    replace(&home.join(GUEST_SSHD), &serde_json::to_vec(status)?, 0o644)
}
