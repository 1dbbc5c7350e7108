//! The project as a picture: machines, networks and cables, from the resolved file alone. Pure, and the same file gives the same bytes.

mod dot;
mod mermaid;
mod svg;

use std::collections::BTreeMap;

use crate::desired::{Attach, Desired, NetworkKind};
use crate::types::{CableId, IfName, Name, NetworkMode};

/// What is drawn, in words: each line of a label by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    project: String,
    networks: Vec<Network>,
    machines: Vec<Machine>,
    cables: Vec<Cable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    name: String,
    notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Machine {
    name: String,
    notes: Vec<String>,
    cards: Vec<Card>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Card {
    name: String,
    addresses: Vec<String>,
    to: To,
}

/// What a card is joined to, by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Network(usize),
    Cable(usize),
}

/// Machine and card of both ends, by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cable {
    name: String,
    ends: [(usize, usize); 2],
}

impl Graph {
    pub fn of(desired: &Desired) -> Self {
        let network_at: BTreeMap<&Name, usize> = desired.networks.keys().zip(0..).collect();
        let cable_at: BTreeMap<&CableId, usize> = desired.cables.keys().zip(0..).collect();
        let networks = desired.networks.iter().map(|(name, network)| {
            let host = network.host_link.iter().flat_map(|link| &link.link.addresses).map(|net| format!("host {}", net.addr()));
            let notes = [kind(&network.kind)].into_iter().chain(network.subnets.iter().map(ToString::to_string)).chain(host);
            Network { name: name.to_string(), notes: notes.collect() }
        });
        let to = |attach: &Attach| match attach {
            Attach::Cable { id, .. } => cable_at.get(id).map(|at| To::Cable(*at)),
            other => other.network().and_then(|network| network_at.get(network)).map(|at| To::Network(*at)),
        };
        let machines = desired.machines.iter().map(|(name, machine)| {
            let cards = machine.nics.iter().filter_map(|(card, nic)| {
                let addresses = nic.addresses.iter().map(ToString::to_string).collect();
                Some(Card { name: card.to_string(), addresses, to: to(&nic.attach)? })
            });
            let shared = match &machine.container.network_mode {
                NetworkMode::Own => None,
                other => Some(format!("network_mode {other}")),
            };
            let notes = [machine.container.image.clone()].into_iter().chain(shared);
            Machine { name: name.to_string(), notes: notes.collect(), cards: cards.collect() }
        });
        let mut graph =
            Self { project: desired.project.to_string(), networks: networks.collect(), machines: machines.collect(), cables: vec![] };
        graph.cables = desired.cables.keys().filter_map(|id| graph.cable(id)).collect();
        graph
    }

    fn cable(&self, id: &CableId) -> Option<Cable> {
        let end = |(machine, card): &(Name, IfName)| {
            let at = self.machines.iter().position(|it| it.name == machine.as_str())?;
            Some((at, self.machines[at].cards.iter().position(|it| it.name == card.as_str())?))
        };
        let [one, other] = id.ends();
        Some(Cable { name: id.to_string(), ends: [end(one)?, end(other)?] })
    }

    /// A flowchart for Mermaid, as GitHub and GitLab draw it in Markdown.
    pub fn mermaid(&self) -> String {
        mermaid::draw(self)
    }

    /// For Graphviz.
    pub fn dot(&self) -> String {
        dot::draw(self)
    }

    /// A picture that needs no other program.
    pub fn svg(&self) -> String {
        svg::draw(self)
    }

    /// Card and addresses at both ends of a cable.
    fn ends<'a>(&'a self, cable: &Cable) -> [&'a Card; 2] {
        cable.ends.map(|(machine, card)| &self.machines[machine].cards[card])
    }
}

fn kind(kind: &NetworkKind) -> String {
    match kind {
        NetworkKind::Nat { .. } => "nat".to_owned(),
        NetworkKind::Bridge => "bridge".to_owned(),
        NetworkKind::ExistingBridge { bridge } => format!("bridge {bridge}"),
        NetworkKind::Macvlan { parent, .. } => format!("macvlan on {parent}"),
        NetworkKind::Ipvlan { parent, .. } => format!("ipvlan on {parent}"),
        NetworkKind::Physical { device } => format!("physical {device}"),
    }
}

impl Card {
    /// Its name, and below it its addresses.
    fn lines(&self) -> Vec<&str> {
        [&self.name].into_iter().chain(&self.addresses).map(String::as_str).collect()
    }
}
