//! How a machine runs: restarts, health, limits, rights, devices.

use serde_json::json;

use super::lists::word;
use super::model::{Entries, Init, PullPolicy};
use super::node::{Body, Kind, Node, Part};
use super::reader::{Form, Key, NO_ZEROS, Reader, key, zero_led};
use super::scalars::{self, BOOL, SECONDS};
use super::schema;
use crate::diag::{At, Diagnostic, similar};
use crate::types::{Bytes, Device, Healthcheck, Restart, Seconds, Ulimit};

const POLICIES: &[(&str, PullPolicy)] = &[
    ("missing", PullPolicy::Missing),
    ("always", PullPolicy::Always),
    ("never", PullPolicy::Never),
    ("if_not_present", PullPolicy::Missing),
];

pub(super) const PULL_POLICY: Form<At<PullPolicy>> = Form {
    schema: || schema::one_of(POLICIES.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a pull policy")?;
        r.one_of(&part, POLICIES, "a pull policy")
    },
};

pub(super) const INIT: Form<At<Init>> = Form {
    schema: || schema::any(vec![schema::boolean(), schema::one_of(["systemd"])]),
    read: |r, node| {
        const WHAT: &str = "`true`, `false` or `systemd`";
        let part = r.scalar(node, WHAT)?;
        if part.text == "systemd" {
            return Some(part.at(Init::Systemd));
        }
        let is_truth = ["true", "false"].iter().any(|word| part.text.eq_ignore_ascii_case(word));
        if !is_truth {
            return r.bad_near(&part, WHAT, &["true", "false", "systemd"], "`init: true`, or `init: systemd` where the image has systemd");
        }
        Some(scalars::boolean(r, node)?.map(|on| if on { Init::Small } else { Init::Program }))
    },
};

pub(super) const RESTART: Form<At<Restart>> = Form {
    schema: || schema::any(vec![json!({"const": false}), schema::matching("no|always|unless-stopped|on-failure(:[0-9]+)?")]),
    read: restart,
};

/// The engine takes no less.
pub(super) const MEMORY: Form<At<Bytes>> = Form {
    schema: scalars::BYTES.schema,
    read: |r, node| {
        let bytes = scalars::bytes(r, node, "a size, as `512M`")?;
        if bytes.value.0 < 6 << 20 {
            r.push(Diagnostic::invalid("a machine needs at least 6M of memory").at(&bytes.place).hint("`memory: 64M`"));
            return None;
        }
        Some(bytes)
    },
};

pub(super) const CPUSET: Form<At<String>> = Form {
    schema: || json!({"type": ["string", "integer"], "pattern": r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$|\$"}),
    read: |r, node| {
        const HINT: &str = "as in `0-3,5`: processors are counted from 0, and a range goes up";
        let what = "a set of processors, as `0-3,5`";
        let part = r.scalar(node, what)?;
        let number = |text: &str| text.parse::<u16>().ok();
        let good = |item: &str| match item.split_once('-') {
            Some((a, b)) => number(a).zip(number(b)).is_some_and(|(a, b)| a <= b),
            None => number(item).is_some(),
        };
        if part.text.split([',', '-']).any(zero_led) {
            return r.bad_hint(&part, what, NO_ZEROS);
        }
        if part.text.split(',').all(good) { Some(part.text()) } else { r.bad_hint(&part, what, HINT) }
    },
};

pub(super) const PIDS: Form<At<Option<u64>>> = Form {
    schema: || schema::any(vec![json!({"const": -1}), schema::matching("-1"), schema::integer(1, i64::MAX)]),
    read: |r, node| {
        let what = "a number of processes";
        let part = r.scalar(node, what)?;
        match part.text {
            "-1" => Some(part.at(None)),
            "0" => r.bad_hint(&part, what, "`-1` is without limit"),
            _ => r.number::<u64>(&part, (1, i64::MAX), what).map(|count| count.map(Some)),
        }
    },
};

pub(super) const SCALE: Form<At<u32>> = Form {
    schema: || schema::integer(0, 1000),
    read: |r, node| {
        let part = r.scalar(node, "a number of machines")?;
        r.number(&part, (0, 1000), "a number of machines")
    },
};

pub(super) const STOP_SIGNAL: Form<At<String>> = Form {
    schema: || {
        let text = schema::matching("(SIG)?[A-Z][A-Z0-9+-]*|[1-9]|[1-5][0-9]|6[0-4]");
        schema::any(vec![json!({"type": "integer", "minimum": 1, "maximum": 64}), text])
    },
    read: |r, node| {
        let what = "a signal, as `SIGTERM`";
        let part = r.scalar(node, what)?;
        if zero_led(part.text) {
            return r.bad_hint(&part, what, NO_ZEROS);
        }
        let number = part.text.parse::<u8>().is_ok_and(|n| (1..=64).contains(&n));
        let name = part.text.strip_prefix("SIG").unwrap_or(part.text);
        let named = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '+' | '-'));
        if number || named { Some(part.text()) } else { r.bad_hint(&part, what, "a name in capitals, or a number from 1 to 64") }
    },
};

