#!/bin/bash
# The first process of a lab: a small machine of its own in fresh pid, mount and network namespaces.
# When its standard input ends, so when the test process is gone for whatever reason, it exits, and the kernel
# takes every process, mount and link of the lab with it.
set -eu
dir=$1
# Read while /proc is still the outer one: this is the pid that the test process sees.
read -r outer _ </proc/self/stat
mount -t proc proc /proc

# A /sys that shows the lab's own links, with the cgroups that the engine needs bound back into it.
mkdir "$dir/cgroup" "$dir/etc"
mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
umount -l "$dir/cgroup"

# What the daemons write outside their own folders (/run/containerd, /etc/docker/key.json) stays in the lab.
mount -t tmpfs run /run
mkdir -p /run/lock /run/netns
mount -t tmpfs etc "$dir/etc"
mkdir "$dir/etc/upper" "$dir/etc/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$dir/etc/upper,workdir=$dir/etc/work" etc /etc
# The engine's data live in memory: nothing waits for a disk, nothing has to be deleted.
mkdir "$dir/docker" "$dir/containerd"
mount -t tmpfs docker "$dir/docker"
mount -t tmpfs containerd "$dir/containerd"
rm -f /etc/resolv.conf
echo 'nameserver 192.168.77.2' >/etc/resolv.conf
ln -s "$dir/docker.sock" /run/docker.sock

# The pretend LAN: eth1 is a card of this machine, plugged into a switch (`lan`) that it cannot see inside; `neighbour`
# is another computer there, which also routes to 203.0.113.1 and 2001:db8:77::1, "the world".
ip netns add lan
ip netns add neighbour
ip -batch - <<LINKS
link set lo up
link add eth1 type veth peer name host netns lan
addr add 192.168.77.1/24 dev eth1
addr add fd00:77::1/64 dev eth1 nodad
link set eth1 addrgenmode none up
LINKS
ip -n lan -batch - <<LINKS
link add switch type bridge
link set switch up
link set host master switch up
link add neighbour type veth peer name eth0 netns neighbour
link set neighbour master switch up
LINKS
ip -n neighbour -batch - <<LINKS
link set lo up
addr add 203.0.113.1/32 dev lo
addr add 2001:db8:77::1/128 dev lo nodad
addr add 192.168.77.2/24 dev eth0
addr add fd00:77::2/64 dev eth0 nodad
link set eth0 addrgenmode none up
LINKS

echo "ready $outer"
while read -r _; do :; done
