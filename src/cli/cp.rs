//! `fly cp`: files to a machine, from one, and between two.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use self::progress::Progress;
use super::args::CpArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::machine::{Machines, Project, refused};
use super::settings::Settings;
use super::ui::Ui;
use super::world;
use crate::archive::path::{self, Aim, There, Wrong};
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::{Member, PathKind, PathStat};
use crate::plan::render::clean;

mod fetch;
mod local;
mod pipe;
mod progress;
mod send;

pub(super) fn run(args: &CpArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let (source, dest) = (End::parse(&args.source), End::parse(&args.dest));
    if matches!((&source, &dest), (End::Local(_) | End::Stream, End::Local(_) | End::Stream)) {
        return Err(Diagnostic::new(Kind::Usage, "neither side is a machine's: one of both is `MACHINE:PATH`")
            .hint("`fly cp web:/etc/hostname .` and `fly cp app.tar web:/tmp` would be copies")
            .into());
    }
    if settings.environment.stdout_is_terminal && matches!(dest, End::Stream) {
        return Err(Diagnostic::new(Kind::Usage, "a tar stream is nothing for a terminal").hint("`fly cp web:/etc - | tar -t`").into());
    }
    let project = Project::load(settings, ui)?;
    world::block_on(async {
        let machines = project.connect().await?;
        let progress = Progress::new(ui.can_draw && !settings.is_verbose && !args.quiet, args.quiet);
        let copy = Copy { machines: &machines, args, progress };
        let done = match (&source, &dest) {
            (End::Machine(machine, path), End::Stream) => copy.to_stdout(machine, path).await,
            (End::Stream, End::Machine(machine, path)) => copy.unpack_stdin(machine, path).await,
            (End::Machine(from, source), End::Machine(to, dest)) => copy.across(from, source, to, dest).await,
            (End::Machine(machine, path), End::Local(local)) => copy.fetch(machine, path, local).await,
            (End::Local(local), End::Machine(machine, path)) => copy.send(local, machine, path).await,
            (End::Local(_) | End::Stream, End::Local(_) | End::Stream) => unreachable!("refused above"),
        };
        copy.progress.clear();
        Ok(match done? {
            Done::Copied(what) => copy.progress.finish(&what, ui),
            Done::Interrupted => {
                ui.say("interrupted: not everything was copied\n");
                Exit::Interrupted
            }
        })
    })?
}

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Machine(String, Vec<u8>),
    Local(Vec<u8>),
    /// `-`
    Stream,
}

impl End {
    /// As docker has it: what has a colon is a machine's, unless it begins with a slash or a dot.
    fn parse(text: &OsStr) -> Self {
        let bytes = text.as_bytes();
        if bytes == b"-" {
            return Self::Stream;
        }
        match bytes.iter().position(|byte| *byte == b':') {
            Some(colon) if !bytes.starts_with(b"/") && !bytes.starts_with(b".") => {
                Self::Machine(String::from_utf8_lossy(&bytes[..colon]).into_owned(), bytes[colon + 1..].to_vec())
            }
            _ => Self::Local(bytes.to_vec()),
        }
    }
}

/// How a copy has ended, if it has not failed.
enum Done<T = String> {
    /// Where to, for a reader.
    Copied(T),
    Interrupted,
}

impl<T> Done<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Done<U> {
        match self {
            Self::Copied(value) => Done::Copied(f(value)),
            Self::Interrupted => Done::Interrupted,
        }
    }
}

struct Copy<'a> {
    machines: &'a Machines,
    args: &'a CpArgs,
    progress: Progress,
}

/// A path in a machine.
struct Remote {
    member: Member,
    path: Vec<u8>,
    /// Nothing: there is nothing.
    stat: Option<PathStat>,
}

impl Remote {
    /// `/web:/etc`, for a reader.
    fn shown(&self) -> String {
        shown(self.member.machine.as_str(), &self.path)
    }

