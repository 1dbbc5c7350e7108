//! The agent: the container that puts network cards back, what it is told, and the events that it hears of.
//!
//! What it is to put back for a project is the label of an empty volume, whose name has the text's hash in it: so it is whole or not
//! there at all, the list of volumes tells it to whoever plans, and no program has to be started to write it.

use std::collections::BTreeMap;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::time::sleep;

use super::address::{Address, DEFAULT, Ssh};
use super::answer::{self, Listed};
use super::error::Failure;
use super::perform::{LATE, STEP, conflict};
use super::raw::encode;
use super::stream::{self, BodyReader};
use super::{Docker, guest, helper, observe};
use crate::engine::session::Member;
use crate::engine::{AgentState, EngineError, EngineErrorKind};
use crate::types::{AGENT, GUEST_BINARY, LABEL_AGENT, LABEL_ORDERS, LABEL_PROJECT, Name, orders_named, orders_of, orders_volume};

pub(super) fn state(listed: &[Listed]) -> Option<AgentState> {
    let there = listed.iter().find(|it| it.name() == AGENT)?;
    let version = there.labels.get(LABEL_AGENT)?.clone();
    Some(AgentState { version, running: there.state == "running" })
}

/// The project whose orders a volume holds, and these.
pub(super) fn orders(volume: &answer::Volume) -> Option<(Name, String)> {
    let orders = volume.labels.get(LABEL_ORDERS)?;
    Some((orders_of(&volume.name, orders)?, orders.clone()))
}

impl Docker {
    pub(super) async fn install_agent(&self, version: &str) -> Result<(), Failure> {
        for _ in 0..LATE {
            match self.inspect(AGENT).await? {
                Some(there) => match there.config.labels.get(LABEL_AGENT) {
                    None => return Err(conflict(format!("the name `{AGENT}` is in use by a container that is not fly's"))),
                    Some(running) if running == version => return self.start_agent().await,
                    Some(_) => self.remove_by_id(&there.id).await?,
                },
                None => match self.create_agent(version).await {
                    Ok(()) => return self.start_agent().await,
                    // Another project is at it, or the answer was lost.
                    Err(failure) if failure.is(409) || failure.is_lost_answer() => sleep(STEP).await,
                    Err(failure) => return Err(failure),
                },
            }
        }
        Err(Failure::new(EngineErrorKind::Other, "it is made and removed again by somebody else"))
    }

