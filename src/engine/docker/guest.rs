//! fly's own binary on the engine.
//!
//! An image is made of the binary and nothing else. A container that never runs is made from it, with a volume where the binary lies:
//! the engine copies what an image has there into a volume that is empty. The container is in the list only when the copy is whole, so
//! it is the sign that the volume can be used; and as long as it is there, nobody prunes the volume.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, CreateImageOptionsBuilder, RemoveImageOptions};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use super::answer::{Labels, Listed};
use super::error::Failure;
use super::perform::{LATE, STEP, conflict};
use super::raw::encode;
use super::{Docker, answer};
use crate::engine::EngineErrorKind;
use crate::types::{
    Container, GUEST_BIN, GUEST_BINARY, GUEST_HOME, GUEST_HOST_KEY, GUEST_PREFIX, GUEST_VOLUME, LABEL_GUEST, LABEL_MACHINE, LABEL_PROJECT,
    Name, guest_words,
};

/// What the engine calls the image, before the version.
const IMAGE: &str = "fly-guest";

pub(super) fn image(version: &str) -> String {
    format!("{IMAGE}:{version}")
}

fn object(version: &str) -> String {
    format!("{GUEST_PREFIX}{version}")
}

/// The guest before a new container's own words.
pub(super) fn entrypoint() -> Vec<String> {
    // The keys of every hasher are others: all that matters is that no two containers of a machine get the same.
    guest_words(&format!("{:016x}", RandomState::new().build_hasher().finish()))
}

/// The version out of the name of the volume that a container has its guest from.
pub(super) fn version_of(volume: &str) -> Option<&str> {
    volume.strip_prefix(GUEST_PREFIX)
}

/// The engine's name of the volume of a machine's own.
fn home_volume(container: &Container) -> Option<(String, HashMap<String, String>)> {
    let name = |label: &str| container.labels.get(label).and_then(|it| Name::new(it.as_str()).ok());
    let (project, machine) = (name(LABEL_PROJECT)?, name(LABEL_MACHINE)?);
    let labels = [(LABEL_PROJECT, &project), (LABEL_MACHINE, &machine)].map(|(label, name)| (label.to_owned(), name.to_string()));
    Some((format!("{}{GUEST_VOLUME}", machine.in_project(&project)), HashMap::from(labels)))
}

/// The machine whose host key a volume holds, with its project.
pub(super) fn host_key_of(name: &str, labels: &Labels) -> Option<(Name, Name)> {
    let label = |label: &str| labels.get(label).and_then(|it| Name::new(it.as_str()).ok());
    let (project, machine) = (label(LABEL_PROJECT)?, label(LABEL_MACHINE)?);
    (name == format!("{}{GUEST_VOLUME}", machine.in_project(&project))).then_some((project, machine))
}

fn volume(source: String, target: &str, read_only: bool, labels: Option<HashMap<String, String>>, no_copy: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(source),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions { no_copy: Some(no_copy), labels, ..MountVolumeOptions::default() }),
        ..Mount::default()
    }
}

/// What a container with a guest is mounted besides its own.
pub(super) fn mounts(container: &Container) -> Vec<Mount> {
    let Some(version) = &container.guest else { return vec![] };
    let home = home_volume(container).map(|(name, labels)| volume(name, GUEST_HOME, false, Some(labels), true));
    home.into_iter().chain([volume(object(version), GUEST_BIN, true, None, true)]).collect()
}

/// The guests that are installed, with the containers that have them.
pub(super) fn installed(listed: &[Listed]) -> BTreeMap<String, BTreeSet<String>> {
    let is_anchor = |it: &&Listed| it.labels.get(LABEL_GUEST).is_some_and(|version| it.name() == object(version));
    let users = |volume: &str, anchor: &Listed| {
        let has_it = |it: &&Listed| it.id != anchor.id && it.mounts.iter().any(|mount| mount.name == volume);
        listed.iter().filter(has_it).map(|it| it.name().to_owned()).collect()
    };
    let guest = |anchor: &Listed| Some((anchor.labels.get(LABEL_GUEST)?.clone(), users(anchor.name(), anchor)));
    listed.iter().filter(is_anchor).filter_map(guest).collect()
}

