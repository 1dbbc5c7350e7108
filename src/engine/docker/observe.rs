//! Builds the snapshot: one list of everything, then a closer look at what is ours.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use super::answer::{self, Inspect, Listed};
use super::error::Failure;
use super::inspect::{self, Around};
use super::ownership::{Proof, other};
use super::raw::encode;
use super::{Docker, agent, guest, image, network};
use crate::engine::{
    EngineFacts, EngineQuery, EngineSnapshot, Health, ImageState, Leftover, MachineState, NetworkState, RunState, VolumeState,
};
use crate::types::{AGENT, Bytes, Name, Owner};

pub(super) async fn observe(docker: &Docker, query: &EngineQuery) -> Result<EngineSnapshot, Failure> {
    let http = &docker.http;
    let asked: Vec<&str> = query.images.iter().map(String::as_str).collect();
    // What takes longest, list and inspects, waits for nothing else.
    let (info, (listed, inspects), networks, volumes, images) = tokio::try_join!(
        docker.info(),
        containers(docker, &query.project),
        http.get::<Vec<answer::Network>>("/networks"),
        http.get::<answer::Volumes>("/volumes"),
        find_images(docker, &asked),
    )?;
    let ours = ours(&listed, &query.project);
    let known: BTreeSet<&str> = images.values().map(|it| it.id.as_str()).collect();
    let others: BTreeSet<&str> = listed
        .iter()
        .filter(|it| ours.contains_key(it.id.as_str()) && !known.contains(it.image_id.as_str()))
        .map(|it| it.image_id.as_str())
        .collect();
    let others: Vec<&str> = others.into_iter().collect();
    let others = find_images(docker, &others).await?;
    let by_id: BTreeMap<String, ImageState> = others.into_values().chain(images.values().cloned()).map(|it| (it.id.clone(), it)).collect();
    let around = Around {
        cpus: info.ncpu,
        hostname: info.name.clone(),
        names: listed.iter().map(|it| (it.id.clone(), it.name().to_owned())).collect(),
        machines: ours.iter().filter(|(_, it)| !it.replacement).map(|(id, it)| ((*id).to_owned(), it.what.clone())).collect(),
    };
    let mut snapshot = EngineSnapshot { facts: facts(docker, info), images, ..EngineSnapshot::default() };
    // One that vanished since it was listed is not there. Replacements last: whether they are left over hangs on the others.
    let (replacements, machines): (Vec<_>, Vec<_>) =
        inspects.into_iter().flatten().partition(|it| ours.get(it.id.as_str()).is_some_and(|proof| proof.replacement));
    for inspect in machines.iter().chain(&replacements) {
        add_container(&mut snapshot, &query.project, inspect, &around, &by_id);
    }
    for it in listed.iter().filter(|it| !ours.contains_key(it.id.as_str())) {
        let proof = Proof::of_container(it.name(), &it.labels, &answer::Labels::new());
        snapshot.taken.containers.insert(it.name().to_owned(), other(proof));
        snapshot.taken.ids.insert(it.id.clone(), it.name().to_owned());
    }
    snapshot.guests = guest::installed(&listed);
    if let Some(agent) = agent::state(&listed) {
        snapshot.taken.containers.remove(AGENT);
        snapshot.agent = Some(agent);
    }
    ask_for_host_keys(docker, &mut snapshot).await?;
    snapshot.lenders = lenders(docker, &machines, &snapshot).await?;
    add_renamed(docker, &mut snapshot, &query.project, &listed).await?;
    add_networks(&mut snapshot, &query.project, &networks, &listed);
    add_volumes(&mut snapshot, &query.project, volumes.volumes);
    Ok(snapshot)
}

/// All containers there are, and a closer look at ours.
async fn containers(docker: &Docker, project: &Name) -> Result<(Vec<Listed>, Vec<Option<Inspect>>), Failure> {
    let listed: Vec<Listed> = docker.http.get("/containers/json?all=1").await?;
    let inspects = try_join_all(ours(&listed, project).keys().map(|id| docker.inspect(id))).await?;
    Ok((listed, inspects))
}

/// Of machines that do not run.
async fn ask_for_host_keys(docker: &Docker, snapshot: &mut EngineSnapshot) -> Result<(), Failure> {
    let stopped = snapshot.machines.values_mut().filter(|machine| machine.pid.is_none() && machine.container.guest.is_some());
    let asked = stopped.map(|machine| async {
        machine.host_key = docker.has_host_key(&machine.id).await?;
        Ok::<(), Failure>(())
    });
    try_join_all(asked).await.map(|_| ())
}

