//! Home directories as `/etc/passwd` has them: OpenSSH goes by these, whatever `HOME` says.

use std::path::PathBuf;

pub(super) fn home_of_user(name: &str) -> Option<PathBuf> {
    home(&text(), 0, name)
}

pub(super) fn home_of_id(user: u32) -> Option<PathBuf> {
    home(&text(), 2, &user.to_string())
}

fn text() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// Of the first line whose field `at` is `wanted`.
fn home(passwd: &str, at: usize, wanted: &str) -> Option<PathBuf> {
    let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.into_iter().find(|fields| fields.get(at) == Some(&wanted))?;
    line.get(5).filter(|home| home.starts_with('/')).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_by_name_and_by_number() {
        const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nodd:x:7\n";
        assert_eq!(home(PASSWD, 0, "ada"), Some(PathBuf::from("/home/ada")));
        assert_eq!(home(PASSWD, 2, "0"), Some(PathBuf::from("/root")));
        assert_eq!(home(PASSWD, 2, "7"), None);
        assert_eq!(home(PASSWD, 0, "nobody"), None);
    }
}
