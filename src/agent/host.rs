//! The host, as it looks from a container that shares its processes.

use rustix::io::Result;

/// Of the host's first process.
const ROOT: &str = "/proc/1/root";

/// From here on this process sees the host's files: its `iptables`, which the engine uses as well, its `/proc/sys`, which is not
/// read-only, the engine's socket. An image of fly has nothing but fly.
pub(super) fn enter() -> Result<()> {
    rustix::process::chroot(ROOT)?;
    rustix::process::chdir("/")
}
