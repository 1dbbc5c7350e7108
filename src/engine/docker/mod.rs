//! The real engine: Docker, by its API.
//!
//! Reading goes by `raw` into `answer`, telling by bollard (`perform`). Nothing here decides what is to be done, prints, or reads the
//! environment.
//!
//! | file | what for |
//! |---|---|
//! | `address` | where the engine listens |
//! | `raw`, `answer` | the engine's JSON, read so that nothing unknown makes us blind |
//! | `ownership` | whose a resource is |
//! | `observe` | everything at once: the snapshot |
//! | `inspect`, `body` | a `Container` from the engine's words, and into them |
//! | `agent` | the container that puts network cards back, what it is told, and what happens |
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
mod error;
mod exec;
mod guest;
mod helper;
mod image;
mod inspect;
mod logs;
mod members;
mod network;
mod observe;
mod ownership;
mod perform;
mod raw;
mod start;
mod stream;
#[cfg(test)]
mod tests;
mod wait;

use std::sync::Arc;

use address::Address;
pub use agent::{Event, Events};
pub use archive::Download;
use error::Failure;
pub use exec::Execution;
pub use helper::Helper;
use raw::Http;
use tokio::sync::OnceCell;

use super::{Engine, EngineDone, EngineError, EngineErrorKind, EngineOp, EngineQuery, EngineSnapshot, InRegistry, Progress};
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
}

impl Docker {
    /// `address` is what `DOCKER_HOST` would be; without one, the engine of this machine.
    pub async fn connect(address: Option<&str>) -> Result<Self, EngineError> {
        let address = address.filter(|it| !it.is_empty()).unwrap_or(address::DEFAULT);
        Self::reach(address).await.map_err(|failure| failure.doing("connect to the Docker Engine"))
    }

    async fn reach(address: &str) -> Result<Self, Failure> {
        let address = Address::parse(address)?;
        let http = Http::new(address.clone());
        let (theirs, engine) = http.ping().await?;
        let number = parse_version(&theirs)
            .ok_or_else(|| Failure::new(EngineErrorKind::Other, format!("what answers at `{address}` is not a Docker Engine")))?;
        if number < OLDEST {
            let message = format!("the engine, {engine}, is too old (API {theirs}): fly needs Docker Engine 20.10 or newer");
            return Err(Failure::new(EngineErrorKind::Other, message));
        }
        let version = number.min(NEWEST);
        let bollards = bollard::ClientVersion { major_version: version.0.into(), minor_version: version.1.into() };
        let api = match &address {
            Address::Unix(path) => bollard::Docker::connect_with_unix(&path.to_string_lossy(), PATIENCE, &bollards)?,
            Address::Tcp(host) => bollard::Docker::connect_with_http(&format!("tcp://{host}"), PATIENCE, &bollards)?,
        };
        let docker = Self { http: Arc::new(http.with_version(version)), api, version, info: Arc::default() };
        // Asked now, it is there when the first observation wants it; should it fail, that one asks again and says why.
        let early = docker.clone();
        tokio::spawn(async move { early.info().await.is_ok() });
        Ok(docker)
    }

    /// Which engine it is, however it is reached: the engine's own id, or its address where it has none.
    pub async fn id(&self) -> Result<String, EngineError> {
        let info = self.info().await.map_err(|failure| failure.doing(WHO))?;
        Ok(if info.id.is_empty() { self.http.address.to_string() } else { info.id.clone() })
    }

    /// Whether the engine is on this very host: then its processes are this kernel's. A socket can lead anywhere.
    pub async fn is_local(&self) -> Result<bool, EngineError> {
        let is_here = matches!(self.http.address, Address::Unix(_)) && self.is_here().await.map_err(|failure| failure.doing(WHO))?;
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