    async fn create_agent(&self, version: &str) -> Result<(), Failure> {
        let socket = match &self.http.dialer.address {
            Address::Unix(path) if self.is_here().await? => path.display().to_string(),
            Address::Ssh(Ssh { path: Some(path), .. }) => path.clone(),
            // Where it is on any other host, as far as can be known from here.
            _ => DEFAULT.trim_start_matches("unix://").to_owned(),
        };
        let mut host = helper::host_config();
        host["RestartPolicy"] = json!({"Name": "always"});
        host["LogConfig"] = json!({"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}});
        let body = json!({
            "Image": guest::image(version),
            "Entrypoint": [GUEST_BINARY, "agent", "run", socket],
            "User": "0:0",
            "Labels": {LABEL_AGENT: version},
            "HostConfig": host,
        });
        self.create_of_guest::<serde_json::Value>(version, &format!("/containers/create?name={AGENT}"), &body).await.map(drop)
    }

    async fn rests(&self, always: bool) -> Result<(), Failure> {
        let policy = json!({"RestartPolicy": {"Name": if always { "always" } else { "no" }}});
        self.http.tell(&format!("/containers/{AGENT}/update"), &policy).await
    }

    async fn start_agent(&self) -> Result<(), Failure> {
        self.rests(true).await?;
        self.tell_once(&format!("/containers/{AGENT}/start")).await
    }

    /// What is so already is said by a status of its own.
    async fn tell_once(&self, path: &str) -> Result<(), Failure> {
        match self.http.tell(path, &serde_json::Value::Null).await {
            Err(failure) if failure.is(304) => Ok(()),
            done => done,
        }
    }

    pub(super) async fn remove_agent(&self) -> Result<(), Failure> {
        let volumes: answer::Volumes = self.http.get("/volumes").await?;
        if volumes.volumes.iter().any(|volume| orders(volume).is_some()) {
            return Ok(());
        }
        let Some(there) = self.inspect(AGENT).await? else { return Ok(()) };
        let Some(version) = there.config.labels.get(LABEL_AGENT) else {
            return Err(conflict(format!("`{AGENT}` is a container that fly did not make")));
        };
        self.remove_by_id(&there.id).await?;
        // Another project may have seen it a moment ago, and rely on it.
        let volumes: answer::Volumes = self.http.get("/volumes").await?;
        if volumes.volumes.iter().any(|volume| orders(volume).is_some()) {
            return self.install_agent(version).await;
        }
        self.remove_guest_image(version).await?;
        self.remove_unnamed(&there.image).await
    }

    pub(super) async fn tell_agent(&self, version: &str, project: &Name, text: Option<&str>) -> Result<(), Failure> {
        let wanted = text.map(|text| orders_volume(project, text));
        if let (Some(name), Some(text)) = (&wanted, text) {
            let labels = BTreeMap::from([(LABEL_PROJECT, project.as_str()), (LABEL_ORDERS, text)]);
            self.create_volume(name, &labels.into_iter().map(|(label, text)| (label.to_owned(), text.to_owned())).collect()).await?;
        }
        let volumes: answer::Volumes = self.http.get("/volumes").await?;
        for volume in volumes.volumes {
            if orders(&volume).is_some_and(|(owner, _)| owner == *project) && wanted.as_ref() != Some(&volume.name) {
                self.remove_volume(&volume.name).await?;
            }
        }
        // Another project may have removed it a moment ago, when nobody needed it. From now on somebody does.
        match self.inspect(AGENT).await? {
            None if wanted.is_some() => self.install_agent(version).await,
            _ => Ok(()),
        }
    }

    /// What the agent is to put back, by project.
    pub async fn orders(&self) -> Result<BTreeMap<Name, String>, EngineError> {
        let volumes = self.http.get::<answer::Volumes>("/volumes").await.map_err(|failure| failure.doing("look for orders"))?;
        Ok(volumes.volumes.iter().filter_map(orders).collect())
    }

    /// The agent's own container, or one that bears its name.
    pub async fn agent(&self) -> Result<Option<AgentState>, EngineError> {
        let listed = self.http.get::<Vec<Listed>>("/containers/json?all=1").await.map_err(|failure| failure.doing("look for the agent"))?;
        Ok(state(&listed))
    }

    /// The same, for a session with it.
    pub async fn agent_member(&self) -> Result<Option<Member>, EngineError> {
        let found = self.inspect(AGENT).await.map_err(|failure| failure.doing("look for the agent"))?;
        let found = found.filter(|there| there.config.labels.contains_key(LABEL_AGENT));
        Ok(found.zip(Name::new(AGENT).ok()).map(|(there, machine)| Member {
            machine,
            id: there.id.clone(),
            name: AGENT.to_owned(),
            state: observe::run_state(&there.state),
            tty: false,
            stdin: false,
            started_at: there.state.started_at.clone(),
        }))
    }

    /// Whether there was one. It stays stopped until somebody starts it.
    pub async fn stop_agent(&self) -> Result<bool, EngineError> {
        let Some(member) = self.agent_member().await? else { return Ok(false) };
        // Otherwise the engine's own next start would be its next, too.
        self.rests(false).await.map_err(|failure| failure.doing("stop the agent"))?;
        let path = format!("/containers/{}/stop?t=2", encode(&member.id));
        self.tell_once(&path).await.map_err(|failure| failure.doing("stop the agent"))?;
        Ok(true)
    }

    /// Everything that happens from now on to containers and volumes, as far as it has to do with fly.
    pub async fn events(&self) -> Result<Events, EngineError> {
        let filters = json!({"type": ["container", "volume"], "event": ["start", "create", "destroy"]}).to_string();
        let path = format!("/events?filters={}", encode(&filters));
        let answer = stream::ask(&self.http, Method::GET, &path, "application/json", stream::nothing()).await;
        let body = answer.map_err(|failure| failure.doing("listen to the engine"))?.into_body();
        Ok(Events(BufReader::new(BodyReader::new(body)).lines()))
    }
}

/// Something has happened to this project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub project: Name,
    /// Its orders are others; otherwise one of its machines has started.
    pub orders: bool,
}

pub struct Events(Lines<BufReader<BodyReader>>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Happened {
    #[serde(rename = "Type")]
    kind: String,
    action: String,
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: BTreeMap<String, String>,
}

impl Events {
    /// The next one; nothing when the engine has gone.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let line = self.0.next_line().await.ok()??;
            if let Some(event) = serde_json::from_str(&line).ok().and_then(event) {
                return Some(event);
            }
        }
    }
}

fn event(happened: Happened) -> Option<Event> {
    let Happened { kind, action, actor } = happened;
    match (kind.as_str(), action.as_str()) {
        ("container", "start") => {
            let project = Name::new(actor.attributes.get(LABEL_PROJECT)?.as_str()).ok()?;
            Some(Event { project, orders: false })
        }
        ("volume", "create" | "destroy") => Some(Event { project: orders_named(&actor.id)?, orders: true }),
        _ => None,
    }
}
