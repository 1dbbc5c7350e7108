//! What kind of network it is, which keys such a one has, and what it needs beneath it on the host.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Places;
use super::work::{Errors, Net, NetKind, Nets, Vxlan};
use crate::diag::{At, Diagnostic, Place};
use crate::spec::{self, ModeSpec, NetworkKind as Kind};
use crate::types::{
    IfName, IpvlanMode, Link, LinkKind, LinkRef, Mac, MacvlanMode, Manners, Name, PlacedLink, Tuning, VXLAN_PORT, host_link_name, vlan_name,
};

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Nat => "nat",
        Kind::Bridge => "bridge",
        Kind::Macvlan => "macvlan",
        Kind::Ipvlan => "ipvlan",
        Kind::Vxlan => "vxlan",
        Kind::Physical => "physical",
    }
}

/// Without `kind`, whether there is a `parent` decides.
pub(super) fn decide(net: &mut Net, spec: &spec::Network, place: &Place, errors: &mut Errors) {
    let unread = |key| spec.broken.has(key);
    if unread("kind") || spec.kind.is_none() && unread("parent") {
        return;
    }
    let kind = spec.kind.as_ref().map_or(if spec.parent.is_some() { Kind::Macvlan } else { Kind::Bridge }, |kind| kind.value);
    check_keys(kind, spec, &net.places, errors);
    for link in [&spec.parent, &spec.bridge, &spec.uplink].into_iter().flatten() {
        if let Err(error) = IfName::new(link.value.clone()) {
            errors.push(Diagnostic::invalid(error.to_string()).at(&link.place));
        }
    }
    let at_kind = spec.kind.as_ref().map_or(place, |kind| &kind.place);
    net.kind = match kind {
        Kind::Nat => NetKind::Nat,
        Kind::Bridge => bridge(net, spec),
        Kind::Vxlan => vxlan(net, spec, at_kind, errors),
        Kind::Macvlan | Kind::Ipvlan | Kind::Physical => on_parent(net, kind, spec, at_kind, errors),
    };
}

/// Which keys belong to which kinds, and what to do about one that does not.
fn check_keys(kind: Kind, spec: &spec::Network, places: &Places, errors: &mut Errors) {
    use Kind::{Bridge, Ipvlan, Macvlan, Physical, Vxlan};
    const KEYS: &[(&str, &[Kind], &str)] = &[
        ("parent", &[Macvlan, Ipvlan, Vxlan, Physical], "`kind: macvlan`, or leave `parent` out"),
        ("bridge", &[Bridge], "`kind: bridge`, or leave `bridge` out"),
        ("mode", &[Macvlan, Ipvlan], "leave `mode` out: it is macvlan's and ipvlan's"),
        ("vlan", &[Macvlan, Ipvlan, Bridge], "leave `vlan` out: it is for what hangs on a card of the host"),
        ("uplink", &[Bridge], "`kind: bridge`, or leave `uplink` out"),
        ("promiscuous", &[Macvlan], "leave `promiscuous` out: it is macvlan's"),
        ("sources", &[Macvlan], "leave `sources` out: it is macvlan's"),
        ("vni", &[Vxlan], "`kind: vxlan`, or leave `vni` out"),
        ("remotes", &[Vxlan], "`kind: vxlan`, or leave `remotes` out"),
        ("port", &[Vxlan], "`kind: vxlan`, or leave `port` out"),
        ("local", &[Vxlan], "`kind: vxlan`, or leave `local` out"),
    ];
    for (key, _, hint) in KEYS.iter().filter(|(_, kinds, _)| !kinds.contains(&kind)) {
        if let Some(place) = places.fields.get(key) {
            errors.push(Diagnostic::invalid(format!("a network of kind `{}` has no `{key}`", word(kind))).at(place).hint(*hint));
        }
    }
    let mut refuse = |place: Option<&Place>, message: String, hint: &str| {
        errors.push(Diagnostic::invalid(message).at_some(place).hint(hint));
    };
    if let (Bridge, Some(_), Some(uplink)) = (kind, &spec.bridge, &spec.uplink) {
        refuse(Some(&uplink.place), "fly gives no `uplink` to a bridge that is not its own".into(), "plug the card in yourself");
    }
    if let (Bridge, Some(vlan), None) = (kind, &spec.vlan, &spec.uplink) {
        refuse(Some(&vlan.place), "a `vlan` of a bridge is one of its `uplink`".into(), "uplink: eth1");
    }
    match (kind, &spec.mode) {
        (Macvlan, Some(At { value: ModeSpec::Ipvlan(mode), place })) => {
            refuse(Some(place), format!("`{mode}` is a mode of ipvlan"), "`kind: ipvlan`, or a mode of macvlan, as `mode: private`");
        }
        (Ipvlan, Some(At { value: ModeSpec::Macvlan(mode), place })) => {
            refuse(Some(place), format!("`{mode}` is a mode of macvlan"), "`kind: macvlan`, or a mode of ipvlan, as `mode: l3`");
        }
        _ => {}
    }
    let is_source = matches!(spec.mode, Some(At { value: ModeSpec::Macvlan(MacvlanMode::Source), .. }));
    if let (Macvlan, Some(place), false) = (kind, places.fields.get("sources"), is_source || spec.broken.has("mode")) {
        refuse(Some(place), "only macvlan's mode `source` looks at `sources`".into(), "mode: source");
    }
}

