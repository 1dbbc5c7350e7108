//! From a machine.

use super::pipe;
use super::{Copy, Done, aim, local};
use crate::archive::path;
use crate::archive::{self, Note, Place};
use crate::cli::failure::Failure;
use crate::cli::machine::refused;
use crate::cli::stop::Stop;
use crate::cli::streams::{Closed, Sink};
use crate::engine::session::PathKind;

impl Copy<'_> {
    pub(super) async fn fetch(&self, machine: &str, source: &[u8], dest: &[u8]) -> Result<Done, Failure> {
        let (source, stat, name) = self.source(machine, source).await?;
        let (at, there) = local::dest(dest)?;
        let (directory, new) = aim(&at, there, stat.kind == PathKind::Directory, &local::shown(dest))?;
        if stat.kind == PathKind::File {
            self.progress.expect(stat.size);
        }
        let place = Place { from: path::split(&source.path).1, to: new.or(name) };
        let (_, download) = self.machines.docker.download(&source.member, &source.path).await.map_err(|error| refused(&error))?;
        let (tell, outlet) = pipe::outlet();
        let (progress, owners) = (self.progress.clone(), self.args.archive);
        let unpacking =
            pipe::work(move || archive::unpack(outlet, local::as_path(&directory), &place, owners, &mut |note| progress.note(note)));
        let mut stop = Stop::signals()?;
        let fed = tokio::select! {
            fed = pipe::feed(download, tell) => fed,
            // Its sender gone, the unpacking ends, and takes the file with it that it has begun.
            () = stop.asked() => {
                let _ = pipe::done(unpacking).await;
                return Ok(Done::Interrupted);
            }
        };
        let unpacked = pipe::done(unpacking).await;
        fed.map_err(|error| refused(&error))?;
        unpacked.map_err(|error| pipe::failed(&format!("copy {} to {}", source.shown(), local::shown(dest)), &error))?;
        Ok(Done::Copied(format!("to {}", local::shown(dest))))
    }

    pub(super) async fn to_stdout(&self, machine: &str, source: &[u8]) -> Result<Done, Failure> {
        let (source, ..) = self.source(machine, source).await?;
        let (_, mut download) = self.machines.docker.download(&source.member, &source.path).await.map_err(|error| refused(&error))?;
        let sink = Sink::stdout();
        loop {
            let mut piece = vec![];
            if !download.read(&mut piece).await.map_err(|error| refused(&error))? {
                break;
            }
            self.progress.note(Note::Bytes(piece.len() as u64));
            if let Err(Closed) = sink.write(piece).await {
                break;
            }
        }
        sink.finish().await?;
        Ok(Done::Copied("as a tar stream".to_owned()))
    }
}
