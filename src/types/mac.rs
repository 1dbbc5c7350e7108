//! Ethernet addresses.

use serde::{Deserialize, Serialize};

/// An Ethernet address of one interface: six bytes, not a group address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    #[error("a MAC is six pairs of hexadecimal digits, as in `02:00:5e:10:00:01`")]
    Form,
    #[error("a MAC whose first byte is odd is a group address: no card can have it")]
    Group,
    #[error("a MAC of all zeros is no address")]
    Zero,
}

impl Mac {
    /// What the MACs that fly makes up begin with: locally administered, not a group.
    pub const PREFIX: [u8; 2] = [0x02, 0xf1];

    pub fn new(bytes: [u8; 6]) -> Result<Self, MacError> {
        match bytes {
            [0, 0, 0, 0, 0, 0] => Err(MacError::Zero),
            [first, ..] if first & 1 == 1 => Err(MacError::Group),
            _ => Ok(Self(bytes)),
        }
    }

    /// The automatic MAC for a seed: the same on every host and in every run.
    pub fn automatic(seed: &str) -> Self {
        let h = super::stable_hash(&["mac", seed]);
        Self([Self::PREFIX[0], Self::PREFIX[1], h[0], h[1], h[2], h[3]])
    }

    /// The one that pipework makes of `U:text`: the same for the same text, wherever it is.
    pub fn of_text(text: &str) -> Self {
        // Its shell hands words on with one space between them, and a line feed behind the last.
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
        let mut bytes = [0x02; 6];
        bytes[1..].copy_from_slice(&super::md5::md5(line.as_bytes())[..5]);
        Self(bytes)
    }

    pub fn is_automatic(self) -> bool {
        self.0[..2] == Self::PREFIX
    }

    /// What the engine gives its bridges and containers, before 28.
    pub fn is_engines(self) -> bool {
        self.0[..2] == [0x02, 0x42]
    }

    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl std::str::FromStr for Mac {
    type Err = MacError;
    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(MacError::Form)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacError::Form)?;
        }
        if parts.next().is_some() {
            return Err(MacError::Form);
        }
        Self::new(bytes)
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;
    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        f.pad(&pairs.join(":"))
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        assert_eq!("02:00:5E:10:00:01".parse::<Mac>().unwrap().to_string(), "02:00:5e:10:00:01");
        assert_eq!("01:00:5e:10:00:01".parse::<Mac>(), Err(MacError::Group));
        assert_eq!("00:00:00:00:00:00".parse::<Mac>(), Err(MacError::Zero));
        assert_eq!("02:00:5e:10:00".parse::<Mac>(), Err(MacError::Form));
        assert_eq!("02:00:5e:10:00:01:02".parse::<Mac>(), Err(MacError::Form));
    }

    #[test]
    fn a_text_makes_the_mac_that_pipework_makes() {
        // The example of its README.
        assert_eq!(Mac::of_text("myhost.foo.com").to_string(), "02:72:6c:cd:9b:8d");
        assert_eq!(Mac::of_text(" a   b "), Mac::of_text("a b"));
    }

    #[test]
    fn automatic_macs_do_not_change_between_releases() {
        assert_eq!(Mac::automatic("shop/web/eth0").to_string(), Mac::automatic("shop/web/eth0").to_string());
        assert!(Mac::automatic("shop/web/eth0").is_automatic());
        assert_ne!(Mac::automatic("shop/web/eth0"), Mac::automatic("shop/web/eth1"));
    }
}
