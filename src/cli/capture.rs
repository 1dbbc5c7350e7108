//! `fly capture`: packets of a machine's cards, into a file or to a program that reads them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::args::CaptureArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::machine::Project;
use super::ps;
use super::settings::Settings;
use super::stop::Stop;
use super::streams::Sink;
use super::ui::Ui;
use super::world;
use crate::diag::{Diagnostic, Kind};
use crate::net::{Capture, CaptureOptions, CaptureSummary, Captured, Kernel, NetError, NetErrorKind, PacketFilter};
use crate::observe;
use crate::plan::render::clean;
use crate::types::Name;

/// What `--write` calls the standard output.
const STDOUT: &str = "-";

pub(super) fn run(args: &CaptureArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let path = args.write.clone().filter(|path| path.as_os_str() != STDOUT);
    if path.is_none() && settings.environment.stdout_is_terminal {
        let error = Diagnostic::new(Kind::Usage, "packets are nothing for a terminal");
        let pipe = format!("or show them: `fly capture {0} | tcpdump -nr -`, `fly capture {0} | wireshark -k -i -`", args.what);
        return Err(error.hint(format!("write a file: `fly capture {} --write web.pcapng`", args.what)).hint(pipe).into());
    }
    let (machine, nic) = match args.what.split_once(':') {
        Some((machine, nic)) => (machine, Some(nic)),
        None => (args.what.as_str(), None),
    };
    let filter = args.filter.as_deref().map(|text| compile(text, args.snaplen)).transpose()?;
    let project = Project::load(settings, ui)?;
    world::block_on(async {
        let machines = project.connect().await?;
        let member = machines.running(machine).await?;
        let pid = pid(settings, &machines.project.name, &member.machine).await?;
        let options = CaptureOptions {
            title: format!("{} of {}", member.machine, machines.project.name),
            nics: nic.map(str::to_owned).into_iter().collect::<BTreeSet<_>>(),
            snaplen: args.snaplen,
            promiscuous: args.promiscuous,
            filter,
            count: args.count,
            duration: args.duration.map(|limit| limit.0),
        };
        let kernel = Kernel::new().map_err(|error| observe::net_diagnostic(&error))?;
        // From here on Ctrl-C ends the capture, not the program.
        let stop = Stop::signals()?;
        let capture = kernel.capture(pid, options).map_err(|error| refused(&error, machine))?;
        record(capture, stop, machine, path.as_deref(), args, ui).await
    })?
}

/// Takes what comes to where it is to go, until nothing more comes.
async fn record(
    mut capture: Capture,
    mut stop: Stop,
    machine: &str,
    path: Option<&Path>,
    args: &CaptureArgs,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let mut out = None;
    loop {
        let piece = tokio::select! {
            biased;
            () = stop.asked() => {
                capture.stop();
                continue;
            }
            piece = capture.next() => piece,
        };
        match piece {
            // Only now: what cannot be captured leaves an old file as it is.
            Some(Ok(Captured::Began(nics))) => {
                out = Some(Out::open(path)?);
                let limit = if args.count.is_none() && args.duration.is_none() { "; Ctrl-C ends it" } else { "" };
                ui.say(&format!("capturing on {}{limit}\n", names(machine, &nics)));
            }
            Some(Ok(Captured::Bytes(bytes))) => {
                let Some(out) = &mut out else { continue };
                match out.write(bytes, &mut stop, &capture).await? {
                    Written::All => {}
                    Written::NobodyReads => return Ok(Exit::Done),
                    Written::GivenUp => return Ok(Exit::Interrupted),
                }
            }
            Some(Ok(Captured::Ended(summary))) => {
                if let Some(Out::Pipe(sink)) = out {
                    sink.finish().await?;
                }
                ui.say(&said(summary, machine, path));
                return Ok(Exit::Done);
            }
            Some(Err(error)) => return Err(refused(&error, machine).into()),
            None => return Err(Diagnostic::new(Kind::Failed, "the capture broke off").into()),
        }
    }
}

async fn pid(settings: &Settings, project: &Name, machine: &Name) -> Result<u32, Diagnostic> {
    let actual = ps::observe(settings, project).await?;
    let pid = actual.machine(machine).and_then(|state| state.pid);
    pid.ok_or_else(|| {
        Diagnostic::new(Kind::Failed, format!("machine `{machine}` has just ended")).hint(format!("see why: `fly logs {machine}`"))
    })
}

