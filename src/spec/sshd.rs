//! `sshd` and `guest`: who can log into a machine, and whether fly is its first process.

use serde_json::json;

use super::lists::TEXT_OR_TEXTS;
use super::model::{Entries, Sshd, SshdUser};
use super::node::{Body, Kind, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, TEXT};
use super::schema;
use crate::diag::At;
use crate::types::SshServer;

const SERVERS: &[(&str, SshServer)] = &[("fly", SshServer::Fly), ("openssh", SshServer::Openssh)];

pub(super) const SSHD: Form<Sshd> =
    Form { schema: || schema::any(vec![schema::boolean(), schema::one_of(["fly", "openssh"]), schema::object(&[KEYS], &[])]), read: sshd };

const KEYS: &[Key<Sshd>] = &[
    key!(server: SERVER, "`fly` (default): fly's own; `openssh`: the image's"),
    key!(port: PORT, "Where it listens, on every address of the machine. Default: 22"),
    key!(authorized_keys: TEXT_OR_TEXTS, "Public keys, or files with them. Default: your own, and those of your agent"),
    key!(users: USERS, "Who can log in. Default: root"),
];

const SERVER: Form<At<SshServer>> = Form {
    schema: || schema::one_of(["fly", "openssh"]),
    read: |r, node| {
        let part = r.words(node, "an ssh server")?;
        r.one_of(&part, SERVERS, "an ssh server")
    },
};

const PORT: Form<At<u16>> = Form {
    schema: || schema::integer(1, 65535),
    read: |r, node| {
        let part = r.scalar(node, "a port")?;
        r.number(&part, (1, 65535), "a port")
    },
};

const USERS: Form<Entries<SshdUser>> = Form {
    schema: || {
        let long = json!({"type": "object", "additionalProperties": schema::nullable(schema::object(&[USER_KEYS], &[]))});
        schema::any(vec![schema::list(schema::text()), long])
    },
    read: users,
};

const USER_KEYS: &[Key<SshdUser>] = &[
    key!(authorized_keys: TEXT_OR_TEXTS, "Public keys of this user, or files with them. Default: those of `sshd`"),
    key!(password: TEXT, "A password, or its hash (`$6$…`), to log in with. Better: none"),
];

fn sshd(r: &mut Reader, node: &Node) -> Option<Sshd> {
    const WHAT: &str = "`true`, `false`, `openssh`, or the keys of an ssh server";
    let mut sshd = Sshd { place: node.place.clone(), enabled: true, server: None, port: None, authorized_keys: None, users: None };
    match &node.body {
        Body::Scalar(scalar) if scalar.kind == Kind::Bool => sshd.enabled = scalar.text == "true",
        Body::Scalar(scalar) if scalar.kind == Kind::Null => {}
        Body::Scalar(_) => {
            let part = r.words(node, WHAT)?;
            sshd.server = Some(r.one_of(&part, SERVERS, WHAT)?);
        }
        _ => r.keys(node, "an ssh server", &[KEYS], &mut sshd),
    }
    Some(sshd)
}

fn users(r: &mut Reader, node: &Node) -> Option<Entries<SshdUser>> {
    const WHAT: &str = "users of the machine, as `[root, app]` or `{app: {authorized_keys: [~/.ssh/app.pub]}}`";
    if let Body::Map(_) = &node.body {
        return r.entries(node, WHAT, |r, key, node| {
            let mut user = SshdUser::default();
            user_name(r, &Part::key(key))?;
            r.keys(node, "a user", &[USER_KEYS], &mut user);
            Some(user)
        });
    }
    let names = r.one_or_more(node, WHAT, |r, node| {
        let part = r.words(node, "the name of a user")?;
        user_name(r, &part)
    })?;
    Some(Entries(names.into_iter().map(|name| (name, SshdUser::default())).collect()))
}

fn user_name(r: &mut Reader, part: &Part<'_>) -> Option<At<String>> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if part.text.starts_with('-') || part.text.len() > 32 || !part.text.chars().all(good) {
        return r.bad_hint(part, "the name of a user", "letters, digits, `_`, `-` and `.`, at most 32, not `-` first: as in `/etc/passwd`");
    }
    scalars::filled(r, part, "the name of a user")
}
