//! What is to go wrong, and when.

use std::collections::BTreeMap;

use super::state::State;
use super::{Call, World};
use crate::engine::EngineErrorKind;
use crate::net::NetErrorKind;

/// Something that goes wrong at the n-th `perform`, counted from 1 over both boundaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub at: usize,
    pub when: When,
    pub kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It does not happen at all.
    Before,
    /// As far as one message to the kernel goes: a link is born in its place, but bare, without alias or address, and down.
    /// What is one call to the engine does not happen at all.
    Halfway,
    /// It happens, but nobody hears of it: what arrives late, or the answer that is lost.
    After,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Transient,
    Timeout,
    Conflict,
    NotFound,
    Other,
    /// The boundary panics.
    Panic,
    /// The caller is killed: this call and all later ones fail, without effect but for this one's with `When::After`.
    Crash,
    /// A container's first process is killed, and nothing else goes wrong. With `When::After`, after the call.
    KillContainer(String),
    /// The same, but that it ends by itself, with this code.
    EndContainer(String, i64),
    /// What is asked about a machine that runs no more.
    Ended,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    planned: BTreeMap<usize, (When, FaultKind)>,
    crashed: bool,
    /// The call that is being done ends after its first message.
    pub(super) halfway: bool,
}

/// What a boundary's error is made of.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: FaultKind,
    /// Filled in by `perform`.
    pub(super) doing: String,
    pub(super) message: String,
}

pub(super) type Done<T = ()> = Result<T, Refusal>;

/// `Err` with these words.
pub(super) fn refuse<T>(kind: FaultKind, message: impl Into<String>) -> Done<T> {
    Err(Refusal { kind, doing: String::new(), message: message.into() })
}

impl FaultKind {
    pub(super) fn engine(&self) -> EngineErrorKind {
        match self {
            Self::Transient => EngineErrorKind::Transient,
            Self::Timeout => EngineErrorKind::Timeout,
            Self::Conflict => EngineErrorKind::Conflict,
            Self::NotFound | Self::Ended => EngineErrorKind::NotFound,
            Self::Other | Self::Panic | Self::Crash | Self::KillContainer(_) | Self::EndContainer(..) => EngineErrorKind::Other,
        }
    }

    pub(super) fn net(&self) -> NetErrorKind {
        match self {
            Self::Transient | Self::Timeout => NetErrorKind::Transient,
            Self::Conflict => NetErrorKind::Conflict,
            Self::NotFound => NetErrorKind::NotFound,
            Self::Ended => NetErrorKind::Ended,
            Self::Other | Self::Panic | Self::Crash | Self::KillContainer(_) | Self::EndContainer(..) => NetErrorKind::Other,
        }
    }
}

impl World {
    pub fn plan_fault(&self, fault: Fault) {
        self.lock().faults.planned.insert(fault.at, (fault.when, fault.kind));
    }

    /// Nothing goes wrong any more; a crash is over.
    pub fn clear_faults(&self) {
        self.lock().faults = Faults::default();
    }

    /// Does `act` as the next perform, with the fault that is planned for it.
    pub(super) fn perform<T>(&self, call: Call, act: impl FnOnce(&mut State) -> Done<T>) -> Done<T> {
        let mut state = self.lock();
        let doing = call.to_string();
        let result = faulted(&mut state, call, act);
        result.map_err(|refusal| Refusal { doing, ..refusal })
    }
}

fn faulted<T>(state: &mut State, call: Call, act: impl FnOnce(&mut State) -> Done<T>) -> Done<T> {
    state.performs += 1;
    if state.faults.crashed {
        return refuse(FaultKind::Crash, "nobody is there any more");
    }
    let fault = state.faults.planned.remove(&state.performs);
    if let Some((When::Before, kind)) = &fault {
        strike(state, kind)?;
    }
    state.mutations += usize::from(call.is_mutating());
    state.calls.push(call);
    if let (Some((When::Halfway, kind)), Call::Engine(_)) = (&fault, &state.calls[state.calls.len() - 1]) {
        strike(state, kind)?;
    }
    state.faults.halfway = matches!(fault, Some((When::Halfway, _)));
    let result = act(state);
    state.faults.halfway = false;
    if let Some((When::After | When::Halfway, kind)) = &fault {
        strike(state, kind)?;
    }
    result
}

fn strike(state: &mut State, kind: &FaultKind) -> Done {
    match kind {
        FaultKind::Panic => panic!("a fault that was asked for"),
        FaultKind::KillContainer(name) => {
            state.kill(name, 137);
            Ok(())
        }
        FaultKind::EndContainer(name, code) => {
            state.kill(name, *code);
            Ok(())
        }
        kind => {
            state.faults.crashed |= *kind == FaultKind::Crash;
            refuse(kind.clone(), "a fault that was asked for")
        }
    }
}

impl Call {
    fn is_mutating(&self) -> bool {
        match self {
            Self::Engine(op) => op.is_mutating(),
            Self::Net(_) => true,
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Engine(op) => op.fmt(f),
            Self::Net(op) => op.fmt(f),
        }
    }
}
