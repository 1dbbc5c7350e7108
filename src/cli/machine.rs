//! Which machine is meant, for commands that have to do with one: there, and running, or a word on what to do.

use std::collections::BTreeSet;

use super::engine::Way;
use super::failure::Failure;
use super::load;
use super::settings::Settings;
use super::ui::Ui;
use super::world;
use crate::diag::{self, Diagnostic, Kind};
use crate::engine::session::{Found, Member};
use crate::engine::{Docker, EngineError, EngineErrorKind, RunState};
use crate::observe;
use crate::plan::render::clean;
use crate::types::Name;

/// A project's machines: those of its file, and those that the engine has.
pub(super) struct Project {
    pub(super) name: Name,
    in_file: BTreeSet<Name>,
    engine: Way,
}

/// The same, with the engine.
pub(super) struct Machines {
    pub(super) project: Project,
    pub(super) docker: Docker,
}

impl Project {
    /// A file that cannot be understood is no obstacle: a machine is found by its name.
    pub(super) fn load(settings: &Settings, ui: &Ui) -> Result<Self, Failure> {
        let (file, wrong) = load::load_leniently(settings)?;
        if wrong.is_some() {
            ui.warn(&format!("{} cannot be read as it is: `fly config` says why", clean(&file.shown)));
        }
        Ok(Self {
            name: file.desired.project.clone(),
            in_file: file.desired.machines.keys().cloned().collect(),
            engine: settings.engine()?,
        })
    }

    pub(super) async fn connect(self) -> Result<Machines, Diagnostic> {
        let docker = world::reach(&self.engine).await?;
        Ok(Machines { project: self, docker })
    }
}

impl Machines {
    /// One that the engine has, whether it runs or not.
    pub(super) async fn find(&self, text: &str) -> Result<Member, Diagnostic> {
        let Ok(name) = Name::new(text) else { return Err(self.unknown(text).await?) };
        match self.docker.member(&self.project.name, &name).await.map_err(|error| refused(&error))? {
            Found::Ours(member) => Ok(member),
            Found::Stranger(container) => {
                Err(Diagnostic::new(Kind::Stranger, format!("container `{container}` is not a machine of `{}`", self.project.name))
                    .hint(format!("reach it by the engine's own client: `docker exec {container}`")))
            }
            Found::Nothing if self.project.in_file.contains(&name) => {
                Err(Diagnostic::new(Kind::Failed, format!("machine `{name}` is not there yet")).hint("make it: `fly up`"))
            }
            Found::Nothing => Err(self.unknown(text).await?),
        }
    }

    /// One that runs.
    pub(super) async fn running(&self, text: &str) -> Result<Member, Diagnostic> {
        let member = self.find(text).await?;
        match not_running(&member) {
            None => Ok(member),
            Some(diagnostic) => Err(diagnostic),
        }
    }

    /// Those that are meant by these names; by none, all that there are. A name with a `scale` is all of its machines.
    pub(super) async fn several(&self, names: &[String]) -> Result<Vec<Member>, Vec<Diagnostic>> {
        let there = self.docker.members(&self.project.name).await.map_err(|error| vec![refused(&error)])?;
        let mut wanted: Vec<Member> = if names.is_empty() { there.clone() } else { vec![] };
        let mut wrong = vec![];
        for text in names {
            let group: Vec<&Member> = there.iter().filter(|it| number(text, it.machine.as_str()).is_some()).collect();
            match there.iter().find(|member| member.machine.as_str() == text) {
                Some(member) => wanted.push(member.clone()),
                None if !group.is_empty() => wanted.extend(group.into_iter().cloned()),
                None => match self.find(text).await {
                    Ok(member) => wanted.push(member),
                    Err(diagnostic) => wrong.push(diagnostic),
                },
            }
        }
        wanted.sort_by(|a, b| a.machine.cmp(&b.machine));
        wanted.dedup_by(|a, b| a.machine == b.machine);
        if wrong.is_empty() { Ok(wanted) } else { Err(wrong) }
    }

    async fn unknown(&self, text: &str) -> Result<Diagnostic, Diagnostic> {
        let there = self.docker.members(&self.project.name).await.map_err(|error| refused(&error))?;
        let known: BTreeSet<&str> = self.project.in_file.iter().chain(there.iter().map(|it| &it.machine)).map(Name::as_str).collect();
        Ok(unknown(text, &self.project.name, &known))
    }
}

