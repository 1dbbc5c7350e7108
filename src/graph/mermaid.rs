//! Mermaid's flowchart: <https://mermaid.js.org/syntax/flowchart.html>.

use std::fmt::Write as _;

use super::{Graph, To};

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    // Whatever a node is called, its id is a plain word: `end` and `x-1` mean something there.
    for (at, network) in graph.networks.iter().enumerate() {
        let lines = [&network.name].into_iter().chain(&network.notes);
        let _ = writeln!(out, "  n{at}([\"{}\"])", label(lines));
    }
    for (at, machine) in graph.machines.iter().enumerate() {
        let lines = [&machine.name].into_iter().chain(&machine.notes);
        let _ = writeln!(out, "  m{at}[\"{}\"]", label(lines));
    }
    for (at, machine) in graph.machines.iter().enumerate() {
        for card in &machine.cards {
            if let To::Network(network) = card.to {
                let _ = writeln!(out, "  m{at} ---|\"{}\"| n{network}", label(card.lines()));
            }
        }
    }
    for cable in &graph.cables {
        let [(one, _), (other, _)] = cable.ends;
        let words = graph.ends(cable).map(|card| label([card.lines().join(" ")]));
        let _ = writeln!(out, "  m{one} ===|\"{}\"| m{other}", words.join("<br/>"));
    }
    out
}

fn label(lines: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    lines.into_iter().map(|line| escaped(line.as_ref())).collect::<Vec<_>>().join("<br/>")
}

/// Only what means nothing to Mermaid, or to the Markdown around it, stays as it is.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_alphanumeric() || " ./:_-,@".contains(c) {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_breaks_out_of_a_label() {
        assert_eq!(escaped("fd00::1/64 `a\"b<c#d`"), "fd00::1/64 #96;a#34;b#60;c#35;d#96;");
    }
}