/// Has tcpdump make of it what the kernel can run: nobody knows that language better.
fn compile(text: &str, snaplen: u32) -> Result<PacketFilter, Diagnostic> {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args(["-ddd", "-y", "EN10MB", "-s", &snaplen.to_string(), "--", text]).stdin(Stdio::null());
    let output = tcpdump.output().map_err(|error| {
        Diagnostic::new(Kind::Failed, "a filter is compiled by `tcpdump`, which cannot be run")
            .cause(error)
            .hint("install it: `apt-get install tcpdump`")
            .hint("or capture everything, and filter when it is read")
    })?;
    let compiled = String::from_utf8_lossy(&output.stdout);
    if let Some(filter) = PacketFilter::parse(text, &compiled).filter(|_| output.status.success()) {
        return Ok(filter);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let cause = said.lines().last().unwrap_or_default().trim_start_matches("tcpdump: ");
    Err(Diagnostic::new(Kind::Usage, format!("`{}` is no filter", clean(text)))
        .cause(clean(cause))
        .hint("`man pcap-filter` has the words: `--filter 'icmp or port 53'`"))
}

/// Where the bytes go.
enum Out {
    File(File, PathBuf),
    Pipe(Sink),
}

enum Written {
    All,
    /// The reader has gone: it has read enough.
    NobodyReads,
    /// The reader does not read, and somebody insists on an end.
    GivenUp,
}

impl Out {
    fn open(path: Option<&Path>) -> Result<Self, Diagnostic> {
        let Some(path) = path else { return Ok(Self::Pipe(Sink::stdout())) };
        File::create(path).map(|file| Self::File(file, path.to_owned())).map_err(|error| cannot_write(path, &error))
    }

    async fn write(&mut self, bytes: Vec<u8>, stop: &mut Stop, capture: &Capture) -> Result<Written, Diagnostic> {
        match self {
            Self::File(file, path) => file.write_all(&bytes).map(|()| Written::All).map_err(|error| cannot_write(path, &error)),
            Self::Pipe(sink) => {
                let mut wishes = 0;
                let write = sink.write(bytes);
                tokio::pin!(write);
                loop {
                    tokio::select! {
                        written = &mut write => return Ok(written.map_or(Written::NobodyReads, |()| Written::All)),
                        () = stop.asked() => {
                            capture.stop();
                            wishes += 1;
                            if wishes == 2 {
                                return Ok(Written::GivenUp);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new(Kind::Failed, format!("cannot write `{}`", path.display())).cause(error)
}

fn refused(error: &NetError, machine: &str) -> Diagnostic {
    match error.kind {
        NetErrorKind::NotFound => {
            let cards = format!("`fly nics {machine}` lists its cards");
            Diagnostic::new(Kind::Usage, format!("cannot {}", clean(&error.doing))).cause(&error.message).hint(cards)
        }
        NetErrorKind::Denied => Diagnostic::new(Kind::Engine, "a right to see packets is missing")
            .cause(error)
            .hint("run as root where the engine runs: it needs CAP_NET_RAW, CAP_SYS_ADMIN and CAP_SYS_PTRACE"),
        _ => Diagnostic::new(Kind::Failed, format!("cannot {}", clean(&error.doing))).cause(&error.message),
    }
}

fn names(machine: &str, nics: &[String]) -> String {
    nics.iter().map(|nic| format!("{machine}:{}", clean(nic))).collect::<Vec<_>>().join(", ")
}

fn said(summary: CaptureSummary, machine: &str, path: Option<&Path>) -> String {
    let CaptureSummary { packets, dropped, machine_ended } = summary;
    let many = |count: u64| if count == 1 { "1 packet".to_owned() } else { format!("{count} packets") };
    let place = path.map(|path| format!(" to {}", clean(&path.display().to_string()))).unwrap_or_default();
    let ended = if machine_ended { format!("note: machine `{machine}` has ended meanwhile\n") } else { String::new() };
    let lost = "note: dropped is what came faster than it was taken; `--snaplen 128` or a `--filter` makes it less\n";
    let lost = if dropped > 0 { lost } else { "" };
    format!("captured {}{place}, {dropped} dropped\n{ended}{lost}", many(packets))
}

/// How long: `10s`, `1m30s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(Duration);

impl std::str::FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.parse::<jiff::SignedDuration>().ok().and_then(|limit| Duration::try_from(limit).ok());
        read.filter(|limit| !limit.is_zero()).map(Self).ok_or_else(|| "a time, as `10s` or `1m30s`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_end_it_says_what_there_is() {
        let summary = CaptureSummary { packets: 1, dropped: 0, machine_ended: false };
        assert_eq!(said(summary, "web", Some(Path::new("web.pcapng"))), "captured 1 packet to web.pcapng, 0 dropped\n");
        insta::assert_snapshot!(said(CaptureSummary { packets: 9000, dropped: 70, machine_ended: true }, "web", None), @r"
        captured 9000 packets, 70 dropped
        note: machine `web` has ended meanwhile
        note: dropped is what came faster than it was taken; `--snaplen 128` or a `--filter` makes it less
        ");
    }

    #[test]
    fn times_are_as_people_write_them() {
        let read = |text: &str| text.parse::<Limit>().map(|limit| limit.0).ok();
        assert_eq!([read("10s"), read("1m30s"), read("500ms")], [10_000, 90_000, 500].map(|ms| Some(Duration::from_millis(ms))));
        assert_eq!([read("0s"), read("-1s"), read("10"), read("soon")], [None; 4]);
    }
}
