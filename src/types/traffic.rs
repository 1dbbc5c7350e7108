//! How well a link carries: rates, delays and losses, in the words of `tc`.

use serde::{Deserialize, Serialize};

use super::Seconds;

/// A rate in bytes a second, written as `tc` does: `100mbit`, `1.5gbit`, `10mbps` (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub u64);

impl Rate {
    /// Below, a full packet takes longer than anybody waits.
    pub const MIN: Self = Self(1000 / 8);
    /// 10 Tbit/s: beyond what any link does, and far from where the kernel's sums overflow.
    pub const MAX: Self = Self(10_000_000_000_000 / 8);
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate, as `100mbit` or `1gbit` would be")]
pub struct RateError(String);

/// A decimal number in thousand-millionths. No sign, no exponent.
fn decimal(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || whole.len() > 18 || fraction.len() > 9 || text.ends_with('.') {
        return None;
    }
    format!("{whole}{fraction:0<9}").parse().ok()
}

const BILLION: u128 = 1_000_000_000;

impl std::str::FromStr for Rate {
    type Err = RateError;
    fn from_str(text: &str) -> Result<Self, RateError> {
        let error = || RateError(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let (prefix, bits) = match &lower[number.len()..] {
            unit if unit.ends_with("bit") => (&unit[..unit.len() - 3], 1),
            unit if unit.ends_with("bps") => (&unit[..unit.len() - 3], 8),
            _ => return Err(error()),
        };
        let factor: u128 = match prefix {
            "" => 1,
            "k" => 1000,
            "m" => 1_000_000,
            "g" => BILLION,
            "t" => 1000 * BILLION,
            "ki" => 1 << 10,
            "mi" => 1 << 20,
            "gi" => 1 << 30,
            "ti" => 1 << 40,
            _ => return Err(error()),
        };
        let bits = decimal(number).and_then(|n| n.checked_mul(factor * bits)).ok_or_else(error)? / BILLION;
        u64::try_from(bits / 8).map(Self).map_err(|_| error())
    }
}

impl std::fmt::Display for Rate {
    /// The largest unit that loses nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = u128::from(self.0) * 8;
        let units = [("tbit", 1000 * BILLION), ("gbit", BILLION), ("mbit", 1_000_000), ("kbit", 1000)];
        match units.into_iter().find(|(_, size)| bits >= *size && bits.is_multiple_of(*size)) {
            Some((unit, size)) => f.pad(&format!("{}{unit}", bits / size)),
            None => f.pad(&format!("{bits}bit")),
        }
    }
}

/// A share of all packets, as the kernel counts it: `u32::MAX` is all of them. Written `0.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a share, as `1%` or `0.5%` would be")]
pub struct PercentError(String);

impl std::str::FromStr for Percent {
    type Err = PercentError;
    fn from_str(text: &str) -> Result<Self, PercentError> {
        let all = 100 * BILLION;
        let share = text.strip_suffix('%').and_then(decimal).filter(|share| *share <= all);
        let scaled = share.map(|share| (share * u128::from(u32::MAX) + all / 2) / all);
        scaled.and_then(|scaled| u32::try_from(scaled).ok()).map(Self).ok_or_else(|| PercentError(text.to_owned()))
    }
}

impl std::fmt::Display for Percent {
    /// As few digits as bring the same number back.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for digits in 0..=9 {
            let scale = 10_u128.pow(digits);
            let share = (u128::from(self.0) * 100 * scale + u128::from(u32::MAX / 2)) / u128::from(u32::MAX);
            let text = match digits {
                0 => format!("{share}%"),
                _ => format!("{}.{:0width$}%", share / scale, share % scale, width = digits as usize),
            };
            if text.parse() == Ok(*self) {
                return f.pad(&text);
            }
        }
        write!(f, "{}/{}", self.0, u32::MAX)
    }
}

/// What is done to packets that leave by a link. Nothing at all is a link as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Seconds>,
    /// By how much the delay varies, to both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Percent>,
    /// The share that overtakes those that are delayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Percent>,
}

/// The longest delay: kernels have counted it in 32 bits of 64 nanoseconds.
pub const MAX_DELAY: Seconds = Seconds::from_nanos(240_000_000_000);