const CAPABILITIES: &str = "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE \
     DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN \
     NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT \
     SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM";

pub(super) const CAPS: Form<Vec<At<String>>> = Form {
    schema: || {
        let letter = |c: char| if c == '_' { "_".to_owned() } else { format!("[{c}{}]", c.to_ascii_lowercase()) };
        let names: Vec<String> = CAPABILITIES.split_ascii_whitespace().map(|name| name.chars().map(letter).collect()).collect();
        schema::list(schema::matching(&format!("([cC][aA][pP]_)?({})", names.join("|"))))
    },
    read: |r, node| r.list(node, "a list of capabilities, as `[NET_ADMIN]`", capability),
};

pub(super) const DEVICES: Form<Vec<At<Device>>> = Form {
    schema: || {
        schema::list(schema::any(vec![
            schema::matching(&format!("/[^:]+(:/[^:]+)?(:({}))?", each_once())),
            schema::object(&[DEVICE_KEYS], &["source"]),
        ]))
    },
    read: |r, node| r.list(node, "a list of devices, as `[/dev/net/tun]`", device),
};

pub(super) const ULIMITS: Form<Entries<At<Ulimit>>> = Form {
    schema: || {
        let one = schema::any(vec![schema::integer(-1, i64::MAX), schema::object(&[ULIMIT_KEYS], &["soft", "hard"])]);
        schema::nullable(json!({"type": "object", "additionalProperties": one, "propertyNames": {"enum": LIMITS}}))
    },
    read: |r, node| r.entries(node, "limits, as `{nofile: 1024}`", ulimit),
};

pub(super) const HEALTHCHECK: Form<At<Healthcheck>> = Form { schema: || schema::object(&[HEALTH_KEYS], &[]), read: healthcheck };

fn restart(r: &mut Reader, node: &Node) -> Option<At<Restart>> {
    const WHAT: &str = "a restart policy";
    const HINT: &str = "one of `\"no\"`, `always`, `unless-stopped`, `on-failure` and `on-failure:3`";
    let part = r.scalar(node, WHAT)?;
    let is_false = node.scalar().is_some_and(|s| s.kind == Kind::Bool) && part.text.eq_ignore_ascii_case("false");
    let policy = match (part.text, part.split_once(':')) {
        _ if is_false => Restart::No,
        ("no", _) => Restart::No,
        ("always", _) => Restart::Always,
        ("unless-stopped", _) => Restart::UnlessStopped,
        ("on-failure", _) => Restart::OnFailure(0),
        (_, Some((policy, times))) if policy.text == "on-failure" => {
            Restart::OnFailure(r.number(&times, (0, i64::from(i32::MAX)), "a number of times")?.value)
        }
        _ => return r.bad_near(&part, WHAT, &["no", "always", "unless-stopped", "on-failure"], HINT),
    };
    Some(part.at(policy))
}

fn capability(r: &mut Reader, node: &Node) -> Option<At<String>> {
    let what = "a capability, as `NET_ADMIN`";
    let part = r.words(node, what)?;
    let upper = part.text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if CAPABILITIES.split_ascii_whitespace().any(|known| known == name) {
        return Some(part.at(name.to_owned()));
    }
    match similar(name, CAPABILITIES.split_ascii_whitespace()).filter(|_| name.len() < 64 && !part.is_secret()) {
        Some(meant) => r.bad_hint(&part, what, format!("did you mean `{meant}`?")),
        None => r.bad_hint(&part, what, "`man 7 capabilities` lists them"),
    }
}

#[derive(Default)]
struct DeviceDraft {
    source: Option<At<String>>,
    target: Option<At<String>>,
    permissions: Option<At<String>>,
}

