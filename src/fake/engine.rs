//! The world as a container engine.

use super::faults::Refusal;
use super::{Call, FakeEngine};
use crate::engine::{
    AgentState, Engine, EngineDone, EngineError, EngineErrorKind, EngineOp, EngineQuery, EngineSnapshot, InRegistry, Progress,
};

impl Engine for FakeEngine {
    async fn observe(&self, query: &EngineQuery) -> Result<EngineSnapshot, EngineError> {
        tokio::task::yield_now().await;
        Ok(self.world.lock().engine_snapshot(query))
    }

    async fn in_registry(&self, image: &str) -> InRegistry {
        tokio::task::yield_now().await;
        self.world.lock().in_registry(image)
    }

    async fn perform(&self, op: &EngineOp, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<EngineDone, EngineError> {
        tokio::task::yield_now().await;
        if let EngineOp::PullImage { image } = op {
            progress(Progress { what: image.clone(), done: 0, total: 0 });
        }
        let done = self.world.perform(Call::Engine(op.clone()), |state| {
            match op {
                EngineOp::PullImage { image } => state.pull(image)?,
                EngineOp::InstallGuest { version } => drop(state.guests.insert(version.clone())),
                EngineOp::RemoveGuest { version } => state.remove_guest(version),
                EngineOp::InstallAgent { version } => state.agent = Some(AgentState { version: version.clone(), running: true }),
                EngineOp::RemoveAgent if state.orders.is_empty() => state.agent = None,
                EngineOp::RemoveAgent => {}
                EngineOp::TellAgent { version, project, orders } => state.tell_agent(version, project, orders.as_ref()),
                EngineOp::CreateNetwork { name, network } => state.create_network(name, network)?,
                EngineOp::DeleteNetwork { name } => state.delete_network(name)?,
                EngineOp::CreateVolume { name, labels } => state.create_volume(name, labels)?,
                EngineOp::DeleteVolume { name } => state.delete_volume(name)?,
                EngineOp::CreateContainer { name, container, network } => state.create_container(name, container, network.as_ref())?,
                EngineOp::RenameContainer { name, to } => state.rename_container(name, to)?,
                EngineOp::StartContainer { name } => {
                    state.start_container(name)?;
                    state.end_if_hasty(name);
                    return Ok(EngineDone { pid: state.instance(name)?.pid });
                }
                EngineOp::StopContainer { name } => state.stop_container(name)?,
                EngineOp::UnpauseContainer { name } => state.unpause_container(name)?,
                EngineOp::RemoveContainer { name, volumes } => state.remove_container(name, volumes),
                EngineOp::UpdateContainer { name, limits, restart } => state.update_container(name, limits, *restart)?,
                EngineOp::Connect { container, network, endpoint } => state.connect(container, network, endpoint)?,
                EngineOp::Disconnect { container, network } => state.disconnect(container, network)?,
                EngineOp::Wait { container, until, .. } => state.wait(container, *until)?,
            }
            Ok(EngineDone::default())
        });
        let is_wait = matches!(op, EngineOp::Wait { .. });
        done.map_err(|refusal| error(refusal, is_wait))
    }
}

fn error(refusal: Refusal, is_wait: bool) -> EngineError {
    let kind = match refusal.kind.engine() {
        EngineErrorKind::Other if is_wait => EngineErrorKind::Unhealthy,
        kind => kind,
    };
    EngineError { kind, doing: refusal.doing, message: refusal.message }
}
