//! Names of users and groups, from the image's own files.
//!
//! A static binary has no name service switch, and an image may have none either: these two files are what everybody has.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use crate::types::{Account, accounts, groups};

/// What is read of such a file at most.
const LONGEST: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) users: Table,
    pub(super) groups: Table,
}

impl Accounts {
    pub(super) fn new() -> Self {
        Self { users: Table::new("/etc/passwd", users), groups: Table::new("/etc/group", all_groups) }
    }

    /// Reads again what has changed: an account made in another session is seen at once.
    pub(super) fn refresh(&mut self) {
        self.users.refresh();
        self.groups.refresh();
    }

    pub(super) fn home(&self, user: &[u8]) -> Option<Vec<u8>> {
        home(&read(&self.users.path), |account| account.name == user)
    }

    /// Of whom we run as.
    pub(super) fn own_home(&self) -> Vec<u8> {
        // The session has set it from the entry of whom it logged in, and there can be several entries for a number.
        let told = std::env::var_os("HOME").map(OsStringExt::into_vec).filter(|home| home.starts_with(b"/"));
        let uid = rustix::process::getuid().as_raw();
        told.or_else(|| home(&read(&self.users.path), |account| account.uid == uid)).unwrap_or_else(|| b"/".to_vec())
    }
}

fn home(passwd: &[u8], wanted: impl Fn(&Account<'_>) -> bool) -> Option<Vec<u8>> {
    accounts(passwd).find(wanted).map(|account| account.home.to_vec())
}

type Names = HashMap<u32, Vec<u8>>;

fn users(passwd: &[u8]) -> Names {
    named(accounts(passwd).map(|account| (account.uid, account.name)))
}

fn all_groups(group: &[u8]) -> Names {
    named(groups(group).map(|group| (group.gid, group.name)))
}

/// The first wins, as everywhere.
fn named<'a>(all: impl Iterator<Item = (u32, &'a [u8])>) -> Names {
    all.fold(Names::new(), |mut names, (number, name)| {
        names.entry(number).or_insert_with(|| name.to_vec());
        names
    })
}

/// passwd or group.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    read: fn(&[u8]) -> Names,
    /// Of the file as it was read; another one is another file.
    seen: Option<(u64, i64, u64, i64)>,
    names: Names,
}

impl Table {
    fn new(path: &str, read: fn(&[u8]) -> Names) -> Self {
        Self { path: path.into(), read, seen: None, names: Names::new() }
    }

    pub(super) fn name(&self, id: u32) -> Option<&[u8]> {
        self.names.get(&id).map(Vec::as_slice)
    }

    fn refresh(&mut self) {
        let seen = rustix::fs::stat(&self.path).ok().map(|stat| stamp(&stat));
        if self.seen != seen {
            self.names = (self.read)(&read(&self.path));
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
