//! `fly logs`: what machines have written, and write.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::{SignedDuration, Timestamp, Zoned, civil};
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::follow::Event;
use super::args::LogsArgs;
use super::exit::Exit;
use super::failure::{Failure, Sources};
use super::log_lines::{Line, Lines};
use super::machine::{Machines, Project, refused};
use super::settings::Settings;
use super::stop::Stop;
use super::streams::{Closed, Sink};
use super::ui::Ui;
use super::world;
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::{LogQuery, Member};
use crate::types::Name;

mod follow;

/// How long, once all have ended, one of them may take to come back.
const GRACE: Duration = Duration::from_millis(1500);
/// Lines are written together, as many as there are.
const BATCH: usize = 32 << 10;

pub(super) fn run(args: &LogsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let now = Zoned::now();
    let time = |option: &str, text: &Option<String>| text.as_deref().map(|text| since_epoch(option, text, &now)).transpose();
    let query =
        LogQuery { follow: args.follow, tail: args.tail.0, since: time("--since", &args.since)?, until: time("--until", &args.until)? };
    let project = Project::load(settings, ui)?;
    world::block_on(async {
        let machines = project.connect().await?;
        let members = machines.several(&args.machines).await.map_err(|wrong| Failure::new(wrong, &Sources::new()))?;
        if members.is_empty() {
            ui.say(&format!("nothing of `{}` is there yet\n", machines.project.name));
            return Ok(Exit::Done);
        }
        let style = Prefixes::new(&members, !args.no_prefix, args.timestamps, ui.out_color);
        if args.follow { follow(machines, members, query, &style, ui).await } else { merged(&machines, &members, &query, &style, ui).await }
    })?
}

/// All logs as one, in the order of time. One that cannot be read does not hide the others.
async fn merged(machines: &Machines, members: &[Member], query: &LogQuery, style: &Prefixes, ui: &Ui) -> Result<Exit, Failure> {
    let mut logs = vec![];
    let mut exit = Exit::Done;
    let mut lost = |error| {
        ui.failure(&refused(&error).into());
        exit = Exit::Failed;
    };
    for member in members {
        match machines.docker.logs(member, query).await {
            Ok(output) => logs.push((member.machine.clone(), Lines::new(output, member.tty), None)),
            Err(error) => lost(error),
        }
    }
    let sink = Sink::stdout();
    let mut batch = vec![];
    loop {
        // The next line of each, and of these the oldest. Of two of one time the order of names decides.
        let mut oldest: Option<(Option<Timestamp>, usize)> = None;
        for (at, (_, lines, next)) in logs.iter_mut().enumerate() {
            if next.is_none() {
                *next = lines.next().await.unwrap_or_else(|error| {
                    lost(error);
                    None
                });
            }
            if let Some(line) = next
                && oldest.as_ref().is_none_or(|(time, _)| line.time < *time)
            {
                oldest = Some((line.time, at));
            }
        }
        let Some((_, at)) = oldest else { break };
        let (machine, _, next) = &mut logs[at];
        if let Some(line) = next.take() {
            style.write(machine, &line, &mut batch);
        }
        if batch.len() > BATCH
            && let Err(Closed) = sink.write(std::mem::take(&mut batch)).await
        {
            break;
        }
    }
    drop(sink.write(batch).await);
    sink.finish().await?;
    Ok(exit)
}

async fn follow(machines: Machines, members: Vec<Member>, query: LogQuery, style: &Prefixes, ui: &Ui) -> Result<Exit, Failure> {
    let mut stop = Stop::signals()?;
    let (tell, mut told) = mpsc::channel(64);
    let mut running = members.len();
    for member in members {
        let project = machines.project.name.clone();
        tokio::spawn(follow::follow(machines.docker.clone(), project, member, query.clone(), tell.clone()));
    }
    drop(tell);
    let sink = Sink::stdout();
    let mut exit = Exit::Done;
    loop {
        let event = tokio::select! {
            event = told.recv() => event,
            () = stop.asked() => {
                exit = Exit::Interrupted;
                break;
            }
            () = sleep(GRACE), if running == 0 => break,
        };
        match event {
            None => break,
            Some(Event::Began) => running += 1,
            Some(Event::Ended) => running -= 1,
            Some(Event::Failed(error)) => {
                ui.failure(&refused(&error).into());
                exit = Exit::Failed;
            }
            Some(Event::Line(machine, line)) => {
                let mut batch = vec![];
                style.write(&machine, &line, &mut batch);
                if let Err(Closed) = sink.write(batch).await {
                    break;
                }
            }
        }
    }
    sink.finish().await?;
    Ok(exit)
}

/// What stands before each line.
struct Prefixes {
    /// Nothing: no prefix.
    names: Option<BTreeMap<Name, String>>,
    timestamps: bool,
}

impl Prefixes {
    fn new(members: &[Member], wanted: bool, timestamps: bool, color: bool) -> Self {
        let width = members.iter().map(|member| member.machine.as_str().len()).max().unwrap_or(0);
        let prefix = |name: &Name| {
            let style = if color { style(name) } else { Style::new() };
            format!("{style}{:width$} | {style:#}", name.as_str())
        };
        let names = wanted.then(|| members.iter().map(|member| (member.machine.clone(), prefix(&member.machine))).collect());
        Self { names, timestamps }
    }

