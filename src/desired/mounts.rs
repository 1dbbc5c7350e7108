//! What is mounted into a machine: folders of the host, volumes, and file systems in memory.

use std::collections::BTreeMap;
use std::path::Path;

use super::context::Context;
use super::volumes::Volumes;
use super::work::{Errors, suggest};
use crate::diag::{Diagnostic, Place};
use crate::spec::{self, VolumeMount, VolumeMountKind};
use crate::types::{GUEST_PLACE, Mount, MountSource, Name, clean_path};

#[derive(Default)]
pub(super) struct Mounts {
    pub(super) mounts: BTreeMap<String, Mount>,
    pub(super) tmpfs: BTreeMap<String, String>,
}

pub(super) fn resolve(machine: &spec::Machine, context: &Context, volumes: &Volumes, errors: &mut Errors) -> Mounts {
    let mut all = Mounts::default();
    let mut used: BTreeMap<String, Place> = BTreeMap::new();
    for mount in machine.volumes.iter().flatten() {
        let Some(target) = target(&mount.value.target, &mount.place, &mut used, errors) else { continue };
        if let VolumeMountKind::Tmpfs { size, mode } = &mount.value.kind {
            let size = size.map(|size| format!("size={}", size.0));
            let mode = mode.map(|mode| format!("mode={mode:o}"));
            let read_only = mount.value.read_only.then(|| "ro".to_owned());
            all.tmpfs.insert(target, sorted(size.into_iter().chain(mode).chain(read_only)));
        } else if let Some(source) = source(&mount.value, &mount.place, context, volumes, errors) {
            let VolumeMount { kind: _, target: _, read_only, relabel, propagation, must_exist, nocopy } = mount.value.clone();
            errors.extend(impossible(&source, &target, &mount.value, &mount.place));
            all.mounts.insert(target, Mount { source, read_only, relabel, propagation, must_exist, nocopy });
        }
    }
    for tmpfs in machine.tmpfs.iter().flatten() {
        let Some(target) = target(&tmpfs.value.target, &tmpfs.place, &mut used, errors) else { continue };
        let options = tmpfs.value.options.as_deref().unwrap_or_default();
        all.tmpfs.insert(target, sorted(options.split(',').map(str::trim).filter(|option| !option.is_empty()).map(str::to_owned)));
    }
    all
}

/// What the engine has no way to be told, or refuses when the container is made.
fn impossible(source: &MountSource, target: &str, mount: &VolumeMount, place: &Place) -> Option<Diagnostic> {
    let colon = match source {
        MountSource::Bind(source) | MountSource::Volume(source) => source.contains(':') || target.contains(':'),
        MountSource::Anonymous if mount.read_only => {
            let error = Diagnostic::invalid(format!("`{target}` would be an empty volume that nobody can write to")).at(place);
            return Some(error.hint("leave `read_only` out, or give the volume a name"));
        }
        MountSource::Anonymous => true,
    };
    let error = || Diagnostic::invalid(format!("the engine cannot label `{target}` for SELinux")).at(place);
    let why =
        if *source == MountSource::Anonymous { "it labels folders and named volumes" } else { "it reads a colon in a path as its end" };
    (colon && mount.relabel.is_some()).then(|| error().cause(why).hint("leave the label out"))
}

fn sorted(options: impl Iterator<Item = String>) -> String {
    let mut options: Vec<String> = options.collect();
    options.sort();
    options.dedup();
    options.join(",")
}

/// The place inside, once.
fn target(text: &str, place: &Place, used: &mut BTreeMap<String, Place>, errors: &mut Errors) -> Option<String> {
    if !text.starts_with('/') {
        let error = Diagnostic::invalid(format!("`{text}`, the place inside the machine, does not begin with `/`"));
        errors.push(error.at(place).hint(format!("/{text}")));
        return None;
    }
    let target = clean_path(text);
    if target == "/" {
        let error = Diagnostic::invalid("nothing can be mounted over the machine's whole file system").at(place);
        errors.push(error.hint("a place below `/`, as `/srv/app`"));
        return None;
    }
    if Path::new(&target).starts_with(GUEST_PLACE) {
        let error = Diagnostic::invalid(format!("nothing can be mounted at `{target}`: fly's own guest lies under `{GUEST_PLACE}`"));
        errors.push(error.at(place).hint("another place inside the machine"));
        return None;
    }
    if let Some(other) = used.get(&target) {
        let error = Diagnostic::invalid(format!("two things are mounted at `{target}`")).at(place);
        errors.push(error.also(other, "the first is here").hint("another place for one of them"));
        return None;
    }
    used.insert(target.clone(), place.clone());
    Some(target)
}

fn source(mount: &VolumeMount, place: &Place, context: &Context, volumes: &Volumes, errors: &mut Errors) -> Option<MountSource> {
    match &mount.kind {
        VolumeMountKind::Bind(path) => match absolute(path, context) {
            Ok(path) => Some(MountSource::Bind(path)),
            Err(why) => {
                errors.push(Diagnostic::invalid(why).at(place).hint("the whole path, as `/home/ada/src`"));
                None
            }
        },
        VolumeMountKind::Volume(key) => {
            let known = Name::new(key.clone()).ok().and_then(|name| volumes.all.get(&name));
            if known.is_none() && !volumes.broken {
                let error = Diagnostic::invalid(format!("there is no volume `{key}`")).at(place);
                let error = suggest(error, key, volumes.all.keys().map(Name::as_str), errors.is_full());
                errors.push(error.hint(format!("`volumes: {{{key}: {{}}}}` at the top level, or `./{key}` for a folder")));
            }
            known.map(|volume| MountSource::Volume(volume.name.clone()))
        }
        VolumeMountKind::Anonymous | VolumeMountKind::Tmpfs { .. } => Some(MountSource::Anonymous),
    }
}

/// An absolute path without asking the disk: a link in it stays what it is.
pub(super) fn absolute(path: &str, context: &Context) -> Result<String, String> {
    if path.starts_with('/') {
        return Ok(clean_path(path));
    }
    let Some(rest) = path.strip_prefix('~') else { return Ok(clean_path(&format!("{}/{path}", context.directory))) };
    if !(rest.is_empty() || rest.starts_with('/')) {
        return Err(format!("`{path}` means another user's home, which is not looked up"));
    }
    match &context.home {
        Some(home) => Ok(clean_path(&format!("{home}{rest}"))),
        None => Err(format!("`{path}` needs a home directory, and there is none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let context = Context { directory: "/srv/shop".into(), home: Some("/home/ada".into()), ..Context::default() };
        for (path, full) in [
            ("./src", "/srv/shop/src"),
            ("../x//y/", "/srv/x/y"),
            ("~/k", "/home/ada/k"),
            ("~", "/home/ada"),
            ("/a/../..", "/"),
            (".", "/srv/shop"),
        ] {
            assert_eq!(absolute(path, &context).as_deref(), Ok(full), "{path}");
        }
        assert!(absolute("~root/x", &context).is_err());
        assert!(absolute("~/x", &Context::default()).is_err());
    }
}