const DEVICE_KEYS: &[Key<DeviceDraft>] = &[
    key!(source: DEVICE_PATH, "The device on the host"),
    key!(target: DEVICE_PATH, "Its name inside. Default: the same"),
    key!(permissions: PERMISSIONS, "Some of `r`, `w` and `m`. Default: all"),
];

const DEVICE_PATH: Form<At<String>> = Form {
    schema: || schema::matching("/.+"),
    read: |r, node| {
        let part = r.words(node, "the path of a device")?;
        device_path(r, &part)
    },
};

const PERMISSIONS: Form<At<String>> = Form {
    schema: || schema::matching(&each_once()),
    read: |r, node| {
        let part = r.words(node, "some of `rwm`")?;
        permissions(r, &part)
    },
};

fn device_path(r: &mut Reader, part: &Part<'_>) -> Option<At<String>> {
    if part.text.len() > 1 && part.text.starts_with('/') {
        Some(part.text())
    } else {
        r.bad(part, "the path of a device, as `/dev/net/tun`")
    }
}

/// Some of `rwm` in any order, each once: what a pattern can say in full only.
fn each_once() -> String {
    "r|w|m|rw|wr|rm|mr|wm|mw|rwm|rmw|wrm|wmr|mrw|mwr".to_owned()
}

fn permissions(r: &mut Reader, part: &Part<'_>) -> Option<At<String>> {
    let mut left = vec!['r', 'w', 'm'];
    let each_once = part.text.chars().all(|c| left.iter().position(|known| *known == c).map(|at| left.remove(at)).is_some());
    if each_once && !part.text.is_empty() { Some(part.text()) } else { r.bad_hint(part, "some of `rwm`", "each once at most, as in `rw`") }
}

fn device(r: &mut Reader, node: &Node) -> Option<At<Device>> {
    let mut draft = DeviceDraft::default();
    if let Body::Map(entries) = &node.body {
        r.keys(node, "a device", &[DEVICE_KEYS], &mut draft);
        if !entries.iter().any(|(key, _)| key.value == "source") {
            r.missing(&node.place, "a device", "source");
        }
    } else {
        let what = "a device, as `/dev/sda:/dev/xvda:rwm`";
        let part = r.words(node, what)?;
        let parts = part.split(|c| c == ':');
        if parts.len() > 3 {
            return r.bad(&part, what);
        }
        draft.source = Some(device_path(r, &parts[0])?);
        for rest in &parts[1..] {
            // As Docker reads it: `/dev/fuse:rw` has permissions second.
            if rest.text.starts_with('/') && draft.target.is_none() {
                draft.target = Some(device_path(r, rest)?);
            } else {
                draft.permissions = Some(permissions(r, rest)?);
            }
        }
    }
    let source = draft.source?.value;
    let target = draft.target.map_or_else(|| source.clone(), |target| target.value);
    let permissions = draft.permissions.map_or_else(|| "rwm".to_owned(), |permissions| permissions.value);
    Some(At::new(Device { source, target, permissions }, node.place.clone()))
}

const LIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

#[derive(Default)]
struct UlimitDraft {
    soft: Option<At<i64>>,
    hard: Option<At<i64>>,
}

const ULIMIT_KEYS: &[Key<UlimitDraft>] =
    &[key!(soft: LIMIT, "What holds at first; `-1` is without limit"), key!(hard: LIMIT, "Up to where a process may raise it")];

const LIMIT: Form<At<i64>> = Form {
    schema: || schema::integer(-1, i64::MAX),
    read: |r, node| {
        let part = r.scalar(node, "a limit")?;
        r.number(&part, (-1, i64::MAX), "a limit")
    },
};

fn ulimit(r: &mut Reader, key: &At<String>, node: &Node) -> Option<At<Ulimit>> {
    let known = LIMITS.contains(&key.value.as_str());
    if !known {
        let part = Part::key(key);
        let meant = if key.value.len() < 64 { similar(&key.value, LIMITS.iter().copied()) } else { None };
        let hint = meant.map_or_else(|| format!("one of {}", LIMITS.join(", ")), |meant| format!("did you mean `{meant}`?"));
        let _: Option<()> = r.bad_hint(&part, "a limit that the kernel has", hint);
    }
    let limit = if let Body::Map(entries) = &node.body {
        let mut draft = UlimitDraft::default();
        r.keys(node, "a limit", &[ULIMIT_KEYS], &mut draft);
        for key in ["soft", "hard"] {
            if !entries.iter().any(|(name, _)| name.value == key) {
                r.missing(&node.place, "a limit", key);
            }
        }
        let (soft, hard) = (draft.soft?, draft.hard?);
        if hard.value >= 0 && (soft.value < 0 || soft.value > hard.value) {
            let error = Diagnostic::invalid("the soft limit is above the hard one").at(&soft.place);
            r.push(error.also(&hard.place, "the hard limit").hint("`soft` is at most `hard`; `-1` is without limit"));
            return None;
        }
        Ulimit { soft: soft.value, hard: hard.value }
    } else {
        let both = (LIMIT.read)(r, node)?.value;
        Ulimit { soft: both, hard: both }
    };
    known.then(|| At::new(limit, node.place.clone()))
}

