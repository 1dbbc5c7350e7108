//! Automatic addresses: a function of the network, the machine and the card alone, as far as that is possible.
//!
//! Every card has its own sequence of places in the pool, out of a stable hash; it gets the first that is free. Addresses that the
//! file gives are taken first. Cards are served in the order of another stable hash, so the order in the file means nothing.
//!
//! What is promised: a card's address hangs on others only where their sequences meet. When a card is added whose first place is
//! one that another has, one of the two has to go elsewhere, and which one is decided by hash, not by age: nothing here remembers
//! who was there first, because there is no state file. With `n` cards in a pool of `p`, that concerns a newcomer with a chance of
//! about `n/p`. Whoever cannot have that gives the address in the file, or the network a larger pool.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::types::stable_hash;

/// How often a card looks elsewhere by hash before it takes the next free one in a row.
const PROBES: u8 = 16;

/// Where the automatic addresses of a subnet come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    subnet: IpNet,
    /// First and last, both included, in ascending order, not overlapping.
    ranges: Vec<(u128, u128)>,
    /// In the ranges, but not to be given away.
    reserved: BTreeSet<u128>,
}

pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The network's own address and the broadcast address: what no card can have.
pub(super) fn unusable(subnet: IpNet) -> Vec<IpAddr> {
    match subnet {
        IpNet::V4(net) if net.prefix_len() >= 31 => vec![],
        IpNet::V4(net) => vec![net.network().into(), net.broadcast().into()],
        IpNet::V6(net) if net.prefix_len() >= 127 => vec![],
        // Of all routers, says RFC 4291.
        IpNet::V6(net) => vec![net.network().into()],
    }
}

impl Pool {
    /// `ranges` empty: the whole subnet.
    pub(super) fn new(subnet: IpNet, ranges: &[(IpAddr, IpAddr)], reserved: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut ranges: Vec<(u128, u128)> = ranges.iter().map(|(first, last)| (number(*first), number(*last))).collect();
        if ranges.is_empty() {
            ranges.push((number(subnet.network()), number(subnet.broadcast())));
        }
        ranges.sort_unstable();
        let inside = |n: &u128| ranges.iter().any(|(first, last)| (first..=last).contains(&n));
        let reserved = unusable(subnet).into_iter().chain(reserved.into_iter().filter(|ip| subnet.contains(ip)));
        let reserved = reserved.map(number).filter(inside).collect();
        Self { subnet, ranges, reserved }
    }

    pub(super) fn subnet(&self) -> IpNet {
        self.subnet
    }

