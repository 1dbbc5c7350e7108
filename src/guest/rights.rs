//! Who this process is. The binary belongs to root and may become root: a machine's first process needs that where the engine starts
//! it as another user. Everybody else who runs it is, before anything else happens, no more than who he was.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::OnceLock;

use rustix::process::{geteuid, getpid, getuid};
use rustix::thread::set_thread_res_uid;

/// The engine started fly as a user, and the kernel has made it root.
pub(super) fn is_raised() -> bool {
    geteuid() != getuid()
}

/// To be called while there is one thread. Fails closed: an error means that nothing more may be done.
pub(super) fn drop_unless_first() -> io::Result<()> {
    if !is_raised() || getpid().is_init() {
        return Ok(());
    }
    // Of somebody who was root a moment ago the kernel keeps the environment secret, also from himself.
    let _ = ENVIRONMENT.set(read_environment());
    drop_now()
}

/// For good, and only while there is one thread.
pub(super) fn drop_now() -> io::Result<()> {
    let user = getuid();
    // All three change, so the kernel takes the capabilities away as well.
    set_thread_res_uid(user, user, user)?;
    if is_raised() { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

/// The whole environment: the C library has taken some of it out of what a program that became root sees.
pub(super) fn environment() -> Vec<(OsString, OsString)> {
    ENVIRONMENT.get_or_init(read_environment).clone()
}

static ENVIRONMENT: OnceLock<Vec<(OsString, OsString)>> = OnceLock::new();

fn read_environment() -> Vec<(OsString, OsString)> {
    let raw = std::fs::read("/proc/self/environ").unwrap_or_default();
    let pairs = raw.split(|byte| *byte == 0).filter_map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=')?;
        Some((OsString::from_vec(entry[..equals].to_vec()), OsString::from_vec(entry[equals + 1..].to_vec())))
    });
    pairs.filter(|(name, _)| !name.is_empty()).collect()
}