#[derive(Default)]
struct HealthDraft {
    test: Option<At<Vec<String>>>,
    interval: Option<At<Seconds>>,
    timeout: Option<At<Seconds>>,
    start_period: Option<At<Seconds>>,
    start_interval: Option<At<Seconds>>,
    retries: Option<At<u32>>,
    disable: Option<At<bool>>,
}

const HEALTH_KEYS: &[Key<HealthDraft>] = &[
    key!(test: TEST, "A command line for the shell, or `[CMD, ...]`, `[CMD-SHELL, text]`, `[NONE]`"),
    key!(interval: SECONDS, "How often it is run"),
    key!(timeout: SECONDS, "How long it may take"),
    key!(start_period: SECONDS, "How long failures at the beginning do not count"),
    key!(start_interval: SECONDS, "How often it is run during `start_period`; needs Docker Engine 25"),
    key!(retries: RETRIES, "After how many failures the machine counts as unhealthy; 0 is what the image or the engine says"),
    key!(disable: BOOL, "Switches the image's own off"),
];

const TEST: Form<At<Vec<String>>> = Form {
    schema: || schema::any(vec![schema::text(), json!({"type": "array", "items": schema::scalar(), "minItems": 1})]),
    read: |r, node| {
        let what = "a command line, or `[CMD, ...]`, `[CMD-SHELL, text]`, `[NONE]`";
        let Body::Seq(items) = &node.body else {
            let part = r.scalar(node, what)?;
            return scalars::filled(r, &part, what).map(|text| text.map(|text| vec!["CMD-SHELL".to_owned(), text]));
        };
        let words = r.list(node, what, word)?;
        if words.len() < items.len() {
            return None;
        }
        match words.first().map(String::as_str) {
            Some("NONE") if words.len() == 1 => {}
            Some("CMD") if words.len() > 1 => {}
            Some("CMD-SHELL") if words.len() == 2 => {}
            _ => {
                let place = items.first().map_or(&node.place, |first| &first.place);
                r.push(Diagnostic::invalid(format!("this is not {what}")).at(place).hint("as in `[CMD, pg_isready]`"));
                return None;
            }
        }
        Some(At::new(words, node.place.clone()))
    },
};

const RETRIES: Form<At<u32>> = Form {
    schema: || schema::integer(0, i32::MAX.into()),
    read: |r, node| {
        let part = r.scalar(node, "a number of tries")?;
        r.number(&part, (0, i32::MAX.into()), "a number of tries")
    },
};

fn healthcheck(r: &mut Reader, node: &Node) -> Option<At<Healthcheck>> {
    if !matches!(node.body, Body::Map(_)) {
        return r.wrong(node, "the keys of a health check, as `{test: [CMD, pg_isready]}`");
    }
    let mut draft = HealthDraft::default();
    r.keys(node, "a health check", &[HEALTH_KEYS], &mut draft);
    let disabled = draft.disable.as_ref().is_some_and(|disable| disable.value);
    if let (true, Some(disable), Some(test)) = (disabled, &draft.disable, &draft.test)
        && test.value != ["NONE"]
    {
        let error = Diagnostic::invalid("a health check that is switched off has no test").at(&test.place);
        r.push(error.also(&disable.place, "switched off here").hint("leave one of the two out"));
    }
    let test = if disabled { vec!["NONE".to_owned()] } else { draft.test.map(|test| test.value).unwrap_or_default() };
    let check = Healthcheck {
        test,
        interval: draft.interval.map(|v| v.value),
        timeout: draft.timeout.map(|v| v.value),
        start_period: draft.start_period.map(|v| v.value),
        start_interval: draft.start_interval.map(|v| v.value),
        retries: draft.retries.map(|v| v.value),
    };
    Some(At::new(check, node.place.clone()))
}
