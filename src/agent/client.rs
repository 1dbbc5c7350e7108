//! The network plane of a helper beside the engine, over a stream.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::wire::{self, Call, Hello, Reply, Request, Response};
use crate::net::{
    Capture, CaptureOptions, Captured, Cards, Firewall, GuestSeen, NetError, NetErrorKind, NetOp, NetPlane, NetSnapshot, Processes,
};
use crate::types::Name;

/// Until it says who it is: an engine may have to start it first.
const PATIENCE: Duration = Duration::from_secs(60);

type Waiting = Arc<Mutex<HashMap<u64, Answer>>>;

/// Who waits for what comes to a call.
enum Answer {
    Once(oneshot::Sender<Reply>),
    Pieces(mpsc::Sender<Result<Captured, NetError>>),
}

/// Pieces under way to a slow reader.
const QUEUE: usize = 16;

/// A helper that has said who it is.
pub struct Client {
    /// With its end the helper's input ends, and the helper.
    requests: mpsc::UnboundedSender<(Call, Answer)>,
    listens: JoinHandle<()>,
}

fn broken(kind: NetErrorKind, message: impl Into<String>) -> NetError {
    NetError { kind, doing: "work beside the engine".to_owned(), message: message.into() }
}

impl Client {
    /// `version`: the build that this one is. Another one cannot be spoken to.
    pub async fn new(
        mut reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: impl AsyncWrite + Send + Unpin + 'static,
        version: &str,
    ) -> Result<Self, NetError> {
        let hello = tokio::time::timeout(PATIENCE, wire::read::<Hello>(&mut reader)).await;
        let hello = hello.map_err(|_| broken(NetErrorKind::Other, format!("nothing was heard of it for {} s", PATIENCE.as_secs())))?;
        let hello = match hello {
            Ok(Some(hello)) => hello,
            Ok(None) => return Err(broken(NetErrorKind::Other, "it has ended without a word")),
            Err(error) => return Err(broken(NetErrorKind::Other, format!("what it says cannot be read: {error}"))),
        };
        if let Some(denied) = hello.denied {
            return Err(denied);
        }
        if hello.version != version {
            return Err(broken(NetErrorKind::Other, format!("it is another build of fly ({}) than this one ({version})", hello.version)));
        }
        let waiting = Waiting::default();
        let (requests, mut asked) = mpsc::unbounded_channel::<(Call, Answer)>();
        let entered = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut id = 0;
            loop {
                let next = tokio::time::timeout(wire::PULSE, asked.recv()).await;
                let Ok(next) = next else {
                    if wire::write(&mut writer, &Request { id: 0, call: Call::Alive }).await.is_err() {
                        break;
                    }
                    continue;
                };
                let Some((call, answer)) = next else { break };
                id += 1;
                entered.lock().await.insert(id, answer);
                if wire::write(&mut writer, &Request { id, call }).await.is_err() {
                    entered.lock().await.remove(&id);
                }
            }
            let _ = writer.shutdown().await;
        });
        let listens = tokio::spawn(async move {
            while let Ok(Some(Response { id, reply })) = wire::read(&mut reader).await {
                let mut waiting = waiting.lock().await;
                // Whoever asked may have gone.
                match (waiting.remove(&id), reply) {
                    (Some(Answer::Once(answer)), reply) => drop(answer.send(reply)),
                    (Some(Answer::Pieces(pieces)), Reply::Captured(piece)) => {
                        let is_last = matches!(piece, Captured::Ended(_));
                        if pieces.send(Ok(piece)).await.is_ok() && !is_last {
                            waiting.insert(id, Answer::Pieces(pieces));
                        }
                    }
                    (Some(Answer::Pieces(pieces)), Reply::Refused(error)) => drop(pieces.send(Err(error)).await),
                    (Some(Answer::Pieces(_)) | None, _) => {}
                }
            }
            // Nothing comes any more, for nobody.
            waiting.lock().await.clear();
        });
        Ok(Self { requests, listens })
    }

    async fn call(&self, call: Call) -> Result<Reply, NetError> {
        let lost = || broken(NetErrorKind::Other, "the connection to it has ended");
        if self.listens.is_finished() {
            return Err(lost());
        }
        let (answer, answered) = oneshot::channel();
        self.requests.send((call, Answer::Once(answer))).map_err(|_| lost())?;
        match answered.await.map_err(|_| lost())? {
            Reply::Refused(error) => Err(error),
            reply => Ok(reply),
        }
    }
}

