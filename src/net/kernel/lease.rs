//! Addresses by DHCP and from routers: got, kept, given back.
//!
//! Nothing is remembered here. The kernel counts the time of an address that has an end, and takes it away; who gave it, and for how
//! long, stands behind the card's alias (`fly:shop/web/eth2 dhcp=192.0.2.1,3600`). So whoever comes later, also another build, can
//! renew a lease or give it back.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mozim::{
    DhcpError, DhcpV4Client, DhcpV4Config, DhcpV4Lease, DhcpV4State, DhcpV6Client, DhcpV6Config, DhcpV6Duid, DhcpV6Lease, DhcpV6Mode,
    DhcpV6State, ErrorKind,
};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::link::LinkAttribute;
use rustix::io::Errno;

use super::error::{Refused, While, fault};
use super::link::Card;
use super::place::Places;
use super::read::{self, RawAddress};
use super::{message, resolv};
use crate::net::{NetError, NetErrorKind, NetOp};
use crate::types::{Dynamic, Leasing, LinkRef, Mac, Ns, Route};

/// A server answers at once, or asks first whether the address is free, which takes it three seconds.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// What was agreed on.
struct Agreed {
    net: IpNet,
    seconds: u32,
    /// As it stands behind the alias.
    server: String,
    routes: Vec<Route>,
    resolvers: Vec<IpAddr>,
    search: Vec<String>,
}

/// Idempotent: a lease of which less than half the time is over stays as it is.
pub(super) fn keep(places: &Places<'_>, op: &NetOp, at: &LinkRef, leasing: &Leasing) -> Result<(), NetError> {
    let card = Card::get(places, at, || op.to_string())?;
    if !card.raw.up {
        return Err(fault(NetErrorKind::Other, op.to_string(), "the card is down"));
    }
    for way in &leasing.ways {
        if *way == Dynamic::Slaac {
            card.accept_router(true)?;
            wait(&card, *way)?;
            continue;
        }
        let now = leased(&card, *way)?;
        let noted = Note::read(&card, *way);
        let is_fresh = |it: &RawAddress| noted.as_ref().is_some_and(|noted| it.valid.is_none_or(|left| left > noted.seconds / 2));
        if now.as_ref().is_some_and(is_fresh) {
            continue;
        }
        let mac = card.raw.mac.ok_or_else(|| fault(NetErrorKind::Other, op.to_string(), "the card has no MAC"))?;
        let agreed = if way.is_v4() {
            card.inside(|| ask_v4(&card, mac, leasing, now.as_ref()))
        } else {
            card.accept_router(false)?;
            let source = wait_for_link_local(&card)?;
            card.inside(|| ask_v6(&card, mac, source))
        };
        let agreed = match agreed {
            Ok(agreed) => agreed,
            // What there is lives on until its time is over; there will be other tries.
            Err(refused) if now.is_some() && refused.is(&[Errno::TIMEDOUT]) => continue,
            Err(refused) => return Err(refused.doing(op.to_string())),
        };
        take(places, &card, *way, leasing, &agreed, now.as_ref()).doing(|| op.to_string())?;
        if now.is_none_or(|old| old.net != agreed.net) {
            places.later.tell_thrice(&card, agreed.net.addr());
        }
    }
    Ok(())
}

/// Gives back what `ways` say, as far as there is anything.
pub(super) fn release(places: &Places<'_>, op: &NetOp, at: &LinkRef, ways: &BTreeSet<Dynamic>) -> Result<(), NetError> {
    let Some(card) = Card::find(places, at)? else { return Ok(()) };
    for way in ways {
        let Some(now) = leased(&card, *way)? else { continue };
        if *way != Dynamic::Slaac {
            if let (Some(note), Some(mac)) = (Note::read(&card, *way), card.raw.mac) {
                // A courtesy: the server finds out by itself when the time is over.
                if let Err(error) = card.inside(|| give_back(&card, mac, &now, &note)) {
                    tracing::debug!("{}: {error}", card.at());
                }
            }
            Note::write(&card, *way, None).doing(|| op.to_string())?;
        }
        card.remove_address(&now.net)?;
        if let Ns::Machine(machine) = &at.ns {
            places.with(machine, op, |process| resolv::write(process, &at.name, *way, &[], &[]))?;
        }
    }
    Ok(())
}

fn leased(card: &Card<'_>, way: Dynamic) -> Result<Option<RawAddress>, NetError> {
    let dump = read::addresses(&card.place.client).doing(|| format!("read the addresses of {}", card.at()))?;
    Ok(dump.items.into_iter().find(|it| it.index == card.raw.index && it.lease == Some(way)))
}

