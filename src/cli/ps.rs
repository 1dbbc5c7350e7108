//! `fly ps`: the project's machines as they are.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

use super::args::{Format, PsArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::settings::Settings;
use super::ui::Ui;
use super::world::{self, Real};
use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::Diagnostic;
use crate::engine::{Health, MachineState, RunState, guest_version};
use crate::net::LinkState;
use crate::plan::render::clean;
use crate::types::{Name, Ns};

pub(super) fn run(args: &PsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let (file, wrong) = load::load_leniently(settings)?;
    if let Some(failure) = wrong {
        ui.failure(&failure);
    }
    let actual = world::block_on(observe(settings, &file.desired.project))??;
    let own = guest_version().unwrap_or_default();
    let rows = rows(&file.desired, &actual, &own, Timestamp::now());
    ui.out(&match args.format {
        Format::Text => text(&rows),
        Format::Json => json(&file.desired.project, &rows),
    })?;
    if rows.iter().any(|row| row.guest.as_ref().is_some_and(|guest| !guest.current)) {
        ui.say("note: an old guest is another build of fly than this one; `fly up --renew-guests` makes these machines anew\n");
    }
    Ok(Exit::Done)
}

pub(super) async fn observe(settings: &Settings, project: &Name) -> Result<Actual, Diagnostic> {
    Real::with(world::reach(settings.engine.as_deref()).await?, async |world| world.observe(project, BTreeSet::new()).await).await?
}

/// What is promised to programs: it only changes together with the version.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    project: &'a Name,
    machines: &'a [Row],
}

#[derive(Debug, Serialize)]
struct Row {
    machine: String,
    container: Option<String>,
    /// `absent`: in the file only.
    state: &'static str,
    exit_code: Option<i64>,
    health: Option<&'static str>,
    /// As the kernel has them; empty while it does not run.
    nics: BTreeMap<String, NicRow>,
    ports: Vec<String>,
    started_at: Option<String>,
    uptime_seconds: Option<i64>,
    image: Option<String>,
    /// fly itself as the machine's first process; nothing: it is left alone.
    guest: Option<GuestRow>,
}

#[derive(Debug, Serialize)]
struct GuestRow {
    /// The build, as in the name of the engine's volume.
    version: String,
    /// Whether it is the one that runs `ps`.
    current: bool,
}

#[derive(Debug, Serialize)]
struct NicRow {
    addresses: Vec<String>,
    mac: Option<String>,
    mtu: Option<u32>,
    up: bool,
}

/// Every machine that is there, and those that the file has besides.
fn rows(desired: &Desired, actual: &Actual, own: &str, now: Timestamp) -> Vec<Row> {
    let names: BTreeSet<&Name> = desired.machines.keys().chain(actual.engine.machines.keys()).collect();
    names.into_iter().map(|name| row(name, actual.machine(name), actual, own, now)).collect()
}

fn row(name: &Name, machine: Option<&MachineState>, actual: &Actual, own: &str, now: Timestamp) -> Row {
    let links = actual.namespace(&Ns::Machine(name.clone())).map(|ns| &ns.links);
    let nics = links.into_iter().flatten().map(|(name, link)| (name.clone(), nic(link))).collect();
    let started_at = machine.filter(|machine| machine.is_up()).and_then(|machine| machine.started_at.clone());
    let since = started_at.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let (state, exit_code) = machine.map_or(("absent", None), |machine| state(machine.state));
    Row {
        machine: name.to_string(),
        container: machine.map(|machine| machine.name.clone()),
        state,
        exit_code,
        health: machine.and_then(|machine| health(machine.health)),
        nics,
        ports: machine.map(|machine| machine.published.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        uptime_seconds: since.map(|since| now.duration_since(since).as_secs().max(0)),
        started_at,
        image: machine.map(|machine| machine.container.image.clone()),
        guest: machine.and_then(|machine| machine.container.guest.clone()).map(|version| GuestRow { current: version == own, version }),
    }
}

fn nic(link: &LinkState) -> NicRow {
    NicRow {
        addresses: link.link.addresses.iter().map(ToString::to_string).collect(),
        mac: link.link.mac.map(|mac| mac.to_string()),
        mtu: link.link.mtu,
        up: link.link.up,
    }
}

pub(super) fn state(state: RunState) -> (&'static str, Option<i64>) {
    match state {
        RunState::Created => ("created", None),
        RunState::Running => ("running", None),
        RunState::Paused => ("paused", None),
        RunState::Restarting => ("restarting", None),
        RunState::Exited { code } => ("exited", Some(code)),
        RunState::Dead => ("dead", None),
    }
}

fn health(health: Health) -> Option<&'static str> {
    match health {
        Health::None => None,
        Health::Starting => Some("starting"),
        Health::Healthy => Some("healthy"),
        Health::Unhealthy => Some("unhealthy"),
    }
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["MACHINE", "STATE", "ADDRESSES", "PORTS", "UPTIME", "IMAGE"]);
    for row in rows {
        let state = match (row.exit_code, row.health) {
            (Some(code), _) => format!("{}({code})", row.state),
            (None, Some(health)) => format!("{}, {health}", row.state),
            (None, None) => row.state.to_owned(),
        };
        let is_old = row.guest.as_ref().is_some_and(|guest| !guest.current);
        let state = if is_old { format!("{state}, old guest") } else { state };
        table.add_row([
            clean(&row.machine),
            state,
            row.nics.iter().map(|(name, nic)| addresses(name, nic)).collect::<Vec<_>>().join("\n"),
            row.ports.join("\n"),
            row.uptime_seconds.map(uptime).unwrap_or_default(),
            clean(row.image.as_deref().unwrap_or_default()),
        ]);
    }
    plain(&table)
}