/// Whoever lends one of these machines its network, and is not this project's.
async fn lenders(docker: &Docker, machines: &[Inspect], snapshot: &EngineSnapshot) -> Result<BTreeMap<String, u32>, Failure> {
    let ids: BTreeSet<&str> = machines.iter().filter_map(|it| it.host_config.network_mode.strip_prefix("container:")).collect();
    let others = ids.into_iter().filter(|id| snapshot.taken.ids.contains_key(*id));
    let found = try_join_all(others.map(|id| docker.inspect(id))).await?;
    Ok(found.into_iter().flatten().filter(|it| it.state.pid != 0).map(|it| (it.name().to_owned(), it.state.pid)).collect())
}

/// Containers that bear the labels of a machine but not its name: somebody has renamed them, if everything else is as fly makes it.
/// Labels alone can have been copied.
async fn add_renamed(docker: &Docker, snapshot: &mut EngineSnapshot, project: &Name, listed: &[Listed]) -> Result<(), Failure> {
    let machine_of = |it: &Listed| Proof::by_labels(&it.labels).filter(|proof| proof.project == *project).map(|proof| proof.what);
    let strangers = listed.iter().filter(|it| snapshot.taken.ids.contains_key(&it.id));
    let suspects: Vec<(&Listed, Name)> = strangers.filter_map(|it| Some((it, machine_of(it)?))).collect();
    for (it, machine) in suspects {
        let Some(inspect) = docker.inspect(&it.id).await? else { continue };
        let image = find_images(docker, &[&inspect.image]).await?.remove(&inspect.image);
        let of_image = image.map(|image| image.defaults.labels).unwrap_or_default();
        let config = &inspect.config;
        let named = !config.hostname.is_empty() && inspect.id.get(..12) != Some(config.hostname.as_str());
        let is_made_so = named && inspect.host_config.network_mode == "none" && !Proof::is_inherited(&config.labels, &of_image);
        if is_made_so && !snapshot.machines.contains_key(&machine) {
            snapshot.taken.containers.insert(it.name().to_owned(), Owner::Ours);
            snapshot.renamed.insert(machine, it.name().to_owned());
        }
    }
    Ok(())
}

/// By id; an image that bears our label is found out later.
fn ours<'a>(listed: &'a [Listed], project: &Name) -> BTreeMap<&'a str, Proof> {
    let none = answer::Labels::new();
    let proofs = listed.iter().filter_map(|it| Some((it.id.as_str(), Proof::of_container(it.name(), &it.labels, &none)?)));
    proofs.filter(|(_, proof)| proof.project == *project).collect()
}

fn facts(docker: &Docker, info: &answer::Info) -> EngineFacts {
    let (major, minor) = docker.version;
    EngineFacts {
        version: info.server_version.clone(),
        api: format!("{major}.{minor}"),
        cpus: info.ncpu,
        memory: Bytes(info.mem_total),
        cgroups: info.cgroup_version.clone(),
        default_bridge: None,
    }
}

/// By reference; one that is not there, or that is no reference at all, is left out: pulling it will say why.
async fn find_images(docker: &Docker, references: &[&str]) -> Result<BTreeMap<String, ImageState>, Failure> {
    let one = async |reference: &str| match docker.http.find(&format!("/images/{}/json", encode(reference))).await {
        Err(failure) if failure.is(400) => Ok(None),
        found => found,
    };
    let found: Vec<Option<answer::Image>> = try_join_all(references.iter().map(|it| one(it))).await?;
    let states = references.iter().zip(found).filter_map(|(reference, it)| Some(((*reference).to_owned(), image::state(&it?))));
    Ok(states.collect())
}

fn add_container(snapshot: &mut EngineSnapshot, project: &Name, inspect: &Inspect, around: &Around, images: &BTreeMap<String, ImageState>) {
    let name = inspect.name();
    let image = images.get(&inspect.image).map(|it| it.defaults.clone());
    let none = answer::Labels::new();
    let of_image = image.as_ref().map_or(&none, |it| &it.labels);
    let proof = Proof::of_container(name, &inspect.config.labels, of_image).filter(|proof| proof.project == *project);
    let Some(proof) = proof else {
        snapshot.taken.containers.insert(name.to_owned(), Owner::Stranger);
        return;
    };
    let state = &inspect.state;
    let pid = Some(state.pid).filter(|pid| *pid != 0);
    // Where the one that it was to replace has gone already, it is the machine itself, with all the data that was handed on to it.
    if proof.replacement && snapshot.machines.contains_key(&proof.what) {
        snapshot.leftovers.insert(name.to_owned(), Leftover { id: inspect.id.clone(), running: pid.is_some() });
        return;
    }
    let short = inspect.id.get(..12).unwrap_or_default();
    let endpoints = inspect.network_settings.networks.iter();
    let machine = MachineState {
        id: inspect.id.clone(),
        name: name.to_owned(),
        container: inspect::container(inspect, around),
        image_id: inspect.image.clone(),
        image,
        state: run_state(state),
        health: health(state),
        pid,
        started_at: Some(state.started_at.clone()).filter(|time| !time.is_empty() && !time.starts_with("0001-")),
        endpoints: endpoints
            .map(|(network, it)| (network.clone(), it.as_ref().map(|it| inspect::endpoint(it, &[short, name])).unwrap_or_default()))
            .collect(),
        published: inspect::ports(&inspect.network_settings.ports, true),
        writable_layer: None,
        host_key: false,
    };
    snapshot.machines.insert(proof.what, machine);
}

