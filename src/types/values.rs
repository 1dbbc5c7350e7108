//! Quantities, as people write and read them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A size in bytes. Written as Compose does: `512m` is 512 MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size, as `512M`, `1.5g` or `1073741824` would be")]
pub struct BytesError(String);

impl std::str::FromStr for Bytes {
    type Err = BytesError;
    fn from_str(text: &str) -> Result<Self, BytesError> {
        let error = || BytesError(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &lower[digits.len()..] {
            "" | "b" => 0,
            "k" | "kb" | "ki" | "kib" => 10,
            "m" | "mb" | "mi" | "mib" => 20,
            "g" | "gb" | "gi" | "gib" => 30,
            "t" | "tb" | "ti" | "tib" => 40,
            _ => return Err(error()),
        };
        let digits = digits.trim_end();
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
            return Err(error());
        }
        let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| error())?);
        let number: u128 = format!("{whole}{fraction}").parse().map_err(|_| error())?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(error)? / scale;
        u64::try_from(bytes).map(Self).map_err(|_| error())
    }
}

impl Bytes {
    /// For reading, not for reckoning: `1.4 MiB`.
    pub fn human(self) -> String {
        let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => format!("{}.{} {unit}", self.0 / size, self.0 % size * 10 / size),
            None => format!("{} B", self.0),
        }
    }
}

impl std::fmt::Display for Bytes {
    /// The largest unit that loses nothing: `512M`, `1536K`, `1000`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (unit, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return f.pad(&format!("{}{unit}", self.0 >> shift));
            }
        }
        f.pad(&self.0.to_string())
    }
}

/// A share of processors in thousand-millionths: `1.5` is one and a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpus(pub u64);

impl Cpus {
    pub const ONE: u64 = 1_000_000_000;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number of processors, as `2` or `0.5` would be")]
pub struct CpusError(String);

impl std::str::FromStr for Cpus {
    type Err = CpusError;
    fn from_str(text: &str) -> Result<Self, CpusError> {
        let error = || CpusError(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if text.ends_with('.')
            || (whole.is_empty() && fraction.is_empty())
            || !is_number(whole)
            || !is_number(fraction)
            || fraction.len() > 9
            || whole.len() > 6
        {
            return Err(error());
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| error())? };
        let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| error())?;
        Ok(Self(whole * Self::ONE + fraction))
    }
}

impl std::fmt::Display for Cpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:09}", self.0 / Self::ONE, self.0 % Self::ONE);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A length of time; reads and prints as `1m30s`, serialises as nanoseconds, as the engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(u64);

impl Seconds {
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub fn nanos(self) -> u64 {
        self.0
    }

    pub fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Whole seconds, rounded up: what the engine takes for the time to stop.
    pub fn whole(self) -> u64 {
        self.0.div_ceil(1_000_000_000)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time, as `30s` or `1m30s` would be")]
pub struct SecondsError(String);

impl std::str::FromStr for Seconds {
    type Err = SecondsError;
    fn from_str(text: &str) -> Result<Self, SecondsError> {
        let error = || SecondsError(text.to_owned());
        // The one number that needs no unit.
        if text.trim() == "0" {
            return Ok(Self(0));
        }
        let span: jiff::SignedDuration = text.trim().parse().map_err(|_| error())?;
        u64::try_from(span.as_nanos()).map(Self).map_err(|_| error())
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mut rest, mut parts) = (self.0, vec![]);
        for (unit, nanos) in
            [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)]
        {
            if rest >= nanos {
                parts.push(format!("{}{unit}", rest / nanos));
                rest %= nanos;
            }
        }
        f.pad(if parts.is_empty() { "0s".to_owned() } else { parts.concat() }.as_str())
    }
}

/// An absolute path without `.`, `..` and doubled or trailing slashes.
pub fn clean_path(path: &str) -> String {
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("64MB", 64 << 20),
            ("1GiB", 1 << 30),
            ("1Gi", 1 << 30),
            ("8b", 8),
            ("1000", 1000),
            ("0", 0),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap().0, bytes, "{text}");
        }
        for text in ["", "m", "-1", "1x", "512bb", "1ib", "1mbb", "1..5g", "99999999999999999999"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        assert_eq!(Bytes(512 << 20).to_string(), "512M");
        assert_eq!(Bytes(1000).to_string(), "1000");
    }

    #[test]
    fn processors_keep_nine_digits() {
        assert_eq!("1.5".parse::<Cpus>().unwrap().0, 1_500_000_000);
        assert_eq!(".25".parse::<Cpus>().unwrap().to_string(), "0.25");
        assert_eq!("2".parse::<Cpus>().unwrap().to_string(), "2");
        assert!("a".parse::<Cpus>().is_err());
    }

    #[test]
    fn times_are_as_compose_writes_them() {
        assert_eq!("1m30s".parse::<Seconds>().unwrap().to_string(), "1m30s");
        assert_eq!("500ms".parse::<Seconds>().unwrap().whole(), 1);
        assert_eq!(["0", "0s"].map(|text| text.parse::<Seconds>().unwrap().nanos()), [0, 0]);
        assert!("3".parse::<Seconds>().is_err());
        assert!("-3s".parse::<Seconds>().is_err());
        assert!("soon".parse::<Seconds>().is_err());
    }
}