impl Traffic {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// More than a rate: what only netem does.
    pub fn needs_netem(&self) -> bool {
        *self != Self { rate: self.rate, ..Self::default() }
    }

    /// The kernel's module that does it.
    pub fn module(&self) -> Option<&'static str> {
        match self {
            _ if self.needs_netem() => Some("sch_netem"),
            _ if self.is_empty() => None,
            _ => Some("sch_tbf"),
        }
    }

    /// Each field as a reader sees it.
    pub fn shown(&self) -> [(&'static str, Option<String>); 7] {
        let Self { rate, delay, jitter, loss, duplicate, corrupt, reorder } = self;
        let text = |share: &Option<Percent>| share.map(|share| share.to_string());
        [
            ("rate", rate.map(|rate| rate.to_string())),
            ("delay", delay.map(|delay| delay.to_string())),
            ("jitter", jitter.map(|jitter| jitter.to_string())),
            ("loss", text(loss)),
            ("duplicate", text(duplicate)),
            ("corrupt", text(corrupt)),
            ("reorder", text(reorder)),
        ]
    }

    /// These fields, and where one is not there, that of `below`.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        Self {
            rate: self.rate.or(below.rate),
            delay: self.delay.or(below.delay),
            jitter: self.jitter.or(below.jitter),
            loss: self.loss.or(below.loss),
            duplicate: self.duplicate.or(below.duplicate),
            corrupt: self.corrupt.or(below.corrupt),
            reorder: self.reorder.or(below.reorder),
        }
    }

    /// Without what changes nothing, as `loss: 0%`.
    #[must_use]
    pub fn normal(&self) -> Self {
        let time = |time: Option<Seconds>| time.filter(|time| time.nanos() > 0);
        let share = |share: Option<Percent>| share.filter(|share| share.0 > 0);
        Self {
            rate: self.rate,
            delay: time(self.delay),
            jitter: time(self.jitter),
            loss: share(self.loss),
            duplicate: share(self.duplicate),
            corrupt: share(self.corrupt),
            reorder: share(self.reorder),
        }
    }

    /// What does not go together, in the words of the keys: which key, and what is missing.
    pub fn mistake(&self) -> Option<(&'static str, &'static str)> {
        match self.normal() {
            Self { jitter: Some(_), delay: None, .. } => Some(("jitter", "`jitter` is how much a `delay` varies, and there is none")),
            Self { reorder: Some(_), delay: None, .. } => {
                Some(("reorder", "`reorder` lets packets overtake those that a `delay` holds back, and there is none"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_as_tc_writes_them() {
        for (text, bytes, shown) in [
            ("100mbit", 12_500_000, "100mbit"),
            ("1.5Gbit", 187_500_000, "1500mbit"),
            ("10mbps", 10_000_000, "80mbit"),
            ("1mibit", 131_072, "1048576bit"),
            ("8bit", 1, "8bit"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.0, rate.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
        for text in ["", "100", "mbit", "1xbit", "-1mbit", "1.mbit", ".5mbit", "1e3kbit", "99999999999999999999bit", "1 mbit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn shares_come_back_as_they_were_written() {
        for text in ["0%", "1%", "0.5%", "33.3%", "100%", "0.001%", "99.99%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        assert_eq!("100%".parse::<Percent>().unwrap().0, u32::MAX);
        for text in ["", "%", "1", "100.1%", "-1%", "1%%", "1e1%", "0x1%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        for raw in [1, 2, 12345, u32::MAX - 1] {
            assert_eq!(Percent(raw).to_string().parse(), Ok(Percent(raw)));
        }
    }

    #[test]
    fn it_is_known_what_takes_netem() {
        let rate = Traffic { rate: Some(Rate(1_000_000)), ..Traffic::default() };
        let delayed = Traffic { delay: Some(Seconds::from_nanos(1_000_000)), ..rate.clone() };
        assert_eq!([Traffic::default(), rate.clone(), delayed].map(|t| t.module()), [None, Some("sch_tbf"), Some("sch_netem")]);
        let nothing = Traffic { loss: Some(Percent(0)), ..Traffic::default() };
        assert!(nothing.normal().is_empty());
        assert_eq!(nothing.over(&rate), Traffic { loss: Some(Percent(0)), ..rate });
    }
}
