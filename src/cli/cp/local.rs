//! Paths of this computer, as docker reads them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::archive::path::{self, There};
use crate::diag::{Diagnostic, Kind};
use crate::plan::render::clean;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

pub(super) fn shown(path: &[u8]) -> String {
    clean(&String::from_utf8_lossy(path))
}

pub(super) fn cannot(what: &str, path: &[u8], error: &io::Error) -> Diagnostic {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    Diagnostic::new(Kind::Failed, format!("cannot {what} `{}`", shown(path))).cause(text)
}

pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// What is to be copied to a machine: where it is, and what it is called; no name, if only what is in it is meant.
pub(super) fn source(text: &[u8], follow: bool) -> Result<(PathBuf, Option<Vec<u8>>, fs::Metadata), Diagnostic> {
    let wrong = |error: io::Error| cannot("read", text, &error);
    let mut name = path::split(text).1;
    // `..` has a name as well, which is not `..`.
    if name.as_deref() == Some(b"..") {
        name = fs::canonicalize(as_path(text)).map_err(wrong)?.file_name().map(|name| name.as_bytes().to_vec());
    }
    // With a slash at its end, a link to a directory is that directory.
    let follows = follow || path::is_directory(text);
    let at = if follows { fs::canonicalize(as_path(text)).map_err(wrong)? } else { as_path(text).to_path_buf() };
    let metadata = fs::symlink_metadata(&at).map_err(wrong)?;
    if path::is_directory(text) && !metadata.is_dir() {
        return Err(cannot("read", text, &io::ErrorKind::NotADirectory.into()));
    }
    Ok((at, name, metadata))
}

/// Where a copy from a machine goes: links at its end are followed, also those that lead nowhere yet.
pub(super) fn dest(text: &[u8]) -> Result<(Vec<u8>, There), Diagnostic> {
    let wrong = |error: io::Error| cannot("write to", text, &error);
    let mut at = if text.is_empty() { b".".to_vec() } else { text.to_vec() };
    for _ in 0..MOST_LINKS {
        let there = match fs::symlink_metadata(as_path(&at)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path::split(&path::clean(&at)).0;
                let parent_is_directory = fs::metadata(as_path(&parent)).map_err(|error| cannot("write to", &parent, &error))?.is_dir();
                if !parent_is_directory {
                    return Err(cannot("write to", &parent, &io::ErrorKind::NotADirectory.into()));
                }
                return Ok((at, There::Nothing));
            }
            other => other.map_err(wrong)?,
        };
        let kind = there.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(as_path(&at)).map_err(wrong)?;
            at = path::join(&path::split(&path::clean(&at)).0, target.as_os_str().as_bytes());
        } else if kind.is_dir() {
            return Ok((at, There::Directory));
        } else if kind.is_file() {
            return Ok((at, There::Other));
        } else {
            return Err(Diagnostic::new(Kind::Failed, format!("`{}` is neither a file nor a directory", shown(text)))
                .hint("`-` as the destination writes a tar stream to stdout"));
        }
    }
    Err(wrong(io::Error::other("too many links")))
}