    fn there(&self) -> There {
        match self.stat.as_ref().map(|stat| stat.kind) {
            None => There::Nothing,
            Some(PathKind::Directory) => There::Directory,
            Some(_) => There::Other,
        }
    }
}

fn shown(machine: &str, path: &[u8]) -> String {
    clean(&format!("{machine}:{}", String::from_utf8_lossy(path)))
}

impl Copy<'_> {
    async fn look(&self, machine: &str, path: &[u8]) -> Result<Remote, Diagnostic> {
        if path.is_empty() {
            return Err(
                Diagnostic::new(Kind::Usage, format!("`{machine}:` names no path")).hint(format!("`{machine}:/` would be all of it"))
            );
        }
        if path.contains(&0) {
            return Err(Diagnostic::new(Kind::Usage, "a path has no NUL byte in it"));
        }
        let member = self.machines.find(machine).await?;
        let path = path::join(b"/", path);
        let stat = self.machines.docker.stat(&member, &path).await.map_err(|error| refused(&error))?;
        Ok(Remote { member, path, stat })
    }

    /// What is to be copied out of a machine, and what that is called.
    async fn source(&self, machine: &str, path: &[u8]) -> Result<(Remote, PathStat, Option<Vec<u8>>), Diagnostic> {
        let mut remote = self.look(machine, path).await?;
        let mut name = path::split(&remote.path).1;
        if self.args.follow_link
            && let Some(stat) = remote.stat.take_if(|stat| stat.kind == PathKind::Symlink)
        {
            let target = path::join(&path::split(&remote.path).0, stat.target.as_bytes());
            remote = self.look(machine, &target).await?;
            // It keeps the name of the link.
            name = name.or_else(|| path::split(&remote.path).1);
        }
        match remote.stat.clone() {
            Some(stat) => Ok((remote, stat, name)),
            None => Err(Diagnostic::new(Kind::Failed, format!("there is no `{}`", remote.shown()))),
        }
    }

    /// Where a copy into a machine goes; a link there is followed.
    async fn dest(&self, machine: &str, path: &[u8]) -> Result<Remote, Diagnostic> {
        let mut remote = self.look(machine, path).await?;
        if let Some(stat) = remote.stat.take_if(|stat| stat.kind == PathKind::Symlink) {
            let target = path::join(&path::split(&remote.path).0, stat.target.as_bytes());
            remote = self.look(machine, &target).await?;
        }
        if remote.stat.as_ref().is_some_and(|stat| stat.kind == PathKind::Special) {
            let what = format!("`{}` is neither a file nor a directory", remote.shown());
            return Err(Diagnostic::new(Kind::Failed, what).hint("copy it beside that, under another name"));
        }
        Ok(remote)
    }
}

/// Where it goes, or why it cannot.
fn aim(dest: &[u8], there: There, is_directory: bool, shown: &str) -> Result<Aim, Diagnostic> {
    path::aim(dest, there, is_directory).map_err(|wrong| match wrong {
        Wrong::DirectoryOnFile => Diagnostic::new(Kind::Failed, format!("a directory cannot become `{shown}`: that is a file")),
        Wrong::NoDirectory => Diagnostic::new(Kind::Failed, format!("there is no directory `{shown}`"))
            .hint("leave the slash at its end out to make a file of that name"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_makes_it_a_machines() {
        let parse = |text: &str| End::parse(OsStr::new(text));
        let machine = |name: &str, path: &str| End::Machine(name.into(), path.into());
        assert_eq!(parse("web:/etc/passwd"), machine("web", "/etc/passwd"));
        assert_eq!(parse("web:a:b"), machine("web", "a:b"));
        assert_eq!(parse("web:"), machine("web", ""));
        assert_eq!(parse("./a:b"), End::Local(b"./a:b".to_vec()));
        assert_eq!(parse("/a:b"), End::Local(b"/a:b".to_vec()));
        assert_eq!(parse("file"), End::Local(b"file".to_vec()));
        assert_eq!(parse("-"), End::Stream);
    }
}