fn bridge(net: &mut Net, spec: &spec::Network) -> NetKind {
    if let Some(bridge) = &spec.bridge {
        return NetKind::Existing(bridge.value.clone());
    }
    if spec.broken.has("bridge") || spec.broken.has("uplink") || spec.broken.has("vlan") {
        return NetKind::Unknown;
    }
    net.uplink = spec.uplink.as_ref().map(|uplink| on_vlan(net, spec, &uplink.value));
    NetKind::Bridge
}

fn vxlan(net: &mut Net, spec: &spec::Network, at_kind: &Place, errors: &mut Errors) -> NetKind {
    if ["vni", "remotes", "port", "local", "parent"].iter().any(|key| spec.broken.has(key)) {
        return NetKind::Unknown;
    }
    let Some(vni) = &spec.vni else {
        let error = Diagnostic::invalid("a network of kind `vxlan` needs a `vni`, its number, the same on every host").at(at_kind);
        errors.push(error.hint("vni: 42"));
        return NetKind::Unknown;
    };
    let remotes = spec.remotes.iter().flatten();
    for remote in remotes.clone() {
        let (one, local) = (remote.value, spec.local.as_ref());
        if one.is_multicast() || one.is_unspecified() {
            let error = Diagnostic::invalid(format!("`{one}` is no address of one host, and `remotes` are hosts")).at(&remote.place);
            errors.push(error.hint("remotes: [192.0.2.7]"));
        } else if let Some(local) = local.filter(|local| local.value == one) {
            let error = Diagnostic::invalid(format!("`{one}` is both `local` and among the `remotes`")).at(&remote.place);
            errors.push(error.also(&local.place, "the address of this host").hint("`remotes` are the other hosts"));
        }
    }
    let all: Vec<&At<std::net::IpAddr>> = remotes.chain(&spec.local).collect();
    if let Some((first, other)) =
        all.first().and_then(|first| Some((first, all.iter().find(|at| at.value.is_ipv4() != first.value.is_ipv4())?)))
    {
        let error = Diagnostic::invalid("a vxlan speaks IPv4 or IPv6, and not both").at(&other.place);
        errors.push(error.also(&first.place, "the other family is here").hint("one network for each"));
    }
    net.vxlan = Some(Vxlan {
        vni: vni.value,
        port: spec.port.as_ref().map_or(VXLAN_PORT, |port| port.value),
        parent: spec.parent.as_ref().map(|parent| parent.value.clone()),
        local: spec.local.as_ref().map(|local| local.value),
        remotes: spec.remotes.iter().flatten().map(|remote| remote.value).collect(),
    });
    NetKind::Bridge
}

fn on_parent(net: &mut Net, kind: Kind, spec: &spec::Network, at_kind: &Place, errors: &mut Errors) -> NetKind {
    if spec.broken.has("vlan") || spec.parent.is_none() && spec.broken.has("parent") {
        return NetKind::Unknown;
    }
    if spec.parent.is_none() {
        let error = Diagnostic::invalid(format!("a network of kind `{}` needs a `parent`, the host's card that it uses", word(kind)));
        errors.push(error.at(at_kind).hint("parent: eth0"));
    }
    let parent = spec.parent.as_ref().map_or_else(String::new, |parent| on_vlan(net, spec, &parent.value));
    if kind == Kind::Physical {
        return NetKind::Physical { device: parent };
    }
    if kind == Kind::Ipvlan {
        let mode = match &spec.mode {
            Some(At { value: ModeSpec::Ipvlan(mode), .. }) => *mode,
            _ => IpvlanMode::default(),
        };
        return NetKind::Ipvlan { parent, mode };
    }
    let mode = match &spec.mode {
        Some(At { value: ModeSpec::Macvlan(mode), .. }) => *mode,
        _ => MacvlanMode::default(),
    };
    let sources = spec.sources.as_ref().map(|macs| macs.iter().map(|mac| mac.value).collect());
    NetKind::Macvlan { parent, mode, sources, promiscuous: spec.promiscuous.as_ref().is_some_and(|on| on.value) }
}

