//! Names of users and groups, from the image's own files.
//!
//! A static binary has no name service switch, and an image may have none either: these two files are what everybody has.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

/// What is read of such a file at most.
const LONGEST: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) users: Table,
    pub(super) groups: Table,
}

impl Accounts {
    pub(super) fn new() -> Self {
        Self { users: Table::new("/etc/passwd"), groups: Table::new("/etc/group") }
    }

    /// Reads again what has changed: an account made in another session is seen at once.
    pub(super) fn refresh(&mut self) {
        self.users.refresh();
        self.groups.refresh();
    }

    pub(super) fn home(&self, user: &[u8]) -> Option<Vec<u8>> {
        home(&read(&self.users.path), |fields| fields.first() == Some(&user))
    }

    /// Of whom we run as.
    pub(super) fn own_home(&self) -> Vec<u8> {
        // The session has set it from the entry of whom it logged in, and there can be several entries for a number.
        let told = std::env::var_os("HOME").map(OsStringExt::into_vec).filter(|home| home.starts_with(b"/"));
        let uid = rustix::process::getuid().as_raw().to_string();
        told.or_else(|| home(&read(&self.users.path), |fields| fields.get(2) == Some(&uid.as_bytes()))).unwrap_or_else(|| b"/".to_vec())
    }
}

fn home(passwd: &[u8], wanted: impl Fn(&[&[u8]]) -> bool) -> Option<Vec<u8>> {
    let mut lines = passwd.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>());
    let found = lines.find(|fields| wanted(fields))?;
    found.get(5).map(|home| home.to_vec())
}

/// passwd or group: in both a name is the first field and its number the third.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    /// Of the file as it was read; another one is another file.
    seen: Option<(u64, i64, u64, i64)>,
    names: HashMap<u32, Vec<u8>>,
}

impl Table {
    fn new(path: &str) -> Self {
        Self { path: path.into(), seen: None, names: HashMap::new() }
    }

    pub(super) fn name(&self, id: u32) -> Option<&[u8]> {
        self.names.get(&id).map(Vec::as_slice)
    }

    fn refresh(&mut self) {
        let seen = rustix::fs::stat(&self.path).ok().map(|stat| stamp(&stat));
        if self.seen != seen {
            self.names = names(&read(&self.path));
            self.seen = seen;
        }
    }
}

fn stamp(stat: &Stat) -> (u64, i64, u64, i64) {
    (stat.st_ino, stat.st_mtime, stat.st_mtime_nsec, stat.st_size)
}

/// Nothing if it cannot be read: numbers are shown then.
fn read(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(LONGEST).read_to_end(&mut text);
    }
    text
}

fn names(text: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
        let Some(number) = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()) else { continue };
        if !name.is_empty() {
            // The first wins, as everywhere.
            names.entry(number).or_insert_with(|| name.to_vec());
        }
    }
    names
}
