//! How a run goes, on stderr: moving lines on a terminal, otherwise one line for each step that ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ui::Ui;
use crate::apply::{Event, Outcome};
use crate::plan::render::clean;
use crate::plan::{Plan, StepId};

pub(super) struct Progress<'a> {
    ui: &'a Ui,
    does: BTreeMap<StepId, String>,
    state: RefCell<State>,
}

struct State {
    ended: usize,
    lines: Option<Lines>,
}

/// The moving part: a line for each step that is being done, and one for all.
struct Lines {
    all: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<StepId, ProgressBar>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(plan: &Plan, ui: &'a Ui, draws: bool) -> Self {
        let does: BTreeMap<_, _> = plan.steps.iter().map(|step| (step.id, clean(&step.does()))).collect();
        let lines = draws.then(|| Lines::new(does.len()));
        Self { ui, does, state: RefCell::new(State { ended: 0, lines }) }
    }

    pub(super) fn on(&self, event: &Event) {
        let mut state = self.state.borrow_mut();
        match event {
            Event::Started(id) => {
                if let Some(lines) = &mut state.lines {
                    lines.start(*id, self.name(*id));
                }
            }
            Event::Progress(id, progress) => {
                if let Some(lines) = &mut state.lines {
                    lines.advance(*id, self.name(*id), progress);
                }
            }
            Event::Finished(id, outcome) => {
                // What is never begun is told at the end, with its cause.
                if matches!(outcome, Outcome::Skipped(_)) {
                    return;
                }
                state.ended += 1;
                let line = finished(state.ended, self.does.len(), self.name(*id), outcome);
                match &mut state.lines {
                    Some(lines) => lines.end(*id, (*outcome != Outcome::Done).then_some(line)),
                    None => self.ui.say(&format!("{line}\n")),
                }
            }
        }
    }

    /// A line between the others.
    pub(super) fn say(&self, text: &str) {
        match &self.state.borrow().lines {
            Some(lines) => drop(lines.all.println(text)),
            None => self.ui.say(&format!("{text}\n")),
        }
    }

    pub(super) fn end(&self) {
        if let Some(lines) = &self.state.borrow().lines {
            drop(lines.all.clear());
        }
    }

    fn name(&self, id: StepId) -> &str {
        self.does.get(&id).map_or("", String::as_str)
    }
}

fn finished(ended: usize, total: usize, name: &str, outcome: &Outcome) -> String {
    let width = total.to_string().len();
    match outcome {
        Outcome::Failed(message) => format!("[{ended:>width$}/{total}] failed: {}", clean(message)),
        Outcome::Done | Outcome::Skipped(_) => format!("[{ended:>width$}/{total}] {name}"),
    }
}

impl Lines {
    fn new(steps: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = ProgressBar::new(steps as u64).with_style(style("[{pos}/{len}] {wide_bar} {elapsed}"));
        let total = all.add(total);
        Self { all, total, running: BTreeMap::new() }
    }

    fn start(&mut self, id: StepId, name: &str) {
        let line = ProgressBar::new_spinner().with_style(style("  {spinner} {wide_msg}")).with_message(name.to_owned());
        let line = self.all.insert_before(&self.total, line);
        line.enable_steady_tick(Duration::from_millis(120));
        self.running.insert(id, line);
    }

    fn advance(&mut self, id: StepId, name: &str, progress: &crate::engine::Progress) {
        let Some(line) = self.running.get(&id) else { return };
        if progress.total == 0 {
            line.set_message(format!("{name}: {}", clean(&progress.what)));
            return;
        }
        if line.length() != Some(progress.total) {
            line.set_length(progress.total);
            line.set_style(style("  {spinner} {wide_msg} [{bar:30}] {bytes:>10}/{total_bytes:10}"));
        }
        line.set_position(progress.done);
    }

    fn end(&mut self, id: StepId, last_words: Option<String>) {
        if let Some(line) = self.running.remove(&id) {
            line.finish_and_clear();
        }
        if let Some(text) = last_words {
            drop(self.all.println(text));
        }
        self.total.inc(1);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("#> ").tick_chars("|/-\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_log() {
        insta::assert_snapshot!(finished(3, 12, "create container shop.web", &Outcome::Done), @"[ 3/12] create container shop.web");
        let failed = Outcome::Failed("create container shop.web: no such image\nat all".into());
        insta::assert_snapshot!(finished(12, 12, "create container shop.web", &failed), @r"[12/12] failed: create container shop.web: no such image\nat all");
    }
}