impl Docker {
    pub(super) async fn install_guest(&self, version: &str) -> Result<(), Failure> {
        let name = object(version);
        if self.is_anchor(&name, version).await? {
            return Ok(());
        }
        // Whatever an attempt that was cut off has left in it; one that machines use is whole.
        match self.remove_volume(&name).await {
            Err(failure) if !failure.is(409) => return Err(failure),
            _ => {}
        }
        let labels = HashMap::from([(LABEL_GUEST.to_owned(), version.to_owned())]);
        let body = ContainerCreateBody {
            image: Some(image(version)),
            cmd: Some(vec![GUEST_BINARY.to_owned()]),
            labels: Some(labels.clone()),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                mounts: Some(vec![volume(name.clone(), GUEST_BIN, false, Some(labels), false)]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let body = serde_json::to_value(body).map_err(|error| Failure::new(EngineErrorKind::Other, error.to_string()))?;
        let path = format!("/containers/create?name={}", encode(&name));
        let Err(failure) = self.create_of_guest::<Value>(version, &path, &body).await else { return Ok(()) };
        if !failure.is(409) && !failure.is_lost_answer() {
            return Err(failure);
        }
        // Somebody else is at it: it is in the list when it is whole.
        for _ in 0..LATE {
            if self.is_anchor(&name, version).await? {
                return Ok(());
            }
            sleep(STEP).await;
        }
        Err(failure)
    }

    /// Another project may have removed it a moment ago, when nobody used it. From now on somebody does.
    pub(super) async fn keep_guest(&self, container: &Container) -> Result<(), Failure> {
        match &container.guest {
            Some(version) => self.install_guest(version).await,
            None => Ok(()),
        }
    }

    async fn is_anchor(&self, name: &str, version: &str) -> Result<bool, Failure> {
        match self.inspect(name).await? {
            Some(there) if there.config.labels.get(LABEL_GUEST).is_some_and(|it| it == version) => Ok(true),
            Some(_) => Err(conflict(format!("the name `{name}` is in use by a container that is not fly's"))),
            None => Ok(false),
        }
    }

    /// Whether a container that does not run has one in its volume.
    pub(super) async fn has_host_key(&self, id: &str) -> Result<bool, Failure> {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(&format!("{GUEST_HOME}/{GUEST_HOST_KEY}")).build();
        match self.api.get_container_archive_info(id, Some(options)).await.map_err(Failure::from) {
            Err(failure) if failure.is(404) => Ok(false),
            // It cannot mount what the container has, as where the image is in the way: then there may be one.
            Err(failure) if failure.status.is_some() => Ok(true),
            found => found.map(|_| true),
        }
    }

    /// A container of fly's own image. Whoever ends as the image's last user takes it away, maybe just before this.
    pub(super) async fn create_of_guest<T: DeserializeOwned>(&self, version: &str, path: &str, body: &Value) -> Result<T, Failure> {
        for _ in 1..LATE {
            self.import_guest(version).await?;
            match self.http.post(path, body).await {
                Err(failure) if failure.is(404) => sleep(STEP).await,
                done => return done,
            }
        }
        self.import_guest(version).await?;
        self.http.post(path, body).await
    }

    pub(super) async fn import_guest(&self, version: &str) -> Result<(), Failure> {
        let _alone = self.imports.lock().await;
        let reference = image(version);
        let path = format!("/images/{}/json", encode(&reference));
        if self.http.find::<answer::Image>(&path).await?.is_some() {
            return Ok(());
        }
        let archive = tokio::task::spawn_blocking(own_binary).await;
        let archive = archive.map_err(|error| Failure::new(EngineErrorKind::Other, error.to_string()))?;
        let archive = archive.map_err(|error| Failure::new(EngineErrorKind::Other, format!("fly's own binary cannot be read: {error}")))?;
        let options = CreateImageOptionsBuilder::default().from_src("-").repo(IMAGE).tag(version).build();
        let mut answers = std::pin::pin!(self.api.create_image(Some(options), Some(bollard::body_full(archive.into())), None));
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(())
    }

    pub(super) async fn remove_guest(&self, version: &str) -> Result<(), Failure> {
        let name = object(version);
        let anchors = self.inspect(&name).await?.map(|there| there.image);
        if self.is_anchor(&name, version).await? {
            self.remove_by_id(&name).await?;
        }
        match self.remove_volume(&name).await {
            // A machine has come meanwhile.
            Err(failure) if failure.is(409) => return Ok(()),
            done => done?,
        }
        self.remove_guest_image(version).await?;
        match anchors {
            Some(id) => self.remove_unnamed(&id).await,
            None => Ok(()),
        }
    }

    /// An image that lost its name to that of another run, which imported the same at the same moment.
    pub(super) async fn remove_unnamed(&self, id: &str) -> Result<(), Failure> {
        let found = self.http.find::<answer::Image>(&format!("/images/{}/json", encode(id))).await?;
        if found.is_none_or(|image| !image.repo_tags.is_empty()) {
            return Ok(());
        }
        match self.api.remove_image(id, None::<RemoveImageOptions>, None).await.map_err(Failure::from) {
            Err(failure) if !failure.is(404) && !failure.is(409) => Err(failure),
            _ => Ok(()),
        }
    }

    /// Unless a container has it, as machines and the agent do: the engine would take its name away, and keep it for ever.
    pub(super) async fn remove_guest_image(&self, version: &str) -> Result<(), Failure> {
        let filters = serde_json::json!({"ancestor": [image(version)]}).to_string();
        let users: Vec<Listed> = self.http.get(&format!("/containers/json?all=1&filters={}", encode(filters))).await?;
        if !users.is_empty() {
            return Ok(());
        }
        match self.api.remove_image(&image(version), None::<RemoveImageOptions>, None).await.map_err(Failure::from) {
            Err(failure) if !failure.is(404) && !failure.is(409) => Err(failure),
            _ => Ok(()),
        }
    }
}

/// The binary may become root: a machine's first process runs as the machine's user, and the guest has to log in others.
fn own_binary() -> std::io::Result<Vec<u8>> {
    let binary = std::fs::read("/proc/self/exe")?;
    let mut archive = tar::Builder::new(Vec::with_capacity(binary.len() + 2048));
    let mut header = tar::Header::new_gnu();
    header.set_size(binary.len() as u64);
    header.set_mode(0o4755);
    archive.append_data(&mut header, GUEST_BINARY.trim_start_matches('/'), binary.as_slice())?;
    archive.into_inner()
}
