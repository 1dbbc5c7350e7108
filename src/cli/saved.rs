//! Saved plans: written by `fly plan --out`, held against the world by `fly up --plan`.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::load::{self, Loaded};
use super::ui::Ui;
use super::world::World;
use crate::actual::Actual;
use crate::diag::{Diagnostic, Kind};
use crate::engine::{Engine, InRegistry};
use crate::net::NetPlane;
use crate::plan::Plan;
use crate::plan::render::clean;
use crate::plan::saved::{self, Circumstances, Difference, Image, Images, Saved};

/// More than any plan has; what is read into memory has to end somewhere.
const LARGEST: u64 = 256 << 20;

/// Readable by its owner only: commands and paths are in it.
pub(super) fn write(path: &Path, saved: &Saved) -> Result<(), Diagnostic> {
    let cannot = |error: std::io::Error| Diagnostic::new(Kind::Failed, format!("cannot write `{}`", path.display())).cause(error);
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(saved.to_text().as_bytes())).map_err(cannot)
}

pub(super) fn read(path: &Path) -> Result<Saved, Diagnostic> {
    let cannot = || Diagnostic::new(Kind::Usage, format!("cannot use the plan `{}`", path.display()));
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    read.map_err(|error| cannot().cause(error).hint(again(path)))?;
    Saved::from_text(&text).map_err(|error| cannot().cause(error).hint(again(path)))
}

fn again(path: &Path) -> String {
    format!("make one: `fly plan --out {}`", path.display())
}

/// A saved plan, and where it lies.
pub(super) struct Given<'a> {
    pub(super) saved: &'a Saved,
    pub(super) path: &'a Path,
}

impl Given<'_> {
    /// What can be told before the engine is asked.
    pub(super) fn check_file(&self, file: &Loaded, ui: &Ui) -> Result<(), Diagnostic> {
        if self.saved.project != file.desired.project {
            return Err(self.others("project", self.saved.project.as_str(), file.desired.project.as_str()));
        }
        let now = Circumstances { fly: &load::build(), engine: "", desired: &file.desired, images: &Images::new() };
        self.refuse(self.saved.of_file(&now), file, ui)
    }

    pub(super) fn check_engine(&self, engine: &str) -> Result<(), Diagnostic> {
        if self.saved.engine == engine { Ok(()) } else { Err(self.others("engine", &self.saved.engine, engine)) }
    }

    /// Whether what is to be done now is what was reviewed.
    pub(super) async fn check_world<E: Engine, N: NetPlane>(
        &self,
        plan: &Plan,
        actual: &Actual,
        world: &World<E, N>,
        file: &Loaded,
        ui: &Ui,
    ) -> Result<(), Diagnostic> {
        let images = images(world, plan, actual).await;
        let now = Circumstances { fly: &self.saved.fly, engine: &self.saved.engine, desired: &file.desired, images: &images };
        self.refuse(self.saved.against(plan, &now), file, ui)
    }

    fn refuse(&self, difference: Option<Difference>, file: &Loaded, ui: &Ui) -> Result<(), Diagnostic> {
        let Some(difference) = difference else { return Ok(()) };
        ui.say(&format!("- in the saved plan alone, + only now:\n{}\n", difference.text()));
        Err(Diagnostic::new(Kind::Stale, difference.said(&clean(&file.shown)))
            .hint(format!("nothing was changed; look at it again: `fly plan --out {}`", self.path.display())))
    }

    fn others(&self, what: &str, saved: &str, now: &str) -> Diagnostic {
        Diagnostic::new(
            Kind::Usage,
            format!("the plan `{}` is for the {what} `{}`, and this is `{}`", self.path.display(), clean(saved), clean(now)),
        )
        .hint(again(self.path))
    }
}

/// What the references of the images stand for that a plan makes machines from. Registries are asked for what is to be pulled.
pub(super) async fn images<E: Engine, N: NetPlane>(world: &World<E, N>, plan: &Plan, actual: &Actual) -> Images {
    let pulled = saved::pulled(plan);
    let mut images = Images::new();
    for reference in saved::used(plan) {
        let here = actual.engine.images.get(reference);
        let mut image = here.map_or_else(Image::default, |it| Image { id: Some(it.id.clone()), digests: it.digests.clone(), pulled: None });
        if pulled.contains(reference) {
            let known = here.and_then(|it| it.registry.clone());
            let answer = if let Some(known) = known { known } else { world.in_registry(reference).await };
            image.pulled = if let InRegistry::Other(digest) = answer { Some(digest) } else { None };
        }
        images.insert(reference.to_owned(), image);
    }
    images
}
