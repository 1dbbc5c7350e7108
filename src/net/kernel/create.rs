//! Making links, each in the namespace where it belongs.
//!
//! The creating message carries name, MAC, MTU and group, so that what is left after a SIGKILL at any point is recognised, and
//! finished by the next run.

use std::rc::Rc;
use std::time::Instant;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::link::LinkAttribute;
use rustix::io::Errno;

use super::error::{Refused, While, fault};
use super::kind::Detail;
use super::link::{Card, PATIENCE, PAUSE};
use super::message;
use super::place::{Place, Places};
use super::read;
use crate::net::{NetError, NetErrorKind};
use crate::types::{LinkKind, LinkRef, MacvlanMode, Ns, PlacedLink, stable_hash};

const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

fn taken(at: &LinkRef) -> NetError {
    fault(NetErrorKind::Conflict, format!("create {at}"), "another link has this name")
}

/// The kernel has no such kind of link, and says so without a word about which.
fn explain(refused: Refused, kind: &str) -> Refused {
    match refused {
        Refused { errno: Errno::OPNOTSUPP, words: None } => Refused::new(Errno::OPNOTSUPP, format!("the kernel has no module `{kind}`")),
        other => other,
    }
}

pub(super) fn link(places: &Places<'_>, wanted: &PlacedLink) -> Result<(), NetError> {
    let at = &wanted.at;
    let birth: Box<dyn Birth> = match &wanted.link.kind {
        LinkKind::Bridge => Box::new(Bridge { place: places.at(&at.ns)? }),
        LinkKind::Vxlan { .. } => Box::new(Child::new(places, wanted)?),
        LinkKind::Macvlan { parent: Some(_), .. } | LinkKind::Ipvlan { parent: Some(_), .. } | LinkKind::Vlan { parent: Some(_), .. } => {
            Box::new(Child::new(places, wanted)?)
        }
        other => {
            return Err(fault(NetErrorKind::Unsupported, format!("create {at}"), format!("fly does not make links of kind `{other}`")));
        }
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let fresh = match birth.give(places, wanted) {
            Ok(()) => true,
            Err(refused) if refused.is(&[Errno::EXIST]) => false,
            Err(refused) => return Err(refused.doing(format!("create {at}"))),
        };
        match Card::find(places, at)? {
            Some(card) if fresh || card.has_our_marks() && birth.would_be(&card)? => {
                card.dress(wanted, fresh)?;
                card.bring(wanted.link.up)?;
                card.introduce(wanted)?;
                return card.route(wanted, fresh);
            }
            // A stranger's, or ours but something else: nothing that waiting changes.
            Some(card) if at.ns != Ns::Host || !card.has_our_marks() => return Err(taken(at)),
            _ if Instant::now() >= deadline => return Err(taken(at)),
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// How a link of one kind comes into being.
trait Birth {
    fn give(&self, places: &Places<'_>, wanted: &PlacedLink) -> Result<(), Refused>;
    /// Is this what `give` would have made?
    fn would_be(&self, card: &Card<'_>) -> Result<bool, NetError>;
}

struct Bridge {
    place: Rc<Place>,
}

impl Birth for Bridge {
    fn give(&self, _: &Places<'_>, wanted: &PlacedLink) -> Result<(), Refused> {
        self.place.client.tell(Say::NewLink(message::bridge(wanted)), NEW).map_err(|refused| explain(refused, "bridge"))
    }

    fn would_be(&self, card: &Card<'_>) -> Result<bool, NetError> {
        Ok(card.raw.kind == "bridge")
    }
}

/// What hangs on a parent, or on nothing.
struct Child {
    place: Rc<Place>,
    /// Where the parent is, and the message comes from.
    from: Rc<Place>,
    parent: Option<u32>,
    kind: LinkKind,
    /// Kernels before 6.15 look for the name where the message comes from, too, where `eth0` is most often another.
    clash: bool,
}

impl Child {
    fn new(places: &Places<'_>, wanted: &PlacedLink) -> Result<Self, NetError> {
        let kind = wanted.link.kind.clone();
        let place = places.at(&wanted.at.ns)?;
        let Some(parent) = kind.parent() else {
            let from = Rc::clone(&place);
            return Ok(Self { place, from, parent: None, kind, clash: false });
        };
        let doing = || format!("create {} on {parent}", wanted.at);
        let card = Card::get(places, parent, doing)?;
        let (from, parent) = (card.place, Some(card.raw.index));
        let elsewhere = place.inode != from.inode;
        let clash = elsewhere && read::link_named(&from.client, &wanted.at.name).doing(doing)?.is_some();
        Ok(Self { place, from, parent, kind, clash })
    }

    fn birth(&self, places: &Places<'_>, wanted: &PlacedLink, name: &str) -> Result<(), Refused> {
        let into = (self.place.inode != self.from.inode).then(|| places.space(&self.place));
        let message = message::child(wanted, name, self.parent, into);
        self.from.client.tell(Say::NewLink(message), NEW).map_err(|refused| explain(refused, self.kind.word()))
    }

    /// Under a name that nobody has, then renamed where it is.
    fn in_two_steps(&self, places: &Places<'_>, wanted: &PlacedLink) -> Result<(), Refused> {
        if read::link_named(&self.place.client, &wanted.at.name)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        // The same for the same card, so that what a run that was cut off has left is found; another for each of a machine's cards.
        let [a, b, c, d, ..] = stable_hash(&[&self.place.inode.to_string(), &wanted.at.name]);
        let name = format!("fly-{a:02x}{b:02x}{c:02x}{d:02x}");
        let leftover = || read::link_named(&self.place.client, &name);
        if let Some(raw) = leftover()? {
            self.place.client.tell(Say::DelLink(message::at(raw.index, Vec::new())), 0)?;
        }
        self.birth(places, wanted, &name)?;
        let raw = leftover()?.ok_or(Errno::NODEV)?;
        let rename = message::at(raw.index, vec![LinkAttribute::IfName(wanted.at.name.clone())]);
        self.place.client.tell(Say::SetLink(rename), 0)
    }
}

impl Birth for Child {
    fn give(&self, places: &Places<'_>, wanted: &PlacedLink) -> Result<(), Refused> {
        match self.birth(places, wanted, &wanted.at.name) {
            Err(refused) if refused.is(&[Errno::EXIST]) && self.clash => self.in_two_steps(places, wanted),
            other => other,
        }
    }

    fn would_be(&self, card: &Card<'_>) -> Result<bool, NetError> {
        let is_whole = |mode: MacvlanMode| mode == MacvlanMode::Passthru;
        let is_alike = match (&self.kind, &card.raw.detail) {
            // What can be changed is changed when it is dressed.
            (LinkKind::Macvlan { mode, .. }, Detail::Macvlan { mode: now, .. }) => is_whole(*mode) == is_whole(*now),
            (LinkKind::Ipvlan { .. }, Detail::Ipvlan(_)) => true,
            (LinkKind::Vlan { id, .. }, Detail::Vlan(now)) => id == now,
            (LinkKind::Vxlan { vni, port, local, .. }, Detail::Vxlan { vni: v, port: p, local: l, parent }) => {
                return Ok((vni, port, local, self.parent) == (v, p, l, *parent));
            }
            _ => false,
        };
        match self.parent {
            Some(parent) => Ok(is_alike && card.hangs_on(&self.from, parent)?),
            None => Ok(is_alike),
        }
    }
}

pub(super) fn veth(places: &Places<'_>, a: &PlacedLink, b: &PlacedLink) -> Result<(), NetError> {
    let (here, there) = (places.at(&a.at.ns)?, places.at(&b.at.ns)?);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let into = (here.inode != there.inode).then(|| places.space(&there));
        let fresh = match here.client.tell(Say::NewLink(message::veth(a, b, into)), NEW) {
            Ok(()) => true,
            Err(refused) if refused.is(&[Errno::EXIST]) => false,
            Err(refused) => return Err(explain(refused, "veth").doing(format!("create veth {} to {}", a.at, b.at))),
        };
        let ends = (Card::find(places, &a.at)?, Card::find(places, &b.at)?);
        if let (Some(one), Some(two)) = &ends
            && (fresh || is_ours(one, a) && is_ours(two, b) && are_a_pair(one, two)?)
        {
            return finish([(one, a), (two, b)], fresh);
        }
        // Half of a pair: the other half was deleted, or its machine is dying, or the pair was made for another purpose. Both
        // halves go at once.
        for (card, wanted) in [(ends.0, a), (ends.1, b)] {
            match card {
                Some(card) if is_ours(&card, wanted) => card.delete()?,
                Some(_) => return Err(taken(&wanted.at)),
                None => {}
            }
        }
        if Instant::now() >= deadline {
            return Err(taken(&a.at));
        }
        std::thread::sleep(PAUSE);
    }
}

/// May this end be taken for, or make room for, the end that is wanted? On the host by its marks; in a machine the engine's NICs
/// are veths as well, and they have neither fly's alias nor its MAC.
fn is_ours(card: &Card<'_>, wanted: &PlacedLink) -> bool {
    let raw = &card.raw;
    if raw.kind != "veth" {
        return false;
    }
    if card.place.ns == Ns::Host {
        return card.has_our_marks();
    }
    let marked = raw.alias.as_ref().is_some_and(|alias| alias.starts_with("fly:") && !alias.contains(" engine="));
    marked || raw.mac.is_some_and(|mac| mac.is_automatic() || wanted.link.mac == Some(mac))
}

fn are_a_pair(one: &Card<'_>, two: &Card<'_>) -> Result<bool, NetError> {
    Ok(one.hangs_on(&two.place, two.raw.index)? && two.hangs_on(&one.place, one.raw.index)?)
}

/// Both ends step by step: routes need a carrier, and that needs both ends up.
fn finish(ends: [(&Card<'_>, &PlacedLink); 2], fresh: bool) -> Result<(), NetError> {
    ends.iter().try_for_each(|(card, wanted)| card.dress(wanted, fresh))?;
    ends.iter().try_for_each(|(card, wanted)| card.bring(wanted.link.up))?;
    ends.iter().try_for_each(|(card, wanted)| card.introduce(wanted))?;
    ends.iter().try_for_each(|(card, wanted)| card.route(wanted, fresh))
}
