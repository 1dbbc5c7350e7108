//! Routes and policy rules, in the words of `ip route` and `ip rule`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The tables that have names everywhere.
const TABLES: [(&str, u32); 3] = [("default", 253), ("main", 254), ("local", 255)];

/// A routing table: its number, or one of the three names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Table(pub u32);

impl Table {
    pub const MAIN: Self = Self(254);
    pub const LOCAL: Self = Self(255);
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a routing table, as `100` or `main` would be")]
pub struct TableError(String);

impl std::str::FromStr for Table {
    type Err = TableError;
    fn from_str(text: &str) -> Result<Self, TableError> {
        if let Some((_, number)) = TABLES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*number));
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number > 0).map(Self).ok_or_else(|| TableError(text.to_owned()))
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match TABLES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.pad(name),
            None => f.pad(&self.0.to_string()),
        }
    }
}

/// How far what an IPv4 route leads to is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Global,
    Link,
    Host,
}

/// What becomes of a packet that a route is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// It leaves by a link.
    #[default]
    Unicast,
    Blackhole,
    Unreachable,
    Prohibit,
}

macro_rules! words {
    ($of:ident: $($variant:ident = $word:literal),+) => {
        impl $of {
            pub const ALL: &[(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }

        impl std::fmt::Display for $of {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

words!(Scope: Global = "global", Link = "link", Host = "host");
words!(RouteKind: Unicast = "unicast", Blackhole = "blackhole", Unreachable = "unreachable", Prohibit = "prohibit");

/// A route. One that is not unicast leaves by no link: it is its namespace's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Where to; `0.0.0.0/0` or `::/0` is the default route. Host bits are zero.
    pub to: IpNet,
    pub via: Option<IpAddr>,
    /// `None` is what the kernel takes when nothing is said: 0 for IPv4, 1024 for IPv6.
    pub metric: Option<u32>,
    /// `None` is the main table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// The address that a packet gets which has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// `None` is what follows from the rest, as for `ip route`. Always, with IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// `via` is on this link, whatever its addresses say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    #[serde(default, skip_serializing_if = "RouteKind::is_unicast")]
    pub kind: RouteKind,
}

impl RouteKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_unicast(&self) -> bool {
        *self == Self::Unicast
    }
}

/// What the kernel tells routes apart by: two of one namespace with the same exclude each other.
pub type RouteKey = (IpNet, Option<u32>, Option<Table>);

impl Route {
    pub fn new(to: IpNet, via: Option<IpAddr>) -> Self {
        Self { to, via, metric: None, table: None, src: None, scope: None, onlink: false, kind: RouteKind::Unicast }
    }

    pub fn is_default(&self) -> bool {
        self.to.prefix_len() == 0
    }

    /// A default route that packets take which no rule has sent elsewhere.
    pub fn is_way_out(&self) -> bool {
        self.is_default() && self.table.is_none()
    }

    pub fn key(&self) -> RouteKey {
        (self.to, self.metric, self.table)
    }

    /// The scope that follows from the rest.
    pub fn usual_scope(&self) -> Scope {
        if self.via.is_none() && self.to.addr().is_ipv4() && self.kind == RouteKind::Unicast { Scope::Link } else { Scope::Global }
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", self.kind)?;
        }
        // Without a next hop the word alone has no family.
        if self.is_default() && self.via.is_some() {
            write!(f, "default")?;
        } else {
            write!(f, "{}", self.to)?;
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(src) = self.src {
            write!(f, " src {src}")?;
        }
        if let Some(scope) = self.scope {
            write!(f, " scope {scope}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        if let Some(table) = self.table {
            write!(f, " table {table}")?;
        }
        if self.onlink { write!(f, " onlink") } else { Ok(()) }
    }
}

/// A mark that a firewall has set, as far as `mask` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FwMark {
    pub mark: u32,
    pub mask: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a firewall mark, as `0x10` or `0x10/0xff` would be")]
pub struct FwMarkError(String);

impl std::str::FromStr for FwMark {
    type Err = FwMarkError;
    fn from_str(text: &str) -> Result<Self, FwMarkError> {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok().filter(|_| hex.bytes().all(|b| b.is_ascii_hexdigit())),
            None => text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())),
        };
        let (mark, under) = text.split_once('/').map_or((text, None), |(mark, under)| (mark, Some(under)));
        let under = under.map_or(Some(u32::MAX), number);
        let found = number(mark).zip(under).map(|(mark, mask)| Self { mark, mask });
        found.filter(|found| found.mask != 0 && found.mark & !found.mask == 0).ok_or_else(|| FwMarkError(text.to_owned()))
    }
}

impl std::fmt::Display for FwMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mask {
            u32::MAX => write!(f, "{:#x}", self.mark),
            mask => write!(f, "{:#x}/{mask:#x}", self.mark),
        }
    }
}

/// A policy rule: which table the packets that it is for are looked up in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Rules are asked in this order.
    pub priority: u32,
    /// Of which addresses, and by that of which family: `0.0.0.0/0` and `::/0` are all.
    pub from: IpNet,
    /// `None` is all.
    pub to: Option<IpNet>,
    pub fwmark: Option<FwMark>,
    /// The link that they came in by; `lo` for the machine's own.
    pub iif: Option<String>,
    pub table: Table,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.from {
            IpNet::V4(from) if from.prefix_len() == 0 => write!(f, "from all")?,
            from => write!(f, "from {from}")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(mark) = self.fwmark {
            write!(f, " fwmark {mark}")?;
        }
        if let Some(iif) = &self.iif {
            write!(f, " iif {iif}")?;
        }
        write!(f, " table {} priority {}", self.table, self.priority)
    }
}

/// What of a namespace's routing hangs on no link: policy rules, and routes that lead nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    pub rules: BTreeSet<Rule>,
    pub routes: BTreeSet<Route>,
}

impl Routing {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.routes.is_empty()
    }

    /// What `self` has and `other` has not.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            rules: self.rules.difference(&other.rules).cloned().collect(),
            routes: self.routes.difference(&other.routes).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_marks_are_as_iproute2_writes_them() {
        assert_eq!("main".parse::<Table>().unwrap(), Table::MAIN);
        assert_eq!("1000".parse::<Table>().unwrap().to_string(), "1000");
        for text in ["0", "", "-1", "+5", "4294967296", "mian"] {
            assert!(text.parse::<Table>().is_err(), "{text}");
        }
        for (text, shown) in [("16", "0x10"), ("0x10/0xff", "0x10/0xff"), ("1/0xffffffff", "0x1")] {
            assert_eq!(text.parse::<FwMark>().unwrap().to_string(), shown);
        }
        for text in ["", "0x", "x", "-1", "0x100/0xff", "1/0", "+1", "0x+1", "1/"] {
            assert!(text.parse::<FwMark>().is_err(), "{text}");
        }
    }
}
