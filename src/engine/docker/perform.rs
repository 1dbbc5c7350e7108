//! Does one operation. Each is idempotent: what is done already is success, and what is in the way and not ours is a conflict.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::models::{NetworkConnectRequest, NetworkDisconnectRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions, RenameContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptions,
};
use serde_json::json;
use tokio::time::sleep;

use super::answer::{self, Inspect, Labels};
use super::error::Failure;
use super::inspect::{self, Around};
use super::ownership::Proof;
use super::raw::encode;
use super::{Docker, body, guest, image, network, wait};
use crate::engine::{EngineDone, EngineErrorKind as Kind, EngineOp, Progress};
use crate::types::{Container, Endpoint, EngineNetwork, ImageDefaults, LABEL_MACHINE, LABEL_PROJECT, LABEL_RESOURCE, Limits, Restart};

/// A taken NIC name makes the engine's counter go on by one: so often at most.
const NAMES_TO_TRY: u32 = 16;
/// The engine's own time to stop, where the container has none.
const STOP: u64 = 10;
/// What the engine needs beyond a container's time to stop.
const STOP_MARGIN: u64 = 60;
/// How long a request whose answer was lost may still take effect, in steps of `STEP`.
pub(super) const LATE: u32 = 20;
pub(super) const STEP: Duration = Duration::from_millis(250);

