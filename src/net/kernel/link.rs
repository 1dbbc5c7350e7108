//! One link in one namespace, and what can be done to it. Every verb takes "is so already" for success.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::link::LinkAttribute;
use rustix::io::Errno;

use super::error::{Refused, While, fault};
use super::place::{Place, Places};
use super::read::{self, RawLink};
use super::{kind, message, owner, probe};
use crate::net::{NetError, NetErrorKind};
use crate::types::{LinkRef, Ns, PlacedLink, Route};

/// How long what a dying namespace still holds is waited for, and how often it is tried.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// A link that exists.
pub(super) struct Card<'a> {
    pub(super) places: &'a Places<'a>,
    pub(super) place: Rc<Place>,
    pub(super) raw: RawLink,
}

impl<'a> Card<'a> {
    pub(super) fn find(places: &'a Places<'a>, at: &LinkRef) -> Result<Option<Self>, NetError> {
        let place = places.at(&at.ns)?;
        let raw = read::link_named(&place.client, &at.name).doing(|| format!("look up {at}"))?;
        // A name that is another's alternative name is found as well; that is not the link by this name.
        Ok(raw.filter(|raw| raw.name == at.name).map(|raw| Self { places, place, raw }))
    }

    pub(super) fn get(places: &'a Places<'a>, at: &LinkRef, doing: impl FnOnce() -> String) -> Result<Self, NetError> {
        Self::find(places, at)?.ok_or_else(|| fault(NetErrorKind::NotFound, doing(), format!("there is no link {at}")))
    }

    pub(super) fn of(places: &'a Places<'a>, place: Rc<Place>, raw: RawLink) -> Self {
        Self { places, place, raw }
    }

    pub(super) fn at(&self) -> LinkRef {
        LinkRef { ns: self.place.ns.clone(), name: self.raw.name.clone() }
    }

    /// Made by fly, as far as the marks of the creating message tell. Inside a machine everything is.
    pub(super) fn has_our_marks(&self) -> bool {
        self.place.ns != Ns::Host || owner::has_our_marks(&self.raw)
    }

    /// Does this link's other end, or parent, with this index live in `other`?
    pub(super) fn hangs_on(&self, other: &Place, index: u32) -> Result<bool, NetError> {
        if self.raw.lower != Some(index) {
            return Ok(false);
        }
        let Some(number) = self.raw.space else { return Ok(self.place.inode == other.inode) };
        let known = read::number_of(&self.place.client, self.places.space(other).fd()).doing(|| format!("look at {}", self.at()))?;
        Ok(known == Some(number))
    }

    pub(super) fn tell(&self, say: Say, flags: u16) -> Result<(), Refused> {
        self.place.client.tell(say, flags)
    }

    pub(super) fn change(&self, attributes: Vec<LinkAttribute>) -> Result<(), Refused> {
        self.tell_patiently(&Say::SetLink(message::at(self.raw.index, attributes)))
    }

