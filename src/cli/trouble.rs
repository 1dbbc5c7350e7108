//! For those who look for a fault: log lines on request, and what is said when fly itself is at fault.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Log lines to stderr: `-v` what fly does, `-vv` all about it, `-vvv` also what its libraries do.
pub(super) fn trace(verbose: u8) {
    let (own, others) = match verbose {
        0 => return,
        1 => (Level::INFO, LevelFilter::WARN),
        2 => (Level::DEBUG, LevelFilter::INFO),
        _ => (Level::TRACE, LevelFilter::TRACE),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let wanted = Targets::new().with_target("fly", own).with_default(others);
    tracing_subscriber::registry().with(layer).with(wanted).init();
}

/// What somebody reads whom fly has let down.
pub(super) fn apologise(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("no further words");
    let place = panic.location().map_or_else(|| "somewhere".to_owned(), |at| format!("{}:{}", at.file(), at.line()));
    let text = format!(
        "error: fly met a fault of its own: {what}\n  at {place}, version {version}\n\n\
         hint: please report it with these lines and what was being done; running the same command again is safe\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
