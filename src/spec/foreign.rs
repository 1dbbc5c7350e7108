//! Keys of Compose and of later releases, and what to write here.

pub(super) enum Hint {
    NotYet,
    Instead(&'static str),
}

use Hint::{Instead, NotYet};

pub(super) fn hint(whose: &str, key: &str) -> Option<Hint> {
    match whose {
        "the file" => file(key),
        "a machine" => machine(key),
        "a network" => network(key),
        "a network card" | "a cable" | "an end of a cable" => card(key),
        "a volume" => volume(key),
        "a route" if matches!(key, "gateway" | "gw" | "next_hop") => Some(Instead("`via`")),
        "a route" | "a gateway" if key == "priority" => Some(Instead("`metric`")),
        "a route" if key == "from" => Some(Instead("`src`, or `rules` for packets from somewhere")),
        "a rule" if key == "mark" => Some(Instead("`fwmark`")),
        "a rule" if key == "lookup" => Some(Instead("`table`")),
        "a rule" if key == "pref" => Some(Instead("`priority`")),
        "a dependency" if key == "restart" => Some(NotYet),
        "a mount" if matches!(key, "readonly" | "ro") => Some(Instead("`read_only: true`")),
        "a mount" if matches!(key, "destination" | "dst") => Some(Instead("`target`")),
        "a mount" if key == "src" => Some(Instead("`source`")),
        "a mount" if matches!(key, "image" | "npipe") => Some(NotYet),
        "the bind options" if key == "recursive" => Some(NotYet),
        "the volume options" if matches!(key, "subpath" | "labels") => Some(NotYet),
        "a published port" if matches!(key, "mode" | "name" | "app_protocol") => Some(NotYet),
        "an environment file" if key == "format" => Some(NotYet),
        _ => None,
    }
}

fn file(key: &str) -> Option<Hint> {
    Some(match key {
        "services" | "containers" => Instead("`machines`: that is what they are called here"),
        "version" => Instead("leave it out: the file has no version"),
        "project" => Instead("`name`"),
        "nets" => Instead("`networks`"),
        "cables" => Instead("`links`"),
        "include" | "secrets" | "configs" | "models" | "profiles" => NotYet,
        _ => return None,
    })
}

fn machine(key: &str) -> Option<Hint> {
    Some(match key {
        "mem_limit" => Instead("`memory`"),
        "networks" | "network" => Instead("`nics`, as in `nics: {eth0: lan}`"),
        "mac_address" | "mac" => Instead("`mac` of a network card, as in `nics: {eth0: {network: lan, mac: \"02:00:5e:10:00:01\"}}`"),
        "ip" | "ipv4_address" | "ipv6_address" => Instead("`ip` of a network card, as in `nics: {eth0: {network: lan, ip: auto}}`"),
        "env" => Instead("`environment`"),
        "working_directory" | "workdir" => Instead("`working_dir`"),
        "expose" => Instead("leave it out: machines on one network reach all ports of each other"),
        "container_name" => Instead("leave it out: containers are named after project and machine"),
        "external_links" => Instead("`extra_hosts`"),
        "build" => Instead("`image`: images are pulled, not built yet; so `docker build -t NAME .`, and `image: NAME`"),
        "deploy" => Instead("`scale`, `cpus`, `memory` and `restart`"),
        "pid"
        | "ipc"
        | "uts"
        | "cgroup"
        | "cgroup_parent"
        | "userns_mode"
        | "runtime"
        | "isolation"
        | "platform"
        | "domainname"
        | "label_file"
        | "annotations"
        | "dns_opt"
        | "volumes_from"
        | "storage_opt"
        | "read_only"
        | "configs"
        | "secrets"
        | "cpu_shares"
        | "cpu_period"
        | "cpu_quota"
        | "cpu_rt_period"
        | "cpu_rt_runtime"
        | "cpu_count"
        | "cpu_percent"
        | "mem_reservation"
        | "memswap_limit"
        | "mem_swappiness"
        | "oom_kill_disable"
        | "oom_score_adj"
        | "blkio_config"
        | "device_cgroup_rules"
        | "gpus"
        | "group_add"
        | "credential_spec"
        | "use_api_socket"
        | "logging"
        | "develop"
        | "pre_start"
        | "post_start"
        | "pre_stop"
        | "provider"
        | "models"
        | "extends"
        | "profiles"
        | "attach"
        | "rootfs"
        | "ssh" => NotYet,
        _ => return None,
    })
}

fn network(key: &str) -> Option<Hint> {
    Some(match key {
        "driver" | "type" => Instead("`kind`"),
        "ipam" => Instead("`subnet`, `gateway` and `pool`"),
        "subnets" => Instead("`subnet`, which may be a list"),
        "ip_range" | "range" => Instead("`pool`, as in `pool: 192.168.1.100-192.168.1.199`"),
        "external" => Instead("`bridge`, with the name of a bridge that exists already"),
        "remote" => Instead("`remotes`"),
        "promisc" => Instead("`promiscuous`"),
        "dhcp" => Instead("`ip: dhcp` of the cards on it"),
        "driver_opts" | "attachable" | "enable_ipv4" | "enable_ipv6" | "name" | "labels" => NotYet,
        _ => return None,
    })
}

fn card(key: &str) -> Option<Hint> {
    Some(match key {
        "ipv4_address" | "ipv6_address" | "address" | "addresses" | "ips" => Instead("`ip`, which may be a list"),
        "mac_address" => Instead("`mac`"),
        "route" => Instead("`routes`"),
        "name" | "interface_name" => Instead("the key itself is the card's name, as in `nics: {eth0: {network: lan}}`"),
        "neighbors" | "neighbour" | "neighbor" => Instead("`neighbours`"),
        "latency" => Instead("`delay`"),
        "bandwidth" | "speed" => Instead("`rate`"),
        "rule" | "routing_policy" | "routing-policy" => Instead("`rules`"),
        "dhcp" => Instead("`ip: dhcp`"),
        "vlan" => Instead("`vlan` of the network"),
        "limit" | "aliases" | "driver_opts" | "gw_priority" | "priority" | "link_local_ips" => NotYet,
        _ => return None,
    })
}

fn volume(key: &str) -> Option<Hint> {
    Some(match key {
        "driver" | "driver_opts" => NotYet,
        _ => return None,
    })
}
