//! Which modules a kernel has: it is asked to use them, in a namespace that nobody else knows and that ends with the question.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::error::{Refused, While};
use super::socket::Client;
use super::{qdisc, read};
use crate::net::NetError;
use crate::types::{Percent, Rate, Traffic};

/// Those that are known to be there. One that is missing may be loaded by the next time.
static THERE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// On a thread that is thrown away: it leaves its namespace.
pub(super) fn of(modules: &BTreeSet<String>) -> Result<BTreeSet<String>, NetError> {
    let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
    let asked: Vec<String> = modules.difference(&there).cloned().collect();
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut lacking = BTreeSet::new();
    let client = match aside() {
        // Whoever may not ask finds out when it is used.
        Err(refused) if refused.is(&[Errno::PERM]) => return Ok(lacking),
        other => other.doing(|| "open a network namespace to try modules of the kernel in")?,
    };
    for module in asked {
        if try_out(&client, &module).doing(|| format!("ask the kernel for `{module}`"))? {
            there.insert(module);
        } else {
            lacking.insert(module);
        }
    }
    Ok(lacking)
}

fn aside() -> Result<Client, Refused> {
    // SAFETY: only the file descriptor table would matter to other threads, and it stays shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Client::open()
}

/// Whether it can be used, there, on the loopback.
fn try_out(client: &Client, module: &str) -> Result<bool, Refused> {
    let kind = match module {
        "macvlan" => Some(InfoKind::MacVlan),
        "ipvlan" => Some(InfoKind::IpVlan),
        "8021q" => Some(InfoKind::Vlan),
        "vxlan" => Some(InfoKind::Vxlan),
        _ => None,
    };
    if let Some(kind) = kind {
        return makes(client, kind);
    }
    let traffic = match module {
        "sch_netem" => Traffic { loss: Some(Percent(1)), ..Traffic::default() },
        "sch_tbf" => Traffic { rate: Some(Rate::MIN), ..Traffic::default() },
        _ => return Ok(true),
    };
    let lo = read::link_named(client, "lo")?.ok_or(Errno::NODEV)?;
    let Some(message) = qdisc::wanted(lo.index, &traffic, lo.mtu) else { return Ok(true) };
    match client.tell(Say::NewQueueDiscipline(message), NLM_F_CREATE | NLM_F_REPLACE) {
        Err(refused) if refused.is(&[Errno::NOENT, Errno::OPNOTSUPP]) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Asked for a link of a kind without anything that such a link needs, the kernel says that this is missing, or that there is no such
/// kind; it makes none in either case.
fn makes(client: &Client, kind: InfoKind) -> Result<bool, Refused> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
    match client.tell(Say::NewLink(message), NLM_F_CREATE | NLM_F_EXCL) {
        Err(refused) if refused.is(&[Errno::OPNOTSUPP]) => Ok(false),
        Err(refused) if refused.is(&[Errno::PERM, Errno::ACCESS]) => Err(refused),
        _ => Ok(true),
    }
}
