//! Every way in which the world may differ from the file without being wrong.
//!
//! They all have one cause: what a container is created with and what inspect shows of it are not the same, because the engine merges
//! the image's values in. So the desired container is turned into the one that inspect *should* show, and that is compared.

use std::collections::BTreeMap;

use crate::types::{Bytes, Container, GUEST_BIN, GUEST_HOME, Healthcheck, ImageDefaults, Mount, MountSource, Seconds, clean_path};

/// The engine's default for `/dev/shm`.
const SHM_SIZE: Bytes = Bytes(64 << 20);

/// What inspect should show of a container that was created as `desired` from an image that says `image`, on an engine with so many
/// processors.
pub(super) fn expected(desired: &Container, image: &ImageDefaults, cpus: u32) -> Container {
    let mut expected = desired.clone();
    // The engine's rule: an entrypoint of one's own drops the image's command.
    if desired.entrypoint.is_none() {
        expected.entrypoint.clone_from(&image.entrypoint);
        if desired.command.is_none() {
            expected.command.clone_from(&image.command);
        }
    }
    expected.command = expected.command.filter(|words| !words.is_empty());
    expected.entrypoint = expected.entrypoint.filter(|words| !words.is_empty());
    expected.environment = overlaid(&image.environment, &desired.environment);
    expected.labels = overlaid(&image.labels, &desired.labels);
    expected.user = desired.user.clone().or_else(|| image.user.clone()).filter(|user| !user.is_empty());
    expected.working_dir = directory(desired.working_dir.as_ref().or(image.working_dir.as_ref()));
    expected.stop_signal = desired.stop_signal.clone().or_else(|| image.stop_signal.clone());
    expected.healthcheck = health(desired.healthcheck.as_ref(), image.healthcheck.as_ref());
    expected.security_opt = desired.security_options().cloned().collect();
    // What is no limit, and what is the engine's default, does not show.
    expected.limits = desired.limits.clone().on_a_host_with(cpus);
    expected.shm_size = desired.shm_size.filter(|size| *size != SHM_SIZE);
    // The engine counts whole seconds.
    expected.stop_grace_period = desired.stop_grace_period.map(|time| Seconds::from_nanos(time.whole().saturating_mul(1_000_000_000)));
    for place in &image.volumes {
        // The guest's own come before the image's, as the file's do.
        let is_guests = desired.guest.is_some() && [GUEST_BIN, GUEST_HOME].contains(&place.as_str());
        if !is_guests && !desired.mounts.contains_key(place) && !desired.tmpfs.contains_key(place) {
            expected.mounts.insert(place.clone(), Mount::of(MountSource::Anonymous));
        }
    }
    expected
}

/// The same for what inspect does show: spellings that mean the same become one.
pub(super) fn normalised(actual: &Container) -> Container {
    let mut actual = actual.clone();
    actual.command = actual.command.filter(|words| !words.is_empty());
    actual.entrypoint = actual.entrypoint.filter(|words| !words.is_empty());
    actual.user = actual.user.filter(|user| !user.is_empty());
    actual.working_dir = directory(actual.working_dir.as_ref());
    actual.healthcheck = health(actual.healthcheck.as_ref(), None);
    actual.shm_size = actual.shm_size.filter(|size| *size != SHM_SIZE);
    actual
}

/// Where the image is gone, nothing can be said about what it said: whatever the file leaves open is taken as it is.
pub(super) fn without_image(desired: &Container, actual: &Container) -> ImageDefaults {
    let unnamed = |all: &BTreeMap<String, String>, named: &BTreeMap<String, String>| {
        all.iter().filter(|(key, _)| !named.contains_key(*key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    ImageDefaults {
        command: actual.command.clone(),
        entrypoint: actual.entrypoint.clone(),
        environment: unnamed(&actual.environment, &desired.environment),
        user: actual.user.clone(),
        working_dir: actual.working_dir.clone(),
        volumes: actual.mounts.iter().filter(|(_, m)| is_anonymous(&m.source)).map(|(place, _)| place.clone()).collect(),
        healthcheck: actual.healthcheck.clone(),
        stop_signal: actual.stop_signal.clone(),
        labels: unnamed(&actual.labels, &desired.labels),
    }
}

/// Whether a mount is the one that was wanted: an anonymous volume has got a name of its own by now.
pub(super) fn same_mount(desired: &Mount, actual: &Mount) -> bool {
    // Whether it had to be there is settled: it is.
    let Mount { source, read_only, relabel, propagation: _, must_exist: _, nocopy } = desired;
    let same_source = match source {
        MountSource::Anonymous => is_anonymous(&actual.source),
        _ => *source == actual.source,
    };
    let same_ways = (*read_only, *relabel, *nocopy) == (actual.read_only, actual.relabel, actual.nocopy);
    same_source && same_ways && same_propagation(desired, actual)
}

/// A volume that got its name from the engine: 64 hexadecimal digits.
pub fn is_anonymous(source: &MountSource) -> bool {
    match source {
        MountSource::Anonymous => true,
        MountSource::Volume(name) => name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
        MountSource::Bind(_) => false,
    }
}

fn same_propagation(desired: &Mount, actual: &Mount) -> bool {
    let meant = |mount: &Mount| mount.propagation.clone().filter(|p| !p.is_empty() && p != "rprivate");
    meant(desired) == meant(actual)
}

fn overlaid(below: &BTreeMap<String, String>, above: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    below.iter().chain(above).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// `/` is where a process starts when nobody says otherwise. The engine takes `.`, `..` and needless slashes out.
fn directory(path: Option<&String>) -> Option<String> {
    path.map(|path| clean_path(path)).filter(|path| path != "/")
}

/// What is not said (or is zero) comes from the image; a check that is empty is none.
fn health(own: Option<&Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let Some(own) = own else { return image.and_then(|image| health(Some(image), None)) };
    let image = image.cloned().unwrap_or_default();
    let time = |own: Option<Seconds>, image: Option<Seconds>| {
        let said = |time: Option<Seconds>| time.filter(|time| time.nanos() > 0);
        said(own).or(said(image))
    };
    let merged = Healthcheck {
        test: if own.test.is_empty() { image.test } else { own.test.clone() },
        interval: time(own.interval, image.interval),
        timeout: time(own.timeout, image.timeout),
        start_period: time(own.start_period, image.start_period),
        start_interval: time(own.start_interval, image.start_interval),
        retries: own.retries.filter(|times| *times > 0).or(image.retries.filter(|times| *times > 0)),
    };
    (!merged.test.is_empty()).then_some(merged)
}
