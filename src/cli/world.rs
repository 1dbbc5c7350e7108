//! The engine and the kernel, as the commands reach them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::engine::Way;
use crate::actual::Actual;
use crate::agent::{self, Client, Held, Plane};
use crate::apply::{self, Event, Report};
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};
use crate::diff::{Change, Loss};
use crate::engine::{Docker, Engine, Helper, InRegistry, guest_version};
use crate::net::{Kernel, NetPlane};
use crate::plan::Plan;
use crate::types::Name;
use crate::{observe, verify};

/// Runs what waits for the engine and the kernel. One thread is enough: the work is theirs.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Diagnostic> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Diagnostic::new(Kind::Failed, "cannot start").cause(error))?;
    Ok(runtime.block_on(work))
}

/// The engine, and the kernel that its containers run on.
pub(super) struct World<E, N> {
    engine: Arc<E>,
    net: Arc<N>,
    /// Who can count what a machine has written: no operation, so not part of the boundary.
    docker: Option<Docker>,
}

/// The real one.
pub(super) type Real = World<Docker, Plane>;

/// How long the engine may count what machines have written: a plan is not worth more.
const COUNTING: Duration = Duration::from_secs(5);

/// How often it is asked whether a project is free again.
pub(super) const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn reach(way: &Way) -> Result<Docker, Diagnostic> {
    Docker::connect_to(&way.endpoint).await.map_err(|error| observe::engine_diagnostic(&error))
}

/// Which engine it is: the same by whatever address it is reached.
pub(super) async fn engine_id(engine: &Docker) -> Result<String, Diagnostic> {
    engine.id().await.map_err(|error| observe::engine_diagnostic(&error))
}

impl Real {
    /// Does `work`, and takes away what was only there for it.
    pub(super) async fn with<T>(engine: Docker, work: impl AsyncFnOnce(&Self) -> T) -> Result<T, Diagnostic> {
        let (net, helper) = plane(&engine).await?;
        let world = Self { docker: Some(engine.clone()), engine: Arc::new(engine), net: Arc::new(net) };
        let done = work(&world).await;
        // Its input ends with this, and it with that.
        drop(world);
        if let Some(helper) = helper {
            helper.end().await;
        }
        Ok(done)
    }

    /// Nobody else works on this project's network meanwhile, on the engine's host: also not from another computer. The agent is there
    /// for a moment now and then. Nothing: somebody else is at it.
    pub(super) async fn hold(&self, project: &Name, patience: Option<Duration>) -> Result<Option<Held>, Diagnostic> {
        let began = Instant::now();
        loop {
            let held = self.net.hold(project).await.map_err(|error| observe::net_diagnostic(&error))?;
            if held.is_some() || patience.is_some_and(|patience| began.elapsed() > patience) {
                return Ok(held);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// This process does the work on the network itself where the engine is on this host, and it has the rights. Otherwise one beside the
/// engine does, for whoever may use the engine.
async fn plane(engine: &Docker) -> Result<(Plane, Option<Helper>), Diagnostic> {
    let engines = |error| observe::engine_diagnostic(&error);
    if engine.is_local().await.map_err(engines)? {
        let kernel = Kernel::new().and_then(|kernel| kernel.check_rights().map(|()| kernel));
        if let Ok(kernel) = kernel {
            return Ok((Plane::Here(kernel), None));
        }
    }
    let version = guest_version().map_err(|error| Diagnostic::new(Kind::Failed, "fly's own binary cannot be read").cause(error))?;
    let (helper, session) = engine.helper(&version, &agent::SERVE).await.map_err(|error| {
        Diagnostic::new(Kind::Engine, "this process may not work on the engine's network, and a helper beside the engine cannot be started")
            .cause(error)
            .hint("run fly as root on the engine's host")
            .hint("or let this user start containers with `--network host` and `--pid host` there")
    })?;
    let (stdout, _stderr) = session.output.streams();
    let client = Client::new(stdout, session.input, &version).await.map_err(|error| observe::net_diagnostic(&error))?;
    Ok((Plane::There(client), Some(helper)))
}

impl<E: Engine, N: NetPlane> World<E, N> {
    #[cfg(test)]
    pub(super) fn of(engine: Arc<E>, net: Arc<N>) -> Self {
        Self { engine, net, docker: None }
    }

    pub(super) fn net(&self) -> &N {
        &self.net
    }

    pub(super) async fn in_registry(&self, image: &str) -> InRegistry {
        self.engine.in_registry(image).await
    }

    pub(super) async fn observe(&self, project: &Name, images: BTreeSet<String>) -> Result<Actual, Diagnostic> {
        observe::observe(&*self.engine, &*self.net, project, images).await
    }

    /// All that a plan for `desired` is made from.
    pub(super) async fn observe_for(&self, desired: &Desired) -> Result<Actual, Diagnostic> {
        let images = desired.images().into_iter().map(str::to_owned).collect();
        let mut actual = self.observe(&desired.project, images).await?;
        observe::ask_registries(&*self.engine, &mut actual, desired.newest_images()).await;
        observe::ask_kernel(&*self.net, &mut actual, desired.modules(), desired.devices()).await?;
        Ok(actual)
    }

    /// Fills in what was done by hand where this plan finds something that was. Whether there is anything new to say.
    async fn ask_who(&self, plan: &Plan, actual: &mut Actual) -> bool {
        let Some(docker) = self.docker.as_ref().filter(|_| !plan.drift.is_empty()) else { return false };
        actual.engine.deeds = docker.deeds().await;
        !actual.engine.deeds.is_empty()
    }

    /// Fills in how much is lost with the machines that go in this plan. Whether there is anything new to say.
    ///
    /// The engine counts file by file, so only these are asked about, and only for so long.
    pub(super) async fn weigh(&self, plan: &Plan, actual: &mut Actual) -> bool {
        let is_known = self.ask_who(plan, actual).await;
        let Some(docker) = &self.docker else { return false };
        let is_unknown = |change: &&Change| change.losses.contains(&Loss::WritableLayer(None));
        let names = plan.changes.iter().filter(is_unknown).filter_map(|change| change.addr.machine());
        let asked = names.filter_map(|name| Some((name, actual.machine(name)?.name.clone())));
        let answers = asked.map(|(name, container)| async move { (name, docker.writable_layer(&container).await) });
        let Ok(answers) = tokio::time::timeout(COUNTING, join_all(answers)).await else { return is_known };
        let mut is_news = is_known;
        for (name, size) in answers {
            if let (Some(machine), Some(size)) = (actual.engine.machines.get_mut(name), size) {
                machine.writable_layer = Some(size);
                is_news = true;
            }
        }
        is_news
    }

    pub(super) async fn apply(
        &self,
        plan: &Plan,
        actual: &Actual,
        parallel: usize,
        events: impl FnMut(Event),
        stop: watch::Receiver<bool>,
    ) -> Report {
        let options = apply::Options { parallel, ..apply::Options::default() };
        let processes = observe::processes(actual);
        apply::apply(plan, Arc::clone(&self.engine), Arc::clone(&self.net), processes, options, events, stop).await
    }

    /// What is still not as it should be after `deadline` at the latest.
    pub(super) async fn verify(&self, desired: &Desired, deadline: Duration) -> Result<Vec<Change>, Diagnostic> {
        verify::verify(&*self.engine, &*self.net, desired, deadline).await
    }
}
