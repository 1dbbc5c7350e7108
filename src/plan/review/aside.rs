//! What is known beside the plan itself: who changed what, what is dangerous, what was left out.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diag::Place;
use crate::plan::Plan;
use crate::types::Addr;

/// Where a difference comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Origin {
    /// The file was changed.
    File,
    /// The world was changed, by somebody else than fly.
    Drift {
        /// Who or what it may have been: `docker update, 14:02 UTC`.
        hint: Option<String>,
    },
}

impl Origin {
    pub fn is_drift(&self) -> bool {
        matches!(self, Self::Drift { .. })
    }

    pub fn hint(&self) -> Option<&str> {
        if let Self::Drift { hint } = self { hint.as_deref() } else { None }
    }
}

/// Something in the file that gives a machine power over its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Security {
    pub addr: Addr,
    pub text: String,
    pub place: Option<Place>,
}

#[derive(Clone, Debug, Default)]
pub struct Aside {
    /// Of resources, and (more exactly) of their fields.
    pub origins: BTreeMap<Addr, Origin>,
    pub fields: BTreeMap<(Addr, String), Origin>,
    pub security: Vec<Security>,
    /// Resources that differ and are not part of the plan.
    pub left_out: Vec<Addr>,
}

impl Aside {
    /// What the plan itself knows of it.
    pub fn of(plan: &Plan) -> Self {
        let mut aside = Self::default();
        for (addr, drift) in &plan.drift {
            let origin = Origin::Drift { hint: drift.hint.clone() };
            if drift.whole {
                aside.origins.insert(addr.clone(), origin);
            } else {
                aside.fields.extend(drift.fields.iter().map(|field| ((addr.clone(), field.clone()), origin.clone())));
            }
        }
        aside
    }

    pub(super) fn origin(&self, addr: &Addr, field: Option<&str>) -> Option<&Origin> {
        match field {
            Some(field) => self.fields.get(&(addr.clone(), field.to_owned())),
            None => self.origins.get(addr),
        }
    }
}
