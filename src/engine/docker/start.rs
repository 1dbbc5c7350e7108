//! Why a container does not start, in words of ours where the guest is the reason: the engine's own are those of its runtime.

use super::error::Failure;
use crate::types::{GUEST_BINARY, GUEST_PLACE};

/// What every one of them ends with.
const WAY: &str = "`guest: false`, without `sshd`, leaves the image alone";

impl Failure {
    pub(super) fn of_start(self) -> Self {
        let message = explained(&self.message).unwrap_or_else(|| self.message.clone());
        Self { message, ..self }
    }
}

fn explained(words: &str) -> Option<String> {
    let is_exec = words.contains(GUEST_BINARY);
    let why = if words.contains(&format!("\"{GUEST_PLACE}/")) && words.contains("not a directory") {
        format!("its image has a file `{GUEST_PLACE}`, where fly's guest is to lie: it needs another image")
    } else if is_exec && words.contains("permission denied") {
        "fly's guest may not be run: something on the engine's host forbids it, as a security module does".to_owned()
    } else if is_exec && words.contains("exec format error") {
        "fly is built for another processor than the engine's machine has, and so is its guest".to_owned()
    } else {
        return None;
    };
    Some(format!("{why}. {WAY}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_reasons_are_the_engines_own() {
        for words in [
            "OCI runtime create failed: exec: \"/srv/run\": permission denied: unknown",
            "error mounting \"/x\" to rootfs at \"/etc/x\": not a directory",
            "error mounting \"/x/.fly\" to rootfs at \"/etc\": not a directory",
            "",
        ] {
            assert_eq!(explained(words), None, "{words}");
        }
        let foreign = "runc create failed: exec /.fly/bin/fly: exec format error: unknown";
        assert!(explained(foreign).is_some_and(|why| why.starts_with("fly is built for another processor")));
        let forbidden = "unable to start container process: exec: \"/.fly/bin/fly\": permission denied: unknown";
        assert!(explained(forbidden).is_some_and(|why| why.starts_with("fly's guest may not be run") && why.ends_with(WAY)));
    }
}
