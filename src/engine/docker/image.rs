//! Images: what they say of the containers made from them, and how they are pulled.

use std::collections::BTreeMap;

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures_util::StreamExt;

use super::error::Failure;
use super::inspect;
use super::{Docker, answer};
use crate::diag::similar;
use crate::engine::{EngineErrorKind, ImageState, InRegistry, Progress};
use crate::types::{ImageDefaults, clean_path};

/// Docker Hub's key in the user's list of logins.
const HUB: &str = "https://index.docker.io/v1/";
/// Between two signs of life; layers can be large, but they never stand still for so long.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(300);
/// Until a registry says which image it has.
const ASKING: std::time::Duration = std::time::Duration::from_secs(20);

pub(super) fn state(image: &answer::Image) -> ImageState {
    let config = &image.config;
    let text = |text: &str| Some(text.to_owned()).filter(|it| !it.is_empty());
    ImageState {
        id: image.id.clone(),
        digests: image.repo_digests.iter().filter_map(|it| Some(it.split_once('@')?.1.to_owned())).collect(),
        registry: None,
        defaults: ImageDefaults {
            command: config.cmd.clone(),
            entrypoint: config.entrypoint.clone(),
            environment: inspect::environment(&config.env),
            user: text(&config.user),
            working_dir: text(&config.working_dir),
            // As the engine mounts them: an image may say `/data/`.
            volumes: config.volumes.keys().map(|place| clean_path(place)).collect(),
            healthcheck: config.healthcheck.as_ref().map(inspect::healthcheck),
            stop_signal: config.stop_signal.as_deref().and_then(text),
            labels: config.labels.clone(),
        },
    }
}

/// A reference, taken apart into what the engine wants to be told: without a tag it would pull every one.
pub(super) fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    let from = reference.rfind('/').map_or(0, |slash| slash + 1);
    match reference[from..].rfind(':') {
        Some(colon) => (&reference[..from + colon], &reference[from + colon + 1..]),
        None => (reference, "latest"),
    }
}

/// The key of an image's registry in the user's list of logins.
pub(super) fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some(("docker.io" | "index.docker.io" | "registry-1.docker.io", _)) | None => HUB,
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) => HUB,
    }
}

async fn credentials(registry: String) -> Result<Option<DockerCredentials>, Failure> {
    let key = registry.clone();
    // It may run a program and wait for it.
    let found = tokio::task::spawn_blocking(move || docker_credential::get_credential(&key)).await;
    let found = found.map_err(|error| Failure::new(EngineErrorKind::Other, error.to_string()))?;
    let mut login = DockerCredentials { serveraddress: Some(registry.clone()), ..DockerCredentials::default() };
    match found {
        Ok(DockerCredential::IdentityToken(token)) => login.identitytoken = Some(token),
        Ok(DockerCredential::UsernamePassword(user, password)) => (login.username, login.password) = (Some(user), Some(password)),
        Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => return Ok(None),
        // A helper knows no login for this registry, or is broken: what is public can be pulled all the same.
        Err(error) => {
            tracing::warn!("no login for `{registry}`: {}", super::error::one_line(&error.to_string()));
            return Ok(None);
        }
    }
    Ok(Some(login))
}

/// Whether the registry has another image by this reference than the engine.
pub(super) async fn in_registry(docker: &Docker, image: &str) -> Result<InRegistry, Failure> {
    let path = format!("/images/{}/json", super::raw::encode(image));
    let here: Option<answer::Image> = docker.http.find(&path).await?;
    let login = credentials(registry(image).to_owned()).await?;
    let asked = tokio::time::timeout(ASKING, docker.api.inspect_registry_image(image, login));
    let there = asked.await.map_err(|_| Failure::timeout(ASKING.as_secs()))??.descriptor.digest.unwrap_or_default();
    let digests = here.iter().flat_map(|image| &image.repo_digests).filter_map(|it| it.split_once('@'));
    let is_here = digests.into_iter().any(|(_, digest)| digest == there);
    Ok(if is_here { InRegistry::Same } else { InRegistry::Other(there) })
}

