//! The engine's answers, as far as fly reads them. Everything may be missing or null, states are plain words, and what is
//! unknown is passed over: a newer engine must never make fly blind.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub(super) type Labels = BTreeMap<String, String>;

/// Go writes an empty list or map as null.
fn null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Info {
    /// The engine's own, made when it was installed.
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) server_version: String,
    #[serde(rename = "NCPU")]
    pub(super) ncpu: u32,
    pub(super) mem_total: u64,
    /// From 20.10 on.
    pub(super) cgroup_version: String,
    /// The host's name.
    pub(super) name: String,
    pub(super) kernel_version: String,
}

/// A line of the list of containers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    pub(super) id: String,
    #[serde(deserialize_with = "null")]
    pub(super) names: Vec<String>,
    #[serde(rename = "ImageID")]
    pub(super) image_id: String,
    /// `running`, `exited`.
    pub(super) state: String,
    #[serde(deserialize_with = "null")]
    pub(super) labels: Labels,
    #[serde(deserialize_with = "null")]
    pub(super) network_settings: NetworkSettings,
    #[serde(deserialize_with = "null")]
    pub(super) mounts: Vec<MountPoint>,
}

impl Listed {
    /// Its name; what is left are names that legacy links gave it: `/web/db`.
    pub(super) fn name(&self) -> &str {
        self.names.iter().filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/')).unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Inspect {
    pub(super) id: String,
    /// With a slash before it.
    pub(super) name: String,
    pub(super) image: String,
    #[serde(deserialize_with = "null")]
    pub(super) state: State,
    #[serde(deserialize_with = "null")]
    pub(super) config: Config,
    #[serde(deserialize_with = "null")]
    pub(super) host_config: HostConfig,
    #[serde(deserialize_with = "null")]
    pub(super) network_settings: NetworkSettings,
    #[serde(deserialize_with = "null")]
    pub(super) mounts: Vec<MountPoint>,
    pub(super) size_rw: Option<u64>,
}

impl Inspect {
    pub(super) fn name(&self) -> &str {
        self.name.trim_start_matches('/')
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "so the engine writes them")]
pub(super) struct State {
    pub(super) status: String,
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) restarting: bool,
    pub(super) dead: bool,
    pub(super) pid: u32,
    pub(super) exit_code: i64,
    pub(super) error: String,
    pub(super) started_at: String,
    pub(super) health: Option<HealthState>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HealthState {
    pub(super) status: String,
    #[serde(deserialize_with = "null")]
    pub(super) log: Vec<HealthLog>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HealthLog {
    pub(super) exit_code: i64,
    pub(super) output: String,
}

/// What a container and an image both have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    pub(super) hostname: String,
    pub(super) user: String,
    #[serde(deserialize_with = "null")]
    pub(super) env: Vec<String>,
    pub(super) cmd: Option<Vec<String>>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) image: String,
    pub(super) working_dir: String,
    pub(super) tty: bool,
    pub(super) open_stdin: bool,
    #[serde(deserialize_with = "null")]
    pub(super) volumes: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "null")]
    pub(super) labels: Labels,
    pub(super) stop_signal: Option<String>,
    pub(super) stop_timeout: Option<i64>,
    pub(super) healthcheck: Option<Healthcheck>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Healthcheck {
    #[serde(deserialize_with = "null")]
    pub(super) test: Vec<String>,
    pub(super) interval: u64,
    pub(super) timeout: u64,
    pub(super) start_period: u64,
    pub(super) start_interval: u64,
    pub(super) retries: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    #[serde(deserialize_with = "null")]
    pub(super) binds: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub(super) mounts: Vec<AskedMount>,
    #[serde(deserialize_with = "null")]
    pub(super) tmpfs: BTreeMap<String, String>,
    pub(super) network_mode: String,
    #[serde(deserialize_with = "null")]
    pub(super) port_bindings: PortMap,
    #[serde(deserialize_with = "null")]
    pub(super) restart_policy: RestartPolicy,
    #[serde(deserialize_with = "null")]
    pub(super) cap_add: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub(super) cap_drop: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub(super) dns: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub(super) dns_search: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub(super) extra_hosts: Vec<String>,
    pub(super) privileged: bool,
    pub(super) init: Option<bool>,
    #[serde(deserialize_with = "null")]
    pub(super) security_opt: Vec<String>,
    /// Empty, not null: nothing is masked because somebody said so.
    pub(super) masked_paths: Option<Vec<String>>,
    pub(super) shm_size: u64,
    #[serde(deserialize_with = "null")]
    pub(super) sysctls: BTreeMap<String, String>,
    #[serde(deserialize_with = "null")]
    pub(super) devices: Vec<Device>,
    #[serde(deserialize_with = "null")]
    pub(super) ulimits: Vec<Ulimit>,
    pub(super) memory: i64,
    pub(super) nano_cpus: i64,
    pub(super) cpuset_cpus: String,
    pub(super) pids_limit: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RestartPolicy {
    pub(super) name: String,
    pub(super) maximum_retry_count: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Device {
    pub(super) path_on_host: String,
    pub(super) path_in_container: String,
    pub(super) cgroup_permissions: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Ulimit {
    pub(super) name: String,
    pub(super) soft: i64,
    pub(super) hard: i64,
}

/// A mount as it was asked for in the long form.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AskedMount {
    pub(super) target: String,
    #[serde(deserialize_with = "null")]
    pub(super) bind_options: BindOptions,
    #[serde(deserialize_with = "null")]
    pub(super) volume_options: VolumeOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VolumeOptions {
    pub(super) no_copy: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BindOptions {
    pub(super) propagation: String,
}

/// A mount as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct MountPoint {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) source: String,
    pub(super) destination: String,
    #[serde(rename = "RW")]
    pub(super) rw: bool,
}

pub(super) type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PortBinding {
    pub(super) host_ip: String,
    pub(super) host_port: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkSettings {
    #[serde(deserialize_with = "null")]
    pub(super) ports: PortMap,
    #[serde(deserialize_with = "null")]
    pub(super) networks: BTreeMap<String, Option<EndpointState>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct EndpointState {
    #[serde(rename = "IPAMConfig", deserialize_with = "null")]
    pub(super) ipam_config: EndpointIpam,
    #[serde(deserialize_with = "null")]
    pub(super) aliases: Vec<String>,
    /// Empty until the container has been started for the first time.
    #[serde(rename = "NetworkID")]
    pub(super) network_id: String,
    #[serde(rename = "IPAddress")]
    pub(super) ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub(super) global_ipv6_address: String,
    pub(super) mac_address: String,
    #[serde(deserialize_with = "null")]
    pub(super) driver_opts: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointIpam {
    #[serde(rename = "IPv4Address")]
    pub(super) ipv4: String,
    #[serde(rename = "IPv6Address")]
    pub(super) ipv6: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) id: String,
    #[serde(rename = "IPAM", deserialize_with = "null")]
    pub(super) ipam: Ipam,
    pub(super) internal: bool,
    #[serde(deserialize_with = "null")]
    pub(super) options: BTreeMap<String, String>,
    #[serde(deserialize_with = "null")]
    pub(super) labels: Labels,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Ipam {
    #[serde(deserialize_with = "null")]
    pub(super) config: Vec<IpamConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct IpamConfig {
    pub(super) subnet: String,
    pub(super) gateway: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Volumes {
    #[serde(deserialize_with = "null")]
    pub(super) volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Volume {
    pub(super) name: String,
    #[serde(deserialize_with = "null")]
    pub(super) labels: Labels,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Image {
    pub(super) id: String,
    /// `name@sha256:…`, by which it was pulled.
    #[serde(deserialize_with = "null")]
    pub(super) repo_digests: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub(super) config: Config,
}