/// Columns are padded to their width: nobody wants that at the end of a line.
pub(super) fn plain(table: &Table) -> String {
    let mut out = String::new();
    for line in table.to_string().lines() {
        let line = line.trim_end();
        out.push_str(line.strip_prefix(' ').unwrap_or(line));
        out.push('\n');
    }
    out
}

fn addresses(name: &str, nic: &NicRow) -> String {
    let mut parts = vec![clean(name)];
    parts.extend(nic.addresses.iter().cloned());
    if nic.addresses.is_empty() {
        parts.push("-".to_owned());
    }
    if !nic.up {
        parts.push("(down)".to_owned());
    }
    parts.join(" ")
}

/// The two largest units: `2d 4h`, `3h 12m`, `45s`.
fn uptime(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

fn json(project: &Name, rows: &[Row]) -> String {
    let document = Document { version: 1, project, machines: rows };
    let mut text = serde_json::to_string_pretty(&document).expect("maps have text keys, and nothing here can fail to serialise");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(addresses: &[&str], up: bool) -> NicRow {
        let addresses = addresses.iter().map(|text| (*text).to_owned()).collect();
        NicRow { addresses, mac: Some("02:00:5e:10:00:01".into()), mtu: Some(1500), up }
    }

    fn rows() -> Vec<Row> {
        let web = Row {
            machine: "web".into(),
            container: Some("shop.web".into()),
            state: "running",
            exit_code: None,
            health: Some("healthy"),
            nics: [
                ("eth0".to_owned(), nic(&["192.168.1.100/24", "fd00::100/64"], true)),
                ("eth1".to_owned(), nic(&["10.10.0.2/24"], false)),
                ("eth3".to_owned(), nic(&[], true)),
            ]
            .into(),
            ports: vec!["8080:80/tcp".into()],
            started_at: Some("2026-01-01T00:00:00Z".into()),
            uptime_seconds: Some(11_520),
            image: Some("debian:12".into()),
            guest: Some(GuestRow { version: "0123456789ab".into(), current: false }),
        };
        let bare = |machine: &str, state, exit_code, image: Option<&str>| Row {
            machine: machine.into(),
            container: None,
            state,
            exit_code,
            health: None,
            nics: BTreeMap::new(),
            ports: vec![],
            started_at: None,
            uptime_seconds: None,
            image: image.map(Into::into),
            guest: None,
        };
        vec![bare("migrate", "exited", Some(1), Some("shop\x1b[31m:1")), bare("new", "absent", None, None), web]
    }

    #[test]
    fn a_table_for_people() {
        insta::assert_snapshot!(text(&rows()), @r"
        MACHINE  STATE                        ADDRESSES                           PORTS        UPTIME  IMAGE
        migrate  exited(1)                                                                             shop\x1b[31m:1
        new      absent
        web      running, healthy, old guest  eth0 192.168.1.100/24 fd00::100/64  8080:80/tcp  3h 12m  debian:12
                                              eth1 10.10.0.2/24 (down)
                                              eth3 -
        ");
    }

    #[test]
    fn a_document_for_programs() {
        let project: Name = "shop".parse().unwrap();
        let value: serde_json::Value = serde_json::from_str(&json(&project, &rows()[2..])).unwrap();
        let eth0 =
            serde_json::json!({"addresses": ["192.168.1.100/24", "fd00::100/64"], "mac": "02:00:5e:10:00:01", "mtu": 1500, "up": true});
        assert_eq!(value["version"], 1);
        assert_eq!(value["project"], "shop");
        assert_eq!(value["machines"][0]["nics"]["eth0"], eth0);
        assert_eq!(value["machines"][0]["uptime_seconds"], 11_520);
        assert_eq!(value["machines"][0]["guest"], serde_json::json!({"version": "0123456789ab", "current": false}));
    }

    #[test]
    fn times_have_two_units() {
        let texts = [0, 59, 60, 3599, 3600, 11_520, 86_399, 190_000].map(uptime);
        assert_eq!(texts, ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "3h 12m", "23h 59m", "2d 4h"]);
    }
}
