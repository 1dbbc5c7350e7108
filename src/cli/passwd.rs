//! Home directories as `/etc/passwd` has them: OpenSSH goes by these, whatever `HOME` says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::types::{Account, accounts};

pub(super) fn home_of_user(name: &str) -> Option<PathBuf> {
    home(&text(), |account| account.name == name.as_bytes())
}

pub(super) fn home_of_id(user: u32) -> Option<PathBuf> {
    home(&text(), |account| account.uid == user)
}

fn text() -> Vec<u8> {
    std::fs::read("/etc/passwd").unwrap_or_default()
}

/// Of the first one that is wanted.
fn home(passwd: &[u8], wanted: impl Fn(&Account<'_>) -> bool) -> Option<PathBuf> {
    let found = accounts(passwd).find(wanted)?;
    found.home.starts_with(b"/").then(|| OsStr::from_bytes(found.home).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_by_name_and_by_number() {
        const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nodd:x:7:7:::\n";
        assert_eq!(home(PASSWD, |account| account.name == b"ada"), Some(PathBuf::from("/home/ada")));
        assert_eq!(home(PASSWD, |account| account.uid == 0), Some(PathBuf::from("/root")));
        assert_eq!(home(PASSWD, |account| account.uid == 7), None);
        assert_eq!(home(PASSWD, |account| account.name == b"nobody"), None);
    }
}
