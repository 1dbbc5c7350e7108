//! `fly agent`: what puts network cards back when machines start again.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::{AgentCommand, AgentStatusArgs, Format};
use super::exit::Exit;
use super::failure::Failure;
use super::log_lines::Lines;
use super::machine::refused;
use super::settings::Settings;
use super::streams::Sink;
use super::ui::Ui;
use super::world;
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::LogQuery;
use crate::engine::{AgentState, Docker, guest_version};
use crate::net::Orders;
use crate::types::Name;

pub(super) fn run(command: &AgentCommand, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    world::block_on(async {
        let docker = world::reach(settings.engine.as_deref()).await?;
        match command {
            AgentCommand::Status(args) => status(&docker, args, ui).await,
            AgentCommand::Logs { follow } => logs(&docker, *follow).await,
            AgentCommand::Stop => stop(&docker, ui).await,
        }
    })?
}

/// What is promised to programs: it only changes together with the version.
#[derive(Serialize)]
struct Document {
    version: u32,
    agent: Option<Agent>,
    projects: Vec<Project>,
}

#[derive(Serialize)]
struct Agent {
    build: String,
    running: bool,
    /// It is the build that asks.
    current: bool,
}

#[derive(Serialize)]
struct Project {
    name: Name,
    /// Machines whose cards it puts back; nothing where another build has written them down.
    machines: Option<usize>,
}

async fn status(docker: &Docker, args: &AgentStatusArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (agent, orders) = (docker.agent().await.map_err(|error| refused(&error))?, docker.orders().await.map_err(|error| refused(&error))?);
    let projects = orders.into_iter().map(|(name, text)| Project { name, machines: Orders::from_text(&text).map(|it| it.machines.len()) });
    let own = guest_version().unwrap_or_default();
    let agent = agent.map(|AgentState { version, running }| Agent { current: version == own, build: version, running });
    let document = Document { version: 1, agent, projects: projects.collect() };
    ui.out(&match args.format {
        Format::Text => text(&document),
        Format::Json => serde_json::to_string_pretty(&document).unwrap_or_default() + "\n",
    })?;
    Ok(if document.agent.is_some_and(|agent| agent.running) { Exit::Done } else { Exit::Failed })
}

fn text(document: &Document) -> String {
    let mut text = match &document.agent {
        None => "no agent on this engine: `fly up` starts it\n".to_owned(),
        Some(Agent { build, running: false, .. }) => format!("agent {build}: stopped; `fly up` starts it again\n"),
        Some(Agent { build, current: true, .. }) => format!("agent {build}: running\n"),
        Some(Agent { build, .. }) => format!("agent {build}: running; another build than this fly, `fly up` replaces it\n"),
    };
    for Project { name, machines } in &document.projects {
        let _ = match machines {
            Some(count) => writeln!(text, "  {name}: {count} machine{}", if *count == 1 { "" } else { "s" }),
            None => writeln!(text, "  {name}: written by another build of fly; `fly up` there writes it anew"),
        };
    }
    text
}

fn nobody() -> Diagnostic {
    Diagnostic::new(Kind::Failed, "no agent is on this engine").hint("`fly up` starts it, unless the file says `agent: false`")
}

async fn logs(docker: &Docker, follow: bool) -> Result<Exit, Failure> {
    let member = docker.agent_member().await.map_err(|error| refused(&error))?.ok_or_else(nobody)?;
    let query = LogQuery { follow, ..LogQuery::default() };
    let output = docker.logs(&member, &query).await.map_err(|error| refused(&error))?;
    let mut lines = Lines::new(output, false);
    let sink = Sink::stdout();
    while let Some(line) = lines.next().await.map_err(|error| refused(&error))? {
        let time = line.time.map(|time| format!("{time:.0} ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&line.text);
        let shown = format!("{time}{}\n", text.trim_end().strip_prefix("fly: ").unwrap_or(text.trim_end()));
        if sink.write(shown.into_bytes()).await.is_err() {
            break;
        }
    }
    sink.finish().await?;
    Ok(Exit::Done)
}

async fn stop(docker: &Docker, ui: &Ui) -> Result<Exit, Failure> {
    if !docker.stop_agent().await.map_err(|error| refused(&error))? {
        return Err(nobody().into());
    }
    ui.say("the agent is stopped: cards of machines that start again stay away until the next `fly up`\n");
    Ok(Exit::Done)
}
