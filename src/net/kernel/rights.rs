//! The rights that it takes to change links, looked at before the first one is changed.

use super::error::fault;
use crate::net::{NetError, NetErrorKind};

/// By their bits: <https://man7.org/linux/man-pages/man7/capabilities.7.html>
const NEEDED: [(u32, &str); 4] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (19, "CAP_SYS_PTRACE"), (21, "CAP_SYS_ADMIN")];

/// An error that names what this process lacks.
pub(super) fn check() -> Result<(), NetError> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let missing = missing(&status);
    if missing.is_empty() {
        return Ok(());
    }
    Err(fault(NetErrorKind::Denied, "change links and namespaces", format!("this process lacks {}", missing.join(", "))))
}

/// Where `/proc` does not say, the kernel itself will.
fn missing(status: &str) -> Vec<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(has) = line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()) else { return vec![] };
    NEEDED.iter().filter(|(bit, _)| has >> bit & 1 == 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        assert_eq!(missing("Name:\tfly\nCapEff:\t000001ffffffffff\n"), Vec::<&str>::new());
        assert_eq!(missing("CapEff:\t000001ffffffefff\n"), ["CAP_NET_ADMIN"]);
        assert_eq!(missing("CapEff:\t0000000000000000\n"), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"]);
        assert_eq!(missing("nothing of it"), Vec::<&str>::new());
    }
}
