//! `fly nics`: every network card as the kernel has it, with what has gone through.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::args::{Format, NicsArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::ps;
use super::settings::Settings;
use super::ui::Ui;
use super::world;
use crate::actual::Actual;
use crate::desired::{Attach, Desired, Nic};
use crate::diag::{self, Diagnostic, Kind};
use crate::net::{Counters, LinkState};
use crate::plan::render::clean;
use crate::types::{Bytes, IfName, Link, LinkKind, Name, Ns};

pub(super) fn run(args: &NicsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let (file, wrong) = load::load_leniently(settings)?;
    if let Some(failure) = wrong {
        ui.failure(&failure);
    }
    let actual = world::block_on(ps::observe(settings, &file.desired.project))??;
    let rows = chosen(rows(&file.desired, &actual), &args.machines)?;
    ui.out(&match args.format {
        Format::Text => text(&rows),
        Format::Json => json(&file.desired.project, &rows),
    })?;
    Ok(Exit::Done)
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
    /// As in `fly ps`.
    state: &'static str,
    nics: BTreeMap<String, NicRow>,
}

#[derive(Debug, PartialEq, Serialize)]
struct NicRow {
    /// A network's kind or `cable`; of a card that the file does not know, the kernel's word.
    kind: String,
    network: Option<String>,
    /// The host's card that it hangs on.
    parent: Option<String>,
    /// The host's bridge that it is plugged into.
    bridge: Option<String>,
    /// The other end of a cable, as `db:eth5`.
    peer: Option<String>,
    mac: Option<String>,
    addresses: Vec<String>,
    mtu: Option<u32>,
    /// `up`, `down`, `no-carrier`, or `absent`: as the file says.
    state: &'static str,
    counters: Option<Counters>,
}

/// Every machine that is there, and those that the file has besides.
fn rows(desired: &Desired, actual: &Actual) -> Vec<Row> {
    let names: BTreeSet<&Name> = desired.machines.keys().chain(actual.engine.machines.keys()).collect();
    names.into_iter().map(|name| row(name, desired, actual)).collect()
}

fn row(name: &Name, desired: &Desired, actual: &Actual) -> Row {
    let wanted = desired.machines.get(name).map(|machine| &machine.nics);
    let of_file = |card: &str| wanted.and_then(|nics| nics.get(&IfName::new(card).ok()?));
    let there = actual.namespace(&Ns::Machine(name.clone())).map(|ns| &ns.links);
    let mut nics: BTreeMap<String, NicRow> =
        there.into_iter().flatten().map(|(card, link)| (card.clone(), seen(link, of_file(card), actual))).collect();
    for (card, nic) in wanted.into_iter().flatten() {
        nics.entry(card.to_string()).or_insert_with(|| absent(nic));
    }
    let state = actual.machine(name).map_or("absent", |machine| ps::state(machine.state).0);
    Row { machine: name.to_string(), state, nics }
}

/// What it hangs on, and by which kind of network, as far as links alone can tell.
fn hanging(link: &Link, nic: Option<&Nic>) -> NicRow {
    let word = link.kind.to_string().split(' ').next().unwrap_or_default().to_owned();
    let kind = match nic.map(|nic| &nic.attach) {
        Some(Attach::Nat { .. }) => "nat".to_owned(),
        Some(Attach::Bridge { .. }) => "bridge".to_owned(),
        Some(Attach::Cable { .. }) => "cable".to_owned(),
        Some(Attach::Macvlan { .. } | Attach::Ipvlan { .. } | Attach::Physical { .. }) | None => word,
    };
    let mut row = NicRow {
        kind,
        network: nic.and_then(|nic| nic.attach.network()).map(ToString::to_string),
        parent: None,
        bridge: None,
        peer: None,
        mac: link.mac.map(|mac| mac.to_string()),
        addresses: link.addresses.iter().map(ToString::to_string).collect(),
        mtu: link.mtu,
        state: "absent",
        counters: None,
    };
    match &link.kind {
        LinkKind::Veth { peer: Some(peer) } if peer.ns != Ns::Host => row.peer = Some(peer.to_string()),
        LinkKind::Physical { device } => row.parent = Some(device.clone()),
        kind => row.parent = kind.parent().map(ToString::to_string),
    }
    row
}

fn seen(link: &LinkState, nic: Option<&Nic>, actual: &Actual) -> NicRow {
    let state = match (link.link.up, link.carrier) {
        (false, _) => "down",
        (true, false) => "no-carrier",
        (true, true) => "up",
    };
    let bridge = actual.plugged_into(link).map(str::to_owned);
    NicRow { bridge, state, counters: link.counters, ..hanging(&link.link, nic) }
}

fn absent(nic: &Nic) -> NicRow {
    let bridge = match &nic.attach {
        Attach::Nat { bridge, .. } | Attach::Bridge { bridge, .. } => Some(bridge.clone()),
        Attach::Macvlan { .. } | Attach::Ipvlan { .. } | Attach::Physical { .. } | Attach::Cable { .. } => None,
    };
    NicRow { bridge, ..hanging(&nic.link(None), Some(nic)) }
}

/// Those that are meant by these names; by none, all.
fn chosen(rows: Vec<Row>, names: &[String]) -> Result<Vec<Row>, Diagnostic> {
    for name in names {
        if !rows.iter().any(|row| row.machine == *name) {
            let mut unknown = Diagnostic::new(Kind::Usage, format!("there is no machine `{}`", clean(name)));
            if let Some(meant) = diag::similar(name, rows.iter().map(|row| row.machine.as_str())) {
                unknown = unknown.hint(format!("did you mean `{meant}`?"));
            }
            return Err(unknown.hint("`fly ps` lists the machines"));
        }
    }
    Ok(rows.into_iter().filter(|row| names.is_empty() || names.contains(&row.machine)).collect())
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["MACHINE", "NIC", "KIND", "ON", "MAC", "ADDRESSES", "MTU", "STATE", "RX", "TX", "ERRORS", "DROPS"]);
    for row in rows {
        if row.nics.is_empty() {
            table.add_row([clean(&row.machine), "-".to_owned()]);
        }
        for (name, nic) in &row.nics {
            table.add_row(cells(&row.machine, name, nic));
        }
    }
    ps::plain(&table)
}

