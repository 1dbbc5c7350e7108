//! `volumes` and `tmpfs` of a machine.

use serde_json::json;

use super::model::{Tmpfs, VolumeMount, VolumeMountKind};
use super::node::{Body, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, BOOL, BYTES, TEXT};
use super::schema;
use crate::diag::{At, Diagnostic};
use crate::types::{Bytes, Relabel};

const WHAT: &str = "a mount, as `./src:/srv/app` or `data:/var/lib/app:ro`";

const PROPAGATIONS: &[(&str, &str)] = &[
    ("rprivate", "rprivate"),
    ("private", "private"),
    ("rshared", "rshared"),
    ("shared", "shared"),
    ("rslave", "rslave"),
    ("slave", "slave"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Bind,
    Volume,
    Tmpfs,
}

const TYPES: &[(&str, Type)] = &[("bind", Type::Bind), ("volume", Type::Volume), ("tmpfs", Type::Tmpfs)];

pub(super) const VOLUMES: Form<Vec<At<VolumeMount>>> = Form {
    schema: || {
        let short = schema::described(schema::matching("[^:]+(:/[^:]*(:[A-Za-z,]+)?)?"), "`SOURCE:PLACE`, `SOURCE:PLACE:ro` or `PLACE`");
        schema::list(schema::any(vec![short, schema::object(&[KEYS], &["type", "target"])]))
    },
    read: |r, node| r.list(node, "a list of mounts, as `[\"./src:/srv/app\"]`", volume),
};

pub(super) const TMPFS: Form<Vec<At<Tmpfs>>> = Form {
    schema: || schema::one_or_more(schema::matching("/[^:]*(:.*)?")),
    read: |r, node| r.one_or_more(node, "a place for a tmpfs, as `/run:size=64m`", tmpfs),
};

#[derive(Default)]
struct Draft {
    r#type: Option<At<Type>>,
    source: Option<At<String>>,
    target: Option<At<String>>,
    read_only: Option<At<bool>>,
    bind: Option<At<BindDraft>>,
    volume: Option<At<VolumeDraft>>,
    tmpfs: Option<At<TmpfsDraft>>,
    consistency: Option<At<()>>,
}

#[derive(Default)]
struct BindDraft {
    propagation: Option<At<&'static str>>,
    selinux: Option<At<Relabel>>,
    create_host_path: Option<At<bool>>,
}

#[derive(Default)]
struct VolumeDraft {
    nocopy: Option<At<bool>>,
}

#[derive(Default)]
struct TmpfsDraft {
    size: Option<At<Bytes>>,
    mode: Option<At<u32>>,
}

const KEYS: &[Key<Draft>] = &[
    Key {
        name: "type",
        doc: "What is mounted: a directory or file of the host, a volume, or memory",
        schema: || schema::one_of(TYPES.iter().map(|(name, _)| *name)),
        read: |r, node, into| {
            into.r#type = r.words(node, "a type of mount").and_then(|part| r.one_of(&part, TYPES, "a type of mount"));
        },
    },
    key!(source: TEXT, "A path of the host, or the name of a volume"),
    key!(target: TARGET, "The place inside the machine"),
    key!(read_only: BOOL, "Whether the machine may only read"),
    Key {
        name: "bind",
        doc: "For type `bind`",
        schema: || schema::object(&[BIND_KEYS], &[]),
        read: |r, node, into| {
            let mut draft = BindDraft::default();
            r.keys(node, "the bind options", &[BIND_KEYS], &mut draft);
            into.bind = Some(At::new(draft, node.place.clone()));
        },
    },
    Key {
        name: "volume",
        doc: "For type `volume`",
        schema: || schema::object(&[VOLUME_KEYS], &[]),
        read: |r, node, into| {
            let mut draft = VolumeDraft::default();
            r.keys(node, "the volume options", &[VOLUME_KEYS], &mut draft);
            into.volume = Some(At::new(draft, node.place.clone()));
        },
    },
    key!(consistency: CONSISTENCY, "Without effect here, as everywhere but in Docker Desktop of old"),
    Key {
        name: "tmpfs",
        doc: "For type `tmpfs`",
        schema: || schema::object(&[TMPFS_KEYS], &[]),
        read: |r, node, into| {
            let mut draft = TmpfsDraft::default();
            r.keys(node, "the tmpfs options", &[TMPFS_KEYS], &mut draft);
            into.tmpfs = Some(At::new(draft, node.place.clone()));
        },
    },
];

const BIND_KEYS: &[Key<BindDraft>] = &[
    key!(propagation: PROPAGATION, "How mounts below it travel"),
    key!(selinux: SELINUX, "`z`: all machines may use it; `Z`: this one only"),
    key!(create_host_path: BOOL, "Whether a folder of the host that is missing is made. Default: true"),
];

const VOLUME_KEYS: &[Key<VolumeDraft>] =
    &[key!(nocopy: BOOL, "Whether a new volume stays empty, in place of taking what the image has there")];

const CONSISTENCIES: &[(&str, ())] = &[("consistent", ()), ("cached", ()), ("delegated", ())];

const CONSISTENCY: Form<At<()>> = Form {
    schema: || schema::one_of(CONSISTENCIES.iter().map(|(name, ())| *name)),
    read: |r, node| {
        let part = r.words(node, "a consistency")?;
        r.one_of(&part, CONSISTENCIES, "a consistency")
    },
};

const TMPFS_KEYS: &[Key<TmpfsDraft>] =
    &[key!(size: BYTES, "How much it can hold"), key!(mode: MODE, "The mode of its root, in octal: `01777`")];

const PROPAGATION: Form<At<&'static str>> = Form {
    schema: || schema::one_of(PROPAGATIONS.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a propagation")?;
        r.one_of(&part, PROPAGATIONS, "a propagation")
    },
};

