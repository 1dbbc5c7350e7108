//! Queueing disciplines: how fast, how late and how surely a link sends.
//!
//! A rate alone is `tbf`'s, everything else `netem`'s, which then sees to the rate as well: so it is always one discipline at the root
//! of the link, which the kernel puts in another's place in one step. fly's have numbers of their own, one for each kind, since the
//! kernel changes no kind under one number: `f1:` (241, as fly's protocol for routes) is `tbf`, `f2:` is `netem`.

use rtnetlink::packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use rustix::io::Errno;

use super::error::{Refused, While};
use super::link::Card;
use super::socket::{Client, Dump};
use super::wire::{attributes, text, u32_at};
use crate::net::NetError;
use crate::types::{Percent, Rate, Seconds, Traffic};

const TBF: u16 = 0xf1;
const NETEM: u16 = 0xf2;

/// `TCA_OPTIONS`.
const OPTIONS: u16 = 2;
/// The parent of whatever a link sends by.
const ROOT: u32 = u32::MAX;

/// The discipline at the root of a link.
pub(super) struct RawQdisc {
    pub(super) index: u32,
    /// As far as it is such a thing.
    pub(super) traffic: Traffic,
    /// Its kind and number, if it is neither fly's nor the kernel's own choice.
    pub(super) foreign: Option<String>,
}

/// What the kernel gives a link by itself.
pub(super) fn is_usual(kind: &str) -> bool {
    matches!(kind, "" | "noqueue" | "noop" | "mq" | "pfifo_fast" | "fq_codel" | "fq" | "pfifo")
}

pub(super) fn all(client: &Client) -> Result<Dump<RawQdisc>, Refused> {
    client.dump(&Say::GetQueueDiscipline(TcMessage::default()), read)
}

fn read(payload: &[u8]) -> Option<RawQdisc> {
    let (index, handle, parent) = (u32_at(payload, 4)?, u32_at(payload, 8)?, u32_at(payload, 12)?);
    // What the kernel chose has no number.
    if parent != ROOT || handle == 0 {
        return None;
    }
    let (mut kind, mut options) = (String::new(), &[][..]);
    for (attribute, value) in attributes(payload, 20) {
        match attribute {
            1 => kind = text(value),
            OPTIONS => options = value,
            _ => {}
        }
    }
    let traffic = match kind.as_str() {
        "tbf" => read_tbf(options),
        "netem" => read_netem(options),
        _ => None,
    };
    let major = handle >> 16;
    let is_ours = matches!((kind.as_str(), major), ("tbf", 0xf1) | ("netem", 0xf2));
    let foreign = (!is_ours).then(|| format!("{kind} {major:x}:"));
    Some(RawQdisc { index, traffic: traffic.unwrap_or_default(), foreign })
}

fn u64_at(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?))
}

fn read_tbf(options: &[u8]) -> Option<Traffic> {
    let (mut rate, mut large) = (0, None);
    for (kind, value) in attributes(options, 0) {
        match kind {
            // `struct tc_tbf_qopt`, whose first part is a `struct tc_ratespec`, whose last one is the rate.
            1 => rate = u64::from(u32_at(value, 8)?),
            4 => large = u64_at(value),
            _ => {}
        }
    }
    Some(Traffic { rate: Some(Rate(large.unwrap_or(rate))), ..Traffic::default() })
}

/// `struct tc_netem_qopt`, and attributes behind it.
fn read_netem(options: &[u8]) -> Option<Traffic> {
    let share = |at: usize| u32_at(options, at).map(Percent);
    let mut traffic = Traffic { loss: share(8), duplicate: share(16), ..Traffic::default() };
    let (mut rate, mut large) = (0, None);
    for (kind, value) in attributes(options, 24) {
        match kind {
            3 => traffic.reorder = u32_at(value, 0).map(Percent),
            4 => traffic.corrupt = u32_at(value, 0).map(Percent),
            6 => rate = u64::from(u32_at(value, 0)?),
            8 => large = u64_at(value),
            10 => traffic.delay = u64_at(value).map(Seconds::from_nanos),
            11 => traffic.jitter = u64_at(value).map(Seconds::from_nanos),
            _ => {}
        }
    }
    traffic.rate = Some(Rate(large.unwrap_or(rate))).filter(|rate| rate.0 > 0);
    Some(traffic.normal())
}

