//! Whose a container, Docker network or volume is.
//!
//! A label alone proves nothing: an image hands its labels on to every container made from it. Only label *and* deterministic
//! name together, with the labels not coming from the image, make a resource one of fly's.

use super::answer::Labels;
use crate::types::{LABEL_MACHINE, LABEL_PROJECT, LABEL_RESOURCE, Name, Owner};

/// The end of the name of a container that is to replace another and has not taken its place yet.
const REPLACEMENT: &str = ".new";

/// What labels and name of a resource say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) project: Name,
    /// The machine, network or volume of the file.
    pub(super) what: Name,
    /// A replacement in flight.
    pub(super) replacement: bool,
}

impl Proof {
    pub(super) fn of_container(name: &str, labels: &Labels, of_image: &Labels) -> Option<Self> {
        if Self::is_inherited(labels, of_image) {
            return None;
        }
        if let Some(proof) = Self::of(name, labels, LABEL_MACHINE) {
            return Some(proof);
        }
        let proof = Self::of(name.strip_suffix(REPLACEMENT)?, labels, LABEL_MACHINE)?;
        Some(Self { replacement: true, ..proof })
    }

    /// Both labels as the image has them: then they are the image's, and say nothing of this container.
    pub(super) fn is_inherited(labels: &Labels, of_image: &Labels) -> bool {
        let inherited = |label: &str| labels.contains_key(label) && of_image.get(label) == labels.get(label);
        inherited(LABEL_PROJECT) && inherited(LABEL_MACHINE)
    }

    /// What a container's labels say alone: no proof, but a reason to look closer.
    pub(super) fn by_labels(labels: &Labels) -> Option<Self> {
        let name = |label| Name::new(labels.get(label)?).ok();
        Some(Self { project: name(LABEL_PROJECT)?, what: name(LABEL_MACHINE)?, replacement: false })
    }

    /// Of a Docker network or volume: these inherit from nobody.
    pub(super) fn of_resource(name: &str, labels: &Labels) -> Option<Self> {
        Self::of(name, labels, LABEL_RESOURCE)
    }

    fn of(name: &str, labels: &Labels, label: &str) -> Option<Self> {
        let project = Name::new(labels.get(LABEL_PROJECT)?).ok()?;
        let what = Name::new(labels.get(label)?).ok()?;
        (what.in_project(&project) == name).then_some(Self { project, what, replacement: false })
    }
}

/// The owner of a resource that is not ours.
pub(super) fn other(proof: Option<Proof>) -> Owner {
    proof.map_or(Owner::Stranger, |proof| Owner::Project(proof.project))
}
