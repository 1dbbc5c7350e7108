//! What the first process waits for: signals, new settings, changes of links and addresses, and the clock.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use signal_hook::consts::FORBIDDEN;
use signal_hook::{flag, low_level};

use super::addresses;

/// Job control of a terminal that is the program's, a pipe without a reader: not for handing on.
const NOT_OURS: [i32; 3] = [signal_hook::consts::SIGPIPE, signal_hook::consts::SIGTTIN, signal_hook::consts::SIGTTOU];

/// `SIGRTMIN+3`, as systemd and engines count: what a machine with systemd is stopped by, also before systemd runs.
pub(super) const HALT: i32 = 37;

/// How often the settings are read where the kernel does not tell of them: its watches are few, 128 a user of the whole host.
const UNTOLD: Duration = Duration::from_secs(1);

pub(super) struct Wake {
    signals: Vec<(i32, Arc<AtomicBool>)>,
    bell: UnixStream,
    /// Of the folder with the settings; without it they are looked at all the time.
    folder: Option<OwnedFd>,
    links: Option<OwnedFd>,
}

pub(super) struct Woken {
    pub(super) signals: Vec<i32>,
    pub(super) settings: bool,
}

impl Wake {
    pub(super) fn new(home: &Path) -> io::Result<Self> {
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let mut signals = vec![];
        // Other real-time signals are left alone: the program has them by its own name, and nobody stops it by one.
        for number in (1..32).chain([HALT]).filter(|number| !FORBIDDEN.contains(number) && !NOT_OURS.contains(number)) {
            let flag = Arc::new(AtomicBool::new(false));
            let told = flag::register(number, Arc::clone(&flag)).and_then(|_| low_level::pipe::register(number, ring.try_clone()?));
            if told.is_ok() {
                signals.push((number, flag));
            }
        }
        Ok(Self { signals, bell, folder: watch(home).ok(), links: addresses::changes().ok() })
    }

    /// Until something happens, or `pause` is over.
    pub(super) fn wait(&mut self, pause: Option<Duration>) -> Woken {
        let pause = if self.folder.is_some() { pause } else { Some(pause.map_or(UNTOLD, |pause| pause.min(UNTOLD))) };
        {
            let sources =
                [Some(&self.bell as &dyn std::os::fd::AsFd), self.folder.as_ref().map(|it| it as _), self.links.as_ref().map(|it| it as _)];
            let mut polled: Vec<PollFd<'_>> =
                sources.into_iter().flatten().map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN)).collect();
            let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
            // Interrupted by a signal: that is what was waited for.
            let _ = poll(&mut polled, pause.as_ref());
        }
        self.collect()
    }

    /// Everything that has been told by now, also what came after the waiting was over: what is taken from a source has been told.
    fn collect(&mut self) -> Woken {
        let _ = self.bell.read(&mut [0; 256]);
        if let Some(links) = &self.links {
            drain(links);
        }
        let settings = self.folder.as_ref().is_none_or(drain);
        let signals = self.signals.iter().filter(|(_, flag)| flag.swap(false, Ordering::SeqCst)).map(|(number, _)| *number);
        Woken { signals: signals.collect(), settings }
    }
}

fn watch(home: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, home, inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO)?;
    Ok(watch)
}

/// Whether anything was told; how often does not count.
fn drain(source: &OwnedFd) -> bool {
    let (mut buffer, mut told) = ([0; 8 << 10], false);
    while rustix::io::read(source, &mut buffer).is_ok_and(|length| length > 0) {
        told = true;
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_come_when_something_else_has_woken_it_are_seen() {
        let home = std::env::temp_dir().join(format!("fly-wake-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let mut wake = Wake::new(&home).unwrap();
        assert!(!wake.collect().settings);
        // After the kernel has said that there is nothing, before the sources are read.
        std::fs::write(home.join("new"), "").unwrap();
        std::fs::rename(home.join("new"), home.join("config.json")).unwrap();
        assert!(wake.collect().settings);
        assert!(!wake.collect().settings);
        // The kernel gives a user 128 watches; whoever gets none looks from time to time.
        wake.folder = None;
        assert!(wake.wait(None).settings);
        std::fs::remove_dir_all(&home).unwrap();
    }
}
