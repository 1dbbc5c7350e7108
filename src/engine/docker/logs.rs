//! A container's log.

use std::fmt::Write as _;

use hyper::Method;

use super::Docker;
use super::raw::encode;
use super::stream::{self, BodyReader};
use crate::engine::EngineError;
use crate::engine::session::{LogQuery, Member, Output};

impl Docker {
    /// What it has written and, when it is followed, writes until it ends; the engine's time stands before every entry.
    pub async fn logs(&self, member: &Member, query: &LogQuery) -> Result<Output, EngineError> {
        let doing = format!("read the log of {}", member.name);
        let mut path = format!("/containers/{}/logs?stdout=1&stderr=1&timestamps=1&follow={}", encode(&member.id), u8::from(query.follow));
        if let Some(lines) = query.tail {
            let _ = write!(path, "&tail={lines}");
        }
        for (key, value) in [("since", &query.since), ("until", &query.until)] {
            if let Some(value) = value {
                let _ = write!(path, "&{key}={}", encode(value));
            }
        }
        let answer = stream::ask(&self.http, Method::GET, &path, "application/json", stream::nothing()).await;
        let body = answer.map_err(|failure| failure.doing(&doing))?.into_body();
        Ok(Output::new(BodyReader::new(body), &[], member.tty, doing))
    }
}
