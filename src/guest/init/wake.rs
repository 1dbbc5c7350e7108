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

pub(super) struct Wake {
    signals: Vec<(i32, Arc<AtomicBool>)>,
    bell: UnixStream,
    /// Of the folder with the settings; without it they are looked at with every signal.
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
        let ready = {
            let sources =
                [Some(&self.bell as &dyn std::os::fd::AsFd), self.folder.as_ref().map(|it| it as _), self.links.as_ref().map(|it| it as _)];
            let mut polled: Vec<PollFd<'_>> =
                sources.into_iter().flatten().map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN)).collect();
            let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
            // Interrupted by a signal: that is what was waited for.
            let _ = poll(&mut polled, pause.as_ref());
            polled.iter().map(|it| !it.revents().is_empty()).collect::<Vec<_>>()
        };
        let folder = self.folder.is_some() && ready.get(1) == Some(&true);
        let _ = self.bell.read(&mut [0; 256]);
        for source in self.folder.iter().chain(&self.links) {
            drain(source);
        }
        let signals = self.signals.iter().filter(|(_, flag)| flag.swap(false, Ordering::SeqCst)).map(|(number, _)| *number);
        Woken { signals: signals.collect(), settings: folder || self.folder.is_none() }
    }
}

fn watch(home: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, home, inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO)?;
    Ok(watch)
}

/// What was told counts, not how often.
fn drain(source: &OwnedFd) {
    let mut buffer = [0; 8 << 10];
    while rustix::io::read(source, &mut buffer).is_ok_and(|length| length > 0) {}
}
