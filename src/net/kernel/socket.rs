//! A netlink socket that is asked and answers in turn, without an event loop.
//!
//! A connection with an event loop for each namespace costs more than what is asked over it: one system call asks, one or two
//! answer, and the kernel has done the work by the time the first returns. Answers are read attribute by attribute (`wire`), not
//! into the packet crates' types: those decode everything and refuse a whole message for one attribute that a newer kernel made
//! longer.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::error::Refused;
use super::wire;

/// What one answer may take before something is badly wrong. The kernel works under a lock that others hold for long when they
/// remove hundreds of links, hence so much.
const PATIENCE: Duration = Duration::from_secs(30);
/// The default buffer overflows on a few hundred links.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The kernel fills at most 32 KiB at a time.
const READ: usize = 64 << 10;
/// A dump during which something changed is asked for again this often.
const DUMPS: u32 = 30;

pub(super) struct Client {
    socket: Socket,
    sequence: Cell<u32>,
    buffer: RefCell<Vec<u8>>,
}

/// Everything that was there. `whole` is false if it kept changing while being read.
pub(super) struct Dump<T> {
    pub(super) items: Vec<T>,
    pub(super) whole: bool,
}

impl<T> Default for Dump<T> {
    fn default() -> Self {
        Self { items: Vec::new(), whole: true }
    }
}

/// What one datagram brought besides its messages.
#[derive(Default)]
struct Progress {
    /// Something changed while the kernel was dumping.
    interrupted: bool,
    /// The last word to the question.
    end: Option<Result<(), Refused>>,
}

impl Client {
    /// Opened in the namespace that the calling thread is in; belongs to it for ever.
    pub(super) fn open() -> Result<Self, Refused> {
        Self::with_buffer(RECEIVE_BUFFER)
    }

    fn with_buffer(bytes: usize) -> Result<Self, Refused> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // Missing before 4.20; then filters are not honoured by the kernel, and the readers filter themselves.
        let _ = socket.set_netlink_get_strict_chk(true);
        if sockopt::set_socket_recv_buffer_size_force(&socket, bytes).is_err() {
            socket.set_rx_buf_sz(i32::try_from(bytes).unwrap_or(i32::MAX))?;
        }
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: Cell::new(1), buffer: RefCell::new(Vec::with_capacity(READ)) })
    }

    /// Has the kernel do something and waits for its word that it is done.
    pub(super) fn tell(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Refused> {
        let sequence = self.send(message, NLM_F_ACK | flags)?;
        loop {
            if let Some(end) = self.receive(sequence, &mut |_| ())?.end {
                return end;
            }
        }
    }

    /// Asks for one thing.
    pub(super) fn one<T>(&self, message: RouteNetlinkMessage, read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Refused> {
        let sequence = self.send(message, 0)?;
        loop {
            let mut answer = None;
            let progress = self.receive(sequence, &mut |payload| answer = Some(read(payload)))?;
            match (answer, progress.end) {
                (Some(found), _) => return Ok(found),
                (None, Some(end)) => return end.map(|()| None),
                (None, None) => {}
            }
        }
    }

    /// Asks for everything of a kind, again if it changed while being read.
    pub(super) fn dump<T>(&self, message: &RouteNetlinkMessage, read: impl Fn(&[u8]) -> Option<T>) -> Result<Dump<T>, Refused> {
        let mut last = Vec::new();
        for _ in 0..DUMPS {
            let sequence = self.send(message.clone(), NLM_F_DUMP)?;
            last.clear();
            let mut interrupted = false;
            // Read to the end even so: the rest would stand in the way of the next answer.
            loop {
                let progress = match self.receive(sequence, &mut |payload| last.extend(read(payload))) {
                    // Something did not fit into the buffer, and nobody knows what. The dump goes on all the same.
                    Err(refused) if refused.is(&[Errno::NOBUFS]) => Progress { interrupted: true, end: None },
                    other => other?,
                };
                interrupted |= progress.interrupted;
                if let Some(end) = progress.end {
                    end?;
                    break;
                }
            }
            if !interrupted {
                return Ok(Dump { items: last, whole: true });
            }
        }
        Ok(Dump { items: last, whole: false })
    }

    fn send(&self, message: RouteNetlinkMessage, flags: u16) -> Result<u32, Refused> {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        Ok(sequence)
    }

    /// Reads one datagram and hands on what belongs to `sequence`.
    fn receive(&self, sequence: u32, each: &mut dyn FnMut(&[u8])) -> Result<Progress, Refused> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.clear();
        self.socket.recv(&mut *buffer, 0).map_err(|error| match Refused::from(error) {
            late if late.is(&[Errno::AGAIN]) => Refused::new(Errno::AGAIN, "the kernel did not answer in time"),
            other => other,
        })?;
        let mut progress = Progress::default();
        for message in wire::messages(&buffer).filter(|message| message.sequence == sequence) {
            progress.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                wire::ERROR | wire::DONE => progress.end = Some(wire::verdict(&message)),
                _ => each(message.payload),
            }
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::kernel::read;

    /// `ENOBUFS` is for answers that nobody has fetched yet; whatever is asked for next is whole all the same.
    #[test]
    fn a_buffer_that_has_overflowed_costs_another_question_and_no_answer() {
        let small = Client::with_buffer(1).unwrap();
        let whole = read::links(&Client::open().unwrap()).unwrap();
        let name = |dump: &Dump<read::RawLink>| dump.items.iter().map(|link| link.name.clone()).collect::<Vec<_>>();
        let mut overflowed = false;
        for _ in 0..50 {
            for _ in 0..100 {
                let mut lo = rtnetlink::packet_route::link::LinkMessage::default();
                lo.header.index = 1;
                small.send(RouteNetlinkMessage::GetLink(lo), 0).unwrap();
            }
            let dump = read::links(&small).unwrap();
            assert!(dump.whole);
            assert_eq!(name(&dump), name(&whole));
            // And without anybody who notices, it says so.
            for _ in 0..100 {
                let mut lo = rtnetlink::packet_route::link::LinkMessage::default();
                lo.header.index = 1;
                small.send(RouteNetlinkMessage::GetLink(lo), 0).unwrap();
            }
            overflowed |= matches!(small.receive(0, &mut |_| ()), Err(refused) if refused.is(&[Errno::NOBUFS]));
        }
        assert!(overflowed, "the premise: that many answers do not fit");
    }
}
