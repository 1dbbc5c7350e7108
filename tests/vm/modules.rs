//! The machine is what it is for: its kernel has what others lack.

use crate::world;

#[test]
fn the_kernel_has_what_others_lack() {
    let world = world(&[]);
    world.ok("host", "ip link add d0 type dummy && ip link set d0 up");
    for link in ["v0 link d0 type vlan id 7", "i0 link d0 type ipvlan mode l2", "r0 type vrf table 9"] {
        world.ok("host", &format!("ip link add {link}"));
    }
    world.ok("host", "tc qdisc add dev d0 root netem delay 10ms");
}
