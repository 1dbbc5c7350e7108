//! What a card of the host's was before a machine got it, as it stands on the card itself, behind its alias.
//!
//! The alias goes with the card wherever that goes: into the machine, and back to the host when the kernel puts it there because the
//! machine's namespace is gone.

use super::{IfName, Mac, Name};

/// Before what stands behind the alias: `fly:shop/web/eth0 host=eth2,00:00:5e:00:53:01,1500,up`.
const NOTE: &str = "host=";

/// The longest alias that the kernel takes.
const LONGEST: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose card it is now.
    pub project: Name,
    pub machine: Name,
    pub nic: IfName,
    /// Its name on the host.
    pub name: String,
    pub mac: Option<Mac>,
    pub mtu: u32,
    pub up: bool,
    /// An alias that somebody had given it.
    pub alias: String,
}

impl Origin {
    /// As an alias says it; nothing, where it is not that of such a card.
    pub fn of(alias: Option<&str>) -> Option<Self> {
        let mut words = alias?.split(' ');
        let mut whose = words.next()?.strip_prefix("fly:")?.splitn(3, '/');
        let (project, machine, nic) = (whose.next()?, whose.next()?, whose.next()?);
        let mut note = words.find_map(|word| word.strip_prefix(NOTE))?.splitn(5, ',');
        let (name, mac, mtu, up) = (note.next()?, note.next()?, note.next()?, note.next()?);
        Some(Self {
            project: Name::new(project).ok()?,
            machine: Name::new(machine).ok()?,
            nic: IfName::new(nic).ok()?,
            name: IfName::new(name).ok()?.to_string(),
            mac: if mac.is_empty() { None } else { Some(mac.parse().ok()?) },
            mtu: mtu.parse().ok()?,
            up: up == "up",
            alias: unquoted(note.next().unwrap_or_default()),
        })
    }

    /// The alias that says all of it; nothing, where that is longer than the kernel takes.
    pub fn alias(&self) -> Option<String> {
        let Self { project, machine, nic, name, mac, mtu, up, alias } = self;
        let (mac, up) = (mac.map_or_else(String::new, |mac| mac.to_string()), if *up { "up" } else { "down" });
        let was = if alias.is_empty() { String::new() } else { format!(",{}", quoted(alias)) };
        let text = format!("fly:{project}/{machine}/{nic} {NOTE}{name},{mac},{mtu},{up}{was}");
        (text.len() <= LONGEST).then_some(text)
    }

    /// Whether it is this card of this machine's.
    pub fn is_of(&self, project: &Name, machine: &Name, nic: &str) -> bool {
        (&self.project, &self.machine, self.nic.as_str()) == (project, machine, nic)
    }
}

/// In one word.
fn quoted(text: &str) -> String {
    let one = |byte: u8| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        if plain { char::from(byte).to_string() } else { format!("%{byte:02x}") }
    };
    text.bytes().map(one).collect()
}

fn unquoted(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let code = rest.strip_prefix('%').and_then(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok());
        match code {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(first.to_string().into_bytes()),
        }
        rest = &rest[if code.is_some() { 3 } else { first.len_utf8() }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            project: Name::new("shop").unwrap(),
            machine: Name::new("web").unwrap(),
            nic: IfName::new("eth0").unwrap(),
            name: "eth2".into(),
            mac: Some("00:00:5e:00:53:01".parse().unwrap()),
            mtu: 1500,
            up: true,
            alias: String::new(),
        }
    }

    #[test]
    fn an_alias_says_what_a_card_was() {
        let plain = "fly:shop/web/eth0 host=eth2,00:00:5e:00:53:01,1500,up";
        assert_eq!(origin().alias().as_deref(), Some(plain));
        let own = Origin { alias: "lab, rack 3 (50%) ü".into(), up: false, mac: None, ..origin() };
        for one in [origin(), own] {
            assert_eq!(Origin::of(one.alias().as_deref()), Some(one));
        }
        // A lease stands there as well.
        assert_eq!(Origin::of(Some(&format!("{plain} dhcp=192.0.2.1,3600"))), Some(origin()));
        assert_eq!(Origin { alias: "long".repeat(60), ..origin() }.alias(), None);
        for other in
            ["fly:shop/web/eth0", "host=eth2,,1500,up", "fly:shop/back host=eth2,,1500,up", "fly:shop/web/eth0 host=eth2,,x,up", ""]
        {
            assert_eq!(Origin::of(Some(other)), None, "{other}");
        }
    }
}
