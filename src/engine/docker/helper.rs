//! fly beside the engine, for whoever is not there or may not work on its network: a container of fly's own image that lives as long as
//! the connection to it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Failure;
use super::raw::encode;
use super::{Docker, guest, stream};
use crate::engine::EngineError;
use crate::engine::session::Session;
use crate::types::GUEST_BINARY;

/// The label of a helper: the version.
const LABEL: &str = "fly.helper";

/// What a helper may, and why; the README says the same.
const CAPABILITIES: [&str; 6] = [
    "NET_ADMIN",    // links, addresses, routes, the firewall
    "NET_RAW",      // asking on the wire whether an address is in use
    "SYS_ADMIN",    // entering the namespaces of machines
    "SYS_PTRACE",   // finding these namespaces, and `/etc/hosts`, by the machines' processes
    "SYS_CHROOT",   // the host's own iptables, and `/proc/sys`
    "DAC_OVERRIDE", // files of machines whose root is another user
];

/// From its creation to its start a helper takes a moment. One that has not started so many seconds later never will: whoever made it
/// was killed in between.
const NEVER: i64 = 30;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waiting {
    id: String,
    #[serde(rename = "Created")]
    since: i64,
}

/// A helper that runs. It ends with its input.
pub struct Helper {
    docker: Docker,
    id: String,
    version: String,
    /// What it was made from; another run may have given the name to one of its own since.
    image: String,
}

/// Host network and processes, since that is what it is about; everything else is as little as it works with.
pub(super) fn host_config() -> Value {
    json!({
        "NetworkMode": "host",
        "PidMode": "host",
        "UsernsMode": "host",
        "CapDrop": ["ALL"],
        "CapAdd": CAPABILITIES,
        "ReadonlyRootfs": true,
        // Profiles for ordinary containers forbid looking at other processes.
        "SecurityOpt": ["apparmor=unconfined", "label=disable"],
    })
}

impl Docker {
    /// Starts `words` of fly's own, beside the engine. What is written to it, and what it says, passes through the session.
    pub async fn helper(&self, version: &str, words: &[&str]) -> Result<(Helper, Session), EngineError> {
        self.start_helper(version, words).await.map_err(|failure| failure.doing("start a helper beside the engine"))
    }

    async fn start_helper(&self, version: &str, words: &[&str]) -> Result<(Helper, Session), Failure> {
        let mut host = host_config();
        host["AutoRemove"] = true.into();
        host["LogConfig"] = json!({"Type": "none"});
        let entrypoint = [&[GUEST_BINARY][..], words].concat();
        let body = json!({
            "Image": guest::image(version),
            "Entrypoint": entrypoint,
            "User": "0:0",
            "OpenStdin": true,
            "StdinOnce": true,
            "AttachStdin": true,
            "AttachStdout": true,
            "AttachStderr": true,
            "Labels": {LABEL: version},
            "HostConfig": host,
        });
        let created: Created = self.create_of_guest(version, "/containers/create", &body).await?;
        let image = self.inspect(&created.id).await?.map(|there| there.image).unwrap_or_default();
        let helper = Helper { docker: self.clone(), id: created.id, version: version.to_owned(), image };
        let id = encode(&helper.id);
        let joined = async {
            let path = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
            let session = stream::hijack(&self.http, &path, &Value::Null, false, "listen to a helper".to_owned()).await?;
            self.http.tell(&format!("/containers/{id}/start"), &Value::Null).await?;
            Ok(session)
        };
        match joined.await {
            Ok(session) => {
                self.sweep_helpers(&helper.id).await;
                Ok((helper, session))
            }
            Err(failure) => {
                // One that never ran is not removed by itself.
                let _ = self.remove_by_id(&helper.id).await;
                helper.remove_image().await;
                Err(failure)
            }
        }
    }
}

impl Docker {
    /// Takes away helpers that never started, by the engine's own clock.
    async fn sweep_helpers(&self, own: &str) {
        let filters = json!({"label": [LABEL]}).to_string();
        let Ok(all) = self.http.get::<Vec<Value>>(&format!("/containers/json?all=1&filters={}", encode(filters))).await else { return };
        let is_waiting = |it: &Value| it["State"] == "created" || it["Id"] == own;
        let all: Vec<Waiting> = all.into_iter().filter(is_waiting).filter_map(|it| serde_json::from_value(it).ok()).collect();
        let Some(now) = all.iter().find(|it| it.id == own).map(|it| it.since) else { return };
        for left in all.iter().filter(|it| it.id != own && now - it.since > NEVER) {
            let _ = self.remove_by_id(&left.id).await;
        }
    }
}

impl Helper {
    /// Waits until it is gone, after its input was shut; and takes away what nobody needs any more.
    pub async fn end(self) {
        let path = format!("/containers/{}/wait?condition=removed", encode(&self.id));
        // Gone already is an error, and as good.
        let _ = self.docker.http.tell(&path, &Value::Null).await;
        self.remove_image().await;
    }

    /// Machines, the agent and other helpers have it as well; it goes with the last of them.
    async fn remove_image(&self) {
        let _ = self.docker.remove_guest_image(&self.version).await;
        let _ = self.docker.remove_unnamed(&self.image).await;
    }
}