fn attribute(into: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("these are a few bytes");
    into.extend(length.to_ne_bytes());
    into.extend(kind.to_ne_bytes());
    into.extend(value);
    into.resize(into.len().next_multiple_of(4), 0);
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn capped(large: u64) -> u32 {
    u32::try_from(large).unwrap_or(u32::MAX)
}

/// Bytes that may leave at once: those of ten milliseconds, since the kernel's clock may tick as slowly, and never less than
/// a few packets; and how many may wait beyond that: those of fifty, and never less than a connection needs to get going.
fn tbf(rate: Rate, mtu: u32) -> Vec<u8> {
    const ETHERNET: u8 = 1;
    let burst = capped((rate.0 / 100).max(16 << 10).max(u64::from(mtu) * 2 + 64));
    let limit = burst.saturating_add(capped((rate.0 / 20).max(64 << 10)));
    let spec = |rate: u32| [&[0, if rate > 0 { ETHERNET } else { 0 }, 0, 0, 0, 0, 0, 0][..], &rate.to_ne_bytes()].concat();
    let parameters = [spec(capped(rate.0)), spec(0), words(&[limit, 0, 0])].concat();
    let mut options = vec![];
    attribute(&mut options, 1, &parameters);
    attribute(&mut options, 6, &burst.to_ne_bytes());
    if u32::try_from(rate.0).is_err() {
        attribute(&mut options, 4, &rate.0.to_ne_bytes());
    }
    options
}

/// Everything is said, also what is not wanted: the kernel keeps what is not said.
fn netem(traffic: &Traffic) -> Vec<u8> {
    let share = |share: Option<Percent>| share.map_or(0, |share| share.0);
    let time = |time: Option<Seconds>| time.map_or(0, Seconds::nanos);
    let (delay, jitter, rate) = (time(traffic.delay), time(traffic.jitter), traffic.rate.map_or(0, |rate| rate.0));
    let gap = u32::from(traffic.reorder.is_some());
    let mut options = words(&[0, packets(rate, delay + jitter), share(traffic.loss), gap, share(traffic.duplicate), 0]);
    attribute(&mut options, 1, &words(&[0, 0, 0]));
    attribute(&mut options, 3, &words(&[share(traffic.reorder), 0]));
    attribute(&mut options, 4, &words(&[share(traffic.corrupt), 0]));
    attribute(&mut options, 6, &words(&[capped(rate), 0, 0, 0]));
    if u32::try_from(rate).is_err() {
        attribute(&mut options, 8, &rate.to_ne_bytes());
    }
    attribute(&mut options, 10, &delay.to_ne_bytes());
    attribute(&mut options, 11, &jitter.to_ne_bytes());
    options
}

/// How many packets may be on their way: as many as the rate sends in the delay and a fifth of a second more, so that a slow link has
/// no queue of minutes; without a rate, more than a fast one sends in its delay. The kernel's 1000 would lose packets unasked.
fn packets(rate: u64, delay: u64) -> u32 {
    if rate == 0 {
        return 100_000;
    }
    let bytes = u128::from(rate) * (u128::from(delay) + 200_000_000) / 1_000_000_000;
    capped(u64::try_from(bytes / 1500).unwrap_or(u64::MAX)).clamp(100, 100_000)
}

fn message(index: u32, handle: TcHandle) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.handle = handle;
    message.header.parent = TcHandle::ROOT;
    message
}

