//! Measures a program from its start to its end, with the memory that it held at the most.
//!
//! It is done by a process of its own, which is small: what the kernel reports of a child includes what its parent held when the
//! child was born, and a bench that has made a world of 500 machines holds much.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The first argument of the process that measures.
pub(crate) const WORD: &str = "--measure";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// Of the processor: what others do at the same time does not make it longer.
    pub(crate) processor: Duration,
    /// KiB.
    pub(crate) memory: u64,
    pub(crate) code: i32,
}

impl Measured {
    /// A measurement of what failed is none.
    pub(crate) fn good(self, what: &str) -> Self {
        assert_eq!(self.code, 0, "{what} fails");
        self
    }
}

/// The command line that measures this one.
pub(crate) fn command(argv: &[&str]) -> Vec<String> {
    let own = std::env::current_exe().unwrap().display().to_string();
    [own.as_str(), WORD].iter().chain(argv).map(|&word| word.to_owned()).collect()
}

pub(crate) fn read(stdout: &str) -> Measured {
    let words: Vec<u64> = stdout.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [time, processor] = [words[0], words[1]].map(Duration::from_micros);
    Measured { time, processor, memory: words[2], code: i32::try_from(words[3]).unwrap() }
}

/// The measuring process: it prints microseconds, those of the processor, KiB and exit code; the program's own output goes nowhere, its complaints through.
pub(crate) fn child(argv: &[String]) -> ExitCode {
    let begun = Instant::now();
    #[expect(clippy::zombie_processes, reason = "it is waited for below, by a call that also tells what it used")]
    let child = Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (mut status, pid) = (0, i32::try_from(child.id()).unwrap());
    // SAFETY: all zeroes is a valid value of this structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to our own variables, and nobody else waits for this child.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    let time = begun.elapsed();
    assert_eq!(waited, pid, "waiting for our own child");
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 255 };
    let processor = [usage.ru_utime, usage.ru_stime].iter().map(|it| it.tv_sec * 1_000_000 + it.tv_usec).sum::<i64>();
    println!("{} {processor} {} {code}", time.as_micros(), usage.ru_maxrss);
    ExitCode::SUCCESS
}