pub(super) fn unknown(text: &str, project: &Name, known: &BTreeSet<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::new(Kind::Usage, format!("there is no machine `{text}` in `{project}`"));
    let mut group: Vec<(u32, &str)> = known.iter().filter_map(|name| Some((number(text, name)?, *name))).collect();
    group.sort_unstable();
    if let Some((_, first)) = group.first() {
        return diagnostic.hint(format!("`{text}` is {} machines; name one of them, as `{first}`", group.len()));
    }
    if let Some(similar) = diag::similar(text, known.iter().copied()) {
        return diagnostic.hint(format!("did you mean `{similar}`?"));
    }
    if known.is_empty() {
        return diagnostic.hint("it has no machine at all");
    }
    let names: Vec<String> = known.iter().take(20).map(|name| format!("`{name}`")).collect();
    let more = if known.len() > names.len() { format!(" and {} more", known.len() - names.len()) } else { String::new() };
    diagnostic.hint(format!("there are {}{more}", names.join(", ")))
}

/// The number of a machine that `scale` has made of `base`.
pub(super) fn number(base: &str, name: &str) -> Option<u32> {
    let number = name.strip_prefix(base)?.strip_prefix('-')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

fn not_running(member: &Member) -> Option<Diagnostic> {
    let machine = &member.machine;
    let failed = |what: &str| Diagnostic::new(Kind::Failed, format!("machine `{machine}` {what}"));
    let why = format!("see why: `fly logs {machine}`");
    match member.state {
        RunState::Running => None,
        RunState::Created => Some(failed("has not been started").hint("start it: `fly up`")),
        RunState::Paused => Some(failed("is paused").hint("let it go on: `fly up`")),
        RunState::Restarting => Some(failed("is about to be started again: its first process ends all the time").hint(why)),
        RunState::Exited { code } => {
            Some(failed(&format!("does not run: it has ended with code {code}")).hint("start it: `fly up`").hint(why))
        }
        RunState::Dead => Some(failed("is being removed").hint("make it again: `fly up`")),
    }
}

/// What the engine refused while a session was asked for or going on.
pub(super) fn refused(error: &EngineError) -> Diagnostic {
    match error.kind {
        EngineErrorKind::Way | EngineErrorKind::Unreachable | EngineErrorKind::Denied | EngineErrorKind::Timeout => {
            observe::engine_diagnostic(error)
        }
        _ => Diagnostic::new(Kind::Failed, format!("cannot {}", error.doing)).cause(&error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Failure;

    fn said(diagnostic: Diagnostic) -> String {
        Failure::from(diagnostic).render(false)
    }

    #[test]
    fn an_unknown_machine_is_followed_by_what_there_is() {
        let project: Name = "shop".parse().unwrap();
        let known = BTreeSet::from(["db", "web", "many-1", "many-2", "many-10"]);
        insta::assert_snapshot!(said(unknown("wbe", &project, &known)), @r"
        error: there is no machine `wbe` in `shop`
         |
         = hint: did you mean `web`?
        ");
        insta::assert_snapshot!(said(unknown("many", &project, &known)), @r"
        error: there is no machine `many` in `shop`
         |
         = hint: `many` is 3 machines; name one of them, as `many-1`
        ");
        insta::assert_snapshot!(said(unknown("banana", &project, &known)), @r"
        error: there is no machine `banana` in `shop`
         |
         = hint: there are `db`, `many-1`, `many-10`, `many-2`, `web`
        ");
        insta::assert_snapshot!(said(unknown("web", &project, &BTreeSet::new())), @r"
        error: there is no machine `web` in `shop`
         |
         = hint: it has no machine at all
        ");
    }

    #[test]
    fn one_that_does_not_run_is_told_how_it_would() {
        let member = |state| Member {
            machine: "web".parse().unwrap(),
            id: "1".into(),
            name: "shop.web".into(),
            state,
            tty: false,
            stdin: false,
            started_at: String::new(),
        };
        assert_eq!(not_running(&member(RunState::Running)), None);
        let states = [RunState::Created, RunState::Paused, RunState::Restarting, RunState::Exited { code: 3 }, RunState::Dead];
        let texts: String = states.into_iter().filter_map(|state| not_running(&member(state))).map(said).collect();
        insta::assert_snapshot!(texts, @r"
        error: machine `web` has not been started
         |
         = hint: start it: `fly up`
        error: machine `web` is paused
         |
         = hint: let it go on: `fly up`
        error: machine `web` is about to be started again: its first process ends all the time
         |
         = hint: see why: `fly logs web`
        error: machine `web` does not run: it has ended with code 3
         |
         = hint: start it: `fly up`
         = hint: see why: `fly logs web`
        error: machine `web` is being removed
         |
         = hint: make it again: `fly up`
        ");
    }
}