/// What makes a link send in this way.
pub(super) fn wanted(index: u32, traffic: &Traffic, mtu: u32) -> Option<TcMessage> {
    let (major, kind, options) = match traffic.rate {
        _ if traffic.needs_netem() => (NETEM, "netem", netem(traffic)),
        Some(rate) => (TBF, "tbf", tbf(rate, mtu)),
        None => return None,
    };
    let mut message = message(index, TcHandle { major, minor: 0 });
    message.attributes = vec![TcAttribute::Kind(kind.to_owned()), TcAttribute::Other(DefaultNla::new(OPTIONS, options))];
    Some(message)
}

impl Card<'_> {
    /// What leaves by this link does so in this way; nothing in it: as the kernel would.
    pub(super) fn send_by(&self, traffic: &Traffic) -> Result<(), NetError> {
        let doing = || format!("shape the traffic of {}", self.at());
        let (index, unset) = (self.raw.index, || self.tell(Say::DelQueueDiscipline(message(self.raw.index, TcHandle::UNSPEC)), 0));
        let Some(message) = wanted(index, traffic, self.raw.mtu) else {
            return match unset() {
                // It has what the kernel chose, and that cannot be removed.
                Err(refused) if refused.is(&[Errno::NOENT, Errno::INVAL]) => Ok(()),
                other => other.doing(doing),
            };
        };
        let set = || self.tell(Say::NewQueueDiscipline(message.clone()), NLM_F_CREATE | NLM_F_REPLACE);
        match set() {
            // Somebody has given the number to another kind, which the kernel does not change.
            Err(refused) if refused.is(&[Errno::INVAL]) && unset().is_ok() => set(),
            other => other,
        }
        .map_err(|refused| explain(refused, traffic))
        .doing(doing)
    }
}

/// The kernel knows no such discipline, and does not say which.
fn explain(refused: Refused, traffic: &Traffic) -> Refused {
    match traffic.module() {
        Some(module) if refused.is(&[Errno::NOENT]) => Refused::new(Errno::OPNOTSUPP, format!("the kernel has no module `{module}`")),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(traffic: &Traffic) -> Traffic {
        let message = wanted(1, traffic, 1500).unwrap();
        let TcAttribute::Other(options) = &message.attributes[1] else { panic!("options") };
        let mut bytes = vec![0; rtnetlink::packet_core::Nla::value_len(options)];
        rtnetlink::packet_core::Nla::emit_value(options, &mut bytes);
        if traffic.needs_netem() { read_netem(&bytes) } else { read_tbf(&bytes) }.unwrap()
    }

    #[test]
    fn what_is_said_is_what_is_read() {
        let rate = |text: &str| text.parse().ok();
        let slow = Traffic { rate: rate("1mbit"), ..Traffic::default() };
        let fast = Traffic { rate: rate("100gbit"), ..Traffic::default() };
        let all = Traffic {
            rate: rate("40gbit"),
            delay: "10ms".parse().ok(),
            jitter: "1ms".parse().ok(),
            loss: "0.5%".parse().ok(),
            duplicate: "1%".parse().ok(),
            corrupt: "2%".parse().ok(),
            reorder: "25%".parse().ok(),
        };
        let lossy = Traffic { loss: "100%".parse().ok(), ..Traffic::default() };
        for traffic in [slow, fast, all, lossy] {
            assert_eq!(back(&traffic), traffic);
        }
    }

    #[test]
    fn queues_are_neither_minutes_nor_too_short() {
        let rate = |text: &str| text.parse::<Rate>().unwrap().0;
        assert_eq!(packets(rate("1mbit"), 0), 100);
        assert!(packets(rate("100mbit"), 100_000_000) > 100_000_000 / 8 / 10 / 1500, "a delay of 100 ms at 100 Mbit/s");
        assert_eq!(packets(0, 1_000_000), 100_000);
        assert_eq!(packets(u64::MAX, u64::MAX / 2), 100_000);
    }
}
