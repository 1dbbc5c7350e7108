//! To a machine.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use tokio::sync::mpsc;

use super::pipe::{self, Inlet, Piece};
use super::{Copy, Done, Remote, aim, local, shown};
use crate::archive::path::{self, There};
use crate::archive::{self, Note, Place};
use crate::cli::failure::Failure;
use crate::cli::machine::refused;
use crate::cli::stop::Stop;
use crate::cli::streams;
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::PathKind;

impl Copy<'_> {
    pub(super) async fn send(&self, source: &[u8], machine: &str, dest: &[u8]) -> Result<Done, Failure> {
        let (at, name, metadata) = local::source(source, self.args.follow_link)?;
        let dest = self.dest(machine, dest).await?;
        let (directory, new) = self.aim(&dest, metadata.is_dir()).await?;
        if metadata.is_file() {
            self.progress.expect(metadata.size());
        }
        // Only what is in it, under a new name: that is the directory under this name.
        let name = new.or(name);
        let progress = self.progress.clone();
        let pack = move |inlet: &mut Inlet| archive::pack(&at, name.as_deref(), inlet, &mut |note| progress.note(note));
        Ok(self.upload(&dest, &directory, pack).await?.map(|()| format!("to {}", dest.shown())))
    }

    /// From one machine to another, without a stop here.
    pub(super) async fn across(&self, from: &str, source: &[u8], to: &str, dest: &[u8]) -> Result<Done, Failure> {
        let (source, stat, name) = self.source(from, source).await?;
        let dest = self.dest(to, dest).await?;
        let (directory, new) = self.aim(&dest, stat.kind == PathKind::Directory).await?;
        if stat.kind == PathKind::File {
            self.progress.expect(stat.size);
        }
        let place = Place { from: path::split(&source.path).1, to: new.or(name) };
        let (_, download) = self.machines.docker.download(&source.member, &source.path).await.map_err(|error| refused(&error))?;
        let (tell, outlet) = pipe::outlet();
        let progress = self.progress.clone();
        let rename = move |inlet: &mut Inlet| archive::rename(outlet, &place, inlet, &mut |note| progress.note(note));
        let (fed, sent) = tokio::join!(pipe::feed(download, tell), self.upload(&dest, &directory, rename));
        fed.map_err(|error| refused(&error))?;
        Ok(sent?.map(|()| format!("from {} to {}", source.shown(), dest.shown())))
    }

    pub(super) async fn unpack_stdin(&self, machine: &str, dest: &[u8]) -> Result<Done, Failure> {
        let dest = self.dest(machine, dest).await?;
        if dest.there() != There::Directory {
            return Err(Diagnostic::new(Kind::Failed, format!("`{}` is not a directory, which a tar stream needs", dest.shown())).into());
        }
        let (tell, content) = mpsc::channel::<Piece>(1);
        let progress = self.progress.clone();
        let feed = async move {
            let mut stdin = streams::stdin();
            while let Some(bytes) = stdin.recv().await {
                progress.note(Note::Bytes(bytes.len() as u64));
                if tell.send(Ok(bytes)).await.is_err() {
                    break;
                }
            }
        };
        let upload = self.machines.docker.upload(&dest.member, &dest.path, self.args.archive, content);
        // An engine that has refused is not made to wait for whoever writes to us.
        let waits = async {
            feed.await;
            std::future::pending::<()>().await;
        };
        let sent = tokio::select! {
            sent = upload => sent,
            () = waits => unreachable!("it never returns"),
        };
        sent.map_err(|error| refused(&error))?;
        Ok(Done::Copied(format!("to {}", dest.shown())))
    }

    async fn aim(&self, dest: &Remote, is_directory: bool) -> Result<path::Aim, Diagnostic> {
        let (directory, name) = aim(&dest.path, dest.there(), is_directory, &dest.shown())?;
        if name.is_some() {
            let parent = self.machines.docker.stat(&dest.member, &directory).await.map_err(|error| refused(&error))?;
            if parent.is_none() {
                let parent = shown(dest.member.machine.as_str(), &directory);
                let path = String::from_utf8_lossy(&directory).into_owned();
                return Err(Diagnostic::new(Kind::Failed, format!("there is no directory `{parent}`"))
                    .hint(format!("make it: `fly exec {} mkdir -p {path}`", dest.member.machine)));
            }
        }
        Ok((directory, name))
    }

    /// Packs on a thread, and sends what comes of it. If the engine refuses, its words count, not those of who was cut off by it.
    async fn upload(
        &self,
        dest: &Remote,
        directory: &[u8],
        pack: impl FnOnce(&mut Inlet) -> io::Result<()> + Send + 'static,
    ) -> Result<Done<()>, Failure> {
        let (mut inlet, content) = pipe::inlet();
        let packing = pipe::work(move || {
            let packed = pack(&mut inlet);
            if let Err(error) = &packed {
                inlet.fail(error);
            }
            packed
        });
        let mut stop = Stop::signals()?;
        let sent = tokio::select! {
            sent = self.machines.docker.upload(&dest.member, directory, self.args.archive, content) => sent,
            () = stop.asked() => return Ok(Done::Interrupted),
        };
        let packed = pipe::done(packing).await;
        match (sent, packed) {
            (Ok(()), Ok(())) => Ok(Done::Copied(())),
            (Err(_), Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(pipe::failed("read all of it", &error).into()),
            (Err(error), _) => Err(refused(&error).into()),
            (Ok(()), Err(error)) => Err(pipe::failed("send all of it", &error).into()),
        }
    }
}
