//! `fly console`: the streams of a machine's first process.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::args::ConsoleArgs;
use super::detach::Keys;
use super::exit::Exit;
use super::failure::Failure;
use super::log_lines::Lines;
use super::machine::{Machines, Project, refused};
use super::pump::{End, pump};
use super::settings::Settings;
use super::streams::Sink;
use super::terminal::{self, Raw};
use super::ui::Ui;
use super::world;
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::{Found, LogQuery, Member, Size};
use crate::engine::{EngineError, RunState};

/// How much of the log is shown before what is written from now on.
const LINES: u64 = 20;
/// The streams end a moment before the engine knows how the process has ended.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) fn run(args: &ConsoleArgs, settings: &Settings, ui: &Ui) -> Result<ExitCode, Failure> {
    let keys = match &args.detach_keys {
        None => Keys::usual(),
        Some(text) => {
            Keys::parse(text).map_err(|wrong| Diagnostic::new(Kind::Usage, wrong).hint("`--detach-keys ctrl-a,d` would be some"))?
        }
    };
    let project = Project::load(settings, ui)?;
    world::block_on(async {
        let machines = project.connect().await?;
        let member = machines.running(&args.machine).await?;
        let stdin = member.stdin && !args.no_stdin;
        let is_terminal = settings.environment.stdin_is_terminal && settings.environment.stdout_is_terminal;
        if settings.environment.stderr_is_terminal {
            ui.say(&greeting(&member, stdin, is_terminal, args.detach_keys.as_deref()));
        }
        // First the streams, then the log: what is written in between comes twice rather than never.
        let session = machines.docker.attach(&member, stdin).await.map_err(|error| refused(&error))?;
        recall(&machines, &member).await?;
        let mut raw = if is_terminal && member.tty && stdin { Some(Raw::enter()?) } else { None };
        if raw.is_some()
            && let Some(size) = terminal::size()
        {
            // A program draws its screen again when the size changes, and only then.
            let other = Size { rows: size.rows + 1, ..size };
            drop(machines.docker.resize(&member, other).await);
        }
        let resize = async |size| drop(machines.docker.resize(&member, size).await);
        let keys = (is_terminal && stdin).then_some(keys);
        let end = pump(session, stdin, keys, raw.as_mut(), None, resize).await;
        drop(raw);
        match end? {
            End::Output => ended(&machines, &member, ui).await,
            End::Left => {
                ui.say(&format!("\nleft; machine {} goes on\n", member.machine));
                Ok(Exit::Done.into())
            }
            End::Signal(number) => Ok((128 + number).into()),
            End::Closed => Ok(Exit::Done.into()),
        }
    })?
}

fn greeting(member: &Member, stdin: bool, is_terminal: bool, keys: Option<&str>) -> String {
    let machine = &member.machine;
    let leave = match (stdin && is_terminal, keys) {
        (false, _) => "Ctrl-C leaves it".to_owned(),
        (true, None) if member.tty => "Ctrl-] or Ctrl-P Ctrl-Q leaves it".to_owned(),
        (true, None) => "Ctrl-C, or Ctrl-] and Enter, leaves it".to_owned(),
        (true, Some(keys)) => format!("{keys} leaves it"),
    };
    let what = if stdin { "the console" } else { "the console, to look at," };
    format!("{what} of {machine}; {leave}, and the machine goes on\n")
}

/// The end of its log, as it was written.
async fn recall(machines: &Machines, member: &Member) -> Result<(), Failure> {
    let query = LogQuery { tail: Some(LINES), ..LogQuery::default() };
    // A log that cannot be read (its driver may not keep one) is no reason not to look at what comes.
    let Ok(output) = machines.docker.logs(member, &query).await else { return Ok(()) };
    let mut lines = Lines::new(output, member.tty);
    let mut text = vec![];
    while let Ok(Ok(Some(line))) = timeout(SETTLE, lines.next()).await {
        text.extend_from_slice(&line.text);
        text.push(b'\n');
    }
    let sink = Sink::stdout();
    drop(sink.write(text).await);
    sink.finish().await
}

/// Its first process has ended, or the engine has let go of us.
async fn ended(machines: &Machines, member: &Member, ui: &Ui) -> Result<ExitCode, Failure> {
    let code = timeout(SETTLE, code(machines, member)).await;
    match code {
        Ok(Ok(code)) => {
            ui.say(&format!("machine {} has ended with code {code}\n", member.machine));
            Ok(u8::try_from(code).unwrap_or(u8::MAX).into())
        }
        Ok(Err(error)) => Err(refused(&error).into()),
        Err(_) => Err(Diagnostic::new(Kind::Failed, format!("the console of `{}` was closed, though it runs", member.machine)).into()),
    }
}

async fn code(machines: &Machines, member: &Member) -> Result<i64, EngineError> {
    loop {
        match machines.docker.member(&machines.project.name, &member.machine).await? {
            Found::Ours(now) if now.id == member.id && now.started_at == member.started_at => match now.state {
                RunState::Exited { code } => return Ok(code),
                RunState::Dead => return Ok(0),
                _ => sleep(Duration::from_millis(50)).await,
            },
            // Started again, or gone: how it ended is not known any more.
            _ => return Ok(0),
        }
    }
}