pub(super) async fn perform(docker: &Docker, op: &EngineOp, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<EngineDone, Failure> {
    match op {
        EngineOp::PullImage { image } => image::pull(&docker.api, image, progress).await?,
        EngineOp::InstallGuest { version } => docker.install_guest(version).await?,
        EngineOp::RemoveGuest { version } => docker.remove_guest(version).await?,
        EngineOp::InstallAgent { version } => docker.install_agent(version).await?,
        EngineOp::RemoveAgent => docker.remove_agent().await?,
        EngineOp::TellAgent { version, project, orders } => docker.tell_agent(version, project, orders.as_deref()).await?,
        EngineOp::CreateNetwork { name, network } => docker.create_network(name, network).await?,
        EngineOp::DeleteNetwork { name } => docker.delete_network(name).await?,
        EngineOp::CreateVolume { name, labels } => docker.create_volume(name, labels).await?,
        EngineOp::DeleteVolume { name } => docker.delete_volume(name).await?,
        EngineOp::CreateContainer { name, container, network } => docker.create_container(name, container, network.as_ref()).await?,
        EngineOp::RenameContainer { name, to } => docker.rename_container(name, to).await?,
        EngineOp::StartContainer { name } => return docker.start_container(name).await,
        EngineOp::StopContainer { name } => docker.stop_container(name).await?,
        EngineOp::UnpauseContainer { name } => docker.unpause_container(name).await?,
        EngineOp::RemoveContainer { name, volumes } => docker.remove_container(name, volumes).await?,
        EngineOp::UpdateContainer { name, limits, restart } => docker.update_container(name, limits, *restart).await?,
        EngineOp::Connect { container, network, endpoint } => docker.connect_network(container, network, endpoint).await?,
        EngineOp::Disconnect { container, network } => docker.disconnect(container, network).await?,
        EngineOp::Wait { container, until, timeout } => wait::until(docker, container, *until, *timeout).await?,
    }
    Ok(EngineDone::default())
}

pub(super) fn conflict(message: String) -> Failure {
    Failure::new(Kind::Conflict, message)
}

/// Whether a resource of this name bears fly's marks. The plan knew whose it is; this holds if a stranger's has come since.
fn is_flys(name: &str, labels: &Labels) -> bool {
    let proof = Proof::of_container(name, labels, &Labels::new()).or_else(|| Proof::of_resource(name, labels));
    proof.is_some() || guest::host_key_of(name, labels).is_some()
}

fn same_marks(there: &Labels, wanted: &Labels) -> bool {
    [LABEL_PROJECT, LABEL_RESOURCE].into_iter().all(|label| there.get(label) == wanted.get(label))
}

impl Docker {
    async fn create_container(&self, name: &str, container: &Container, network: Option<&(String, Endpoint)>) -> Result<(), Failure> {
        let place = match network {
            Some((network, endpoint)) => Some((self.network_key(network).await?, body::endpoint(endpoint, self.version))),
            None => None,
        };
        let image = self.check_image(container).await?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let failure = match self.api.create_container(Some(options), body::create(container, image.as_ref(), place)).await {
            Ok(_) => return self.keep_guest(container).await,
            Err(error) => Failure::from(error),
        };
        // The answer was lost, or the name is in use: it may be what an earlier try has made.
        // A name is in use before what bears it can be seen.
        let tries = if failure.is_lost_answer() || failure.says("is already in use by container") { LATE } else { 1 };
        if tries == 1 && !failure.is(409) {
            return Err(failure);
        }
        for _ in 0..tries {
            if let Some(there) = self.inspect(name).await? {
                self.is_that(name, container, &there).await?;
                return self.keep_guest(container).await;
            }
            sleep(STEP).await;
        }
        Err(failure)
    }

    /// An image that bears the very labels would make a container that is not known to be fly's: nobody would take it away. The plan
    /// has seen to that, where the image was there already.
    async fn check_image(&self, container: &Container) -> Result<Option<ImageDefaults>, Failure> {
        let path = format!("/images/{}/json", encode(&container.image));
        let Some(image) = self.http.find::<answer::Image>(&path).await? else { return Ok(None) };
        let same = |label: &str| image.config.labels.get(label) == container.labels.get(label);
        if container.labels.contains_key(LABEL_MACHINE) && same(LABEL_PROJECT) && same(LABEL_MACHINE) {
            return Err(conflict(format!("image `{}` bears the labels by which fly knows its own containers", container.image)));
        }
        Ok(Some(image::state(&image).defaults))
    }

    async fn is_that(&self, name: &str, container: &Container, there: &Inspect) -> Result<(), Failure> {
        if !is_flys(name, &there.config.labels) || there.config.labels.get(LABEL_PROJECT) != container.labels.get(LABEL_PROJECT) {
            return Err(conflict(format!("the name `{name}` is in use by a container that is not this project's")));
        }
        let around = Around { cpus: self.info().await?.ncpu, ..Around::default() };
        if body::satisfies(container, &inspect::container(there, &around)) {
            return Ok(());
        }
        Err(conflict(format!("a container `{name}` of this project is there already, and is another")))
    }

    async fn rename_container(&self, name: &str, to: &str) -> Result<(), Failure> {
        let options = RenameContainerOptionsBuilder::default().name(to).build();
        match self.api.rename_container(name, options).await.map_err(Failure::from) {
            // Done already: only the new name is there.
            Err(failure) if failure.is(404) => match self.inspect(to).await? {
                Some(there) if is_flys(to, &there.config.labels) => Ok(()),
                _ => Err(failure),
            },
            done => done,
        }
    }

    async fn start_container(&self, name: &str) -> Result<EngineDone, Failure> {
        self.api.start_container(name, None::<StartContainerOptions>).await.map_err(|error| Failure::from(error).of_start())?;
        // What ended at once, or vanished, has no process.
        let pid = self.inspect(name).await?.map(|it| it.state.pid).filter(|pid| *pid != 0);
        Ok(EngineDone { pid })
    }

    async fn stop_container(&self, name: &str) -> Result<(), Failure> {
        let Some(inspect) = self.inspect(name).await? else { return Ok(()) };
        let patience = inspect.config.stop_timeout.and_then(|it| u64::try_from(it).ok()).unwrap_or(STOP);
        let api = self.api.clone().with_timeout(Duration::from_secs(patience.saturating_add(STOP_MARGIN)));
        match api.stop_container(name, None::<StopContainerOptions>).await.map_err(Failure::from) {
            Err(failure) if failure.is(404) => Ok(()),
            done => done,
        }
    }

    async fn unpause_container(&self, name: &str) -> Result<(), Failure> {
        match self.api.unpause_container(name).await.map_err(Failure::from) {
            Err(failure) if failure.says("is not paused") => Ok(()),
            done => done,
        }
    }

    async fn remove_container(&self, name: &str, volumes: &BTreeSet<String>) -> Result<(), Failure> {
        if let Some(there) = self.inspect(name).await? {
            if !is_flys(name, &there.config.labels) {
                return Err(conflict(format!("`{name}` is a container that fly did not make")));
            }
            self.remove_by_id(&there.id).await?;
        }
        for volume in volumes {
            self.remove_volume(volume).await?;
        }
        Ok(())
    }

    pub(super) async fn remove_by_id(&self, id: &str) -> Result<(), Failure> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let failure = match self.api.remove_container(id, Some(options)).await.map_err(Failure::from) {
            Ok(()) => return Ok(()),
            Err(failure) if failure.is(404) => return Ok(()),
            Err(failure) => failure,
        };
        // Somebody else is at it, or the answer was lost: its end is what counts.
        if !failure.says("removal of container") && !failure.is_lost_answer() {
            return Err(failure);
        }
        for _ in 0..LATE {
            if self.inspect(id).await?.is_none() {
                return Ok(());
            }
            sleep(STEP).await;
        }
        Err(failure)
    }

    async fn update_container(&self, name: &str, limits: &Limits, restart: Restart) -> Result<(), Failure> {
        let cpus = self.info().await?.ncpu;
        Ok(self.api.update_container(name, body::update(limits, restart, cpus)).await?)
    }

    async fn networks(&self, name: &str) -> Result<Vec<answer::Network>, Failure> {
        let filter = encode(json!({ "name": [name] }).to_string());
        let mut found: Vec<answer::Network> = self.http.get(&format!("/networks?filters={filter}")).await?;
        // The engine's filter takes parts of names too.
        found.retain(|it| it.name == name);
        // Of several with one name, fly's comes first.
        found.sort_by_key(|it| (Proof::of_resource(&it.name, &it.labels).is_none(), it.id.clone()));
        Ok(found)
    }

    /// What to call a network in a request: its name, if that is no other's too.
    async fn network_key(&self, name: &str) -> Result<String, Failure> {
        let found = self.networks(name).await?;
        Ok(match found.as_slice() {
            [first, _, ..] => first.id.clone(),
            _ => name.to_owned(),
        })
    }

    async fn create_network(&self, name: &str, wanted: &EngineNetwork) -> Result<(), Failure> {
        if let Some(done) = self.has_network(name, wanted).await? {
            return done;
        }
        let answer: Result<serde_json::Value, Failure> = self.http.post("/networks/create", &network::create(name, wanted)).await;
        let Err(failure) = answer else { return Ok(()) };
        // A run that was cut off may have asked for it: until the engine has made it, it is in nobody's list but in everybody's way.
        let in_the_way = ["conflicts with network", "already exists", "Pool overlaps"].iter().any(|words| failure.says(words));
        if !failure.is_lost_answer() && !in_the_way {
            return Err(failure);
        }
        for _ in 0..LATE {
            if let Some(done) = self.has_network(name, wanted).await? {
                return done;
            }
            sleep(STEP).await;
        }
        Err(failure)
    }

    async fn has_network(&self, name: &str, wanted: &EngineNetwork) -> Result<Option<Result<(), Failure>>, Failure> {
        let Some(there) = self.networks(name).await?.into_iter().next() else { return Ok(None) };
        Ok(Some(if !same_marks(&there.labels, &wanted.labels) {
            Err(conflict(format!("the name `{name}` is in use by a Docker network that is not this project's")))
        } else if network::satisfies(wanted, &network::network(&there)) {
            Ok(())
        } else {
            Err(conflict(format!("a Docker network `{name}` of this project is there already, and is another")))
        }))
    }

    /// All of ours with this name: engines before 25 may have several.
    async fn delete_network(&self, name: &str) -> Result<(), Failure> {
        for it in self.networks(name).await? {
            if Proof::of_resource(&it.name, &it.labels).is_none() {
                continue;
            }
            match self.api.remove_network(&it.id).await.map_err(Failure::from) {
                Err(failure) if !failure.is(404) => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }

    /// The engine says yes to a name that exists, and leaves what is there as it is: whose it is shows in the answer.
    pub(super) async fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), Failure> {
        let there: answer::Volume = self.http.post("/volumes/create", &json!({ "Name": name, "Labels": labels })).await?;
        if same_marks(&there.labels, labels) {
            return Ok(());
        }
        Err(conflict(format!("the name `{name}` is in use by a volume that is not this project's")))
    }

    async fn delete_volume(&self, name: &str) -> Result<(), Failure> {
        let Some(there) = self.http.find::<answer::Volume>(&format!("/volumes/{}", encode(name))).await? else { return Ok(()) };
        if !is_flys(name, &there.labels) {
            return Err(conflict(format!("`{name}` is a volume that fly did not make")));
        }
        self.remove_volume(name).await
    }

    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), Failure> {
        match self.api.remove_volume(name, None::<RemoveVolumeOptions>).await.map_err(Failure::from) {
            Err(failure) if failure.is(404) => Ok(()),
            done => done,
        }
    }

    /// Asked for only where the NIC is missing in the machine. So when the engine says that it is connected, that is a record
    /// of a NIC that is gone, and it is connected anew.
    async fn connect_network(&self, container: &str, network: &str, endpoint: &Endpoint) -> Result<(), Failure> {
        let key = self.network_key(network).await?;
        let (mut tries, mut anew) = (0, false);
        loop {
            let failure = match self.connect_once(container, &key, endpoint).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if failure.says("error renaming interface") && failure.says("file exists") && tries < NAMES_TO_TRY {
                tries += 1;
            } else if failure.says("private (none) mode") && !anew {
                anew = true;
                self.disconnect(container, "none").await?;
            } else if failure.says("endpoint with name") && failure.says("already exists") && !anew {
                anew = true;
                self.disconnect_by(container, &key).await?;
            } else if failure.is_lost_answer() && self.is_connected(container, network, endpoint).await? {
                return Ok(());
            } else {
                return Err(failure);
            }
        }
    }

    async fn connect_once(&self, container: &str, key: &str, endpoint: &Endpoint) -> Result<(), Failure> {
        let settings = body::endpoint(endpoint, self.version);
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(settings) };
        Ok(self.api.connect_network(key, request).await?)
    }

    /// Whether the engine has it connected with this address, when its answer was lost.
    async fn is_connected(&self, container: &str, network: &str, endpoint: &Endpoint) -> Result<bool, Failure> {
        let Some(there) = self.inspect(container).await? else { return Ok(false) };
        let Some(Some(state)) = there.network_settings.networks.get(network) else { return Ok(false) };
        let found = inspect::endpoint(state, &[]);
        let same_v4 = endpoint.ipv4.is_none() || endpoint.ipv4 == found.ipv4;
        let same_v6 = endpoint.ipv6.is_none() || endpoint.ipv6 == found.ipv6;
        Ok(same_v4 && same_v6)
    }

    async fn disconnect(&self, container: &str, network: &str) -> Result<(), Failure> {
        let key = self.network_key(network).await?;
        self.disconnect_by(container, &key).await
    }

    async fn disconnect_by(&self, container: &str, key: &str) -> Result<(), Failure> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: None };
        match self.api.disconnect_network(key, request).await.map_err(Failure::from) {
            Err(failure) if failure.is(404) || failure.says("is not connected to") => Ok(()),
            done => done,
        }
    }
}
