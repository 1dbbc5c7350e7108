//! Which engine is meant, found out as Docker's own client does: `DOCKER_HOST`, then `DOCKER_CONTEXT`, then the context that
//! `docker context use` has chosen, then the engine of this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::environment::Environment;
use super::settings;
use crate::diag::{Diagnostic, Kind};
use crate::engine::{EngineEndpoint, Tls};

/// A longer path has no room for a socket's name behind it.
const LONGEST: usize = 60;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) endpoint: EngineEndpoint,
    /// What `env` has to be told so that another fly finds the same engine.
    pub(super) words: Vec<String>,
}

/// `config.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    current_context: String,
}

/// `meta.json` of a context.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: BTreeMap<String, Place>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Place {
    host: String,
    #[serde(rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// A context's name, and where it was read.
struct Chosen {
    name: String,
    by: String,
}

impl Way {
    pub(super) fn find(environment: &Environment) -> Result<Self, Diagnostic> {
        let folder = folder(environment);
        let mut way = match (environment.variable("DOCKER_HOST"), folder.as_deref()) {
            (None, Some(folder)) => match chosen(environment, folder)? {
                Some(chosen) => of_context(environment, folder, &chosen)?,
                None => of_host(environment, None),
            },
            (host, _) => of_host(environment, host),
        };
        let private = settings::private(environment);
        let is_short = private.as_os_str().len() <= LONGEST;
        way.endpoint.private = Some(if is_short { private } else { PathBuf::from(format!("/tmp/fly-{}", environment.user)) });
        Ok(way)
    }
}

/// Where Docker's client has its settings.
fn folder(environment: &Environment) -> Option<PathBuf> {
    let own = environment.variable("DOCKER_CONFIG").map(|folder| environment.directory.join(folder));
    own.or_else(|| Some(environment.directory.join(environment.variable("HOME")?).join(".docker")))
}

/// By the variables alone.
fn of_host(environment: &Environment, host: Option<&str>) -> Way {
    let verify = environment.variable("DOCKER_TLS_VERIFY").is_some();
    let is_https = host.is_some_and(|host| host.starts_with("https://"));
    let has_tls = host.is_some_and(|host| host.starts_with("tcp://") || host.starts_with("http://"));
    let asked = verify || environment.variable("DOCKER_TLS").is_some();
    let named = environment.variable("DOCKER_CERT_PATH").map(|folder| environment.directory.join(folder));
    let folder = named.or_else(|| folder(environment)).unwrap_or_else(|| environment.directory.clone());
    let tls = (is_https || has_tls && asked).then_some(Tls { folder, verify: verify || is_https, own_ca: verify });
    let mut words: Vec<String> = host.iter().map(|host| format!("DOCKER_HOST={host}")).collect();
    if let Some(tls) = &tls {
        words.push(format!("DOCKER_CERT_PATH={}", tls.folder.display()));
        let kept = ["DOCKER_TLS_VERIFY", "DOCKER_TLS"].into_iter().filter_map(|name| Some((name, environment.variable(name)?)));
        words.extend(kept.map(|(name, value)| format!("{name}={value}")));
    }
    Way { endpoint: EngineEndpoint { host: host.map(str::to_owned), tls, private: None }, words }
}

/// Nothing where it is the default one, which is no more than the variables.
fn chosen(environment: &Environment, folder: &Path) -> Result<Option<Chosen>, Diagnostic> {
    let chosen = if let Some(name) = environment.variable("DOCKER_CONTEXT") {
        Chosen { name: name.to_owned(), by: "DOCKER_CONTEXT".to_owned() }
    } else {
        let file = folder.join("config.json");
        let config = read::<Config>(&file)?.unwrap_or_default();
        Chosen { name: config.current_context, by: format!("`currentContext` in {}", file.display()) }
    };
    Ok(Some(chosen).filter(|chosen| !chosen.name.is_empty() && chosen.name != "default"))
}

fn of_context(environment: &Environment, folder: &Path, chosen: &Chosen) -> Result<Way, Diagnostic> {
    let id = Sha256::digest(&chosen.name).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let contexts = folder.join("contexts");
    let file = contexts.join("meta").join(&id).join("meta.json");
    let Some(meta) = read::<Meta>(&file)? else { return Err(unknown(&contexts, chosen)) };
    let place = meta.endpoints.into_iter().find_map(|(kind, place)| (kind == "docker").then_some(place)).unwrap_or_default();
    if place.host.is_empty() {
        return Err(Diagnostic::new(Kind::Engine, format!("the Docker context `{}` leads to no Docker Engine", chosen.name))
            .cause(format!("{} names no host", file.display()))
            .hint("choose another: `docker context use NAME`, or `export DOCKER_CONTEXT=NAME`"));
    }
    let files = contexts.join("tls").join(&id).join("docker");
    let tls = Tls { folder: files, verify: !place.skip_tls_verify, own_ca: false };
    let has_files = tls.ca().exists() || tls.cert().exists() || tls.key().exists();
    let is_tls = place.host.starts_with("https://") || place.host.starts_with("tcp://") && (has_files || place.skip_tls_verify);
    let mut words = vec!["-u".to_owned(), "DOCKER_HOST".to_owned(), format!("DOCKER_CONTEXT={}", chosen.name)];
    if environment.variable("DOCKER_CONFIG").is_some() {
        words.push(format!("DOCKER_CONFIG={}", folder.display()));
    }
    Ok(Way { endpoint: EngineEndpoint { host: Some(place.host), tls: is_tls.then_some(tls), private: None }, words })
}

fn unknown(contexts: &Path, chosen: &Chosen) -> Diagnostic {
    let folders = fs::read_dir(contexts.join("meta")).into_iter().flatten().flatten();
    let mut names: Vec<String> = folders
        .filter_map(|folder| Some(read::<Meta>(&folder.path().join("meta.json")).ok()??.name))
        .filter(|name| name != "default")
        .collect();
    names.sort();
    let names: Vec<String> = std::iter::once("default".to_owned()).chain(names).map(|name| format!("`{name}`")).collect();
    Diagnostic::new(Kind::Engine, format!("there is no Docker context `{}`", chosen.name))
        .cause(format!("it is named by {}", chosen.by))
        .hint(format!("there {}: {}", if names.len() == 1 { "is" } else { "are" }, names.join(", ")))
}

/// Nothing where there is no such file, or none for this user.
fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, Diagnostic> {
    let cannot = || Diagnostic::new(Kind::Engine, format!("cannot read `{}`, which says which engine is meant", file.display()));
    let text = match fs::read(file) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => return Ok(None),
        text => text.map_err(|error| cannot().cause(error))?,
    };
    let hint = "put it right, or say it another way: `export DOCKER_HOST=…`";
    serde_json::from_slice(&text).map(Some).map_err(|error| cannot().cause(error).hint(hint))
}

#[cfg(test)]
mod tests;