const SELINUX: Form<At<Relabel>> = Form {
    schema: || schema::one_of(["z", "Z"]),
    read: |r, node| {
        let part = r.words(node, "`z` or `Z`")?;
        r.one_of(&part, &[("z", Relabel::Shared), ("Z", Relabel::Private)], "`z` or `Z`")
    },
};

const TARGET: Form<At<String>> = Form {
    schema: || schema::matching("/.*"),
    read: |r, node| {
        let part = r.words(node, "a place inside the machine")?;
        target(r, &part)
    },
};

/// Compose takes `1777` for a decimal number, which nobody means: it must show that it is octal.
const MODE: Form<At<u32>> = Form {
    schema: || json!({"type": ["integer", "string"], "pattern": r"^0[oO]?[0-7]{1,4}$|\$"}),
    read: |r, node| {
        let what = "a mode in octal, as `01777`";
        let part = r.scalar(node, what)?;
        let digits = part.text.strip_prefix('0').map(|rest| rest.trim_start_matches(['o', 'O']));
        match digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|mode| *mode <= 0o7777) {
            Some(mode) => Some(part.at(mode)),
            None if part.text.bytes().all(|b| (b'0'..b'8').contains(&b)) => r.bad_hint(&part, what, format!("write `0{}`", part.shown())),
            None => r.bad(&part, what),
        }
    },
};

fn target(r: &mut Reader, part: &Part<'_>) -> Option<At<String>> {
    let what = "a place inside the machine";
    if !part.text.starts_with('/') || part.text.contains('\0') {
        return r.bad_hint(part, what, "an absolute path, as `/srv/app`");
    }
    if part.text.trim_matches('/').is_empty() {
        return r.bad_hint(part, what, "nothing can be mounted over `/`");
    }
    Some(part.text())
}