    /// A carriage return in a line would have what follows written over the prefix: it begins a new line, with a prefix of its own.
    fn write(&self, machine: &Name, line: &Line, out: &mut Vec<u8>) {
        let prefix = self.names.as_ref().and_then(|names| names.get(machine));
        let Some(prefix) = prefix else {
            self.stamp(line, out);
            out.extend_from_slice(&line.text);
            out.push(b'\n');
            return;
        };
        let text = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
        for part in text.split(|byte| *byte == b'\r') {
            out.extend_from_slice(prefix.as_bytes());
            self.stamp(line, out);
            out.extend_from_slice(part);
            out.push(b'\n');
        }
    }

    fn stamp(&self, line: &Line, out: &mut Vec<u8>) {
        if self.timestamps {
            out.extend_from_slice(line.stamp.as_bytes());
            out.push(b' ');
        }
    }
}

/// A machine's colour hangs on its name alone: the same in every run, whoever else is there.
fn style(name: &Name) -> Style {
    const COLORS: [AnsiColor; 10] = [
        AnsiColor::Cyan,
        AnsiColor::Yellow,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
        AnsiColor::BrightYellow,
        AnsiColor::BrightGreen,
        AnsiColor::BrightMagenta,
        AnsiColor::BrightBlue,
    ];
    // FNV-1a; its upper half, because the last character rules the lower one.
    let hash = name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    COLORS[usize::try_from((hash >> 32) % COLORS.len() as u64).unwrap_or(0)].on_default()
}

/// As the engine wants it: seconds since 1970.
fn since_epoch(option: &str, text: &str, now: &Zoned) -> Result<String, Diagnostic> {
    let is_seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_seconds {
        return Ok(text.to_owned());
    }
    let time = if let Ok(time) = text.parse::<Timestamp>() {
        Some(time)
    } else if let Ok(local) = text.parse::<civil::DateTime>() {
        // A time without a zone is one of here.
        local.to_zoned(now.time_zone().clone()).ok().map(|zoned| zoned.timestamp())
    } else {
        text.parse::<SignedDuration>().ok().and_then(|ago| now.timestamp().checked_sub(ago).ok())
    };
    let time = time.ok_or_else(|| {
        Diagnostic::new(Kind::Usage, format!("`{option} {text}` is not a time"))
            .hint(format!("`{option} 10m`, `{option} 2026-01-31T12:00:00Z` and `{option} 1769860800` would be"))
    })?;
    Ok(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        let machine: Name = name.parse().unwrap();
        let state = crate::engine::RunState::Running;
        Member { id: String::new(), name: String::new(), state, tty: false, stdin: false, started_at: String::new(), machine }
    }

    fn line(text: &str) -> Line {
        let stamp = "2026-01-31T12:00:00.000000001Z";
        Line { time: stamp.parse().ok(), stamp: stamp.to_owned(), text: text.into() }
    }

    fn written(style: &Prefixes, name: &str, text: &str) -> String {
        let mut out = vec![];
        style.write(&name.parse().unwrap(), &line(text), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_bears_its_machine() {
        let members = [member("web"), member("db")];
        let style = Prefixes::new(&members, true, false, false);
        assert_eq!(written(&style, "web", "hello"), "web | hello\n");
        assert_eq!(written(&style, "db", ""), "db  | \n");
        // Nothing is lost, and no name is written over.
        assert_eq!(written(&style, "db", "10%\r20%\rdone"), "db  | 10%\ndb  | 20%\ndb  | done\n");
        assert_eq!(written(&style, "db", "windows\r"), "db  | windows\n");
        assert_eq!(written(&style, "db", "\x1b[1mbold\x1b[0m"), "db  | \x1b[1mbold\x1b[0m\n", "what the program draws is its own");
        let bare = Prefixes::new(&members, false, true, true);
        assert_eq!(written(&bare, "db", "a\rb\r"), "2026-01-31T12:00:00.000000001Z a\rb\r\n");
    }

    #[test]
    fn a_colour_is_the_names() {
        let both = Prefixes::new(&[member("web"), member("db")], true, false, true);
        let one = Prefixes::new(&[member("web")], true, false, true);
        assert_eq!(written(&both, "web", "x"), written(&one, "web", "x"));
        assert!(written(&one, "web", "x").starts_with("\x1b["));
        assert_ne!(style(&"web".parse().unwrap()), style(&"db".parse().unwrap()));
    }

    #[test]
    fn times_are_read_as_docker_reads_them() {
        let now: Zoned = "2026-01-31T12:00:00[UTC]".parse().unwrap();
        let read = |text| since_epoch("--since", text, &now).map_err(|wrong| wrong.message);
        assert_eq!(read("2026-01-31T11:00:00Z"), Ok("1769857200.000000000".into()));
        assert_eq!(read("2026-01-31T11:00:00.5+01:00"), Ok("1769853600.500000000".into()));
        assert_eq!(read("2026-01-31T11:00:00"), Ok("1769857200.000000000".into()));
        assert_eq!(read("2026-01-31"), Ok("1769817600.000000000".into()));
        assert_eq!(read("10m"), Ok("1769860200.000000000".into()));
        assert_eq!(read("1h30m"), Ok("1769855400.000000000".into()));
        assert_eq!(read("1769857200"), Ok("1769857200".into()));
        assert_eq!(read("yesterday"), Err("`--since yesterday` is not a time".into()));
        assert!(read("").is_err());
    }
}