pub(super) async fn pull(api: &bollard::Docker, image: &str, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), Failure> {
    let (name, tag) = split(image);
    let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
    let login = credentials(registry(image).to_owned()).await?;
    let mut stream = std::pin::pin!(api.create_image(Some(options), None, login));
    let mut layers = Layers::default();
    loop {
        let next = tokio::time::timeout(SILENCE, stream.next()).await.map_err(|_| Failure::timeout(SILENCE.as_secs()))?;
        let Some(line) = next else { return Ok(()) };
        let line = match line {
            Ok(line) => line,
            Err(error) => return Err(meant(api, image, error.into()).await),
        };
        if layers.take(&line) {
            progress(layers.sum(image));
        }
    }
}

/// Where the registry knows no such image, the engine may have one that is called nearly so.
async fn meant(api: &bollard::Docker, image: &str, failure: Failure) -> Failure {
    // A registry that wants a login first says that it may not be there.
    let is_unknown = ["not found", "manifest unknown", "does not exist", "no such"].iter().any(|words| failure.message.contains(words));
    if !is_unknown {
        return failure;
    }
    let listed = tokio::time::timeout(ASKING, api.list_images(None::<bollard::query_parameters::ListImagesOptions>)).await;
    let tags: Vec<String> = listed.ok().and_then(Result::ok).into_iter().flatten().flat_map(|image| image.repo_tags).collect();
    // `debian` is what people write for `debian:latest`.
    let names = tags.iter().flat_map(|tag| [tag.as_str(), tag.strip_suffix(":latest").unwrap_or(tag)]);
    match similar(image, names.filter(|name| *name != image)) {
        Some(near) => Failure { message: format!("{}; did you mean `{near}`, which the engine has?", failure.message), ..failure },
        None => failure,
    }
}

/// How far each layer is.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    /// Whether there is something new to tell.
    fn take(&mut self, line: &CreateImageInfo) -> bool {
        let (Some(id), Some(status)) = (&line.id, &line.status) else { return false };
        let detail = line.progress_detail.as_ref();
        let number = |value: Option<i64>| value.and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
        let (current, total) = (number(detail.and_then(|it| it.current)), number(detail.and_then(|it| it.total)));
        match status.as_str() {
            "Downloading" => _ = self.0.insert(id.clone(), (current, total)),
            "Download complete" | "Pull complete" => match self.0.get_mut(id) {
                Some(layer) => layer.0 = layer.1,
                None => return false,
            },
            _ => return false,
        }
        true
    }

    fn sum(&self, image: &str) -> Progress {
        let (done, total) = self.0.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
        Progress { what: image.to_owned(), done, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_fall_into_name_and_tag() {
        assert_eq!(split("debian"), ("debian", "latest"));
        assert_eq!(split("localhost:5000/a/b"), ("localhost:5000/a/b", "latest"));
        assert_eq!(split("localhost:5000/a:1"), ("localhost:5000/a", "1"));
        assert_eq!(split("a@sha256:00ff"), ("a", "sha256:00ff"));
    }

    #[test]
    fn registries_are_found_as_docker_finds_them() {
        assert_eq!(registry("debian:12"), HUB);
        assert_eq!(registry("library/debian"), HUB);
        assert_eq!(registry("docker.io/library/debian"), HUB);
        assert_eq!(registry("ghcr.io/a/b:1"), "ghcr.io");
        assert_eq!(registry("localhost/a"), "localhost");
        assert_eq!(registry("localhost:5000/a"), "localhost:5000");
    }

    #[test]
    fn progress_is_the_sum_of_the_layers() {
        let line = |text: &str| serde_json::from_str::<CreateImageInfo>(text).unwrap();
        let mut layers = Layers::default();
        assert!(layers.take(&line(r#"{"id":"a","status":"Downloading","progressDetail":{"current":10,"total":100}}"#)));
        assert!(layers.take(&line(r#"{"id":"b","status":"Downloading","progressDetail":{"current":5,"total":50}}"#)));
        assert!(layers.take(&line(r#"{"id":"a","status":"Download complete","progressDetail":{}}"#)));
        assert!(!layers.take(&line(r#"{"status":"Digest: sha256:00"}"#)));
        assert_eq!(layers.sum("x"), Progress { what: "x".into(), done: 105, total: 150 });
    }
}