    /// A MAC may still be held by a card whose container is gone: namespaces die at their leisure.
    fn tell_patiently(&self, say: &Say) -> Result<(), Refused> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.tell(say.clone(), 0) {
                Err(refused) if refused.is(&[Errno::ADDRINUSE]) && Instant::now() < deadline => std::thread::sleep(PAUSE),
                other => return other,
            }
        }
    }

    /// As `change`; a driver or an old kernel that wants the link down for it gets it down for a moment. Says if that was so.
    pub(super) fn change_even_down(&self, attribute: &LinkAttribute) -> Result<bool, Refused> {
        match self.change(vec![attribute.clone()]) {
            Err(refused) if refused.is(&[Errno::BUSY]) && self.raw.up => {
                self.switch(false)?;
                let changed = self.change(vec![attribute.clone()]);
                self.switch(true)?;
                changed.map(|()| true)
            }
            other => other.map(|()| false),
        }
    }

    pub(super) fn switch(&self, up: bool) -> Result<(), Refused> {
        self.tell_patiently(&Say::SetLink(message::switched(self.raw.index, up)))
    }

    pub(super) fn delete(&self) -> Result<(), NetError> {
        match self.tell(Say::DelLink(message::at(self.raw.index, Vec::new())), 0) {
            Err(refused) if refused.is(&[Errno::NODEV]) => Ok(()),
            other => other.doing(|| format!("delete link {}", self.at())),
        }
    }

    pub(super) fn addresses(&self) -> Result<BTreeSet<IpNet>, NetError> {
        let dump = read::addresses(&self.place.client).doing(|| format!("read the addresses of {}", self.at()))?;
        Ok(dump.items.into_iter().filter(|found| found.index == self.raw.index && !found.kernels).map(|found| found.net).collect())
    }

    pub(super) fn routes(&self) -> Result<BTreeSet<Route>, NetError> {
        let dump = read::routes(&self.place.client).doing(|| format!("read the routes of {}", self.at()))?;
        Ok(dump.items.into_iter().filter(|found| found.index == self.raw.index && !found.kernels).map(|found| found.route).collect())
    }

    /// Engines disable IPv6 on what they do not know; and the kernel forgets a link's IPv6 addresses, but not those of IPv4, when
    /// it is set down. And the neighbours are to be told of them.
    pub(super) fn enable_ipv6(&self) -> Result<(), NetError> {
        let doing = || format!("enable IPv6 on {}", self.at());
        for (setting, value) in [("disable_ipv6", "0"), ("keep_addr_on_down", "1"), ("ndisc_notify", "1")] {
            let path = format!("/proc/sys/net/ipv6/conf/{}/{setting}", self.raw.name);
            let put = || match std::fs::read_to_string(&path) {
                Ok(text) if text.trim() == value => Ok(()),
                Ok(_) => std::fs::write(&path, value).map_err(Refused::from),
                Err(error) => Err(Refused::from(error)),
            };
            match self.places.inside(&self.place, put) {
                Err(refused) if refused.is(&[Errno::NOENT]) => {
                    return Err(Refused::new(Errno::AFNOSUPPORT, "this kernel has no IPv6 here").doing(doing()));
                }
                // Only a convenience; `/proc/sys` may be read-only.
                Err(_) if setting != "disable_ipv6" => {}
                other => other.doing(doing)?,
            }
        }
        Ok(())
    }

    /// Listens to routers, also where the machine is one itself; with `address`, the kernel makes one of what they tell.
    pub(super) fn accept_router(&self, address: bool) -> Result<(), NetError> {
        self.enable_ipv6()?;
        for (setting, value) in [("accept_ra", "2"), ("autoconf", if address { "1" } else { "0" })] {
            let path = format!("/proc/sys/net/ipv6/conf/{}/{setting}", self.raw.name);
            let put = || {
                if std::fs::read_to_string(&path)?.trim() == value { Ok(()) } else { std::fs::write(&path, value).map_err(Refused::from) }
            };
            self.places.inside(&self.place, put).doing(|| format!("listen to routers on {}", self.at()))?;
        }
        Ok(())
    }

    pub(super) fn add_addresses<'n>(&self, nets: impl IntoIterator<Item = &'n IpNet>) -> Result<(), NetError> {
        let mut enabled = false;
        for net in nets {
            if matches!(net, IpNet::V6(_)) && !enabled {
                self.enable_ipv6()?;
                enabled = true;
            }
            let doing = || format!("add address {net} to {}", self.at());
            match self.tell(Say::NewAddress(message::address(self.raw.index, net)), NLM_F_CREATE | NLM_F_EXCL) {
                // The same address with another prefix is refused in the same words.
                Err(refused) if refused.is(&[Errno::EXIST]) && self.addresses()?.contains(net) => {}
                other => other.doing(doing)?,
            }
        }
        Ok(())
    }

    pub(super) fn remove_address(&self, net: &IpNet) -> Result<(), NetError> {
        match self.tell(Say::DelAddress(message::address(self.raw.index, net)), 0) {
            Err(refused) if refused.is(&[Errno::ADDRNOTAVAIL, Errno::NODEV]) => Ok(()),
            other => other.doing(|| format!("remove address {net} from {}", self.at())),
        }
    }

    /// Tells the neighbours of all addresses. The kernel does so when a MAC is set, also to what it is, but says nothing of an address
    /// that comes to a link that is up.
    pub(super) fn announce(&self) -> Result<(), NetError> {
        let doing = || format!("announce {}", self.at());
        let addresses = self.addresses()?;
        let now = read::link_at(&self.place.client, self.raw.index).doing(doing)?;
        // An ipvlan speaks with the MAC of its parent, and cannot be given one.
        let Some(mac) = now.filter(|now| now.up && now.kind != "ipvlan" && !addresses.is_empty()).and_then(|now| now.mac) else {
            return Ok(());
        };
        if addresses.iter().any(|net| matches!(net, IpNet::V6(_))) {
            self.enable_ipv6()?;
        }
        self.change(vec![message::ipv4_settings()]).doing(doing)?;
        self.change(vec![LinkAttribute::Address(mac.bytes().to_vec())]).doing(doing)
    }

    pub(super) fn add_route(&self, route: &Route) -> Result<(), NetError> {
        match self.new_route(route, NLM_F_EXCL) {
            Err(refused) if refused.is(&[Errno::EXIST]) && self.routes()?.contains(route) => Ok(()),
            other => other.doing(|| format!("add route {route} to {}", self.at())),
        }
    }

    /// A route of the same destination and metric gives way, whichever link it leaves by: the file gives a machine one of them. But the
    /// kernel's own, to the subnet of another card, does not.
    pub(super) fn put_route(&self, route: &Route) -> Result<(), NetError> {
        let kernels_own = || -> Result<bool, NetError> {
            let dump = read::routes(&self.place.client).doing(|| format!("read the routes of {}", self.at()))?;
            Ok(dump.items.iter().any(|found| found.kernels && found.route.key() == route.key()))
        };
        match self.new_route(route, NLM_F_EXCL) {
            Err(refused) if refused.is(&[Errno::EXIST]) && (route.is_default() || !kernels_own()?) => self.new_route(route, NLM_F_REPLACE),
            other => other,
        }
        .doing(|| format!("add route {route} to {}", self.at()))
    }

    fn new_route(&self, route: &Route, how: u16) -> Result<(), Refused> {
        let tell = || self.tell(Say::NewRoute(message::route(self.raw.index, route)), NLM_F_CREATE | how);
        match tell() {
            // Somebody has flushed the routes, and the kernel's own to the gateway's subnet with them.
            Err(refused) if refused.is(&[Errno::NETUNREACH, Errno::HOSTUNREACH]) && self.connect_subnet_of(route) => tell(),
            other => other,
        }
    }

    /// Puts back the route by which a route's gateway is reached. Whether there was anything to put back.
    fn connect_subnet_of(&self, route: &Route) -> bool {
        let Some(via) = route.via else { return false };
        let subnet = self.addresses().ok().and_then(|all| all.into_iter().find(|address| address.contains(&via)));
        subnet.is_some_and(|address| self.connect_subnet(&address).unwrap_or(false))
    }

    /// Puts back the kernel's own route to the subnet of an address. Whether it was missing.
    pub(super) fn connect_subnet(&self, address: &IpNet) -> Result<bool, NetError> {
        match self.tell(Say::NewRoute(message::connected_route(self.raw.index, address)), NLM_F_CREATE | NLM_F_EXCL) {
            Err(refused) if refused.is(&[Errno::EXIST]) => Ok(false),
            other => other.map(|()| true).doing(|| format!("add the route to {} to {}", address.trunc(), self.at())),
        }
    }

    pub(super) fn remove_route(&self, route: &Route) -> Result<(), NetError> {
        match self.tell(Say::DelRoute(message::unwanted_route(self.raw.index, route)), 0) {
            Err(refused) if refused.is(&[Errno::SRCH, Errno::NODEV]) => Ok(()),
            other => other.doing(|| format!("remove route {route} from {}", self.at())),
        }
    }

    /// Alias, MAC, MTU, bridge, kernel parameters and addresses. `fresh`: born a moment ago, without addresses.
    pub(super) fn dress(&self, wanted: &PlacedLink, fresh: bool) -> Result<(), NetError> {
        let (raw, link) = (&self.raw, &wanted.link);
        let doing = |what: &str| format!("{what} {}", self.at());
        let mut said = vec![message::ipv4_settings()];
        if let Some(alias) = wanted.alias.as_ref().filter(|alias| raw.alias.as_ref() != Some(*alias)) {
            said.push(LinkAttribute::IfAlias(alias.clone()));
        }
        if let Some(master) = &link.master {
            let bridge = Self::get(self.places, &LinkRef { ns: self.place.ns.clone(), name: master.clone() }, || doing("plug in"))?;
            if raw.master != Some(bridge.raw.index) {
                said.push(LinkAttribute::Controller(bridge.raw.index));
            }
        }
        self.change(said).doing(|| doing("describe"))?;
        if self.place.ns == Ns::Host && !link.addresses.iter().any(|net| matches!(net, IpNet::V6(_))) {
            // A kernel without IPv6, or a link with IPv6 disabled, has nothing to switch off.
            let _ = self.change(vec![message::no_link_local()]);
        }
        // Also of one that was just born with it: in mode passthru the kernel gives it the parent's first.
        if let Some(mac) = link.mac.filter(|mac| raw.mac != Some(*mac)) {
            self.change_even_down(&LinkAttribute::Address(mac.bytes().to_vec())).doing(|| doing("set the MAC of"))?;
        }
        kind::become_as(self, &link.kind)?;
        if let Some(mtu) = link.mtu.filter(|mtu| raw.mtu != *mtu) {
            self.change(vec![LinkAttribute::Mtu(mtu)]).doing(|| doing("set the MTU of"))?;
        }
        self.set_sysctls(&link.tuning.sysctls)?;
        let there = if fresh { BTreeSet::new() } else { self.addresses()? };
        // What is to be probed for is put there by a card that is up (`introduce`).
        let can_wait = |net: &&IpNet| link.up && wanted.manners.probe.contains(&net.addr());
        self.add_addresses(link.addresses.difference(&there).filter(|net| !can_wait(net)))?;
        if raw.up && !link.addresses.is_subset(&there) { self.announce() } else { Ok(()) }
    }

    pub(super) fn bring(&self, up: bool) -> Result<(), NetError> {
        if self.raw.up == up {
            return Ok(());
        }
        let switched = self.switch(up).map_err(|refused| self.name_the_mac(refused));
        switched.doing(|| format!("set {} {}", self.at(), if up { "up" } else { "down" }))
    }

    /// Of macvlans on one parent each has a MAC of its own. Which one is meant, the kernel does not say; nor who has it.
    pub(super) fn name_the_mac(&self, refused: Refused) -> Refused {
        let now = read::link_at(&self.place.client, self.raw.index).ok().flatten();
        match now.and_then(|now| now.mac).filter(|_| refused.is(&[Errno::ADDRINUSE])) {
            Some(mac) => Refused::new(
                Errno::ADDRINUSE,
                format!(
                    "another card on the same parent has the MAC {mac}, in a namespace that belongs neither to this project nor to the host; `mac` gives this one another"
                ),
            ),
            None => refused,
        }
    }

    /// The addresses of a card that is up now, as far as they had to wait until nobody else has them; and a word to the neighbours.
    pub(super) fn introduce(&self, wanted: &PlacedLink) -> Result<(), NetError> {
        let (link, manners) = (&wanted.link, &wanted.manners);
        if !link.up || manners.is_empty() {
            return Ok(());
        }
        let there = self.addresses()?;
        let missing: BTreeSet<IpNet> = link.addresses.difference(&there).copied().collect();
        probe::ask(self, &missing.iter().map(IpNet::addr).filter(|address| manners.probe.contains(address)).collect())?;
        if !missing.is_empty() {
            self.add_addresses(&missing)?;
            self.announce()?;
        }
        if manners.announce {
            self.places.later.tell(self, link.addresses.iter().map(IpNet::addr).collect());
        }
        Ok(())
    }

    /// Runs `work` in the namespace of this card.
    pub(super) fn inside<T>(&self, work: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
        self.places.inside(&self.place, work)
    }

    /// The routes of `wanted`, and whatever else a link has once it is up.
    pub(super) fn route(&self, wanted: &PlacedLink, fresh: bool) -> Result<(), NetError> {
        let tuning = &wanted.link.tuning;
        if !tuning.traffic.is_empty() {
            self.shape(&tuning.traffic)?;
        }
        // A link that is down has no routes and no neighbours.
        if !wanted.link.up {
            return Ok(());
        }
        self.put_neighbours(&tuning.neighbours)?;
        if wanted.link.routes.is_empty() {
            return Ok(());
        }
        let there = if fresh { BTreeSet::new() } else { self.routes()? };
        // Those without a gateway first: a gateway may be reached by one of them.
        let mut missing: Vec<&Route> = wanted.link.routes.difference(&there).collect();
        missing.sort_by_key(|route| route.via.is_some());
        missing.into_iter().try_for_each(|route| self.put_route(route))
    }
}