fn wait(card: &Card<'_>, way: Dynamic) -> Result<(), NetError> {
    let until = Instant::now() + PATIENCE;
    while leased(card, way)?.is_none() {
        if Instant::now() > until {
            let message = format!("no router has told of a prefix within {} s", PATIENCE.as_secs());
            return Err(fault(NetErrorKind::Other, format!("get an address by {way} for {}", card.at()), message));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// `DHCPv6` is spoken from it; the kernel makes sure for a second that nobody else has it.
fn wait_for_link_local(card: &Card<'_>) -> Result<Ipv6Addr, NetError> {
    let doing = || format!("get an address by dhcp6 for {}", card.at());
    let until = Instant::now() + PATIENCE;
    loop {
        let dump = read::addresses(&card.place.client).doing(doing)?;
        let ready = dump.items.iter().filter(|it| it.index == card.raw.index && !it.tentative).find_map(|it| match it.net {
            IpNet::V6(net) if net.addr().is_unicast_link_local() => Some(net.addr()),
            _ => None,
        });
        match ready {
            Some(address) => return Ok(address),
            None if Instant::now() > until => return Err(fault(NetErrorKind::Other, doing(), "the card has no link-local address")),
            None => std::thread::sleep(PAUSE),
        }
    }
}

fn run<T>(work: impl Future<Output = Result<T, DhcpError>>, who: &str) -> Result<T, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work).map_err(|error| match error.kind() {
        ErrorKind::Timeout => Refused::new(Errno::TIMEDOUT, format!("no {who} server has answered within {} s", PATIENCE.as_secs())),
        _ => Refused::new(Errno::PROTO, format!("the {who} server: {}", error.msg())),
    })
}

fn config_v4(card: &Card<'_>, mac: Mac) -> DhcpV4Config {
    let mut config = DhcpV4Config::new(&card.raw.name);
    config.set_iface_index(card.raw.index).set_timeout_sec(u32::try_from(PATIENCE.as_secs()).unwrap_or(u32::MAX));
    // A MAC has six bytes, and nothing else is refused.
    let _ = config.set_iface_mac_raw(&mac.bytes());
    config.use_mac_as_client_id();
    config
}

/// With the address that there is, if there is one: the server confirms it, or says no, and then another one is asked for.
fn ask_v4(card: &Card<'_>, mac: Mac, leasing: &Leasing, now: Option<&RawAddress>) -> Result<Agreed, Refused> {
    let mut config = config_v4(card, mac);
    config.set_host_name(&leasing.hostname);
    let known = now.and_then(|now| known_v4(now, None));
    let lease = run(
        async {
            let mut client = DhcpV4Client::init(config, known).await?;
            loop {
                if let DhcpV4State::Done(lease) = client.run().await? {
                    return Ok(*lease);
                }
            }
        },
        "DHCP",
    )?;
    let length = u8::try_from(u32::from(lease.subnet_mask).count_ones()).unwrap_or(32);
    let net = Ipv4Net::new(lease.yiaddr, length).map_err(|_| Errno::INVAL)?;
    let route = |to: Ipv4Net, via: Ipv4Addr| Route { via: Some(via.into()), ..Route::new(to.trunc().into(), None) };
    let routes = match &lease.classless_routes {
        Some(routes) => routes
            .iter()
            .filter(|it| !it.router.is_unspecified())
            .filter_map(|it| Some(route(Ipv4Net::new(it.destination, it.prefix_length).ok()?, it.router)))
            .collect(),
        None => lease.gateways.iter().flatten().take(1).map(|via| route(Ipv4Net::default(), *via)).collect(),
    };
    let search = lease.domain_search.clone().or_else(|| lease.domain_name.clone().map(|name| vec![name])).unwrap_or_default();
    Ok(Agreed {
        net: net.into(),
        seconds: lease.lease_time_sec,
        server: lease.srv_id.to_string(),
        routes,
        resolvers: lease.dns_srvs.iter().flatten().map(|address| IpAddr::from(*address)).collect(),
        search,
    })
}

fn known_v4(now: &RawAddress, server: Option<Ipv4Addr>) -> Option<DhcpV4Lease> {
    let IpNet::V4(net) = now.net else { return None };
    let mut lease = DhcpV4Lease::default();
    (lease.yiaddr, lease.subnet_mask) = (net.addr(), net.netmask());
    lease.srv_id = server.unwrap_or(Ipv4Addr::UNSPECIFIED);
    Some(lease)
}

fn config_v6(card: &Card<'_>, mac: Mac, source: Ipv6Addr) -> DhcpV6Config {
    let mut config = DhcpV6Config::new(&card.raw.name, DhcpV6Mode::NonTemporaryAddresses);
    config.set_iface_index(card.raw.index).set_link_local_ip(source).set_duid_by_iface_mac(&mac.bytes());
    config.set_timeout_sec(u32::try_from(PATIENCE.as_secs()).unwrap_or(u32::MAX));
    config
}

/// Always from the start: a server gives the same address to who has the same name, and counts its time anew.
fn ask_v6(card: &Card<'_>, mac: Mac, source: Ipv6Addr) -> Result<Agreed, Refused> {
    let config = config_v6(card, mac, source);
    let lease = run(
        async {
            let mut client = DhcpV6Client::init(config, None).await?;
            loop {
                if let DhcpV6State::Done(lease) = client.run().await? {
                    return Ok(*lease);
                }
            }
        },
        "DHCPv6",
    )?;
    let net = Ipv6Net::new(lease.address, 128).map_err(|_| Errno::INVAL)?;
    Ok(Agreed {
        net: net.into(),
        seconds: lease.valid_time_sec,
        server: hex(&server_id(&lease)),
        routes: vec![],
        resolvers: lease.dns_srvs.iter().map(|address| IpAddr::from(*address)).collect(),
        search: lease.domain_list.clone(),
    })
}

/// As it is on the wire: option 2, with whose code and length mozim gives it out.
fn server_id(lease: &DhcpV6Lease) -> Vec<u8> {
    let mut whole = lease.get_option_raw(2).and_then(|all| all.into_iter().next()).unwrap_or_default();
    let head = u16::try_from(whole.len().saturating_sub(4)).map(u16::to_be_bytes).unwrap_or_default();
    if whole.get(..4) == Some(&[0, 2, head[0], head[1]]) { whole.split_off(4) } else { whole }
}

fn give_back(card: &Card<'_>, mac: Mac, now: &RawAddress, note: &Note) -> Result<(), Refused> {
    match now.net {
        IpNet::V4(_) => {
            let Some(lease) = known_v4(now, note.server.parse().ok()) else { return Ok(()) };
            let config = config_v4(card, mac);
            let work = async {
                let mut client = DhcpV4Client::init(config, Some(lease.clone())).await?;
                client.release(&lease).await
            };
            run(work, "DHCP")
        }
        IpNet::V6(net) => {
            let source = wait_for_link_local(card).map_err(|error| Refused::new(Errno::ADDRNOTAVAIL, error.message))?;
            let config = config_v6(card, mac, source);
            let mut lease = DhcpV6Lease::default();
            lease.address = net.addr();
            lease.ia_type = Some(mozim::DhcpV6IaType::NonTemporaryAddresses);
            lease.cli_duid = config.duid.clone();
            lease.srv_duid = DhcpV6Duid::Raw(unhex(&note.server).unwrap_or_default());
            let work = async {
                let mut client = DhcpV6Client::init(config, Some(lease.clone())).await?;
                client.release(&lease).await
            };
            run(work, "DHCPv6")
        }
    }
}

/// Makes what was agreed on the card's, and the machine's.
fn take(
    places: &Places<'_>,
    card: &Card<'_>,
    way: Dynamic,
    leasing: &Leasing,
    agreed: &Agreed,
    before: Option<&RawAddress>,
) -> Result<(), Refused> {
    Note::write(card, way, Some(&Note { server: agreed.server.clone(), seconds: agreed.seconds }))?;
    card.place.client.tell(Say::NewAddress(message::leased(card.raw.index, &agreed.net, agreed.seconds)), NLM_F_CREATE | NLM_F_REPLACE)?;
    if let Some(old) = before.filter(|old| old.net != agreed.net) {
        let _ = card.remove_address(&old.net);
    }
    for route in agreed.routes.iter().filter(|_| leasing.routers) {
        let told = Say::NewRoute(message::leased_route(card.raw.index, route));
        card.place.client.tell(told, NLM_F_CREATE | NLM_F_REPLACE)?;
    }
    if let (Ns::Machine(machine), true) = (&card.place.ns, leasing.resolvers) {
        let op = NetOp::Lease { at: card.at(), leasing: Box::new(leasing.clone()) };
        let (name, servers) = (&card.raw.name, &agreed.resolvers);
        let written = places.with(machine, &op, |process| resolv::write(process, name, way, servers, &agreed.search));
        // A machine whose file is not to be written has its reasons.
        if let Err(error) = written {
            tracing::debug!("{error}");
        }
    }
    Ok(())
}

/// What stands behind a card's alias of a lease.
struct Note {
    server: String,
    seconds: u32,
}

impl Note {
    fn read(card: &Card<'_>, way: Dynamic) -> Option<Self> {
        let alias = card.raw.alias.as_deref()?;
        let text = alias.split(' ').find_map(|word| word.strip_prefix(&format!("{way}=")))?;
        let (server, seconds) = text.split_once(',')?;
        Some(Self { server: server.to_owned(), seconds: seconds.parse().ok()? })
    }

    fn write(card: &Card<'_>, way: Dynamic, note: Option<&Self>) -> Result<(), Refused> {
        // Another one may have been written since the card was looked at.
        let now = read::link_at(&card.place.client, card.raw.index)?.and_then(|raw| raw.alias).unwrap_or_default();
        let key = format!("{way}=");
        let mut words: Vec<String> = now.split(' ').filter(|word| !word.starts_with(&key)).map(str::to_owned).collect();
        words.extend(note.map(|note| format!("{key}{},{}", note.server, note.seconds)));
        card.change(vec![LinkAttribute::IfAlias(words.join(" "))])
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
