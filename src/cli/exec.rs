//! `fly exec`: a command in a machine.

mod refusal;

use std::process::ExitCode;

use super::args::ExecArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::machine::{Machines, Project, refused};
use super::pump::{End, Held, pump};
use super::settings::Settings;
use super::streams::Sink;
use super::terminal::{self, Raw};
use super::ui::Ui;
use super::world;
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::{Exec, Member};

/// As a shell has it when its reader is gone: 128 and SIGPIPE.
const READER_GONE: u8 = 141;

pub(super) fn run(args: &ExecArgs, settings: &Settings, ui: &Ui) -> Result<ExitCode, Failure> {
    let here = &settings.environment;
    let can_be = here.stdin_is_terminal && here.stdout_is_terminal && !args.no_stdin;
    if args.tty && !can_be {
        return Err(Diagnostic::new(Kind::Usage, "there is no terminal to give to the command").hint("leave `--tty` out").into());
    }
    let project = Project::load(settings, ui)?;
    world::block_on(async {
        let machines = project.connect().await?;
        let member = machines.running(&args.machine).await?;
        let mut exec = Exec {
            argv: args.command.clone(),
            user: args.user.clone(),
            workdir: args.workdir.clone(),
            env: env(&args.env, settings),
            stdin: !args.no_stdin,
            tty: can_be && !args.no_tty && !args.detach,
            size: terminal::size(),
        };
        if exec.argv.is_empty() {
            exec.argv = shell(&machines, &member).await?;
        }
        if args.detach {
            let told = machines.docker.exec_detached(&member.id, &exec).await;
            told.map_err(|error| if is_refusal(&error.message) { explained(&member, &exec, &error.message) } else { refused(&error) })?;
            return Ok(Exit::Done.into());
        }
        attached(&machines, &member, &mut exec, settings).await
    })?
}

async fn attached(machines: &Machines, member: &Member, exec: &mut Exec, settings: &Settings) -> Result<ExitCode, Failure> {
    let mut raw = None;
    if exec.tty {
        exec.env.insert(0, format!("TERM={}", settings.environment.variable("TERM").unwrap_or("xterm")));
        raw = Some(Raw::enter()?);
    }
    let (execution, session) = machines.docker.exec(&member.id, exec).await.map_err(|error| refused(&error))?;
    // One that has ended already has no terminal to be resized.
    let resize = async |size| drop(execution.resize(size).await);
    let mut held = Held::beginning_with(&refusal::BEGINNINGS);
    let end = pump(session, exec.stdin, None, raw.as_mut(), Some(&mut held), resize).await;
    drop(raw);
    Ok(match end? {
        End::Output => {
            let code = execution.exit_code().await.map_err(|error| refused(&error))?;
            match held.text() {
                Some(words) if matches!(code, 126 | 127) => return Err(explained(member, exec, &words).into()),
                Some(words) => say(words).await?,
                None => {}
            }
            code.into()
        }
        End::Signal(number) => (128 + number).into(),
        End::Closed => READER_GONE.into(),
        End::Left => Exit::Done.into(),
    })
}

fn is_refusal(message: &str) -> bool {
    refusal::BEGINNINGS.iter().any(|beginning| message.starts_with(beginning))
}

fn explained(member: &Member, exec: &Exec, words: &str) -> Diagnostic {
    refusal::explained(member.machine.as_str(), &exec.argv, exec.workdir.as_deref(), words)
}

async fn say(words: String) -> Result<(), Failure> {
    let stdout = Sink::stdout();
    drop(stdout.write(words.into_bytes()).await);
    stdout.finish().await
}

/// `NAME=value`, or a name whose value is taken from here, if it has one.
fn env(asked: &[String], settings: &Settings) -> Vec<String> {
    let one = |text: &String| {
        if text.contains('=') { Some(text.clone()) } else { Some(format!("{text}={}", settings.environment.variables.get(text)?)) }
    };
    asked.iter().filter_map(one).collect()
}

async fn shell(machines: &Machines, member: &Member) -> Result<Vec<String>, Diagnostic> {
    for shell in ["/bin/bash", "/bin/sh"] {
        if machines.docker.stat(member, shell.as_bytes()).await.map_err(|error| refused(&error))?.is_some() {
            return Ok(vec![shell.to_owned(), "-l".to_owned()]);
        }
    }
    let name = &member.machine;
    Err(Diagnostic::new(Kind::Failed, format!("machine `{name}` has no shell")).hint(format!("name a command: `fly exec {name} COMMAND`")))
}
