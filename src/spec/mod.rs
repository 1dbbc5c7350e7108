//! `fly.yml` as written, with the place of every value.

mod model;

pub use model::{
    Cable, CableEnd, Condition, Dependency, Entries, EnvFile, Ip, Machine, MachineLink, Network, NetworkKind, NetworkModeSpec, Nic,
    PortRange, PullPolicy, RouteSpec, Spec, Tmpfs, Volume, VolumeMount, VolumeMountKind,
};
