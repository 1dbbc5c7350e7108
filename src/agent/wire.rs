//! What passes between a command and its helper: a length of four bytes, big-endian, and so much JSON.
//!
//! First the helper says who it is (`Hello`). Then there are calls, each with a number, and their answers, in whatever order they are
//! ready. Both ends are the same build of fly, so nothing here has to be understood by another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::net::{CaptureOptions, Captured, Cards, Firewall, GuestSeen, NetError, NetOp, NetSnapshot, Processes};
use crate::types::Name;

/// Five hundred machines that know each other's names are 15 MiB.
const LONGEST: u32 = 256 << 20;

/// How often whoever asks says that he is there.
pub(super) const PULSE: Duration = Duration::from_secs(20);
/// A helper that hears nothing for so long has been left: a connection need not say that its other end has gone.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The build.
    pub(super) version: String,
    /// It may not do what it is there for.
    pub(super) denied: Option<NetError>,
}

/// A call of the trait `NetPlane`, or of `Plane`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(super) enum Call {
    /// Nothing: whoever asks is still there.
    Alive,
    Firewall,
    Observe {
        project: Name,
        processes: Processes,
    },
    Guests {
        processes: Processes,
    },
    Lacking {
        modules: BTreeSet<String>,
    },
    Cards {
        devices: BTreeSet<String>,
    },
    Space {
        pid: u32,
    },
    /// Answered by many replies, until the last piece.
    Capture {
        pid: u32,
        options: Box<CaptureOptions>,
    },
    /// Of all captures that go on.
    StopCapture,
    /// The project is held until it is released, or the helper ends.
    Hold {
        project: Name,
    },
    Release {
        project: Name,
    },
    Perform {
        op: Box<NetOp>,
        project: Name,
        processes: Processes,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) call: Call,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Firewall(Firewall),
    Observed(Box<NetSnapshot>),
    Guests(BTreeMap<Name, GuestSeen>),
    Lacking(BTreeSet<String>),
    Cards(Cards),
    Space(Option<u64>),
    Held(bool),
    Captured(Captured),
    Performed,
    Refused(NetError),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Response {
    pub(super) id: u64,
    pub(super) reply: Reply,
}

pub(super) async fn write<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("a message of more than 256 MiB"))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&text).await?;
    stream.flush().await
}

/// Nothing at the end of the stream.
pub(super) async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what comes is no message of fly's"));
    }
    // As much room as has really come: a length alone takes none.
    let mut text = vec![];
    if stream.take(length.into()).read_to_end(&mut text).await? < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(serde_json::from_slice(&text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_can_be_read_and_what_is_cut_off_is_an_error() {
        let processes = Processes::from([(Name::new("web").unwrap(), 7)]);
        let call = Call::Observe { project: Name::new("shop").unwrap(), processes };
        let mut text = vec![];
        write(&mut text, &Request { id: 3, call: call.clone() }).await.unwrap();
        let read_back: Request = read(&mut text.as_slice()).await.unwrap().unwrap();
        assert_eq!((read_back.id, read_back.call), (3, call));
        assert!(read::<Request>(&mut [].as_slice()).await.unwrap().is_none());
        for length in 1..text.len() {
            assert!(read::<Request>(&mut &text[..length]).await.is_err(), "{length}");
        }
        assert!(read::<Request>(&mut b"Error: no such container".as_slice()).await.is_err());
    }
}
