//! One request after the other, each answered before the next is looked at.

use jiff::tz::TimeZone;

use super::accounts::Accounts;
use super::codec::{Attributes, MAX_DATA, MAX_PACKET};
use super::handles::Handles;
use super::output::{Kind, Output};
use super::realpath::realpath;
use super::request::{EXTENSIONS, Extended, Packet, Request};
use super::status::{Broken, Code, Failure};
use super::{files, listing, longname, paths};

#[derive(Debug)]
pub(super) struct Server {
    read_only: bool,
    /// The client's version, once it has greeted.
    version: Option<u32>,
    pub(super) handles: Handles,
    pub(super) accounts: Accounts,
    pub(super) zone: TimeZone,
}

/// What a request brings; `Sent` if it has put its answer out already.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Handle(u64),
    Attributes(Attributes),
    Name(Vec<u8>),
    Sent,
}

impl Server {
    pub(super) fn new(read_only: bool) -> Self {
        Self { read_only, version: None, handles: Handles::new(), accounts: Accounts::new(), zone: longname::zone() }
    }

    pub(super) fn answer(&mut self, packet: &[u8], output: &mut Output) -> Result<(), Broken> {
        match (Packet::parse(packet).map_err(|_| Broken::NoNumber)?, self.version) {
            (Packet::Init(version), _) => {
                self.version = Some(version);
                self.greet(output);
            }
            (Packet::Request { .. }, None) => return Err(Broken::NoGreeting),
            (Packet::Request { id, request }, Some(version)) => {
                let answer = match request {
                    Ok(request) => self.perform(id, &request, output),
                    Err(malformed) => Err(malformed.into()),
                };
                if let Err(failure) = answer.and_then(|answer| send(id, version, answer, output)) {
                    output.status(id, failure.code, &failure.text, version);
                }
            }
        }
        Ok(())
    }

    fn greet(&self, output: &mut Output) {
        // It always fits.
        let _ = output.greeting(|draft| {
            draft.u32(3);
            for (name, version, changes) in EXTENSIONS {
                if !(*changes && self.read_only) {
                    draft.string(name.as_bytes());
                    draft.string(version.as_bytes());
                }
            }
        });
    }

    fn perform(&mut self, id: u32, request: &Request, output: &mut Output) -> Result<Answer, Failure> {
        if self.read_only && request.changes() {
            return Err(Failure::new(Code::PermissionDenied, "Nothing may be changed here"));
        }
        match *request {
            Request::Open { path, flags, ref attributes } => {
                let how = files::Open::new(flags, attributes.permissions);
                if self.read_only && how.changes() {
                    return Err(Failure::new(Code::PermissionDenied, "Nothing may be changed here"));
                }
                how.open(&mut self.handles, path)
            }
            Request::Close { handle } => self.handles.close(handle).map(|()| Answer::Done),
            Request::Read { handle, offset, length } => files::read(&self.handles, handle, offset, length, id, output),
            Request::Write { handle, offset, data } => files::write(&self.handles, handle, offset, data),
            Request::Stat { path } => Ok(Answer::Attributes(Attributes::of(&rustix::fs::stat(path)?))),
            Request::Lstat { path } => Ok(Answer::Attributes(Attributes::of(&rustix::fs::lstat(path)?))),
            Request::Fstat { handle } => files::stat(&self.handles, handle),
            Request::SetStat { path, ref attributes } => paths::set(path, attributes),
            Request::FsetStat { handle, ref attributes } => files::set(&self.handles, handle, attributes),
            Request::OpenDir { path } => listing::open(&mut self.handles, path),
            Request::ReadDir { handle } => listing::read(self, handle, id, output),
            Request::Remove { path } => done(rustix::fs::unlink(path)),
            Request::MakeDir { path, ref attributes } => paths::make_dir(path, attributes.permissions),
            Request::RemoveDir { path } => done(rustix::fs::rmdir(path)),
            Request::RealPath { path } => resolved(path),
            Request::Rename { from, to } => paths::rename(from, to),
            Request::ReadLink { path } => Ok(Answer::Name(rustix::fs::readlink(path, Vec::new())?.into_bytes())),
            Request::Symlink { target, link } => done(rustix::fs::symlink(target, link)),
            Request::Extended(ref extended) => self.extended(id, extended, output),
            Request::Unknown => Err(Failure::new(Code::Unsupported, "Operation unsupported")),
        }
    }

