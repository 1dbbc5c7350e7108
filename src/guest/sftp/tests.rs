//! What cannot be reached through the protocol everywhere.

use std::fs;
use std::path::PathBuf;

use rustix::io::Errno;

use super::paths::rename_in_steps;

/// For file systems that cannot rename without replacing: there are none of these where tests run.
#[test]
fn renaming_in_steps_replaces_nothing() {
    let folder: PathBuf = std::env::temp_dir().join(format!("fly-sftp-steps-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("d/full")).unwrap();
    fs::create_dir(folder.join("e")).unwrap();
    fs::write(folder.join("a"), "a").unwrap();
    fs::write(folder.join("b"), "b").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("link")).unwrap();
    let path = |name: &str| folder.join(name).into_os_string().into_encoded_bytes();
    for (from, to) in [("a", "b"), ("a", "a"), ("a", "e"), ("a", "link"), ("d", "e"), ("link", "a"), ("d", "link")] {
        assert_eq!(rename_in_steps(&path(from), &path(to)), Err(Errno::EXIST), "{from} {to}");
    }
    assert_eq!(rename_in_steps(&path("nothing"), &path("c")), Err(Errno::NOENT));
    for (from, to) in [("a", "c"), ("d", "f"), ("link", "l")] {
        assert_eq!(rename_in_steps(&path(from), &path(to)), Ok(()));
        assert!(folder.join(from).symlink_metadata().is_err() && folder.join(to).symlink_metadata().is_ok());
    }
    assert_eq!(fs::read(folder.join("c")).unwrap(), b"a");
    fs::remove_dir_all(folder).unwrap();
}
