//! The real engine: Docker, by its API.
//!
//! Reading goes by `raw` into `answer`, telling by bollard (`perform`). Nothing here decides what is to be done, prints, or reads the
//! environment.
//!
//! | file | what for |
//! |---|---|
//! | `address`, `dial` | where the engine listens; a connection with it |
//! | `tls`, `ssh`, `ssh_words` | the same with TLS, and by OpenSSH's client; what that says when it fails |
//! | `lines` | connections for requests, kept for the next |
//! | `raw`, `answer` | the engine's JSON, read so that nothing unknown makes us blind |
//! | `ownership` | whose a resource is |
//! | `observe` | everything at once: the snapshot |
//! | `inspect`, `body` | a `Container` from the engine's words, and into them |
//! | `agent` | the container that puts network cards back, what it is told, and what happens |
//! | `history` | what was lately done to containers, by whomever |
//! | `guest`, `helper` | fly's own binary on the engine: for machines, and beside the engine |
//! | `network`, `image` | the same for networks and images; pulling |
//! | `perform`, `wait` | one operation |
//! | `stream` | connections that carry a stream |
//! | `members` | which container is a machine's, for a session with it |
//! | `exec`, `attach`, `logs`, `archive` | sessions with one container |
//! | `error` | what the engine refuses, by kind |

mod address;
mod agent;
mod answer;
mod archive;
mod attach;
mod body;
mod dial;
mod error;
mod exec;
mod guest;
mod helper;
mod history;
mod image;
mod inspect;
mod lines;
mod logs;
mod members;
mod network;
mod observe;
mod ownership;
mod perform;
mod raw;
mod ssh;
mod ssh_words;
mod start;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod wait;

use std::sync::Arc;

use address::Address;
pub use agent::{Event, Events};
pub use archive::Download;
use dial::Dialer;
use error::Failure;
pub use exec::Execution;
pub use helper::Helper;
use raw::Http;
use tokio::sync::{Mutex, OnceCell};

use super::{
    Engine, EngineDone, EngineEndpoint, EngineError, EngineErrorKind, EngineOp, EngineQuery, EngineSnapshot, InRegistry, Progress,
};
use crate::types::Bytes;

/// The newest API that fly was written for: a newer engine is spoken to in this one.
const NEWEST: (u16, u16) = (1, 53);
/// The oldest that knows all that fly asks for: Engine 20.10.
const OLDEST: (u16, u16) = (1, 41);
const WHO: &str = "ask the Docker Engine who it is";
/// Until an answer begins. Creating can copy an image's files into a volume, starting can wait for a slow disk.
const PATIENCE: u64 = 120;

/// A Docker Engine that answered when it was connected to.
#[derive(Clone)]
pub struct Docker {
    http: Arc<Http>,
    api: bollard::Docker,
    version: (u16, u16),
    /// What does not change while the engine runs. It is slow to say (it starts programs to ask them for their versions).
    info: Arc<OnceCell<answer::Info>>,
    /// One import of fly's own image at a time: a second one would take the name of the first.
    imports: Arc<Mutex<()>>,
}

impl Docker {
    /// `address` is what `DOCKER_HOST` would be; without one, the engine of this machine.
    pub async fn connect(address: Option<&str>) -> Result<Self, EngineError> {
        Self::connect_to(&EngineEndpoint { host: address.map(str::to_owned), ..EngineEndpoint::default() }).await
    }

    pub async fn connect_to(endpoint: &EngineEndpoint) -> Result<Self, EngineError> {
        Self::reach(endpoint).await.map_err(|failure| failure.doing("connect to the Docker Engine"))
    }

    async fn reach(endpoint: &EngineEndpoint) -> Result<Self, Failure> {
        let http = Http::new(Dialer::new(endpoint)?);
        let (theirs, engine) = http.ping().await?;
        let address = &http.dialer.address;
        let number = parse_version(&theirs)
            .ok_or_else(|| Failure::new(EngineErrorKind::Way, format!("what answers at `{address}` is not a Docker Engine")))?;
        if number < OLDEST {
            let message = format!("the engine, {engine}, is too old (API {theirs}): fly needs Docker Engine 20.10 or newer");
            return Err(Failure::new(EngineErrorKind::Other, message));
        }
        let version = number.min(NEWEST);
        let bollards = bollard::ClientVersion { major_version: version.0.into(), minor_version: version.1.into() };
        let api = lines::bollard(Arc::clone(&http.lines), PATIENCE, &bollards)?;
        let docker = Self { http: Arc::new(http.with_version(version)), api, version, info: Arc::default(), imports: Arc::default() };
        // Asked now, it is there when the first observation wants it; should it fail, that one asks again and says why.
        let early = docker.clone();
        tokio::spawn(async move { early.info().await.is_ok() });
        Ok(docker)
    }

    /// Which engine it is, however it is reached: the engine's own id, or its address where it has none.
    pub async fn id(&self) -> Result<String, EngineError> {
        let info = self.info().await.map_err(|failure| failure.doing(WHO))?;
        Ok(if info.id.is_empty() { self.http.dialer.address.to_string() } else { info.id.clone() })
    }

    /// Whether the engine is on this very host: then its processes are this kernel's. A socket can lead anywhere.
    pub async fn is_local(&self) -> Result<bool, EngineError> {
        let is_here = matches!(self.http.dialer.address, Address::Unix(_)) && self.is_here().await.map_err(|failure| failure.doing(WHO))?;
        Ok(is_here)
    }

    async fn is_here(&self) -> Result<bool, Failure> {
        let info = self.info().await?;
        let own = rustix::system::uname();
        let is = |theirs: &str, ours: &std::ffi::CStr| theirs.as_bytes() == ours.to_bytes();
        Ok(is(&info.kernel_version, own.release()) && is(&info.name, own.nodename()))
    }

    /// How much a container has written into its own layer. The engine has to count it file by file, so `observe` does not ask.
    pub async fn writable_layer(&self, name: &str) -> Option<Bytes> {
        let path = format!("/containers/{}/json?size=1", raw::encode(name));
        let inspect: answer::Inspect = self.http.find(&path).await.ok()??;
        inspect.size_rw.map(Bytes)
    }

    async fn inspect(&self, name: &str) -> Result<Option<answer::Inspect>, Failure> {
        self.http.find(&format!("/containers/{}/json", raw::encode(name))).await
    }

    async fn info(&self) -> Result<&answer::Info, Failure> {
        self.info.get_or_try_init(|| self.http.get("/info")).await
    }
}

impl Engine for Docker {
    async fn observe(&self, query: &EngineQuery) -> Result<EngineSnapshot, EngineError> {
        observe::observe(self, query).await.map_err(|failure| failure.doing("look at the Docker Engine"))
    }

    async fn in_registry(&self, image: &str) -> InRegistry {
        image::in_registry(self, image).await.unwrap_or_else(|failure| InRegistry::Silent(failure.doing("ask the registry").message))
    }

    async fn perform(&self, op: &EngineOp, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<EngineDone, EngineError> {
        perform::perform(self, op, progress).await.map_err(|failure| failure.doing(op))
    }
}

fn parse_version(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
