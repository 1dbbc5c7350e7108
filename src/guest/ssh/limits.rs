//! What a client may cost, before it has logged in and after.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time to log in, if nothing else is said.
pub(crate) const LOGIN_TIME: Duration = Duration::from_secs(20);
/// Refused keys and passwords on one connection.
pub(crate) const ATTEMPTS: usize = 6;
/// What a client needs to log in are some kilobytes, with many keys some ten.
pub(crate) const BYTES_BEFORE_LOGIN: u64 = 256 * 1024;
/// All connections.
const CONNECTIONS: usize = 512;
/// Those that have not logged in yet.
const STRANGERS: usize = 64;
/// Those from one address. More than a tool opens at once, and far less than all of them.
const STRANGERS_OF_ONE: usize = 16;

/// Sessions and forwarded connections on one connection.
pub(crate) const CHANNELS: usize = 64;
/// Listeners of one connection, `-R` and unix sockets.
pub(crate) const LISTENERS: usize = 32;
/// Variables that a client may send for one session, and their bytes.
pub(crate) const VARIABLES: usize = 64;
pub(crate) const VARIABLE_BYTES: usize = 32 * 1024;
/// As OpenSSH has them.
pub(crate) const WINDOW: u32 = 2 * 1024 * 1024;
pub(crate) const PACKET: u32 = 32 * 1024;

/// A client that says nothing is asked this often, and given up after so many questions.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);
pub(crate) const MISSED: u32 = 3;
/// What processes get to go by themselves when their session is gone.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// All connections of the server, by what they are.
#[derive(Default)]
pub(crate) struct Connections(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    /// Since the start.
    admitted: u64,
    strangers: usize,
    of_one: HashMap<IpAddr, usize>,
}

/// One connection's place. Given back when it is dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Counts as a connection only.
    Known,
    /// Has not logged in, and comes from there.
    Stranger(IpAddr),
}

impl Connections {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Numbers are whole whatever happened to whoever held them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for somebody new, if there is one. Without an address it is the machine's own socket: whoever has the engine is no
    /// stranger, and has a place however many of those there are.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let source = address.map(source);
        let mut counts = self.counts();
        let of_one = source.map_or(0, |source| counts.of_one.get(&source).copied().unwrap_or(0));
        let crowded = source.is_some() && (counts.strangers >= STRANGERS || of_one >= STRANGERS_OF_ONE);
        if crowded || counts.all >= CONNECTIONS {
            return None;
        }
        counts.all += 1;
        counts.admitted += 1;
        let Some(source) = source else { return Some(Place { connections: Arc::clone(self), kind: Kind::Known }) };
        counts.strangers += 1;
        counts.of_one.insert(source, of_one + 1);
        Some(Place { connections: Arc::clone(self), kind: Kind::Stranger(source) })
    }
}

impl Connections {
    /// How many there have been so far, if none is left.
    pub(crate) fn quiet(&self) -> Option<u64> {
        let counts = self.counts();
        (counts.all == 0).then_some(counts.admitted)
    }
}

impl Place {
    /// The client is no stranger any more.
    pub(crate) fn logged_in(&mut self) {
        let Kind::Stranger(source) = std::mem::replace(&mut self.kind, Kind::Known) else { return };
        let mut counts = self.connections.counts();
        counts.strangers = counts.strangers.saturating_sub(1);
        let left = counts.of_one.get(&source).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            counts.of_one.remove(&source);
        } else {
            counts.of_one.insert(source, left);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.logged_in();
        let mut counts = self.connections.counts();
        counts.all = counts.all.saturating_sub(1);
    }
}

/// A host usually has a whole /64 of IPv6.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6((six.to_bits() & !u128::from(u64::MAX)).into()),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places() {
        let connections = Arc::new(Connections::default());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mut places: Vec<Place> = std::iter::from_fn(|| connections.admit(Some(one))).collect();
        assert_eq!(places.len(), STRANGERS_OF_ONE);
        assert!(connections.admit(Some("192.0.2.2".parse().unwrap())).is_some());
        places[0].logged_in();
        assert!(connections.admit(Some(one)).is_some());
        drop(places);
        let counts = connections.counts();
        assert_eq!((counts.all, counts.strangers, counts.of_one.len()), (0, 0, 0));
    }

    #[test]
    fn strangers_do_not_keep_out_whoever_has_the_engine() {
        let connections = Arc::new(Connections::default());
        let address = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let places: Vec<Place> = (0..200).filter_map(|last| connections.admit(address(last))).collect();
        assert_eq!(places.len(), STRANGERS);
        let engine = connections.admit(None);
        assert!(engine.is_some());
        drop((places, engine));
        let counts = connections.counts();
        assert_eq!((counts.all, counts.strangers, counts.of_one.len()), (0, 0, 0));
    }

    #[test]
    fn neighbours_in_one_prefix_are_one_source() {
        let connections = Arc::new(Connections::default());
        let address = |last: u16| Some(IpAddr::V6(format!("2001:db8::{last:x}").parse().unwrap()));
        let places: Vec<Place> = (0..100).filter_map(|last| connections.admit(address(last))).collect();
        assert_eq!(places.len(), STRANGERS_OF_ONE);
    }
}
