//! A packet socket: whole frames of one card, read and sent. The only place that speaks to the kernel by its C structures, since
//! neither netlink nor rustix knows these.

use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::error::Refused;
use crate::net::pcapng::Way;

/// One frame, besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// What of it is in the buffer.
    pub(super) captured: usize,
    pub(super) length: usize,
    /// Since 1970.
    pub(super) time: Duration,
    pub(super) way: Way,
    /// The tag that the kernel has taken out of it: protocol and number.
    pub(super) vlan: Option<(u16, u16)>,
}

pub(super) struct PacketSocket {
    fd: OwnedFd,
    index: libc::c_int,
}

/// Every kind of frame, or one of them, by the number that Ethernet has for it.
pub(super) const ALL: u16 = 0x0003;

fn checked(result: libc::c_int) -> Result<libc::c_int, Refused> {
    if result < 0 { Err(std::io::Error::last_os_error().into()) } else { Ok(result) }
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("structures of the kernel are small")
}

impl PacketSocket {
    /// In the namespace that the calling thread is in, and for ever there. It hears nothing yet.
    pub(super) fn open(index: u32) -> Result<Self, Refused> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers; what comes back is a descriptor that nobody else knows.
        let fd = unsafe { OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_PACKET, kind, 0))?) };
        Ok(Self { fd, index: libc::c_int::try_from(index).map_err(|_| Errno::NODEV)? })
    }

    fn address(&self, protocol: u16) -> libc::sockaddr_ll {
        // SAFETY: numbers and arrays of them, for which zeros are values.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET.try_into().expect("families are small numbers");
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = self.index;
        address
    }

    /// From now on it hears the frames of this kind.
    pub(super) fn listen(&self, protocol: u16) -> Result<(), Refused> {
        let address = self.address(protocol);
        // SAFETY: the pointer is to a structure of the length that is said, and is not kept.
        checked(unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), length_of::<libc::sockaddr_ll>()) })?;
        Ok(())
    }

    fn set<T>(&self, level: libc::c_int, name: libc::c_int, value: &T) -> Result<(), Refused> {
        // SAFETY: as above; the kernel copies the value, and what that points to, before it returns.
        checked(unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length_of::<T>()) })?;
        Ok(())
    }

    /// With times in nanoseconds, tags of VLANs, and room for what comes while nobody reads.
    pub(super) fn prepare(&self, room: libc::c_int) -> Result<(), Refused> {
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
        self.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
        match self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &room) {
            Err(_) => self.set(libc::SOL_SOCKET, libc::SO_RCVBUF, &room),
            done => done,
        }
    }

    pub(super) fn filter(&self, program: &[(u16, u8, u8, u32)]) -> Result<(), Refused> {
        let mut code: Vec<libc::sock_filter> = program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
        let len = u16::try_from(code.len()).map_err(|_| Errno::INVAL)?;
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &libc::sock_fprog { len, filter: code.as_mut_ptr() })
    }

    fn join(&self, kind: libc::c_int, address: &[u8]) -> Result<(), Refused> {
        let mut mr_address = [0; 8];
        mr_address[..address.len()].copy_from_slice(address);
        let mr_type = kind.try_into().map_err(|_| Errno::INVAL)?;
        let mr_alen = address.len().try_into().map_err(|_| Errno::INVAL)?;
        let request = libc::packet_mreq { mr_ifindex: self.index, mr_type, mr_alen, mr_address };
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// As long as the socket lives.
    pub(super) fn be_promiscuous(&self) -> Result<(), Refused> {
        self.join(libc::PACKET_MR_PROMISC, &[])
    }

    /// The card lets frames for this group through, as long as the socket lives.
    pub(super) fn hear(&self, group: [u8; 6]) -> Result<(), Refused> {
        self.join(libc::PACKET_MR_MULTICAST, &group)
    }

    pub(super) fn send(&self, frame: &[u8]) -> Result<(), Refused> {
        // SAFETY: the pointer is to so many bytes, and is not kept.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(std::io::Error::last_os_error().into()) } else { Ok(()) }
    }

    /// Into `buffer` what has come, if anything has. The first header of a frame is that of its Ethernet.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<Frame>, Refused> {
        // Words, because the kernel writes structures there.
        let mut control = [0_u64; 32];
        let mut from = self.address(0);
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: zeros are values; every pointer below is to something that outlives the call, with its length beside it.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = length_of::<libc::sockaddr_ll>();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<[u64; 32]>() as _;
        // SAFETY: see above.
        let length = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, libc::MSG_TRUNC) };
        let Ok(length) = usize::try_from(length) else {
            let refused = Refused::from(std::io::Error::last_os_error());
            // One that is down, or just went, has nothing to say; it may come back.
            let is_silent = refused.is(&[Errno::AGAIN, Errno::INTR, Errno::NETDOWN, Errno::NODEV]);
            return if is_silent { Ok(None) } else { Err(refused) };
        };
        let mut frame = Frame { captured: length.min(buffer.len()), length, time: now(), way: way(from.sll_pkttype), vlan: None };
        read_control(&message, &mut frame);
        Ok(Some(frame))
    }

    /// Packets and drops since it was asked the last time.
    pub(super) fn statistics(&self) -> Result<(u64, u64), Refused> {
        // SAFETY: zeros are values.
        let mut counted: libc::tpacket_stats = unsafe { zeroed() };
        let mut length = length_of::<libc::tpacket_stats>();
        let value = (&raw mut counted).cast();
        // SAFETY: the pointer is to a structure of the length that is said.
        checked(unsafe { libc::getsockopt(self.fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, value, &raw mut length) })?;
        Ok((counted.tp_packets.into(), counted.tp_drops.into()))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn read_control(message: &libc::msghdr, frame: &mut Frame) {
    // SAFETY: the kernel has filled `msg_control`, and these walk it within the length that it has set there.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so there is a header, and behind it the data of its kind, which may lie anywhere.
        unsafe {
            let data = libc::CMSG_DATA(header);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time: libc::timespec = std::ptr::read_unaligned(data.cast());
                    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
                    frame.time = Duration::new(seconds, nanoseconds);
                }
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                    let more: libc::tpacket_auxdata = std::ptr::read_unaligned(data.cast());
                    // What a filter has cut off is not in the length that the call returns.
                    frame.length = usize::try_from(more.tp_len).unwrap_or(frame.length).max(frame.captured);
                    let usual = if more.tp_status & libc::TP_STATUS_VLAN_TPID_VALID == 0 { 0x8100 } else { more.tp_vlan_tpid };
                    frame.vlan = (more.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then_some((usual, more.tp_vlan_tci));
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
}

fn way(kind: u8) -> Way {
    match kind {
        libc::PACKET_BROADCAST => Way::ToAll,
        libc::PACKET_MULTICAST => Way::ToSeveral,
        libc::PACKET_OTHERHOST => Way::ToOthers,
        libc::PACKET_OUTGOING => Way::Out,
        _ => Way::ToUs,
    }
}

/// Since 1970.
pub(super) fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
