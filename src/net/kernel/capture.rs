//! Packets of a machine's cards: a thread in its namespace that reads them and makes a file of them.
//!
//! Its sockets keep the namespace alive, so it looks now and then whether the machine still is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use super::error::{Refused, While, fault};
use super::packet::{self, PacketSocket};
use super::read::{self, RawLink};
use super::socket::Client;
use super::space::{Process, has_ended};
use crate::net::pcapng::{self, Card, Packet};
use crate::net::{Capture, CaptureOptions, CaptureSummary, Captured, NetError, NetErrorKind};

/// For what comes while nobody reads, of each card.
const ROOM: i32 = 16 << 20;
/// How long a wish to stop, or the end of the machine, may go unnoticed.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Packets of one card at a time: the others wait meanwhile.
const BATCH: usize = 256;
/// Pieces under way to a slow reader; after that the kernel keeps what comes, and then drops it.
const QUEUE: usize = 16;
/// A tag of a VLAN that the kernel has taken out is put back behind both addresses.
const TAG: usize = 4;
const ADDRESSES: usize = 12;
/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK`, whose frames have a header of Ethernet.
const WITH_ETHERNET: [u16; 2] = [1, 772];

pub(super) fn start(pid: u32, options: CaptureOptions) -> Result<Capture, NetError> {
    let (tell, pieces) = mpsc::channel(QUEUE);
    let stop = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&stop);
    let run = move || {
        let told = run(pid, &options, &until, &tell).unwrap_or_else(|error| tell.blocking_send(Err(error)).is_ok());
        // Where nobody listens any more there is nobody to tell.
        let _ = told;
    };
    std::thread::Builder::new().name("capture".to_owned()).spawn(run).doing(|| "capture packets")?;
    Ok(Capture { pieces, stop })
}

type Pieces = mpsc::Sender<Result<Captured, NetError>>;

/// A card that is listened to.
struct Ear {
    card: Card,
    socket: PacketSocket,
}

/// Whether somebody has listened to the end.
fn run(pid: u32, options: &CaptureOptions, stop: &AtomicBool, tell: &Pieces) -> Result<bool, NetError> {
    let doing = || format!("capture packets of {}", options.title);
    let ended = || fault(NetErrorKind::Ended, doing(), "the machine has ended");
    let process = match Process::open(pid) {
        Err(refused) if has_ended(&refused) => return Err(ended()),
        opened => opened.doing(doing)?,
    };
    process.space().and_then(|space| space.enter()).doing(doing)?;
    let links = Client::open().and_then(|client| read::links(&client)).doing(doing)?.items;
    let ears = ears(links, options)?;
    let mut file = pcapng::section(&format!("packets of {}", options.title));
    file.extend(ears.iter().flat_map(|ear| pcapng::card(&ear.card)));
    let names = ears.iter().map(|ear| ear.card.name.clone()).collect();
    let heard = tell.blocking_send(Ok(Captured::Began(names))).is_ok() && tell.blocking_send(Ok(Captured::Bytes(file))).is_ok();
    if !heard {
        return Ok(false);
    }
    let mut summary = CaptureSummary::default();
    let begun = Instant::now();
    // When it was found to be over: what has come until then still belongs to it.
    let mut over = None;
    let mut buffer = vec![0; TAG + options.snaplen as usize];
    loop {
        summary.machine_ended = !process.is_alive();
        let is_late = options.duration.is_some_and(|limit| begun.elapsed() >= limit);
        if over.is_none() && (stop.load(Ordering::Relaxed) || is_late || summary.machine_ended) {
            over = Some(packet::now());
        }
        let mut packets = listen(&ears, &mut buffer).doing(doing)?;
        let missing = options.count.map(|count| count.saturating_sub(summary.packets));
        packets.truncate(missing.map_or(usize::MAX, |missing| usize::try_from(missing).unwrap_or(usize::MAX)));
        summary.packets += packets.len() as u64;
        let last = packets.last().map(|packet| packet.time);
        let bytes: Vec<u8> = packets.iter().flat_map(pcapng::packet).collect();
        let is_idle = bytes.is_empty();
        if !is_idle && tell.blocking_send(Ok(Captured::Bytes(bytes))).is_err() {
            return Ok(false);
        }
        let is_counted = options.count.is_some_and(|count| summary.packets >= count);
        if is_counted || over.is_some_and(|over| last.is_none_or(|last| last >= over)) {
            return Ok(finish(&ears, summary, tell));
        }
        if is_idle {
            wait(&ears, options.duration.map(|limit| limit.saturating_sub(begun.elapsed())));
        }
    }
}

fn finish(ears: &[Ear], mut summary: CaptureSummary, tell: &Pieces) -> bool {
    let mut file = vec![];
    for (ear, at) in ears.iter().zip(0..) {
        let (received, dropped) = ear.socket.statistics().unwrap_or_default();
        summary.dropped += dropped;
        file.extend(pcapng::statistics(at, packet::now(), received, dropped));
    }
    tell.blocking_send(Ok(Captured::Bytes(file))).is_ok() && tell.blocking_send(Ok(Captured::Ended(summary))).is_ok()
}

/// Sockets on all cards that are meant, all of which hear from the same moment on.
fn ears(links: Vec<RawLink>, options: &CaptureOptions) -> Result<Vec<Ear>, NetError> {
    let doing = |nic: &str| format!("capture packets of {nic} of {}", options.title);
    if let Some(unknown) = options.nics.iter().find(|nic| !links.iter().any(|link| link.name == **nic)) {
        return Err(fault(NetErrorKind::NotFound, doing(unknown), "there is no such card"));
    }
    let is_meant = |link: &RawLink| if options.nics.is_empty() { link.name != "lo" } else { options.nics.contains(&link.name) };
    let ears = links.into_iter().filter(is_meant).map(|link| ear(&link, options).doing(|| doing(&link.name)));
    let ears = ears.collect::<Result<Vec<_>, _>>()?;
    if ears.is_empty() {
        return Err(fault(NetErrorKind::NotFound, format!("capture packets of {}", options.title), "it has no network card"));
    }
    for ear in &ears {
        ear.socket.listen(packet::ALL).doing(|| doing(&ear.card.name))?;
    }
    Ok(ears)
}

fn ear(link: &RawLink, options: &CaptureOptions) -> Result<Ear, Refused> {
    let card = Card {
        name: link.name.clone(),
        description: format!("{} of {}", link.name, options.title),
        mac: link.mac,
        is_ethernet: WITH_ETHERNET.contains(&link.hardware),
        snaplen: options.snaplen,
        filter: options.filter.as_ref().map(|filter| filter.text.clone()),
    };
    let socket = PacketSocket::open(link.index)?;
    socket.prepare(ROOM)?;
    if let Some(filter) = &options.filter {
        if !card.is_ethernet {
            return Err(Refused::new(
                rustix::io::Errno::OPNOTSUPP,
                "a filter is for cards with frames of Ethernet, which this one has not",
            ));
        }
        socket.filter(&filter.program)?;
    }
    if options.promiscuous {
        socket.be_promiscuous()?;
    }
    Ok(Ear { card, socket })
}

/// What has come to all of them, in the order of time.
fn listen(ears: &[Ear], buffer: &mut [u8]) -> Result<Vec<Packet>, Refused> {
    let mut packets = vec![];
    for (ear, card) in ears.iter().zip(0..) {
        for _ in 0..BATCH {
            let Some(frame) = ear.socket.receive(&mut buffer[..ear.card.snaplen as usize])? else { break };
            let mut bytes = buffer[..frame.captured].to_vec();
            let mut length = frame.length;
            if let (Some((protocol, number)), true) = (frame.vlan, ear.card.is_ethernet && frame.captured >= ADDRESSES) {
                bytes.splice(ADDRESSES..ADDRESSES, [protocol.to_be_bytes(), number.to_be_bytes()].concat());
                bytes.truncate(ear.card.snaplen as usize);
                length += TAG;
            }
            packets.push(Packet { card, time: frame.time, length: u32::try_from(length).unwrap_or(u32::MAX), bytes, way: frame.way });
        }
    }
    packets.sort_by_key(|packet| packet.time);
    Ok(packets)
}

fn wait(ears: &[Ear], at_most: Option<Duration>) {
    let mut all: Vec<PollFd<'_>> = ears.iter().map(|ear| PollFd::new(&ear.socket, PollFlags::IN)).collect();
    let look = at_most.and_then(|rest| Timespec::try_from(rest).ok()).filter(|rest| *rest < LOOK).unwrap_or(LOOK);
    // Whatever woke it, the loop looks at everything.
    let _ = poll(&mut all, Some(&look));
    if all.iter().any(|one| one.revents().intersects(PollFlags::ERR | PollFlags::HUP)) {
        // A card that is down or gone is always ready, with nothing to give.
        std::thread::sleep(Duration::from_millis(20));
    }
}
