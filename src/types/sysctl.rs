//! Kernel parameters of one link: what stands in `/proc/sys/net/ipv4/conf/LINK` and `/proc/sys/net/ipv6/conf/LINK`.
//!
//! The kernel tells them all with every link, as two arrays of numbers; the names by position are its ABI (`linux/ip.h` and
//! `linux/ipv6.h`). Left out are those that it tells in another unit than the file has them, that are no numbers, or that have a
//! key of their own.

use serde::{Deserialize, Serialize};

/// From 1 on.
const IPV4: [&str; 33] = [
    "forwarding",
    "mc_forwarding",
    "proxy_arp",
    "accept_redirects",
    "secure_redirects",
    "send_redirects",
    "shared_media",
    "rp_filter",
    "accept_source_route",
    "bootp_relay",
    "log_martians",
    "tag",
    "arp_filter",
    "medium_id",
    "disable_xfrm",
    "disable_policy",
    "force_igmp_version",
    "arp_announce",
    "arp_ignore",
    "promote_secondaries",
    "arp_accept",
    "arp_notify",
    "accept_local",
    "src_valid_mark",
    "proxy_arp_pvlan",
    "route_localnet",
    "igmpv2_unsolicited_report_interval",
    "igmpv3_unsolicited_report_interval",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_gratuitous_arp",
    "bc_forwarding",
    "arp_evict_nocarrier",
];

/// From 0 on; an empty name is one that is left out.
const IPV6: [&str; 59] = [
    "forwarding",
    "hop_limit",
    "",
    "accept_ra",
    "accept_redirects",
    "autoconf",
    "dad_transmits",
    "router_solicitations",
    "",
    "",
    "use_tempaddr",
    "temp_valid_lft",
    "temp_prefered_lft",
    "regen_max_retry",
    "max_desync_factor",
    "max_addresses",
    "force_mld_version",
    "accept_ra_defrtr",
    "accept_ra_pinfo",
    "accept_ra_rtr_pref",
    "",
    "accept_ra_rt_info_max_plen",
    "proxy_ndp",
    "optimistic_dad",
    "accept_source_route",
    "mc_forwarding",
    "disable_ipv6",
    "accept_dad",
    "force_tllao",
    "ndisc_notify",
    "mldv1_unsolicited_report_interval",
    "mldv2_unsolicited_report_interval",
    "suppress_frag_ndisc",
    "accept_ra_from_local",
    "use_optimistic",
    "accept_ra_mtu",
    "",
    "use_oif_addrs_only",
    "accept_ra_min_hop_limit",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_unsolicited_na",
    "keep_addr_on_down",
    "",
    "seg6_enabled",
    "seg6_require_hmac",
    "enhanced_dad",
    "addr_gen_mode",
    "disable_policy",
    "accept_ra_rt_info_min_plen",
    "ndisc_tclass",
    "rpl_seg_enabled",
    "ra_defrtr_metric",
    "ioam6_enabled",
    "ioam6_id",
    "",
    "ndisc_evict_nocarrier",
    "accept_untracked_na",
    "accept_ra_min_lft",
];

/// What fly itself sets, or what the kernel alone does: holding it at another value would be a quarrel.
const KEPT: [(&str, &str); 6] = [
    ("ipv4.arp_notify", "fly sets it, so that neighbours learn of a new address or MAC"),
    ("ipv4.promote_secondaries", "fly sets it, so that removing one address leaves the others"),
    ("ipv6.keep_addr_on_down", "fly sets it, so that addresses outlive a moment of being down"),
    ("ipv6.ndisc_notify", "fly sets it, so that neighbours learn of a new address or MAC"),
    ("ipv4.mc_forwarding", "it can only be read: a multicast router sets it"),
    ("ipv6.mc_forwarding", "it can only be read: a multicast router sets it"),
];

/// One parameter of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sysctl {
    v6: bool,
    /// Its place in the kernel's array.
    at: u8,
}

