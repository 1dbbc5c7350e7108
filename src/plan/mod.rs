//! The plan: every difference turned into steps, in an order, each with its reason. Pure.

mod agent;
mod builder;
mod guests;
mod handover;
mod held;
mod leases;
mod machines;
mod manners;
mod networks;
mod nics;
mod part;
mod physical;
mod removals;
pub mod render;
pub mod review;
pub mod saved;
mod step;

pub use step::{Op, Plan, Reason, Step, StepId};

use crate::actual::Actual;
use crate::desired::Desired;
use crate::diag::{self, Diagnostic};
use crate::diff;

/// What will be done so that the world is as desired; or every reason why that cannot be.
pub fn plan(desired: &Desired, actual: &Actual) -> Result<Plan, Vec<Diagnostic>> {
    let mut diff = diff::diff(desired, actual);
    let orders = agent::orders(desired, actual, &diff);
    diff::agent(desired, actual, orders.as_deref(), &mut diff);
    let mut refusals = diff::refusals(&desired.part(), actual, &diff);
    if !refusals.is_empty() {
        diag::sort(&mut refusals);
        return Err(refusals);
    }
    let mut b = builder::Builder::new(desired, actual, &diff);
    networks::images(&mut b);
    networks::volumes(&mut b);
    guests::install(&mut b);
    agent::install(&mut b);
    machines::names_of_containers(&mut b);
    removals::machines(&mut b);
    removals::members(&mut b);
    removals::nics(&mut b);
    physical::returned(&mut b);
    removals::networks(&mut b);
    networks::networks(&mut b);
    machines::machines(&mut b);
    nics::changed(&mut b);
    nics::cables(&mut b);
    removals::volumes(&mut b);
    guests::remove(&mut b);
    agent::tell(&mut b, orders);
    let mut steps = handover::settled(&b);
    agent::whatever_leases_come_to(&mut steps);
    part::narrowed(desired, actual, diff, steps)
}
