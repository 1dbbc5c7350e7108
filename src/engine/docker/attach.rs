//! The console of a container: the streams of its first process.

use serde_json::Value;

use super::exec::NO_KEYS;
use super::raw::encode;
use super::{Docker, stream};
use crate::engine::EngineError;
use crate::engine::session::{Member, Session, Size};

impl Docker {
    /// Joins what its first process writes, from now on, and what it reads.
    pub async fn attach(&self, member: &Member, stdin: bool) -> Result<Session, EngineError> {
        let doing = format!("attach to {}", member.name);
        let (id, keys) = (encode(&member.id), encode(NO_KEYS));
        let path = format!("/containers/{id}/attach?stream=1&stdout=1&stderr=1&stdin={}&detachKeys={keys}", u8::from(stdin));
        stream::hijack(&self.http, &path, &Value::Null, member.tty, doing.clone()).await.map_err(|failure| failure.doing(doing))
    }

    /// Tells the terminal of its first process how large ours is.
    pub async fn resize(&self, member: &Member, size: Size) -> Result<(), EngineError> {
        let path = format!("/containers/{}/resize?h={}&w={}", encode(&member.id), size.rows, size.columns);
        self.http.tell(&path, &Value::Null).await.map_err(|failure| failure.doing("resize the terminal"))
    }
}
