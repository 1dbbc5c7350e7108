//! Graphviz: <https://graphviz.org/doc/info/lang.html>.

use std::fmt::Write as _;

use super::{Graph, To};

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = format!("graph {} {{\n", quoted([&graph.project]));
    out.push_str("  graph [rankdir=LR, splines=true];\n");
    out.push_str("  node [fontname=\"sans-serif\", fontsize=11];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for network in &graph.networks {
        let lines = [&network.name].into_iter().chain(&network.notes);
        let _ = writeln!(out, "  {} [shape=ellipse, label={}];", network_id(&network.name), quoted(lines));
    }
    for machine in &graph.machines {
        let lines = [&machine.name].into_iter().chain(&machine.notes);
        let _ = writeln!(out, "  {} [shape=box, label={}];", machine_id(&machine.name), quoted(lines));
    }
    for machine in &graph.machines {
        for card in &machine.cards {
            if let To::Network(network) = card.to {
                let network = network_id(&graph.networks[network].name);
                let _ = writeln!(out, "  {} -- {network} [label={}];", machine_id(&machine.name), quoted(card.lines()));
            }
        }
    }
    for cable in &graph.cables {
        let [one, other] = cable.ends.map(|(machine, _)| machine_id(&graph.machines[machine].name));
        let words = graph.ends(cable).map(|card| card.lines().join(" "));
        let _ = writeln!(out, "  {one} -- {other} [style=bold, label={}];", quoted(&words));
    }
    out.push_str("}\n");
    out
}

fn network_id(name: &str) -> String {
    quoted([format!("network/{name}")])
}

fn machine_id(name: &str) -> String {
    quoted([format!("machine/{name}")])
}

/// Lines in quotes. What is written there is read twice: as a text, and for escapes like `\N` and `&lt;`.
fn quoted(lines: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let lines: Vec<String> =
        lines.into_iter().map(|line| line.as_ref().replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")).collect();
    format!("\"{}\"", lines.join("\\n"))
}
