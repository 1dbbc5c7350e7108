//! What has lately been done to containers by others: the engine remembers its last few hundred events.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::Docker;
use super::raw::encode;
use super::stream::{self, BodyReader};
use crate::engine::Deed;

/// What leaves a trace in a plan.
const ACTIONS: [&str; 9] = ["update", "stop", "kill", "die", "oom", "pause", "rename", "destroy", "disconnect"];

/// The engine may take this long; on a host whose clock is behind it would wait for more.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    actor: Actor,
    #[serde(rename = "timeNano")]
    nanoseconds: i64,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: std::collections::BTreeMap<String, String>,
}

impl Docker {
    /// The oldest first. It is a hint: nothing, where the engine does not answer.
    pub async fn deeds(&self) -> Vec<Deed> {
        let mut deeds = vec![];
        let _ = tokio::time::timeout(PATIENCE, self.read_deeds(&mut deeds)).await;
        deeds
    }

    async fn read_deeds(&self, deeds: &mut Vec<Deed>) -> Option<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        // To the last nanosecond: what has only just been done counts.
        let now = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let filters = json!({"type": ["container", "network"], "event": ACTIONS}).to_string();
        let path = format!("/events?since=0&until={now}&filters={}", encode(&filters));
        let answer = stream::ask(&self.http, Method::GET, &path, "application/json", stream::nothing()).await.ok()?;
        let mut lines = BufReader::new(BodyReader::new(answer.into_body())).lines();
        while let Some(line) = lines.next_line().await.ok()? {
            deeds.extend(serde_json::from_str(&line).ok().and_then(deed));
        }
        Some(())
    }
}

fn deed(Event { action, actor: Actor { id, mut attributes }, nanoseconds }: Event) -> Option<Deed> {
    let (container, network) = match attributes.remove("container") {
        Some(container) => (container, attributes.remove("name")),
        None => (id, None),
    };
    let at = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    let name = attributes.remove("oldName").map(|old| old.trim_start_matches('/').to_owned()).or_else(|| attributes.remove("name"));
    Some(Deed {
        container,
        name,
        action,
        network,
        code: attributes.remove("exitCode"),
        at: at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Deed> {
        deed(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_the_engine_tells() {
        let died = r#"{"status":"die","id":"c0ffee","from":"x","Type":"container","Action":"die","Actor":{"ID":"c0ffee","Attributes":
            {"exitCode":"137","image":"x","name":"shop.web"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}"#;
        assert_eq!(
            read(died),
            Some(Deed {
                container: "c0ffee".into(),
                name: Some("shop.web".into()),
                action: "die".into(),
                network: None,
                code: Some("137".into()),
                at: "2023-11-14 22:13:20 UTC".into(),
            })
        );
        let left = r#"{"Type":"network","Action":"disconnect","Actor":{"ID":"beef","Attributes":
            {"container":"c0ffee","name":"shop_lan","type":"bridge"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}"#;
        let left = read(left).unwrap();
        assert_eq!((left.container.as_str(), left.network.as_deref()), ("c0ffee", Some("shop_lan")));
    }
}
