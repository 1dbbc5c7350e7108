//! What is particular to a kind of link: as the kernel tells it, as it is told to the kernel, and what changes while the link is in use.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, InfoVxlan, IpVlanMode, LinkAttribute, LinkInfo, MacVlanMacAddressMode,
    MacVlanMode,
};
use rustix::io::Errno;

use super::error::{Refused, While};
use super::link::Card;
use super::message;
use super::read::{self, ip};
use super::wire::{attributes, u16_at, u32_at};
use crate::net::NetError;
use crate::types::{IpvlanMode, LinkKind, Mac, MacvlanMode};

/// As the kernel tells it; parents are numbers yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Detail {
    #[default]
    None,
    Macvlan {
        mode: MacvlanMode,
        sources: BTreeSet<Mac>,
    },
    Ipvlan(IpvlanMode),
    Vlan(u16),
    Vxlan {
        vni: u32,
        port: u16,
        parent: Option<u32>,
        local: Option<IpAddr>,
    },
}

/// `IFLA_INFO_DATA` of a link of this kind.
pub(super) fn read(kind: &str, data: &[u8]) -> Detail {
    let find = |wanted: u16| attributes(data, 0).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    match kind {
        "macvlan" => {
            let mode = match find(1).and_then(|mode| u32_at(mode, 0)) {
                Some(1) => MacvlanMode::Private,
                Some(2) => MacvlanMode::Vepa,
                Some(8) => MacvlanMode::Passthru,
                Some(16) => MacvlanMode::Source,
                _ => MacvlanMode::Bridge,
            };
            let mac = |value: &[u8]| <[u8; 6]>::try_from(value).ok().and_then(|bytes| Mac::new(bytes).ok());
            let sources = find(5).into_iter().flat_map(|list| attributes(list, 0)).filter_map(|(_, value)| mac(value)).collect();
            Detail::Macvlan { mode, sources }
        }
        "ipvlan" => Detail::Ipvlan(match find(1).and_then(|mode| u16_at(mode, 0)) {
            Some(1) => IpvlanMode::L3,
            Some(2) => IpvlanMode::L3s,
            _ => IpvlanMode::L2,
        }),
        "vlan" => find(1).and_then(|id| u16_at(id, 0)).map_or(Detail::None, Detail::Vlan),
        "vxlan" => Detail::Vxlan {
            vni: find(1).and_then(|vni| u32_at(vni, 0)).unwrap_or_default(),
            port: find(15).and_then(|port| u16_at(port, 0)).map_or(0, u16::from_be),
            parent: find(3).and_then(|index| u32_at(index, 0)).filter(|index| *index != 0),
            local: find(4).or_else(|| find(17)).and_then(ip),
        },
        _ => Detail::None,
    }
}

/// What the message that creates a link says of its kind; nothing for one that is not made so. `parent` is what it hangs on.
pub(super) fn info(kind: &LinkKind, parent: Option<u32>) -> Option<LinkAttribute> {
    let (name, data) = match kind {
        LinkKind::Macvlan { mode, .. } => (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(macvlan_mode(*mode))])),
        LinkKind::Ipvlan { mode, .. } => (InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(ipvlan_mode(*mode))])),
        LinkKind::Vlan { id, .. } => (InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(*id)])),
        LinkKind::Vxlan { vni, port, local, .. } => {
            let mut said = vec![InfoVxlan::Id(*vni), InfoVxlan::Port(*port), InfoVxlan::Learning(true)];
            said.extend(parent.map(InfoVxlan::Link));
            said.extend(local.map(|local| match local {
                IpAddr::V4(local) => InfoVxlan::Local(local),
                IpAddr::V6(local) => InfoVxlan::Local6(local),
            }));
            (InfoKind::Vxlan, InfoData::Vxlan(said))
        }
        LinkKind::Bridge | LinkKind::Veth { .. } | LinkKind::Physical { .. } | LinkKind::Other(_) => return None,
    };
    Some(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(name), LinkInfo::Data(data)]))
}

fn macvlan_mode(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
        MacvlanMode::Source => MacVlanMode::Source,
    }
}

fn ipvlan_mode(mode: IpvlanMode) -> IpVlanMode {
    match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    }
}

/// What is particular to the link's kind becomes as wanted, while it is in use.
pub(super) fn become_as(card: &Card<'_>, wanted: &LinkKind) -> Result<(), NetError> {
    let doing = |what: &str| format!("set the {what} of {}", card.at());
    match (wanted, &card.raw.detail) {
        (LinkKind::Macvlan { mode, sources, promiscuous, .. }, Detail::Macvlan { mode: now, sources: there }) => {
            if mode != now {
                particular(card, info(wanted, None)).doing(|| doing("mode"))?;
            }
            if let Some(sources) = sources.as_ref().filter(|sources| *sources != there && *mode == MacvlanMode::Source) {
                particular(card, Some(only_from(sources))).doing(|| doing("sources"))?;
            }
            if *promiscuous != card.raw.promiscuous {
                card.tell(Say::SetLink(message::promiscuous(card.raw.index, *promiscuous)), 0).doing(|| doing("promiscuous mode"))?;
            }
            Ok(())
        }
        (LinkKind::Ipvlan { mode, .. }, Detail::Ipvlan(now)) if mode != now => particular(card, info(wanted, None)).doing(|| doing("mode")),
        (LinkKind::Vxlan { remotes, .. }, Detail::Vxlan { .. }) => reach(card, remotes),
        _ => Ok(()),
    }
}

/// Changes to what is particular to a kind are honoured in the message that makes links, and silently ignored in the one that changes them.
fn particular(card: &Card<'_>, info: Option<LinkAttribute>) -> Result<(), Refused> {
    card.tell(Say::NewLink(message::at(card.raw.index, info.into_iter().collect())), 0)
}

fn only_from(sources: &BTreeSet<Mac>) -> LinkAttribute {
    let all = sources.iter().map(|mac| InfoMacVlan::MacAddr(mac.bytes())).collect();
    let data = vec![InfoMacVlan::MacAddrMode(MacVlanMacAddressMode::Set), InfoMacVlan::MacAddrData(all)];
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(InfoData::MacVlan(data))])
}

/// New remotes come before old ones go.
fn reach(card: &Card<'_>, remotes: &BTreeSet<IpAddr>) -> Result<(), NetError> {
    let doing = || format!("set the remotes of {}", card.at());
    let there: BTreeSet<IpAddr> = read::remotes(&card.place.client, card.raw.index).doing(doing)?.items.into_iter().collect();
    for remote in remotes.difference(&there) {
        match card.tell(Say::NewNeighbour(message::remote(card.raw.index, *remote)), NLM_F_CREATE | NLM_F_APPEND) {
            Err(refused) if refused.is(&[Errno::EXIST]) => {}
            other => other.doing(doing)?,
        }
    }
    for remote in there.difference(remotes) {
        match card.tell(Say::DelNeighbour(message::remote(card.raw.index, *remote)), 0) {
            Err(refused) if refused.is(&[Errno::NOENT]) => {}
            other => other.doing(doing)?,
        }
    }
    Ok(())
}