fn volume(r: &mut Reader, node: &Node) -> Option<At<VolumeMount>> {
    let mount = if let Body::Map(_) = &node.body {
        long(r, node)
    } else {
        let part = r.words(node, WHAT)?;
        short(r, &part)
    };
    mount.map(|mount| At::new(mount, node.place.clone()))
}

fn is_path(source: &str) -> bool {
    source.starts_with(['/', '.', '~'])
}

fn short(r: &mut Reader, part: &Part<'_>) -> Option<VolumeMount> {
    let parts = part.split(|c| c == ':');
    let mut mount = VolumeMount {
        kind: VolumeMountKind::Anonymous,
        target: String::new(),
        read_only: false,
        relabel: None,
        propagation: None,
        must_exist: false,
        nocopy: false,
    };
    let (source, place, options) = match parts.as_slice() {
        [place] => (None, place, None),
        [source, place] => (Some(source), place, None),
        [source, place, options] => (Some(source), place, Some(options)),
        _ => return r.bad(part, WHAT),
    };
    if let Some(source) = source {
        mount.kind = if is_path(source.text) {
            VolumeMountKind::Bind(source.text.to_owned())
        } else {
            let volume = "the name of a volume";
            let name = scalars::name(r, source, volume);
            VolumeMountKind::Volume(name?.value)
        };
    }
    mount.target = target(r, place)?.value;
    for option in options.map(|options| options.split(|c| c == ',')).unwrap_or_default() {
        match option.text {
            "ro" => mount.read_only = true,
            "z" => mount.relabel = Some(Relabel::Shared),
            "Z" => mount.relabel = Some(Relabel::Private),
            "nocopy" => mount.nocopy = true,
            // The last three are Docker Desktop's, and have no effect here.
            "rw" | "cached" | "delegated" | "consistent" => {}
            other => {
                let Some((name, _)) = PROPAGATIONS.iter().find(|(name, _)| *name == other) else {
                    let known = "one of `ro`, `rw`, `z`, `Z`, `nocopy`, `rslave`, `rshared`, `rprivate`";
                    let words = ["ro", "rw", "nocopy", "rslave", "rshared", "rprivate", "cached", "delegated", "consistent"];
                    return r.bad_near(&option, "an option of a mount", &words, known);
                };
                mount.propagation = Some((*name).to_owned());
            }
        }
    }
    only_for_binds(r, part, &mount)?;
    Some(mount)
}

fn only_for_binds(r: &mut Reader, part: &Part<'_>, mount: &VolumeMount) -> Option<()> {
    if mount.propagation.is_some() && !matches!(mount.kind, VolumeMountKind::Bind(_)) {
        let error = Diagnostic::invalid("only a directory of the host has a propagation").at(&part.place());
        r.push(error.hint("leave the propagation out, or begin with a path: `./data:/data:rslave`"));
        return None;
    }
    if mount.nocopy && matches!(mount.kind, VolumeMountKind::Bind(_)) {
        let error = Diagnostic::invalid("only a volume can be `nocopy`: nothing is copied into a directory of the host").at(&part.place());
        r.push(error.hint("leave `nocopy` out, or name a volume: `data:/data:nocopy`"));
        return None;
    }
    Some(())
}

