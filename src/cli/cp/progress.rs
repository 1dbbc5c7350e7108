//! How a copy goes: bytes and rate on a terminal, a line at its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::archive::Note;
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;
use crate::plan::render::clean;

/// As many are told one by one.
const MOST_WARNINGS: usize = 20;

/// Shared with the thread that packs and unpacks.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    is_quiet: bool,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    bytes: u64,
    files: u64,
    skipped: Vec<String>,
    failed: Vec<String>,
    more: usize,
}

impl Progress {
    pub(super) fn new(draws: bool, is_quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, if draws { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
        bar.set_style(style("  {spinner} {bytes} {binary_bytes_per_sec} {elapsed}"));
        if draws {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar, is_quiet, counts: Arc::default() }
    }

    /// How much it is going to be.
    pub(super) fn expect(&self, bytes: u64) {
        self.bar.set_length(bytes);
        self.bar.set_style(style("  {spinner} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}"));
    }

    pub(super) fn note(&self, note: Note) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match note {
            Note::Bytes(bytes) => {
                counts.bytes += bytes;
                self.bar.inc(bytes);
            }
            Note::File => counts.files += 1,
            Note::Skipped { .. } | Note::Failed { .. } if counts.skipped.len() + counts.failed.len() >= MOST_WARNINGS => {
                counts.more += 1;
                if matches!(note, Note::Failed { .. }) && counts.failed.is_empty() {
                    counts.failed.push("more that could not be read".to_owned());
                }
            }
            Note::Skipped { path, why } => counts.skipped.push(format!("{}: {why}, left out", clean(&path))),
            Note::Failed { path, why } => counts.failed.push(format!("{}: {}", clean(&path), clean(&why))),
        }
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Says what there is to be said. What could not be copied makes it a failure, though the rest is there.
    pub(super) fn finish(&self, what: &str, ui: &Ui) -> Exit {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for text in counts.skipped.iter().chain(&counts.failed) {
            ui.warn(text);
        }
        if counts.more > 0 {
            ui.warn(&format!("and {} more", counts.more));
        }
        if !self.is_quiet {
            let files = if counts.files <= 1 { String::new() } else { format!("{} files, ", counts.files) };
            ui.say(&format!("copied {files}{} {what}\n", BinaryBytes(counts.bytes)));
        }
        if counts.failed.is_empty() { Exit::Done } else { Exit::Failed }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("#> ").tick_chars("|/-\\ ")
}
