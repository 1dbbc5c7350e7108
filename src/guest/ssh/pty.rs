//! A terminal for a session.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use russh::Pty as Mode;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, Winsize, tcgetattr, tcsetattr,
    tcsetwinsize,
};
use tokio::net::unix::pipe::{Receiver, Sender};

/// The end that the server keeps, once for each that works with it. To the kernel's polling it is as good as two pipes; reading it fails
/// when nobody has the other end any more.
pub(crate) struct Master {
    pub(crate) reader: Receiver,
    pub(crate) writer: Sender,
    pub(crate) control: Control,
}

pub(crate) struct Control(OwnedFd);

/// A terminal that nobody uses yet.
pub(crate) struct Terminal {
    pub(crate) master: Master,
    pub(crate) slave: OwnedFd,
    pub(crate) path: PathBuf,
    pub(crate) name: String,
}

pub(crate) fn winsize(columns: u32, rows: u32, width: u32, height: u32) -> Winsize {
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    Winsize { ws_row: short(rows), ws_col: short(columns), ws_xpixel: short(width), ws_ypixel: short(height) }
}

pub(crate) fn open(name: &str, size: Winsize, modes: &[(Mode, u32)]) -> io::Result<Terminal> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    let path = ptsname(&master, vec![])?.into_string().map_err(io::Error::other)?;
    let mut settings = tcgetattr(&slave)?;
    for (mode, value) in modes {
        set(&mut settings, *mode, *value);
    }
    tcsetattr(&slave, OptionalActions::Now, &settings)?;
    tcsetwinsize(&slave, size)?;
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    let master = Master {
        reader: Receiver::from_owned_fd_unchecked(master.try_clone()?)?,
        writer: Sender::from_owned_fd_unchecked(master.try_clone()?)?,
        control: Control(master),
    };
    Ok(Terminal { master, slave, path: path.into(), name: name.to_owned() })
}

impl Control {
    pub(crate) fn resize(&self, size: Winsize) {
        // A terminal that has ended meanwhile needs no size.
        let _ = tcsetwinsize(&self.0, size);
    }

    /// What ends the input of a program that reads lines; `None` for one that takes every key.
    pub(crate) fn end_of_file(&self) -> Option<u8> {
        let settings = tcgetattr(&self.0).ok()?;
        settings.local_modes.contains(LocalModes::ICANON).then(|| settings.special_codes[SpecialCodeIndex::VEOF])
    }
}

/// One mode of RFC 4254, section 8.
fn set(settings: &mut Termios, mode: Mode, value: u32) {
    let on = value != 0;
    if let Some(index) = key(mode) {
        // 255 is how the protocol says "none", which is 0 here.
        settings.special_codes[index] = u8::try_from(value).ok().filter(|code| *code != u8::MAX).unwrap_or(0);
    } else if let Some(flag) = input(mode) {
        settings.input_modes.set(flag, on);
    } else if let Some(flag) = local(mode) {
        settings.local_modes.set(flag, on);
    } else if let Some(flag) = output(mode) {
        settings.output_modes.set(flag, on);
    } else {
        control(settings, mode, on);
    }
}

fn key(mode: Mode) -> Option<SpecialCodeIndex> {
    Some(match mode {
        Mode::VINTR => SpecialCodeIndex::VINTR,
        Mode::VQUIT => SpecialCodeIndex::VQUIT,
        Mode::VERASE => SpecialCodeIndex::VERASE,
        Mode::VKILL => SpecialCodeIndex::VKILL,
        Mode::VEOF => SpecialCodeIndex::VEOF,
        Mode::VEOL => SpecialCodeIndex::VEOL,
        Mode::VEOL2 => SpecialCodeIndex::VEOL2,
        Mode::VSTART => SpecialCodeIndex::VSTART,
        Mode::VSTOP => SpecialCodeIndex::VSTOP,
        Mode::VSUSP => SpecialCodeIndex::VSUSP,
        Mode::VREPRINT => SpecialCodeIndex::VREPRINT,
        Mode::VWERASE => SpecialCodeIndex::VWERASE,
        Mode::VLNEXT => SpecialCodeIndex::VLNEXT,
        Mode::VDISCARD => SpecialCodeIndex::VDISCARD,
        _ => return None,
    })
}

fn input(mode: Mode) -> Option<InputModes> {
    Some(match mode {
        Mode::IGNPAR => InputModes::IGNPAR,
        Mode::PARMRK => InputModes::PARMRK,
        Mode::INPCK => InputModes::INPCK,
        Mode::ISTRIP => InputModes::ISTRIP,
        Mode::INLCR => InputModes::INLCR,
        Mode::IGNCR => InputModes::IGNCR,
        Mode::ICRNL => InputModes::ICRNL,
        Mode::IXON => InputModes::IXON,
        Mode::IXANY => InputModes::IXANY,
        Mode::IXOFF => InputModes::IXOFF,
        Mode::IMAXBEL => InputModes::IMAXBEL,
        Mode::IUTF8 => InputModes::IUTF8,
        _ => return None,
    })
}

fn local(mode: Mode) -> Option<LocalModes> {
    Some(match mode {
        Mode::ISIG => LocalModes::ISIG,
        Mode::ICANON => LocalModes::ICANON,
        Mode::ECHO => LocalModes::ECHO,
        Mode::ECHOE => LocalModes::ECHOE,
        Mode::ECHOK => LocalModes::ECHOK,
        Mode::ECHONL => LocalModes::ECHONL,
        Mode::NOFLSH => LocalModes::NOFLSH,
        Mode::TOSTOP => LocalModes::TOSTOP,
        Mode::IEXTEN => LocalModes::IEXTEN,
        Mode::ECHOCTL => LocalModes::ECHOCTL,
        Mode::ECHOKE => LocalModes::ECHOKE,
        Mode::PENDIN => LocalModes::PENDIN,
        _ => return None,
    })
}

fn output(mode: Mode) -> Option<OutputModes> {
    Some(match mode {
        Mode::OPOST => OutputModes::OPOST,
        Mode::OLCUC => OutputModes::OLCUC,
        Mode::ONLCR => OutputModes::ONLCR,
        Mode::OCRNL => OutputModes::OCRNL,
        Mode::ONOCR => OutputModes::ONOCR,
        Mode::ONLRET => OutputModes::ONLRET,
        _ => return None,
    })
}

fn control(settings: &mut Termios, mode: Mode, on: bool) {
    let (mask, bits) = match mode {
        Mode::CS7 if on => (ControlModes::CSIZE, ControlModes::CS7),
        Mode::CS8 if on => (ControlModes::CSIZE, ControlModes::CS8),
        Mode::PARENB => (ControlModes::PARENB, ControlModes::PARENB),
        Mode::PARODD => (ControlModes::PARODD, ControlModes::PARODD),
        _ => return,
    };
    settings.control_modes.remove(mask);
    settings.control_modes.set(bits, on);
}