impl Client {
    pub(super) fn capture(&self, pid: u32, options: CaptureOptions) -> Result<Capture, NetError> {
        let (pieces, taken) = mpsc::channel(QUEUE);
        let lost = |_| broken(NetErrorKind::Other, "the connection to it has ended");
        self.requests.send((Call::Capture { pid, options: Box::new(options) }, Answer::Pieces(pieces))).map_err(lost)?;
        let requests = self.requests.downgrade();
        Ok(Capture::new(taken, move || tell(&requests, Call::StopCapture)))
    }

    pub(super) async fn hold(&self, project: &Name) -> Result<Option<HeldThere>, NetError> {
        match self.call(Call::Hold { project: project.clone() }).await? {
            Reply::Held(held) => Ok(held.then(|| HeldThere { requests: self.requests.downgrade(), project: project.clone() })),
            reply => other(reply),
        }
    }
}

/// Nobody waits for an answer; what it is about ends by itself when the connection does.
fn tell(requests: &mpsc::WeakUnboundedSender<(Call, Answer)>, call: Call) {
    let (nobody, _) = oneshot::channel();
    if let Some(requests) = requests.upgrade() {
        let _ = requests.send((call, Answer::Once(nobody)));
    }
}

/// A project that the helper holds, until this is dropped.
pub struct HeldThere {
    requests: mpsc::WeakUnboundedSender<(Call, Answer)>,
    project: Name,
}

impl Drop for HeldThere {
    fn drop(&mut self) {
        tell(&self.requests, Call::Release { project: self.project.clone() });
    }
}

fn other<T>(_: Reply) -> Result<T, NetError> {
    Err(broken(NetErrorKind::Other, "it answers something else than what it was asked"))
}

impl NetPlane for Client {
    async fn firewall(&self) -> Result<Firewall, NetError> {
        match self.call(Call::Firewall).await? {
            Reply::Firewall(firewall) => Ok(firewall),
            reply => other(reply),
        }
    }

    async fn observe(&self, project: &Name, processes: &Processes) -> Result<NetSnapshot, NetError> {
        match self.call(Call::Observe { project: project.clone(), processes: processes.clone() }).await? {
            Reply::Observed(snapshot) => Ok(*snapshot),
            reply => other(reply),
        }
    }

    async fn guests(&self, processes: &Processes) -> Result<BTreeMap<Name, GuestSeen>, NetError> {
        if processes.is_empty() {
            return Ok(BTreeMap::new());
        }
        match self.call(Call::Guests { processes: processes.clone() }).await? {
            Reply::Guests(guests) => Ok(guests),
            reply => other(reply),
        }
    }

    async fn lacking(&self, modules: &BTreeSet<String>) -> Result<BTreeSet<String>, NetError> {
        match self.call(Call::Lacking { modules: modules.clone() }).await? {
            Reply::Lacking(modules) => Ok(modules),
            reply => other(reply),
        }
    }

    async fn cards(&self, devices: &BTreeSet<String>) -> Result<Cards, NetError> {
        if devices.is_empty() {
            return Ok(Cards::default());
        }
        match self.call(Call::Cards { devices: devices.clone() }).await? {
            Reply::Cards(cards) => Ok(cards),
            reply => other(reply),
        }
    }

    async fn space(&self, pid: u32) -> Result<Option<u64>, NetError> {
        match self.call(Call::Space { pid }).await? {
            Reply::Space(inode) => Ok(inode),
            reply => other(reply),
        }
    }

    async fn perform(&self, op: &NetOp, project: &Name, processes: &Processes) -> Result<(), NetError> {
        let call = Call::Perform { op: Box::new(op.clone()), project: project.clone(), processes: processes.clone() };
        match self.call(call).await? {
            Reply::Performed => Ok(()),
            reply => other(reply),
        }
    }
}
