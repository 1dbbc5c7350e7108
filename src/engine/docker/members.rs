//! Which container is a machine's, for a session with it: a question of milliseconds, where an observation looks at everything.

use futures_util::future::try_join_all;
use serde_json::json;

use super::answer::{self, Inspect, Listed};
use super::error::Failure;
use super::ownership::Proof;
use super::raw::encode;
use super::{Docker, observe};
use crate::engine::EngineError;
use crate::engine::session::{Found, Member};
use crate::types::{LABEL_PROJECT, Name};

impl Docker {
    /// The container of one machine.
    pub async fn member(&self, project: &Name, machine: &Name) -> Result<Found, EngineError> {
        find(self, project, machine).await.map_err(|failure| failure.doing(format_args!("look for machine {machine}")))
    }

    /// Those of all machines that there are, by name.
    pub async fn members(&self, project: &Name) -> Result<Vec<Member>, EngineError> {
        all(self, project).await.map_err(|failure| failure.doing(format_args!("look for the machines of {project}")))
    }
}

async fn find(docker: &Docker, project: &Name, machine: &Name) -> Result<Found, Failure> {
    let name = machine.in_project(project);
    // Where a replacement was cut off before it got its name, it is the machine.
    for (name, replaces) in [(name.clone(), false), (format!("{name}.new"), true)] {
        let Some(inspect) = docker.inspect(&name).await? else { continue };
        return Ok(match ours(docker, project, &inspect).await? {
            Some((proof, member)) if proof.what == *machine && proof.replacement == replaces => Found::Ours(member),
            _ => Found::Stranger(name),
        });
    }
    Ok(Found::Nothing)
}

async fn all(docker: &Docker, project: &Name) -> Result<Vec<Member>, Failure> {
    let filter = json!({"label": [format!("{LABEL_PROJECT}={project}")]}).to_string();
    let listed: Vec<Listed> = docker.http.get(&format!("/containers/json?all=1&filters={}", encode(filter))).await?;
    let inspects = try_join_all(listed.iter().map(|it| docker.inspect(&it.id))).await?;
    let mut members = vec![];
    for inspect in inspects.into_iter().flatten() {
        members.extend(ours(docker, project, &inspect).await?);
    }
    members.sort_by(|(a, _), (b, _)| (&a.what, a.replacement).cmp(&(&b.what, b.replacement)));
    members.dedup_by(|(later, _), (earlier, _)| later.what == earlier.what);
    Ok(members.into_iter().map(|(_, member)| member).collect())
}

async fn ours(docker: &Docker, project: &Name, inspect: &Inspect) -> Result<Option<(Proof, Member)>, Failure> {
    let none = answer::Labels::new();
    let labels = &inspect.config.labels;
    // Only what claims to be ours is worth the question what it has from its image.
    if Proof::of_container(inspect.name(), labels, &none).is_none_or(|proof| proof.project != *project) {
        return Ok(None);
    }
    let image: Option<answer::Image> = docker.http.find(&format!("/images/{}/json", encode(&inspect.image))).await?;
    let of_image = image.as_ref().map_or(&none, |image| &image.config.labels);
    let Some(proof) = Proof::of_container(inspect.name(), labels, of_image) else { return Ok(None) };
    let member = Member {
        machine: proof.what.clone(),
        id: inspect.id.clone(),
        name: inspect.name().to_owned(),
        state: observe::run_state(&inspect.state),
        tty: inspect.config.tty,
        stdin: inspect.config.open_stdin,
        started_at: inspect.state.started_at.clone(),
    };
    Ok(Some((proof, member)))
}