/// The link that `card` stands for: itself, or its VLAN.
fn on_vlan(net: &mut Net, spec: &spec::Network, card: &str) -> String {
    let Some(vlan) = &spec.vlan else { return card.to_owned() };
    net.vlan = Some((card.to_owned(), vlan.value));
    vlan_name(card, vlan.value)
}

/// The link beneath the network: its vxlan, a port of its bridge, or the VLAN that its cards or its bridge hang on.
pub(super) fn lower(project: &Name, net: &Net, bridge: Option<&PlacedLink>) -> Option<PlacedLink> {
    let link = |kind, mac, mtu, master| Link {
        kind,
        mac,
        mtu,
        up: true,
        master,
        addresses: BTreeSet::new(),
        routes: BTreeSet::new(),
        tuning: Tuning::default(),
    };
    if let Some((card, id)) = &net.vlan {
        let kind = LinkKind::Vlan { parent: Some(LinkRef::host(card.clone())), id: *id };
        let link = link(kind, None, None, None);
        return Some(PlacedLink { at: LinkRef::host(vlan_name(card, *id)), link, alias: None, manners: Manners::default() });
    }
    let (Vxlan { vni, port, parent, local, remotes }, bridge) = (net.vxlan.as_ref()?, bridge?);
    let parent = parent.clone().map(LinkRef::host);
    let kind = LinkKind::Vxlan { vni: *vni, port: *port, parent, local: *local, remotes: remotes.clone() };
    let what = format!("vxlan/{}", net.name);
    let mac = Some(Mac::automatic(&format!("{project}:{what}")));
    let link = link(kind, mac, bridge.link.mtu, Some(bridge.at.name.clone()));
    Some(PlacedLink { at: LinkRef::host(host_link_name(project, &what)), link, alias: bridge.alias.clone(), manners: Manners::default() })
}

/// What the kernel puts on one card only in one way.
pub(super) fn check_shared(nets: &Nets, errors: &mut Errors) {
    let mut parents: BTreeMap<&str, &Net> = BTreeMap::new();
    let mut numbers: BTreeMap<(u32, u16), &Net> = BTreeMap::new();
    let mut uplinks: BTreeMap<&str, &Net> = BTreeMap::new();
    for net in nets.values() {
        let mut refuse = |key: &str, message: String, other: &Net, hint: &str| {
            let error = Diagnostic::invalid(message).at_some(net.places.of(key));
            let error = other.places.of(key).map_or_else(|| error.clone(), |there| error.clone().also(there, "the other is here"));
            errors.push(error.hint(hint));
        };
        if let NetKind::Macvlan { parent, .. } | NetKind::Ipvlan { parent, .. } = &net.kind
            && !parent.is_empty()
        {
            let other = *parents.entry(parent).or_insert(net);
            match (&other.kind, &net.kind) {
                (NetKind::Macvlan { .. }, NetKind::Ipvlan { .. }) | (NetKind::Ipvlan { .. }, NetKind::Macvlan { .. }) => {
                    let message =
                        format!("`{parent}` carries cards of macvlan or of ipvlan, and not both: `{}` and `{}`", other.name, net.name);
                    refuse("parent", message, other, "one `kind` for both, or another `parent`");
                }
                (NetKind::Ipvlan { mode: one, .. }, NetKind::Ipvlan { mode: two, .. }) if one != two => {
                    let message = format!(
                        "all ipvlan cards of `{parent}` are in one mode, and `{}` is in {one}, `{}` in {two}",
                        other.name, net.name
                    );
                    refuse("mode", message, other, "one `mode` for both, or another `parent`");
                }
                _ => {}
            }
        }
        if let Some(vxlan) = &net.vxlan {
            let other = *numbers.entry((vxlan.vni, vxlan.port)).or_insert(net);
            if other.name != net.name {
                let message = format!("`{}` and `{}` are one vxlan, {}: this host can have it once", other.name, net.name, vxlan.vni);
                refuse("vni", message, other, "a `vni` of its own for one of them");
            }
        }
        if let Some(uplink) = &net.uplink {
            let other = *uplinks.entry(uplink).or_insert(net);
            if other.name != net.name {
                let message = format!("`{uplink}` is the uplink of `{}` and of `{}`: a card is one bridge's port", other.name, net.name);
                refuse("uplink", message, other, "another `uplink`, or a `vlan` for each");
            }
        }
    }
}
