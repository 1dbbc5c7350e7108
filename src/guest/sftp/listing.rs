//! What is in a folder, and whose.

use std::mem::MaybeUninit;

use jiff::Timestamp;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

use super::accounts::{Accounts, Table};
use super::codec::{Attributes, MAX_PACKET, Malformed, Reader};
use super::handles::{Handles, Kind};
use super::longname::longname;
use super::output::{self, Draft, Output};
use super::server::{Answer, Server};
use super::status::{Code, Failure};

/// What the kernel gives at once. All of it goes into one answer, so nothing is kept for a folder but its descriptor: even 340 names
/// of a letter, the most that fit, are a fifth of a packet.
const BATCH: usize = 8 * 1024;

pub(super) fn open(handles: &mut Handles, path: &[u8]) -> Result<Answer, Failure> {
    handles.room()?;
    let folder = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Answer::Handle(handles.insert(folder, Kind::Folder)))
}

pub(super) fn read(server: &mut Server, handle: &[u8], id: u32, output: &mut Output) -> Result<Answer, Failure> {
    server.accounts.refresh();
    let folder = server.handles.folder(handle)?;
    let mut buffer = [MaybeUninit::uninit(); BATCH];
    let mut raw = RawDir::new(folder, &mut buffer);
    let mut entries: Vec<(Vec<u8>, Stat)> = vec![];
    while let Some(entry) = raw.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        let name = entry.file_name().to_owned();
        // One that has just gone is not listed.
        if let Ok(stat) = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            entries.push((name.into_bytes(), stat));
        }
        if raw.is_buffer_empty() && !entries.is_empty() {
            break;
        }
    }
    if entries.is_empty() {
        return Err(Failure::new(Code::Eof, "End of file"));
    }
    let now = Timestamp::now();
    output.packet(output::Kind::Name, id, |draft| {
        draft.u32(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        for (name, stat) in &entries {
            draft.string(name);
            draft.string(&longname(name, stat, &server.accounts, now, &server.zone));
            draft.attributes(&Attributes::of(stat));
        }
    })?;
    Ok(Answer::Sent)
}

pub(super) fn users_groups(accounts: &mut Accounts, users: &[u8], groups: &[u8], id: u32, output: &mut Output) -> Result<Answer, Failure> {
    accounts.refresh();
    let users = names(&accounts.users, users)?;
    let groups = names(&accounts.groups, groups)?;
    output.packet(output::Kind::Extended, id, |draft: &mut Draft| {
        draft.string(&users);
        draft.string(&groups);
    })?;
    Ok(Answer::Sent)
}

/// A string for each number; an empty one for a number that nobody has.
fn names(table: &Table, numbers: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut reader = Reader::new(numbers);
    let mut names = vec![];
    while !reader.is_empty() {
        let name = table.name(reader.u32()?).unwrap_or_default();
        let length = u32::try_from(name.len()).map_err(|_| Malformed)?;
        names.extend_from_slice(&length.to_be_bytes());
        names.extend_from_slice(name);
        // It would not be sent anyway, and a long name asked for very often is much.
        if names.len() > MAX_PACKET {
            return Err(Failure::new(Code::Failure, "The answer is too long for a packet"));
        }
    }
    Ok(names)
}