impl Sysctl {
    /// Those that are there in arrays of the kernel's, with their values. IPv4's begin with number 1.
    pub fn all<'a>(v4: &'a [i32], v6: &'a [i32]) -> impl Iterator<Item = (Self, i32)> + 'a {
        let numbered = |v6: bool, values: &'a [i32]| (0_u8..).zip(values).map(move |(at, value)| (Self { v6, at }, *value));
        numbered(false, v4).chain(numbered(true, v6)).filter(|(sysctl, _)| sysctl.known().is_some())
    }

    fn known(self) -> Option<&'static str> {
        let names: &[&'static str] = if self.v6 { &IPV6 } else { &IPV4 };
        names.get(usize::from(self.at)).copied().filter(|name| !name.is_empty())
    }

    /// The file's name: `rp_filter`.
    pub fn name(self) -> &'static str {
        self.known().unwrap_or("?")
    }

    pub fn is_v6(self) -> bool {
        self.v6
    }

    /// IPv6 itself, of which all addresses hang.
    pub fn is_disable_ipv6(self) -> bool {
        self.v6 && self.name() == "disable_ipv6"
    }

    /// Why it is not the file's to say.
    pub fn kept(self) -> Option<&'static str> {
        let name = self.to_string();
        KEPT.iter().find(|(kept, _)| *kept == name).map(|(_, why)| *why)
    }

    /// All that a file may name.
    pub fn names() -> impl Iterator<Item = String> {
        let all = Self::all(&[0; IPV4.len()], &[0; IPV6.len()]).map(|(sysctl, _)| sysctl).collect::<Vec<_>>();
        all.into_iter().filter(|sysctl| sysctl.kept().is_none()).map(|sysctl| sysctl.to_string())
    }

    /// The file in the namespace of a link.
    pub fn path(self, link: &str) -> String {
        format!("/proc/sys/net/{}/conf/{link}/{}", self.family(), self.name())
    }

    fn family(self) -> &'static str {
        if self.v6 { "ipv6" } else { "ipv4" }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kernel parameter of a network card, as `ipv4.rp_filter` or `ipv6.accept_ra` would be")]
pub struct SysctlError(String);

impl std::str::FromStr for Sysctl {
    type Err = SysctlError;
    /// `ipv4.rp_filter`, or as Docker writes it for an endpoint: `net.ipv4.conf.IFNAME.rp_filter`.
    fn from_str(text: &str) -> Result<Self, SysctlError> {
        let error = || SysctlError(text.to_owned());
        let short = text.strip_prefix("net.").map_or_else(|| text.to_owned(), |rest| rest.replacen(".conf.IFNAME.", ".", 1));
        let (family, name) = short.split_once('.').ok_or_else(error)?;
        let (v6, names): (bool, &[&str]) = match family {
            "ipv4" => (false, &IPV4),
            "ipv6" => (true, &IPV6),
            _ => return Err(error()),
        };
        let at = names.iter().position(|known| *known == name && !name.is_empty()).ok_or_else(error)?;
        u8::try_from(at).map(|at| Self { v6, at }).map_err(|_| error())
    }
}

impl TryFrom<String> for Sysctl {
    type Error = SysctlError;
    fn try_from(text: String) -> Result<Self, SysctlError> {
        text.parse()
    }
}

impl From<Sysctl> for String {
    fn from(sysctl: Sysctl) -> Self {
        sysctl.to_string()
    }
}

impl std::fmt::Debug for Sysctl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Sysctl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}.{}", self.family(), self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_ways() {
        let rp_filter: Sysctl = "ipv4.rp_filter".parse().unwrap();
        assert_eq!("net.ipv4.conf.IFNAME.rp_filter".parse(), Ok(rp_filter));
        assert_eq!(rp_filter.path("eth0"), "/proc/sys/net/ipv4/conf/eth0/rp_filter");
        assert!("ipv6.disable_ipv6".parse::<Sysctl>().unwrap().is_disable_ipv6());
        for text in ["", "rp_filter", "ipv4.", "ipv6.", "ipv5.x", "ipv6.mtu", "net.ipv4.conf.eth0.rp_filter", "net.core.somaxconn"] {
            assert!(text.parse::<Sysctl>().is_err(), "{text}");
        }
        for name in Sysctl::names() {
            assert_eq!(name.parse::<Sysctl>().unwrap().to_string(), name);
        }
    }
}