fn long(r: &mut Reader, node: &Node) -> Option<VolumeMount> {
    let mut draft = Draft::default();
    r.keys(node, "a mount", &[KEYS], &mut draft);
    let Body::Map(entries) = &node.body else { return None };
    for key in ["type", "target"] {
        if !entries.iter().any(|(name, _)| name.value == key) {
            r.missing(&node.place, "a mount", key);
        }
    }
    let (kind, target) = (draft.r#type?, draft.target?);
    for (found, wanted, key) in [
        (draft.bind.as_ref().map(|b| &b.place), Type::Bind, "bind"),
        (draft.volume.as_ref().map(|v| &v.place), Type::Volume, "volume"),
        (draft.tmpfs.as_ref().map(|t| &t.place), Type::Tmpfs, "tmpfs"),
    ] {
        if let Some(place) = found.filter(|_| kind.value != wanted) {
            let error = Diagnostic::invalid(format!("`{key}` is only for mounts of type `{key}`")).at(place);
            r.push(error.also(&kind.place, "the type").hint(format!("`type: {key}`, or leave `{key}` out")));
        }
    }
    let kind = long_kind(r, node, &kind, draft.source, draft.tmpfs)?;
    let bind = draft.bind.map(|b| b.value).unwrap_or_default();
    let must_exist = bind.create_host_path.as_ref().is_some_and(|create| !create.value);
    if let (true, Some(create), Some(selinux)) = (must_exist, &bind.create_host_path, &bind.selinux) {
        let error = Diagnostic::invalid(
            "the engine gives labels of SELinux only to what it may make: `create_host_path: false` and `selinux` exclude each other",
        );
        r.push(error.at(&create.place).also(&selinux.place, "`selinux` is here").hint("leave one of the two out"));
        return None;
    }
    Some(VolumeMount {
        kind,
        target: target.value,
        read_only: draft.read_only.is_some_and(|ro| ro.value),
        relabel: bind.selinux.map(|s| s.value),
        propagation: bind.propagation.map(|p| p.value.to_owned()),
        must_exist,
        nocopy: draft.volume.and_then(|v| v.value.nocopy).is_some_and(|nocopy| nocopy.value),
    })
}

fn long_kind(
    r: &mut Reader,
    node: &Node,
    kind: &At<Type>,
    source: Option<At<String>>,
    tmpfs: Option<At<TmpfsDraft>>,
) -> Option<VolumeMountKind> {
    match (kind.value, source) {
        (Type::Bind, Some(source)) if is_path(&source.value) => Some(VolumeMountKind::Bind(source.value)),
        (Type::Bind, Some(source)) => {
            r.push(Diagnostic::invalid("the source of a bind mount is a path").at(&source.place).hint("as `/srv` or `./src`"));
            None
        }
        (Type::Bind, None) => {
            let written = matches!(&node.body, Body::Map(entries) if entries.iter().any(|(key, _)| key.value == "source"));
            if !written {
                r.missing(&node.place, "a bind mount", "source");
            }
            None
        }
        (Type::Volume, None) => Some(VolumeMountKind::Anonymous),
        (Type::Volume, Some(source)) => {
            let name = scalars::name(r, &Part::key(&source), "the name of a volume")?;
            Some(VolumeMountKind::Volume(name.value))
        }
        (Type::Tmpfs, Some(source)) => {
            r.push(Diagnostic::invalid("a tmpfs has no source").at(&source.place).hint("leave `source` out"));
            None
        }
        (Type::Tmpfs, None) => {
            let options = tmpfs.map(|t| t.value).unwrap_or_default();
            Some(VolumeMountKind::Tmpfs { size: options.size.map(|s| s.value), mode: options.mode.map(|m| m.value) })
        }
    }
}

fn tmpfs(r: &mut Reader, node: &Node) -> Option<At<Tmpfs>> {
    let part = r.words(node, "a place for a tmpfs, as `/run:size=64m`")?;
    let (place, options) = match part.split_once(':') {
        Some((place, options)) => (place, Some(options.text.to_owned()).filter(|o| !o.is_empty())),
        None => (part, None),
    };
    let target = target(r, &place)?.value;
    let sizes = options.iter().flat_map(|options| options.split(',')).filter_map(|option| option.strip_prefix("size="));
    // As the kernel reads it; the engine would say so only when the machine is to start.
    let is_size = |size: &str| {
        let digits = size.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G', '%']).unwrap_or(size);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if sizes.into_iter().any(|size| !is_size(size)) {
        return r.bad_hint(&part, "a place for a tmpfs", "its `size` is a number with `k`, `m`, `g` or `%`, as in `/run:size=64m`");
    }
    Some(part.at(Tmpfs { target, options }))
}
