//! `machines` and `defaults`: the keys of a machine.

use super::image::IMAGE;
use super::lists::{ADDRESSES, COMMAND, ENV_FILE, ENVIRONMENT, EXTRA_HOSTS, HOSTNAME, LABELS, SYSCTLS, TEXT_OR_TEXTS};
use super::model::{Broken, Machine};
use super::mounts::{TMPFS, VOLUMES};
use super::needs::{DEPENDS_ON, LINKS, NETWORK_MODE};
use super::nic::NICS;
use super::node::Node;
use super::ports::PORTS;
use super::reader::{Key, Reader, key};
use super::route::RULES;
use super::runtime::{CAPS, CPUSET, DEVICES, HEALTHCHECK, INIT, MEMORY, PIDS, PULL_POLICY, RESTART, SCALE, STOP_SIGNAL, ULIMITS};
use super::scalars::{BOOL, BYTES, CPUS, LOOSE_TEXT, PLACE, SECONDS};
use super::security::SECURITY;
use super::sshd::SSHD;
use crate::diag::Place;

pub(super) const TABLES: &[&[Key<Machine>]] = &[KEYS];

const KEYS: &[Key<Machine>] = &[
    key!(image: IMAGE, "What its file system is made from: `debian:12`"),
    key!(pull_policy: PULL_POLICY, "When the image is pulled. Default: `missing`"),
    key!(command: COMMAND, "What it runs. Default: what the image says"),
    key!(entrypoint: COMMAND, "What the command is given to. Default: what the image says"),
    key!(environment: ENVIRONMENT, "Environment variables; one without a value takes that of your own environment"),
    key!(env_file: ENV_FILE, "Files with environment variables; `environment` wins"),
    key!(hostname: HOSTNAME, "What it calls itself. Default: its name"),
    key!(user: LOOSE_TEXT, "Who runs the command: name or number, with or without a group"),
    key!(working_dir: PLACE, "The directory that the command is run in"),
    key!(tty: BOOL, "Gives its first process a terminal"),
    key!(stdin_open: BOOL, "Keeps the first process's input open, for whoever attaches"),
    key!(volumes: VOLUMES, "Directories of the host and volumes that are mounted inside"),
    key!(tmpfs: TMPFS, "Places that are held in memory"),
    key!(shm_size: BYTES, "How much `/dev/shm` can hold"),
    key!(ports: PORTS, "Ports of this host that lead to ports of the machine; needs a card on a nat network"),
    key!(links: LINKS, "Machines that are started first, and further names for them: `db:database`"),
    key!(depends_on: DEPENDS_ON, "Machines that are started first, and what is waited for"),
    key!(restart: RESTART, "When the engine starts it again. Default: `no`"),
    key!(healthcheck: HEALTHCHECK, "How the engine finds out whether it works"),
    key!(stop_signal: STOP_SIGNAL, "The signal that ends it. Default: what the image says, otherwise `SIGTERM`"),
    key!(stop_grace_period: SECONDS, "How long it has to end. Default: 10s"),
    key!(cpus: CPUS, "How many processors it may use: `1.5`. Changed while it runs"),
    key!(cpuset: CPUSET, "Which processors it may use: `0-3,5`. Changed while it runs"),
    key!(memory: MEMORY, "How much memory it may use: `512M`. Changed while it runs"),
    key!(pids_limit: PIDS, "How many processes it may have; `-1` is without limit. Changed while it runs"),
    key!(ulimits: ULIMITS, "Limits of its processes, as a number or as `{soft: 1024, hard: 4096}`"),
    key!(sysctls: SYSCTLS, "Kernel parameters of its namespaces"),
    key!(cap_add: CAPS, "Capabilities that it has besides the engine's own choice"),
    key!(cap_drop: CAPS, "Capabilities that it does not have"),
    key!(devices: DEVICES, "Devices of the host: `/dev/net/tun`, `/dev/sda:/dev/xvda:r`"),
    key!(privileged: BOOL, "All capabilities and devices"),
    key!(security_opt: SECURITY, "Options of AppArmor, SELinux and seccomp: `seccomp=./profile.json`, `systempaths=unconfined`"),
    key!(dns: ADDRESSES, "Name servers"),
    key!(dns_search: TEXT_OR_TEXTS, "Domains in which short names are looked up"),
    key!(extra_hosts: EXTRA_HOSTS, "Further names in `/etc/hosts`"),
    key!(labels: LABELS, "Labels of the container"),
    key!(network_mode: NETWORK_MODE, "Whose network it uses instead of cards of its own: `none`, `host`, `machine:NAME`, `container:NAME`"),
    key!(scale: SCALE, "How many of it there are. Default: 1"),
    key!(sshd: SSHD, "Whether one can log in by ssh: `true`, `openssh` for the image's own server, or its keys. Default: `false`"),
    key!(guest: BOOL, "Whether fly is its first process, which waits for the cards. Default: true, unless `security_opt` has `no-new-privileges`"),
    key!(init: INIT, "`true`: a first process that reaps and hands signals on, as the guest does anyway; `systemd`: the image's. Default: `false`"),
    key!(nics: NICS, "Its network cards, by their names inside. Default: one on the project's own nat network"),
    key!(rules: RULES, "Policy rules: which routing table is asked for which packets"),
];

pub(super) fn read(r: &mut Reader, place: &Place, node: &Node) -> Machine {
    let mut machine = empty(place.clone());
    machine.broken = r.kept_keys(node, "a machine", TABLES, &mut machine);
    machine
}

fn empty(place: Place) -> Machine {
    Machine {
        place,
        image: None,
        pull_policy: None,
        command: None,
        entrypoint: None,
        environment: None,
        env_file: None,
        hostname: None,
        user: None,
        working_dir: None,
        tty: None,
        stdin_open: None,
        volumes: None,
        tmpfs: None,
        shm_size: None,
        ports: None,
        links: None,
        depends_on: None,
        restart: None,
        healthcheck: None,
        stop_signal: None,
        stop_grace_period: None,
        cpus: None,
        cpuset: None,
        memory: None,
        pids_limit: None,
        ulimits: None,
        sysctls: None,
        cap_add: None,
        cap_drop: None,
        devices: None,
        privileged: None,
        security_opt: None,
        dns: None,
        dns_search: None,
        extra_hosts: None,
        labels: None,
        network_mode: None,
        scale: None,
        nics: None,
        rules: None,
        sshd: None,
        guest: None,
        init: None,
        broken: Broken::default(),
    }
}