fn cells(machine: &str, name: &str, nic: &NicRow) -> [String; 12] {
    let on = nic.parent.as_ref().or(nic.bridge.as_ref()).or(nic.peer.as_ref()).map_or_else(|| "-".to_owned(), |on| clean(on));
    let on = nic.network.as_ref().map_or_else(|| on.clone(), |network| format!("{network} ({on})"));
    let amount = |bytes: u64, packets: u64| format!("{} ({packets})", Bytes(bytes).human());
    let counted = |count: &dyn Fn(&Counters) -> String| nic.counters.as_ref().map(count).unwrap_or_default();
    [
        clean(machine),
        clean(name),
        clean(&nic.kind),
        on,
        nic.mac.clone().unwrap_or_default(),
        if nic.addresses.is_empty() { "-".to_owned() } else { nic.addresses.join("\n") },
        nic.mtu.map(|mtu| mtu.to_string()).unwrap_or_default(),
        nic.state.to_owned(),
        counted(&|it| amount(it.rx_bytes, it.rx_packets)),
        counted(&|it| amount(it.tx_bytes, it.tx_packets)),
        counted(&|it| it.rx_errors.saturating_add(it.tx_errors).to_string()),
        counted(&|it| it.rx_dropped.saturating_add(it.tx_dropped).to_string()),
    ]
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

    fn nic(kind: &str, state: &'static str, addresses: &[&str]) -> NicRow {
        let counters = Counters { rx_bytes: 3 << 20, rx_packets: 2345, tx_bytes: 80, tx_packets: 1, rx_dropped: 2, ..Counters::default() };
        NicRow {
            kind: kind.into(),
            network: None,
            parent: None,
            bridge: None,
            peer: None,
            mac: Some("02:00:5e:10:00:01".into()),
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            mtu: Some(1500),
            state,
            counters: (state != "absent").then_some(counters),
        }
    }

    fn rows() -> Vec<Row> {
        let lan = NicRow {
            network: Some("lan".into()),
            parent: Some("eth1".into()),
            ..nic("macvlan", "up", &["192.168.1.100/24", "fd00::100/64"])
        };
        let cable = NicRow { peer: Some("db:eth5".into()), ..nic("cable", "no-carrier", &["10.0.0.1/30"]) };
        let gone =
            NicRow { network: Some("back".into()), bridge: Some("flyfsyzrhkf4o2c".into()), mtu: None, ..nic("bridge", "absent", &[]) };
        vec![
            Row { machine: "db".into(), state: "exited", nics: [("eth0".to_owned(), gone)].into() },
            Row { machine: "old".into(), state: "created", nics: BTreeMap::new() },
            Row { machine: "web".into(), state: "running", nics: [("eth0".to_owned(), lan), ("eth5".to_owned(), cable)].into() },
        ]
    }

    #[test]
    fn a_table_for_people() {
        insta::assert_snapshot!(text(&rows()), @r"
        MACHINE  NIC   KIND     ON                      MAC                ADDRESSES         MTU   STATE       RX              TX        ERRORS  DROPS
        db       eth0  bridge   back (flyfsyzrhkf4o2c)  02:00:5e:10:00:01  -                       absent
        old      -
        web      eth0  macvlan  lan (eth1)              02:00:5e:10:00:01  192.168.1.100/24  1500  up          3.0 MiB (2345)  80 B (1)  0       2
                                                                           fd00::100/64
        web      eth5  cable    db:eth5                 02:00:5e:10:00:01  10.0.0.1/30       1500  no-carrier  3.0 MiB (2345)  80 B (1)  0       2
        ");
    }

    #[test]
    fn a_document_for_programs() {
        let project: Name = "shop".parse().unwrap();
        let value: serde_json::Value = serde_json::from_str(&json(&project, &rows())).unwrap();
        assert_eq!((&value["version"], &value["project"]), (&1.into(), &"shop".into()));
        assert_eq!(value["machines"][0]["state"], "exited");
        assert_eq!(
            value["machines"][2]["nics"]["eth0"],
            serde_json::json!({
                "kind": "macvlan", "network": "lan", "parent": "eth1", "bridge": null, "peer": null,
                "mac": "02:00:5e:10:00:01", "addresses": ["192.168.1.100/24", "fd00::100/64"], "mtu": 1500, "state": "up",
                "counters": {
                    "rx_bytes": 3 << 20, "rx_packets": 2345, "rx_errors": 0, "rx_dropped": 2,
                    "tx_bytes": 80, "tx_packets": 1, "tx_errors": 0, "tx_dropped": 0,
                },
            })
        );
        assert_eq!(value["machines"][0]["nics"]["eth0"]["counters"], serde_json::Value::Null);
    }

    #[test]
    fn a_machine_that_nobody_has_is_a_mistake() {
        assert_eq!(chosen(rows(), &["db".to_owned()]).unwrap().len(), 1);
        let wrong = chosen(rows(), &["wbe".to_owned()]).unwrap_err();
        assert_eq!((wrong.message.as_str(), wrong.hints[0].as_str()), ("there is no machine `wbe`", "did you mean `web`?"));
    }
}
