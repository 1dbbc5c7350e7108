//! How a figure is printed: one line, with what it was measured against and whether the aim is met.

use std::time::Duration;

/// Several measurements of one thing; the middle one counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, times: impl Iterator<Item = Duration>) {
        self.0.extend(times);
    }

    pub(crate) fn median(&self) -> Duration {
        let mut times = self.0.clone();
        times.sort();
        times[times.len() / 2]
    }

    /// `12.3 ms [11.9-14.0]`
    pub(crate) fn text(&self) -> String {
        let (least, most) = (self.0.iter().min().unwrap(), self.0.iter().max().unwrap());
        format!("{} [{}-{}]", time(self.median()), time(*least), time(*most))
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

pub(crate) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.2} ms", s * 1e3),
    }
}

fn line(figure: &str, values: &str, ratio: &str, aim: &str, is_met: bool) {
    println!("{figure:<58} {values:<62} {ratio:>8}   aim {aim:<16} {}", if is_met { "met" } else { "NOT MET" });
}

/// What nobody has set an aim for.
pub(crate) fn shown(figure: &str, values: &str) {
    println!("{figure:<58} {values}");
}

/// The same for a time against another's.
pub(crate) fn compared(figure: &str, ours: &Times, theirs: &Times) {
    let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64();
    println!("{figure:<58} {:<62} {ratio:>8.2}", against(ours, theirs));
}

/// fly's time as a part of another's.
pub(crate) fn ratio(figure: &str, ours: &Times, theirs: &Times, most: f64) {
    let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64();
    line(figure, &against(ours, theirs), &format!("{ratio:.2}"), &format!("at most {most:.2}"), ratio <= most);
}

/// How many times faster fly is.
pub(crate) fn faster(figure: &str, ours: &Times, theirs: &Times, least: f64) {
    let times = theirs.median().as_secs_f64() / ours.median().as_secs_f64();
    line(figure, &against(ours, theirs), &format!("{times:.1} x"), &format!("at least {least:.0} x"), times >= least);
}

fn against(ours: &Times, theirs: &Times) -> String {
    format!("{} against {}", ours.text(), theirs.text())
}

pub(crate) fn within(figure: &str, ours: &Times, most: Duration) {
    let ratio = ours.median().as_secs_f64() / most.as_secs_f64();
    line(figure, &ours.text(), &format!("{ratio:.2}"), &format!("under {}", time(most)), ratio < 1.0);
}

/// So many of a hundred are within it.
pub(crate) fn percentile(figure: &str, ours: &Times, share: usize, most: Duration) {
    let mut times = ours.0.clone();
    times.sort();
    let at = times[(times.len() * share).div_ceil(100).saturating_sub(1)];
    let ratio = at.as_secs_f64() / most.as_secs_f64();
    line(figure, &format!("{}, median {}", time(at), ours.text()), &format!("{ratio:.2}"), &format!("under {}", time(most)), ratio < 1.0);
}

/// In KiB, as the kernel counts what is resident at the most.
#[expect(clippy::cast_precision_loss, reason = "no machine has so much memory")]
pub(crate) fn memory(figure: &str, kib: u64, most: u64) {
    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    line(figure, &mib(kib), &format!("{:.2}", kib as f64 / most as f64), &format!("under {}", mib(most)), kib < most);
}

/// What the figures hang on.
pub(crate) fn facts() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let said = |program: &str, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{cores} cores, load {}, kernel {}, engine: {}, compose: {}\n",
        load.split(' ').next().unwrap_or_default(),
        said("uname", &["-r"]).unwrap_or_default(),
        said("dockerd", &["--version"]).unwrap_or_else(|| "not installed".to_owned()),
        super::compose::version().unwrap_or_else(|| "not installed".to_owned()),
    );
}
