//! Asks both boundaries and makes one snapshot of what they say.
//!
//! The engine comes before the links, because a machine's namespace is found by its first process. Nothing is judged here: what differs is
//! for `diff`, whose something is was decided by the boundary that saw it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use crate::actual::Actual;
use crate::diag::{Diagnostic, Kind};
use crate::engine::{Engine, EngineError, EngineErrorKind, EngineQuery};
use crate::net::{NetError, NetErrorKind, NetPlane, Processes};
use crate::types::{Name, NetworkMode, Ns};

/// How often a world that is just changing is looked at, and how far apart.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// The world as far as it concerns `project`; `images` are references that somebody is going to need.
pub async fn observe<E: Engine, N: NetPlane>(engine: &E, net: &N, project: &Name, images: BTreeSet<String>) -> Result<Actual, Diagnostic> {
    let query = EngineQuery { project: project.clone(), images };
    let links = async {
        for _ in 1..LOOKS {
            let actual = look(engine, net, &query).await?;
            if !has_just_ended(&actual) {
                return Ok(actual);
            }
            tokio::time::sleep(PAUSE).await;
        }
        look(engine, net, &query).await
    };
    let firewall = async { net.firewall().await.map_err(|e| net_diagnostic(&e)) };
    let (actual, firewall) = tokio::join!(links, firewall);
    // If the engine does not answer, that is what there is to say.
    let mut actual = actual?;
    actual.net.firewall = firewall?;
    Ok(actual)
}

async fn look<E: Engine, N: NetPlane>(engine: &E, net: &N, query: &EngineQuery) -> Result<Actual, Diagnostic> {
    let mut actual = Actual { engine: engine.observe(query).await.map_err(|e| engine_diagnostic(&e))?, ..Actual::default() };
    let (namespaces, guests) = (namespaces(&actual), with_guest(&actual));
    let (links, guests) = tokio::join!(net.observe(&query.project, &namespaces), net.guests(&guests));
    actual.net = links.map_err(|e| net_diagnostic(&e))?;
    actual.net.guests = guests.map_err(|e| net_diagnostic(&e))?;
    for (container, pid) in &actual.engine.lenders {
        let inode = net.space(*pid).await.map_err(|e| net_diagnostic(&e))?;
        actual.net.lenders.extend(inode.map(|inode| (container.clone(), inode)));
    }
    Ok(actual)
}

/// The kernel knows of an end before the engine does: a machine that runs, and has no process, is neither one thing nor the other.
fn has_just_ended(actual: &Actual) -> bool {
    namespaces(actual).into_keys().any(|name| actual.namespace(&Ns::Machine(name)).is_none())
}

/// Asks the registries of these images, as far as the engine has them, whether they have other ones by now.
pub async fn ask_registries<E: Engine>(engine: &E, actual: &mut Actual, images: BTreeSet<&str>) {
    let here = images.into_iter().filter(|image| actual.engine.images.contains_key(*image));
    let answers = join_all(here.map(|image| async move { (image, engine.in_registry(image).await) })).await;
    for (image, answer) in answers {
        if let Some(state) = actual.engine.images.get_mut(image) {
            state.registry = Some(answer);
        }
    }
}

/// Asks the kernel for these modules, and of these cards of the host's.
pub async fn ask_kernel<N: NetPlane>(
    net: &N,
    actual: &mut Actual,
    modules: BTreeSet<String>,
    devices: BTreeSet<String>,
) -> Result<(), Diagnostic> {
    actual.net.lacking = net.lacking(&modules).await.map_err(|e| net_diagnostic(&e))?;
    // Of those that a machine of ours has, all is known.
    let asked = devices.into_iter().filter(|device| actual.device(device).is_none_or(|(at, _)| at.ns == Ns::Host)).collect();
    actual.net.cards = net.cards(&asked).await.map_err(|e| net_diagnostic(&e))?;
    Ok(())
}

/// The machines that run, by their first process.
pub fn processes(actual: &Actual) -> Processes {
    actual.engine.machines.iter().filter_map(|(name, machine)| Some((name.clone(), machine.pid?))).collect()
}

fn with_guest(actual: &Actual) -> Processes {
    let machines = actual.engine.machines.iter().filter(|(_, machine)| machine.container.guest.is_some());
    machines.filter_map(|(name, machine)| Some((name.clone(), machine.pid?))).collect()
}

/// The machines that have a namespace, by the process that it is found by. One on the host's network has none of its own;
/// one that shares another machine's is among them: the inode tells whether it still does.
pub fn namespaces(actual: &Actual) -> Processes {
    let has_namespace = |mode: &NetworkMode| match mode {
        NetworkMode::Own | NetworkMode::Machine(_) | NetworkMode::Container(_) => true,
        NetworkMode::Host => false,
    };
    let up = actual.engine.machines.iter().filter(|(_, machine)| has_namespace(&machine.container.network_mode));
    up.filter_map(|(name, machine)| Some((name.clone(), machine.pid?))).collect()
}

/// What the engine refused, for a reader.
pub fn engine_diagnostic(error: &EngineError) -> Diagnostic {
    let (kind, message, usual): (_, _, &[&str]) = match error.kind {
        EngineErrorKind::Way => (Kind::Engine, "nothing leads to the container engine", &[]),
        EngineErrorKind::Unreachable => (
            Kind::Engine,
            "the container engine does not answer",
            &[
                "is it running? `systemctl start docker`",
                "is it somewhere else? `export DOCKER_HOST=unix:///path/to/docker.sock`, or `ssh://user@host`",
            ],
        ),
        EngineErrorKind::Denied => (
            Kind::Engine,
            "this user may not use the container engine",
            &["join the group, then log in again: `sudo usermod -aG docker $USER`"],
        ),
        EngineErrorKind::Timeout => {
            (Kind::Engine, "the container engine did not answer in time", &["see what it is doing: `journalctl -u docker -e`"])
        }
        EngineErrorKind::NotFound
        | EngineErrorKind::Conflict
        | EngineErrorKind::Transient
        | EngineErrorKind::Unhealthy
        | EngineErrorKind::Other => (Kind::Failed, "the container engine could not say what there is", &[]),
    };
    let usual = usual.iter().map(|hint| (*hint).to_owned()).collect();
    let hints: Vec<String> = if error.hints.is_empty() { usual } else { error.hints.clone() };
    hints.into_iter().fold(Diagnostic::new(kind, message).cause(error), Diagnostic::hint)
}

/// What the kernel refused, for a reader.
pub fn net_diagnostic(error: &NetError) -> Diagnostic {
    match error.kind {
        NetErrorKind::Denied => Diagnostic::new(Kind::Engine, "a right to work on the network is missing")
            .cause(error)
            .hint("run as root where the engine runs: it needs CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_SYS_PTRACE"),
        NetErrorKind::NotFound
        | NetErrorKind::Ended
        | NetErrorKind::Conflict
        | NetErrorKind::Unsupported
        | NetErrorKind::Transient
        | NetErrorKind::Other => Diagnostic::new(Kind::Failed, "the kernel could not say what links there are").cause(error),
    }
}
