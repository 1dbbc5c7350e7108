//! A command in a container that runs.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::error::Failure;
use super::raw::encode;
use super::{Docker, stream};
use crate::engine::session::{Exec, Session, Size};
use crate::engine::{EngineError, EngineErrorKind};

/// The engine's own keys for leaving a session (Ctrl-P Ctrl-Q) would hold back every Ctrl-P of a shell's user until the next key.
/// They cannot be switched off, so they become some that nobody presses.
pub(super) const NO_KEYS: &str = "ctrl-^,ctrl-^,ctrl-_,ctrl-_,ctrl-^,ctrl-_";

/// The API in which a terminal can be made with a size. Before, it has none until it is resized.
const SIZED: (u16, u16) = (1, 42);

/// The streams end a moment before the engine knows how the command has ended.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    exit_code: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

/// A command that was started; its streams are in the `Session` that came with it.
#[derive(Clone)]
pub struct Execution {
    docker: Docker,
    id: String,
    what: String,
}

impl Docker {
    /// Starts a command; `container` is a name or an id.
    ///
    /// That it cannot be found or may not be run is told, as Docker does it, in its output and by its exit code, 126 or 127.
    pub async fn exec(&self, container: &str, exec: &Exec) -> Result<(Execution, Session), EngineError> {
        let what = format!("run `{}` in {container}", exec.argv.first().map_or("", String::as_str));
        let start = async {
            let id = self.create_exec(container, exec, true).await?;
            let body = json!({"Detach": false, "Tty": exec.tty});
            let session = stream::hijack(&self.http, &format!("/exec/{id}/start"), &body, exec.tty, what.clone()).await?;
            Ok((id, session))
        };
        let (id, session) = start.await.map_err(|failure: Failure| failure.doing(&what))?;
        Ok((Execution { docker: self.clone(), id, what }, session))
    }

    /// Starts a command that nobody listens to.
    pub async fn exec_detached(&self, container: &str, exec: &Exec) -> Result<(), EngineError> {
        let start = async {
            let id = self.create_exec(container, exec, false).await?;
            self.http.tell(&format!("/exec/{id}/start"), &json!({"Detach": true, "Tty": exec.tty})).await
        };
        start.await.map_err(|failure| failure.doing(format_args!("run a command in {container}")))
    }

    async fn create_exec(&self, container: &str, exec: &Exec, attached: bool) -> Result<String, Failure> {
        let mut body = json!({
            "AttachStdin": exec.stdin && attached,
            "AttachStdout": attached,
            "AttachStderr": attached,
            "Tty": exec.tty,
            "DetachKeys": NO_KEYS,
            "Env": exec.env,
            "Cmd": exec.argv,
        });
        for (key, value) in [("User", &exec.user), ("WorkingDir", &exec.workdir)] {
            if let Some(value) = value {
                body[key] = Value::from(value.as_str());
            }
        }
        if let Some(size) = exec.size.filter(|_| exec.tty && self.version >= SIZED) {
            body["ConsoleSize"] = json!([size.rows, size.columns]);
        }
        let created: Created = self.http.post(&format!("/containers/{}/exec", encode(container)), &body).await?;
        Ok(created.id)
    }
}

impl Execution {
    /// Tells the terminal in the container how large ours is. One that has not been made yet is waited for.
    pub async fn resize(&self, size: Size) -> Result<(), EngineError> {
        let path = format!("/exec/{}/resize?h={}&w={}", self.id, size.rows, size.columns);
        let mut wait = Duration::from_millis(10);
        loop {
            match self.docker.http.tell(&path, &Value::Null).await {
                Ok(()) => return Ok(()),
                Err(failure) if wait > Duration::from_secs(1) => return Err(failure.doing("resize the terminal")),
                Err(_) => sleep(wait).await,
            }
            wait *= 2;
        }
    }

    /// How it has ended. To be asked when its output has come to its end.
    pub async fn exit_code(&self) -> Result<u8, EngineError> {
        self.ended().await.map_err(|failure| failure.doing(&self.what))
    }

    async fn ended(&self) -> Result<u8, Failure> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let state: State = self.docker.http.get(&format!("/exec/{}/json", self.id)).await?;
            match state.exit_code {
                // What is larger than a byte never comes from a program; what is negative, from an engine that does not know.
                Some(code) if !state.running => return Ok(u8::try_from(code).unwrap_or(u8::MAX)),
                _ if Instant::now() > deadline => {
                    return Err(Failure::new(EngineErrorKind::Timeout, "its output has ended, but the engine says that it runs"));
                }
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}