    fn span(&self) -> u128 {
        self.ranges.iter().fold(0, |sum: u128, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    /// How many addresses it can give.
    pub(super) fn size(&self) -> u128 {
        self.span() - self.reserved.len() as u128
    }

    fn at(&self, mut index: u128) -> u128 {
        for (first, last) in &self.ranges {
            let length = (last - first).saturating_add(1);
            if index < length {
                return first + index;
            }
            index -= length;
        }
        self.ranges[0].0
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.subnet {
            IpNet::V4(_) => IpAddr::from(u32::try_from(number).expect("a pool lies inside its subnet").to_be_bytes()),
            IpNet::V6(_) => IpAddr::from(number.to_be_bytes()),
        }
    }

    /// The first free place in this card's sequence.
    fn find(&self, key: &[&str; 3], taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let span = self.span();
        let free = |n: u128| Some(n).filter(|n| !self.reserved.contains(n)).map(|n| self.address(n)).filter(|ip| !taken.contains(ip));
        let mut start = 0;
        for probe in 0..PROBES {
            let hash = stable_hash(&["address", key[0], key[1], key[2], &probe.to_string()]);
            let (half, _) = hash.split_first_chunk::<16>().expect("the hash has 32 bytes");
            start = u128::from_be_bytes(*half) % span;
            if let Some(address) = free(self.at(start)) {
                return Some(address);
            }
        }
        // Among so many addresses one must be free, if any is: no more can be taken than there are in the two sets.
        let steps = span.min((taken.len() + self.reserved.len() + 1) as u128);
        (1..=steps).find_map(|step| free(self.at((start + step) % span)))
    }
}

/// A card that wants an address out of a pool.
pub(super) struct Request<'a> {
    /// Network, machine, card.
    pub(super) key: [&'a str; 3],
    pub(super) pool: &'a Pool,
}

/// An address for each request, in their order; nothing where the pool has none left. `taken` is all that is in use on this wire.
pub(super) fn allocate(requests: &[Request<'_>], taken: &mut BTreeSet<IpAddr>) -> Vec<Option<IpAddr>> {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    let rank =
        |i: &usize| (stable_hash(&["rank", requests[*i].key[0], requests[*i].key[1], requests[*i].key[2]]), requests[*i].pool.subnet);
    order.sort_by_cached_key(rank);
    let mut found = vec![None; requests.len()];
    for i in order {
        let address = requests[i].pool.find(&requests[i].key, taken);
        taken.extend(address);
        found[i] = address;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pool(subnet: &str) -> Pool {
        let subnet: IpNet = subnet.parse().unwrap();
        Pool::new(subnet, &[], subnet.hosts().take(1))
    }

    fn run(machines: &[String], pool: &Pool, taken: &BTreeSet<IpAddr>) -> BTreeMap<String, Option<IpAddr>> {
        let requests: Vec<_> = machines.iter().map(|machine| Request { key: ["back", machine, "eth0"], pool }).collect();
        let mut taken = taken.clone();
        machines.iter().cloned().zip(allocate(&requests, &mut taken)).collect()
    }

    /// The place that a card gets when it is alone.
    fn first(machine: &str, pool: &Pool) -> IpAddr {
        pool.find(&["back", machine, "eth0"], &BTreeSet::new()).unwrap()
    }

    fn machines() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::btree_set("[a-z]{1,6}", 1..40).prop_map(|names| names.into_iter().collect()).prop_shuffle()
    }

    proptest! {
        #[test]
        fn reordering_changes_nothing(names in machines(), seed in 0_usize..40) {
            let pool = pool("10.10.0.0/25");
            let mut turned = names.clone();
            turned.rotate_left(seed % names.len());
            prop_assert_eq!(run(&names, &pool, &BTreeSet::new()), run(&turned, &pool, &BTreeSet::new()));
        }

        #[test]
        fn nobody_has_anothers_address(names in machines(), taken in proptest::collection::btree_set(0_u32..128, 0..20)) {
            let pool = pool("10.10.0.0/25");
            let taken: BTreeSet<IpAddr> = taken.into_iter().map(|n| IpAddr::from((0x0a0a_0000 + n).to_be_bytes())).collect();
            let found = run(&names, &pool, &taken);
            let addresses: BTreeSet<_> = found.values().map(|address| address.expect("the pool is large enough")).collect();
            prop_assert_eq!(addresses.len(), names.len());
            prop_assert!(addresses.is_disjoint(&taken));
            for address in addresses {
                prop_assert!(pool.subnet().contains(&address) && !pool.reserved.contains(&number(address)));
            }
        }

        /// The promise: who comes or goes moves nobody, unless it wants a place that another one has.
        #[test]
        fn a_newcomer_moves_nobody_whose_place_it_does_not_want(names in machines(), newcomer in "[A-Z]{1,6}") {
            let pool = pool("10.10.0.0/22");
            let before = run(&names, &pool, &BTreeSet::new());
            let mut more = names.clone();
            more.push(newcomer.clone());
            let mut after = run(&more, &pool, &BTreeSet::new());
            let place = after.remove(&newcomer);
            let wanted = first(&newcomer, &pool);
            if before.values().all(|address| *address != Some(wanted)) {
                prop_assert_eq!(place, Some(Some(wanted)));
                prop_assert_eq!(before, after);
            } else {
                // One of the two goes elsewhere; its new place is hardly anybody's.
                let moved = names.iter().filter(|name| before[*name] != after[*name]).count();
                prop_assert!(moved <= 2, "{moved} cards moved");
            }
        }
    }

    #[test]
    fn every_address_of_a_pool_is_found() {
        let pool = pool("10.0.0.0/28");
        assert_eq!(pool.size(), 13);
        let names: Vec<String> = (0..14).map(|n| format!("m{n}")).collect();
        assert!(run(&names[..13], &pool, &BTreeSet::new()).values().all(Option::is_some));
        assert_eq!(run(&names, &pool, &BTreeSet::new()).values().filter(|address| address.is_none()).count(), 1);
    }

    #[test]
    fn large_and_small_subnets_have_pools() {
        assert_eq!(Pool::new("10.0.0.0/31".parse().unwrap(), &[], []).size(), 2);
        assert_eq!(Pool::new("10.0.0.1/32".parse().unwrap(), &[], []).size(), 1);
        assert_eq!(Pool::new("fd00::/64".parse().unwrap(), &[], []).size(), (1 << 64) - 1);
        let wide = Pool::new("fd00::/8".parse().unwrap(), &[], []);
        assert!(wide.find(&["a", "b", "c"], &BTreeSet::new()).is_some());
        let range = Pool::new("10.0.0.0/24".parse().unwrap(), &[("10.0.0.9".parse().unwrap(), "10.0.0.9".parse().unwrap())], []);
        assert_eq!(range.find(&["a", "b", "c"], &BTreeSet::new()), Some("10.0.0.9".parse().unwrap()));
        let full = Pool::new("10.0.0.0/30".parse().unwrap(), &[], ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]);
        assert_eq!((full.size(), full.find(&["a", "b", "c"], &BTreeSet::new())), (0, None));
    }

    /// Machines would lose their addresses with a new release.
    #[test]
    fn addresses_do_not_change_between_releases() {
        let found: Vec<String> = ["web", "db"].iter().map(|machine| first(machine, &pool("10.10.0.0/24")).to_string()).collect();
        assert_eq!(found, ["10.10.0.1", "10.10.0.1"]);
    }
}
