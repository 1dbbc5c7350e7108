//! The top of the file.

use super::model::{Machine, Spec};
use super::node::{Body, Node, Part};
use super::reader::{Key, Reader, key};
use super::scalars::{self, NAME, NAME_PATTERN};
use super::{cable, machine, network, schema, volume};
use crate::diag::{At, Diagnostic, Place};

pub(super) const KEYS: &[Key<Spec>] = &[
    key!(name: NAME, "The project. Default: the directory's name"),
    key!(agent: scalars::BOOL, "Put network cards back when a machine starts again without fly, as after a crash or a reboot. Default: true"),
    Key {
        name: "defaults",
        doc: "What holds for every machine; a machine's own key wins",
        schema: || schema::reference("machine"),
        read: |r, node, spec| spec.defaults = Some(machine::read(r, &node.place, node)),
    },
    Key {
        name: "networks",
        doc: "What a network card can be plugged into, by name",
        schema: || schema::named(&format!("^(?:{NAME_PATTERN})$"), schema::reference("network")),
        read: |r, node, spec| {
            let read = r.entries(node, "networks by name, as `{lan: {parent: eth0}}`", |r, key, node| {
                named(r, key, "the name of a network", node, network::read)
            });
            spec.networks = read.unwrap_or_default();
        },
    },
    Key {
        name: "machines",
        doc: "The machines, by name",
        schema: || schema::named(&format!("^(?:{NAME_PATTERN})$"), schema::reference("machine")),
        read: |r, node, spec| {
            let read = r.entries(node, "machines by name, as `{web: {image: debian:12}}`", |r, key, node| {
                named(r, key, "the name of a machine", node, |r, key, node| machine::read(r, &key.place, node))
            });
            spec.machines = read.unwrap_or_default();
        },
    },
    Key {
        name: "links",
        doc: "Cables between two machines, as in `[web:eth5, db:eth5]`",
        schema: || schema::list(schema::reference("cable")),
        read: |r, node, spec| {
            spec.links = r.list(node, "a list of cables, as `[web:eth5, db:eth5]`", cable::read).unwrap_or_default();
        },
    },
    Key {
        name: "volumes",
        doc: "Volumes that keep their data when a machine is replaced, by name",
        schema: || schema::named(&format!("^(?:{NAME_PATTERN})$"), schema::reference("volume")),
        read: |r, node, spec| {
            let read = r.entries(node, "volumes by name, as `{data: {}}`", |r, key, node| {
                named(r, key, "the name of a volume", node, volume::read)
            });
            spec.volumes = read.unwrap_or_default();
        },
    },
];

/// Reads the value even where its name is wrong, so that its own mistakes are said too.
fn named<T>(r: &mut Reader, key: &At<String>, what: &str, node: &Node, read: impl Fn(&mut Reader, &At<String>, &Node) -> T) -> Option<T> {
    let lost = r.lost;
    let name = scalars::name(r, &Part::key(key), what);
    let value = read(r, key, node);
    // Whoever refers to a name that is none is wrong too: nobody misses it.
    r.lost = lost;
    name.map(|_| value)
}

pub(super) fn read(r: &mut Reader, root: &Node) -> Spec {
    let mut spec = Spec::default();
    if root.is_null() {
        let place = Place { line: 1, column: 1, offset: 0, len: 0, ..root.place.clone() };
        r.push(Diagnostic::invalid("the file is empty").at(&place).hint("`machines: {web: {image: debian:12}}`"));
        return spec;
    }
    if !matches!(root.body, Body::Map(_)) {
        let _: Option<()> = r.wrong(root, "the keys of the file, as `machines:`");
        return spec;
    }
    spec.broken = r.kept_keys(root, "the file", &[KEYS], &mut spec);
    require_images(r, &spec);
    spec
}

/// Every machine has an image, its own or that of `defaults`. A wrong value is not a missing one.
fn require_images(r: &mut Reader, spec: &Spec) {
    let says = |machine: &Machine| machine.image.is_some() || machine.broken.has("image");
    if spec.defaults.as_ref().is_some_and(says) {
        return;
    }
    for (name, _) in spec.machines.0.iter().filter(|(_, machine)| !says(machine)) {
        let error = Diagnostic::invalid(format!("machine `{}` has no `image`", Part::key(name).shown())).at(&name.place);
        r.push(error.hint("`image: debian:12`"));
    }
}
