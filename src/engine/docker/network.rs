//! Docker networks: what they are told, and what they say of themselves.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use ipnet::IpNet;
use serde_json::Value;

use super::answer;
use crate::types::EngineNetwork;

const BRIDGE: &str = "com.docker.network.bridge.name";
const MTU: &str = "com.docker.network.driver.mtu";

pub(super) fn network(answer: &answer::Network) -> EngineNetwork {
    EngineNetwork {
        subnets: subnets(answer).collect(),
        // Some engines write the gateway with the length of its subnet.
        gateways: answer.ipam.config.iter().filter_map(|it| it.gateway.split('/').next()?.parse().ok()).collect(),
        mtu: answer.options.get(MTU).and_then(|mtu| mtu.parse().ok()),
        bridge: answer.options.get(BRIDGE).cloned(),
        internal: answer.internal,
        labels: answer.labels.clone(),
    }
}

pub(super) fn subnets(answer: &answer::Network) -> impl Iterator<Item = IpNet> {
    answer.ipam.config.iter().filter_map(|it| it.subnet.parse::<IpNet>().ok()).map(|subnet| subnet.trunc())
}

/// The request as JSON: `CheckDuplicate`, without which engines before 25 make a second network of the name, is no longer
/// in bollard's model.
pub(super) fn create(name: &str, network: &EngineNetwork) -> Value {
    let gateway = |subnet: &IpNet| network.gateways.iter().find(|gateway: &&IpAddr| subnet.contains(*gateway));
    let config = network.subnets.iter().map(|subnet| IpamConfig {
        subnet: Some(subnet.to_string()),
        gateway: gateway(subnet).map(ToString::to_string),
        ..IpamConfig::default()
    });
    let options = [(MTU, network.mtu.map(|mtu| mtu.to_string())), (BRIDGE, network.bridge.clone())];
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".into()),
        internal: Some(network.internal),
        enable_ipv6: Some(network.subnets.iter().any(|subnet| matches!(subnet, IpNet::V6(_)))),
        ipam: Some(Ipam { config: Some(config.collect()), ..Ipam::default() }),
        options: Some(options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()),
        labels: Some(network.labels.clone().into_iter().collect::<HashMap<_, _>>()),
        ..NetworkCreateRequest::default()
    };
    let mut body = serde_json::to_value(request).expect("names and texts are always JSON");
    body["CheckDuplicate"] = Value::Bool(true);
    body
}

/// Whether what is there is what was asked for; a gateway or subnet that was left to the engine may be any.
pub(super) fn satisfies(asked: &EngineNetwork, there: &EngineNetwork) -> bool {
    (asked.subnets.is_empty() || asked.subnets == there.subnets)
        && asked.gateways.is_subset(&there.gateways)
        && asked.mtu.is_none_or(|mtu| there.mtu == Some(mtu))
        && (asked.bridge.is_none() || asked.bridge == there.bridge)
        && asked.internal == there.internal
}