    fn extended(&mut self, id: u32, extended: &Extended, output: &mut Output) -> Result<Answer, Failure> {
        match *extended {
            Extended::PosixRename { from, to } => done(rustix::fs::rename(from, to)),
            Extended::StatVfs { path } => paths::send_volume(&rustix::fs::statvfs(path)?, id, output),
            Extended::FstatVfs { handle } => {
                let handle = self.handles.get(handle, Code::Failure)?;
                paths::send_volume(&rustix::fs::fstatvfs(&handle.fd)?, id, output)
            }
            Extended::HardLink { from, to } => done(rustix::fs::link(from, to)),
            Extended::Fsync { handle } => done(rustix::fs::fsync(&self.handles.get(handle, Code::NoSuchFile)?.fd)),
            Extended::LsetStat { path, ref attributes } => paths::set_link(path, attributes),
            Extended::Limits => {
                let limits = [MAX_PACKET as u64, MAX_DATA as u64, MAX_DATA as u64, self.handles.most()];
                output.packet(Kind::Extended, id, |draft| limits.into_iter().for_each(|limit| draft.u64(limit)))?;
                Ok(Answer::Sent)
            }
            Extended::ExpandPath { path } => resolved(&self.expanded(path)?),
            Extended::CopyData { from, from_offset, length, to, to_offset } => {
                files::copy(&self.handles, (from, from_offset), (to, to_offset), length)
            }
            Extended::HomeDirectory { user: b"" } => Ok(Answer::Name(self.accounts.own_home())),
            Extended::HomeDirectory { user } => self.home(user, Code::Failure).map(Answer::Name),
            Extended::UsersGroups { users, groups } => listing::users_groups(&mut self.accounts, users, groups, id, output),
        }
    }

    fn home(&self, user: &[u8], otherwise: Code) -> Result<Vec<u8>, Failure> {
        self.accounts.home(user).ok_or(Failure::new(otherwise, "No such user"))
    }

    /// `~` is where the session began, as in OpenSSH; `~user` is somebody's home.
    fn expanded(&self, path: &[u8]) -> Result<Vec<u8>, Failure> {
        let Some(path) = path.strip_prefix(b"~") else { return Ok(path.to_vec()) };
        let (user, rest) = path.split_at(path.iter().position(|byte| *byte == b'/').unwrap_or(path.len()));
        let mut expanded = if user.is_empty() { b".".to_vec() } else { self.home(user, Code::NoSuchFile)? };
        expanded.extend_from_slice(rest);
        Ok(expanded)
    }
}

fn resolved(path: &[u8]) -> Result<Answer, Failure> {
    Ok(Answer::Name(realpath(if path.is_empty() { b"." } else { path })?))
}

pub(super) fn done(result: rustix::io::Result<()>) -> Result<Answer, Failure> {
    Ok(result.map(|()| Answer::Done)?)
}

fn send(id: u32, version: u32, answer: Answer, output: &mut Output) -> Result<(), Failure> {
    match answer {
        Answer::Done => output.status(id, Code::Ok, "Success", version),
        Answer::Handle(number) => output.packet(Kind::Handle, id, |draft| draft.string(&number.to_be_bytes()))?,
        Answer::Attributes(attributes) => output.packet(Kind::Attributes, id, |draft| draft.attributes(&attributes))?,
        Answer::Name(name) => output.name(id, &name)?,
        Answer::Sent => {}
    }
    Ok(())
}
