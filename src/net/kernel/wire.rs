//! Netlink's framing: messages, attributes, verdicts. Bytes in, slices out; nothing here panics on what it reads.

use rustix::io::Errno;

use super::error::Refused;

pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;

const HEADER: usize = 16;
/// `NLM_F_CAPPED`: the question is not repeated behind the error, only its header.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow, the kernel's words among them.
const WITH_WORDS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_TYPE_MASK: u16 = 0x3fff;

pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The messages of one datagram.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest.get(..length).filter(|message| message.len() >= HEADER)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: u16_at(message, 4)?, flags: u16_at(message, 6)?, sequence: u32_at(message, 8)?, payload: &message[HEADER..] })
    })
}

/// The attributes behind a fixed header of `skip` bytes: type and value.
pub(super) fn attributes(payload: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = payload.get(skip.next_multiple_of(4)..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A text attribute ends with a zero byte.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// The last word of the kernel to a question: `ERROR` (0 is an acknowledgement) or `DONE`.
pub(super) fn verdict(message: &Message<'_>) -> Result<(), Refused> {
    let code = i32_at(message.payload, 0).unwrap_or(0);
    if code >= 0 {
        return Ok(());
    }
    let skip = match message.kind {
        DONE => 4,
        _ if message.flags & CAPPED != 0 => 4 + HEADER,
        _ => 4 + usize::try_from(u32_at(message.payload, 4).unwrap_or(0)).unwrap_or(0),
    };
    let words = (message.flags & WITH_WORDS != 0)
        .then(|| attributes(message.payload, skip).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG))
        .flatten()
        .map(|(_, value)| text(value));
    Err(Refused { errno: Errno::from_raw_os_error(code.wrapping_neg()), words })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + payload.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let mut payload = (-22_i32).to_ne_bytes().to_vec();
        payload.extend([0; HEADER]);
        payload.extend(9_u16.to_ne_bytes());
        payload.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
        payload.extend(b"bad!\0\0\0\0");
        let bytes = message(ERROR, CAPPED | WITH_WORDS, &payload);
        let message = messages(&bytes).next().unwrap();
        let refused = verdict(&message).unwrap_err();
        assert_eq!((refused.errno, refused.words.as_deref()), (Errno::INVAL, Some("bad!")));
    }

    #[test]
    fn nothing_breaks_on_cut_off_input() {
        let whole = message(16, 0, &[8, 0, 1, 0, 1, 2, 3, 4, 200, 0, 2, 0, 1]);
        for end in 0..whole.len() {
            for message in messages(&whole[..end]) {
                assert!(attributes(message.payload, 0).count() < 3);
            }
        }
        let read = messages(&whole).next().unwrap();
        assert_eq!(attributes(read.payload, 0).collect::<Vec<_>>(), vec![(1, &[1, 2, 3, 4][..])]);
    }
}
