//! Where the engine listens: the forms of `DOCKER_HOST`. Whoever calls has read the environment; nothing here does.

use std::path::PathBuf;

use super::error::Failure;
use crate::engine::EngineErrorKind;

pub(super) const DEFAULT: &str = "unix:///var/run/docker.sock";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |message: String| Err(Failure::new(EngineErrorKind::Other, message));
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.strip_prefix('/') {
                Some(_) => Ok(Self::Unix(text.into())),
                None => refuse(format!("`{text}` is not an engine's address, as `{DEFAULT}` or `tcp://192.0.2.7:2375` would be")),
            };
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "unix" => refuse(format!("`{text}` has no absolute path, as `{DEFAULT}` has")),
            "tcp" | "http" => {
                let host = rest.trim_end_matches('/');
                if host.is_empty() || host.contains('/') {
                    return refuse(format!("`{text}` is not an engine's address, as `tcp://192.0.2.7:2375` would be"));
                }
                let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
                    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && (!before.contains(':') || before.ends_with(']'))
                });
                Ok(Self::Tcp(if has_port { host.to_owned() } else { format!("{host}:2375") }))
            }
            "ssh" | "https" => refuse(format!("`{text}`: engines over {scheme} are not supported yet; `unix://` and `tcp://` are")),
            other => refuse(format!("`{text}`: an engine is reached by `unix://` or `tcp://`, not by `{other}://`")),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}
