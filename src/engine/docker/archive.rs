//! Files out of a container and into it, as a tar stream: that is all the engine speaks.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::unfold;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Method;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::http::HeaderMap;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::error::Failure;
use super::raw::encode;
use super::{Docker, stream};
use crate::engine::session::{Member, PathKind, PathStat};
use crate::engine::{EngineError, EngineErrorKind};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Stat {
    name: String,
    size: i64,
    /// As Go writes it: the kind in the upper bits.
    mode: u32,
    link_target: String,
}

/// A tar stream out of a container.
pub struct Download {
    body: Incoming,
    doing: String,
}

impl Download {
    /// Puts the next piece at the end of `into`; false at the end of all.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> Result<bool, EngineError> {
        loop {
            match self.body.frame().await {
                None => return Ok(false),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        into.extend_from_slice(&data);
                        return Ok(true);
                    }
                }
                Some(Err(error)) => return Err(Failure::broken(&error).doing(&self.doing)),
            }
        }
    }
}

impl Docker {
    /// What there is at a path; of a symbolic link, the link itself.
    pub async fn stat(&self, member: &Member, path: &[u8]) -> Result<Option<PathStat>, EngineError> {
        let ask = async {
            match stream::ask(&self.http, Method::HEAD, &archive(member, path), "application/json", stream::nothing()).await {
                Ok(answer) => stat(answer.headers()).map(Some),
                Err(failure) if failure.is(404) => Ok(None),
                Err(failure) => Err(failure),
            }
        };
        ask.await.map_err(|failure| failure.doing(doing("look at", member, path)))
    }

    /// A file or directory with all that is in it.
    pub async fn download(&self, member: &Member, path: &[u8]) -> Result<(PathStat, Download), EngineError> {
        let doing = doing("read", member, path);
        let ask = async {
            let answer = stream::ask(&self.http, Method::GET, &archive(member, path), "application/json", stream::nothing()).await?;
            Ok((stat(answer.headers())?, answer.into_body()))
        };
        let (stat, body) = ask.await.map_err(|failure: Failure| failure.doing(&doing))?;
        Ok((stat, Download { body, doing }))
    }

    /// Unpacks a tar stream in a directory of the container. An error in the place of a piece breaks it off.
    pub async fn upload(
        &self,
        member: &Member,
        directory: &[u8],
        owners: bool,
        content: mpsc::Receiver<io::Result<Vec<u8>>>,
    ) -> Result<(), EngineError> {
        // What is a directory there must not become a file by mistake, nor the other way round.
        let path = format!("{}&noOverwriteDirNonDir=1{}", archive(member, directory), if owners { "&copyUIDGID=1" } else { "" });
        let pieces = unfold(content, async |mut content| {
            let piece = content.recv().await?;
            Some((piece.map(|bytes| Frame::data(Bytes::from(bytes))), content))
        });
        let body = StreamBody::new(Box::pin(pieces)).boxed_unsync();
        let answer = stream::ask(&self.http, Method::PUT, &path, "application/x-tar", body).await;
        answer.map(drop).map_err(|failure| failure.doing(doing("write to", member, directory)))
    }
}

fn archive(member: &Member, path: &[u8]) -> String {
    format!("/containers/{}/archive?path={}", encode(&member.id), encode(path))
}

fn doing(what: &str, member: &Member, path: &[u8]) -> String {
    format!("{what} {} in {}", String::from_utf8_lossy(path), member.name)
}

fn stat(headers: &HeaderMap) -> Result<PathStat, Failure> {
    let header = headers.get("X-Docker-Container-Path-Stat").map(hyper::http::HeaderValue::as_bytes).unwrap_or_default();
    let json = STANDARD.decode(header).unwrap_or_default();
    let stat: Stat = serde_json::from_slice(&json)
        .map_err(|error| Failure::new(EngineErrorKind::Other, format!("what the engine says of the path cannot be read: {error}")))?;
    Ok(PathStat { kind: kind(stat.mode), name: stat.name, size: u64::try_from(stat.size).unwrap_or(0), target: stat.link_target })
}

/// Go's `os.FileMode`.
fn kind(mode: u32) -> PathKind {
    const DIRECTORY: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    const DEVICE: u32 = 1 << 26;
    const PIPE: u32 = 1 << 25;
    const SOCKET: u32 = 1 << 24;
    const IRREGULAR: u32 = 1 << 19;
    if mode & DIRECTORY != 0 {
        PathKind::Directory
    } else if mode & SYMLINK != 0 {
        PathKind::Symlink
    } else if mode & (DEVICE | PIPE | SOCKET | IRREGULAR) != 0 {
        PathKind::Special
    } else {
        PathKind::File
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_is_stands_in_a_header() {
        let read = |json: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("X-Docker-Container-Path-Stat", STANDARD.encode(json).parse().unwrap());
            stat(&headers)
        };
        let link = r#"{"name":"sh","size":7,"mode":134218239,"mtime":"2024-01-01T00:00:00Z","linkTarget":"busybox"}"#;
        let expected = PathStat { name: "sh".into(), size: 7, kind: PathKind::Symlink, target: "busybox".into() };
        assert_eq!(read(link), Ok(expected));
        assert_eq!(read(r#"{"name":"etc","size":4096,"mode":2147484141}"#).unwrap().kind, PathKind::Directory);
        assert_eq!(read(r#"{"name":"f","mode":420}"#).unwrap().kind, PathKind::File);
        assert_eq!(read(r#"{"name":"null","mode":69206454}"#).unwrap().kind, PathKind::Special);
        assert!(read("{").unwrap_err().message.contains("cannot be read"));
    }
}