/// A word that is not known is read from the flags beside it.
pub(super) fn run_state(state: &answer::State) -> RunState {
    match state.status.as_str() {
        "created" => RunState::Created,
        "running" => RunState::Running,
        "paused" => RunState::Paused,
        "restarting" => RunState::Restarting,
        "exited" => RunState::Exited { code: state.exit_code },
        "removing" | "dead" => RunState::Dead,
        _ if state.dead => RunState::Dead,
        _ if state.restarting => RunState::Restarting,
        _ if state.paused => RunState::Paused,
        _ if state.running => RunState::Running,
        _ => RunState::Exited { code: state.exit_code },
    }
}

pub(super) fn health(state: &answer::State) -> Health {
    match state.health.as_ref().map(|it| it.status.as_str()) {
        None | Some("" | "none") => Health::None,
        Some("healthy") => Health::Healthy,
        Some("unhealthy") => Health::Unhealthy,
        Some(_) => Health::Starting,
    }
}

/// Engines before 25 may have several networks of one name: ours is known by its labels, and of two of ours the one in use counts.
fn add_networks(snapshot: &mut EngineSnapshot, project: &Name, networks: &[answer::Network], listed: &[Listed]) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for it in networks {
        *names.entry(&it.name).or_default() += 1;
    }
    for it in networks {
        if it.options.get("com.docker.network.bridge.default_bridge").is_some_and(|is_default| is_default == "true") {
            snapshot.facts.default_bridge = it.options.get("com.docker.network.bridge.name").cloned();
        }
        let proof = Proof::of_resource(&it.name, &it.labels);
        if let Some(proof) = proof.as_ref().filter(|proof| proof.project == *project) {
            let only = names.get(it.name.as_str()) == Some(&1);
            let state = NetworkState {
                id: it.id.clone(),
                name: it.name.clone(),
                network: network::network(it),
                containers: listed.iter().filter(|container| is_on(container, it, only)).map(|it| it.name().to_owned()).collect(),
            };
            let better = |old: &NetworkState| (old.containers.len(), &state.id) < (state.containers.len(), &old.id);
            if snapshot.networks.get(&proof.what).is_none_or(better) {
                snapshot.networks.insert(proof.what.clone(), state);
            }
            continue;
        }
        snapshot.taken.networks.insert(it.name.clone(), other(proof));
        snapshot.foreign_subnets.extend(network::subnets(it).map(|subnet| (subnet, it.name.clone())));
    }
    // A stranger's of the same name is no hindrance where ours is there already.
    for state in snapshot.networks.values() {
        snapshot.taken.networks.remove(&state.name);
    }
}

/// A container that never ran names its network without the id.
fn is_on(container: &Listed, network: &answer::Network, only_of_its_name: bool) -> bool {
    container.network_settings.networks.iter().any(|(name, endpoint)| {
        let id = endpoint.as_ref().map_or("", |it| it.network_id.as_str());
        if id.is_empty() { only_of_its_name && *name == network.name } else { id == network.id }
    })
}

fn add_volumes(snapshot: &mut EngineSnapshot, project: &Name, volumes: Vec<answer::Volume>) {
    for it in volumes {
        if let Some((_, machine)) = guest::host_key_of(&it.name, &it.labels).filter(|(owner, _)| owner == project) {
            snapshot.host_keys.insert(machine, it.name);
            continue;
        }
        if let Some((owner, orders)) = agent::orders(&it) {
            if owner == *project {
                snapshot.orders.insert(orders);
            } else {
                snapshot.agent_users.insert(owner);
            }
            continue;
        }
        match Proof::of_resource(&it.name, &it.labels) {
            Some(proof) if proof.project == *project => {
                snapshot.volumes.insert(proof.what, VolumeState { name: it.name, labels: it.labels });
            }
            // Nobody names an anonymous one.
            None if is_anonymous(&it.name) => {}
            proof => _ = snapshot.taken.volumes.insert(it.name, other(proof)),
        }
    }
}

fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
