//! One client's connection: what russh asks, answered.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Instant;

use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Error, MethodKind, MethodSet, Pty, Sig};
use tokio::sync::{Semaphore, watch};

use super::audit::tell;
use super::auth::{self, Login, Peer};
use super::channels::{Channels, Output, Word, feed};
use super::forward::{Link, Target, Waiting, direct};
use super::limits::{CHANNELS, Place, VARIABLE_BYTES, VARIABLES};
use super::listeners::Listeners;
use super::process::{self, Work};
use super::session::{self, Setup};
use super::transport::Gate;
use super::{Server, pty};
use crate::guest::log::foreign;

pub(crate) struct Client {
    server: Arc<Server>,
    peer: Peer,
    gate: Arc<Gate>,
    place: Place,
    login: Option<(Arc<Login>, Instant)>,
    /// What was refused last, for the log.
    refused: Option<(String, String)>,
    channels: Arc<Channels<Waiting>>,
    room: Arc<Semaphore>,
    listeners: Listeners,
    /// Its end is what the tasks of this connection end with.
    gone: watch::Sender<()>,
}

impl Client {
    pub(crate) fn new(server: Arc<Server>, peer: Peer, gate: Arc<Gate>, place: Place) -> Client {
        let room = Arc::new(Semaphore::new(CHANNELS));
        let (gone, _) = watch::channel(());
        Client {
            server,
            peer,
            gate,
            place,
            login: None,
            refused: None,
            channels: Arc::default(),
            room,
            listeners: Listeners::default(),
            gone,
        }
    }

    fn answer(&mut self, name: &str, result: Result<Login, String>) -> Auth {
        match result {
            Ok(login) => {
                self.login = Some((Arc::new(login), Instant::now()));
                Auth::Accept
            }
            Err(why) => {
                // The first question of every client is whether nothing is enough. That is no attempt.
                if why != auth::NOTHING {
                    self.refused = Some((name.to_owned(), why));
                }
                // All of them again: one wrong password is not the last.
                Auth::Reject { proceed_with_methods: Some(methods(self.server.settings.borrow().passwords())), partial_success: false }
            }
        }
    }

    fn link(&self, session: &Session) -> Link {
        Link {
            channels: Arc::clone(&self.channels),
            room: Arc::clone(&self.room),
            gate: Arc::clone(&self.gate),
            handle: session.handle(),
            gone: self.gone.subscribe(),
        }
    }

    /// The login, for what its key does not forbid.
    fn permitted(&self, right: impl FnOnce(&Login) -> bool) -> Option<Arc<Login>> {
        self.login.as_ref().map(|(login, _)| Arc::clone(login)).filter(|login| right(login))
    }

    fn with_setup<R>(&self, channel: ChannelId, act: impl FnOnce(&mut Setup) -> R) -> Option<R> {
        self.channels.with(channel, |waiting| match waiting {
            Waiting::Session(setup) => Some(act(setup)),
            Waiting::Opened(..) => None,
        })?
    }

    /// Starts what a session is for. `false`: it has something to do already, or it cannot be started.
    fn start(&mut self, channel: ChannelId, work: Work, session: &mut Session) -> bool {
        let Some(login) = self.permitted(|_| true) else { return false };
        // A command with a zero in it cannot be handed to any program.
        if matches!(&work, Work::Execute(line) if line.as_bytes().contains(&0)) {
            return false;
        }
        let Some(Waiting::Session(setup)) = self.channels.take(channel) else { return false };
        let original = login.rights.command.is_some().then(|| process::original(&work).map(OsStr::to_owned)).flatten();
        let mut command = process::session(&login, work, setup.terminal.is_some());
        command.envs(original.map(|line| ("SSH_ORIGINAL_COMMAND", line)));
        match setup.start(command) {
            Ok(running) => {
                let (handle, channels) = (session.handle(), Arc::clone(&self.channels));
                tokio::spawn(async move {
                    session::run(running, &login, handle).await;
                    channels.remove(channel);
                });
                true
            }
            Err(error) => {
                tell(&format!("a session of {} cannot start: {error}", login.user.name));
                false
            }
        }
    }

    fn direct(&self, target: Target, channel: Channel<Msg>, reply: ChannelOpenHandle, session: &Session) {
        // Dropping the reply refuses.
        if let Some(login) = self.permitted(|login| login.rights.forwarding).filter(|_| !self.channels.full()) {
            direct(self.link(session), login, target, channel, reply);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.channels.clear();
        match (&self.login, self.refused.take()) {
            (Some((login, since)), _) => tell(&format!("{} from {} left after {}s", login.user.name, self.peer, since.elapsed().as_secs())),
            (None, Some((name, why))) => self.server.audit.refuse(&format!("refused {} from {}: {why}", foreign(&name), self.peer)),
            (None, None) => {}
        }
    }
}

/// What a client may log in with.
pub(crate) fn methods(passwords: bool) -> MethodSet {
    let mut methods = vec![MethodKind::PublicKey];
    methods.extend(passwords.then_some(MethodKind::Password));
    MethodSet::from(methods.as_slice())
}

/// As OpenSSH's `AcceptEnv` is usually set, and what terminals say of themselves. Never what changes how programs are loaded.
fn welcome(name: &str) -> bool {
    const NAMES: &[&str] = &["LANG", "LANGUAGE", "COLORTERM", "NO_COLOR", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TZ"];
    let rest = name.strip_prefix("LC_");
    NAMES.contains(&name)
        || rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

/// The answer to a request on a channel: russh leaves it to us.
fn reply(session: &mut Session, channel: ChannelId, good: bool) -> Result<(), Error> {
    if good { session.channel_success(channel) } else { session.channel_failure(channel) }
}

impl Handler for Client {
    type Error = Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Error> {
        Ok(self.answer(user, auth::nothing(user, self.peer)))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Error> {
        let settings = self.server.settings.borrow().clone();
        let result = auth::password(&settings, user, self.peer, password).await;
        Ok(self.answer(user, result))
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        let result = auth::key(&self.server.settings.borrow(), user, self.peer, offer.public_key, offer.algorithm);
        // Only looked at: nobody has logged in by asking.
        Ok(match result {
            Ok(_) => Auth::Accept,
            Err(why) => self.answer(user, Err(why)),
        })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        let result = auth::key(&self.server.settings.borrow(), user, self.peer, key.public_key, key.algorithm);
        Ok(self.answer(user, result))
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Error> {
        let Some((login, _)) = &self.login else {
            // Cannot be; and if it is, nobody has logged in.
            return session.disconnect(russh::Disconnect::ByApplication, "", "");
        };
        tell(&format!("{} logged in from {} with {}", login.user.name, self.peer, login.by));
        self.place.logged_in();
        self.gate.logged_in();
        Ok(())
    }

    async fn channel_open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), Error> {
        if self.login.is_none() || self.channels.full() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let id = channel.id();
        let (tap, input, words) = feed(&self.gate);
        // russh's own queue of this channel is not used.
        let (reader, half) = channel.split();
        drop(reader);
        let output = Output { half, gate: Arc::clone(&self.gate) };
        let setup = Box::new(Setup { output, input, words, environment: vec![], terminal: None, agent: None });
        self.channels.insert(id, tap, Some(Waiting::Session(setup)));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.direct(Target::Tcp(host.to_owned(), port), channel, reply, session);
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Error> {
        if !path.contains('\0') {
            self.direct(Target::Unix(OsString::from(path)), channel, reply, session);
        }
        Ok(())
    }

    async fn channel_open_confirmation(&mut self, id: ChannelId, _: u32, _: u32, _: &mut Session) -> Result<(), Error> {
        let (tap, input, words) = feed(&self.gate);
        self.channels.insert(id, tap, Some(Waiting::Opened(input, words)));
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.channels.remove(channel);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.channels.feed(channel, super::channels::Feed::end);
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Error> {
        self.channels.feed(channel, |feed| feed.data(data));
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        let good = self.permitted(|login| login.rights.pty).is_some() && !term.contains('\0') && term.len() < 256;
        let opened = good.then(|| {
            self.with_setup(channel, |setup| {
                if setup.terminal.is_none() {
                    setup.terminal = pty::open(term, pty::winsize(columns, rows, width, height), modes).ok();
                    return setup.terminal.is_some();
                }
                false
            })
        });
        reply(session, channel, opened.flatten().unwrap_or(false))
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        let size = pty::winsize(columns, rows, width, height);
        // Before the start it is the terminal's, and after it what is said to the session.
        let waiting = self.with_setup(channel, |setup| setup.terminal.as_ref().map(|terminal| terminal.master.control.resize(size)));
        if waiting.is_none() {
            self.channels.feed(channel, |feed| feed.word(Word::Resize(size)));
        }
        reply(session, channel, true)
    }

    async fn x11_request(&mut self, channel: ChannelId, _: bool, _: &str, _: &str, _: u32, session: &mut Session) -> Result<(), Error> {
        reply(session, channel, false)
    }

    async fn env_request(&mut self, channel: ChannelId, name: &str, value: &str, session: &mut Session) -> Result<(), Error> {
        let good = welcome(name) && !value.contains('\0');
        let taken = good.then(|| {
            self.with_setup(channel, |setup| {
                let bytes: usize = setup.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
                let fits = setup.environment.len() < VARIABLES && bytes + name.len() + value.len() <= VARIABLE_BYTES;
                if fits {
                    setup.environment.push((name.to_owned(), value.to_owned()));
                }
                fits
            })
        });
        reply(session, channel, taken.flatten().unwrap_or(false))
    }

    async fn agent_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<bool, Error> {
        let Some(login) = self.permitted(|login| login.rights.agent) else { return Ok(false) };
        let link = self.link(session);
        let Some(path) = self.listeners.agent(&link, &login).await else { return Ok(false) };
        Ok(self.with_setup(channel, |setup| setup.agent = Some(path)).is_some())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        let good = self.start(channel, Work::Shell, session);
        reply(session, channel, good)
    }

    async fn exec_request(&mut self, channel: ChannelId, line: &[u8], session: &mut Session) -> Result<(), Error> {
        let good = self.start(channel, Work::Execute(OsStr::from_bytes(line).to_owned()), session);
        reply(session, channel, good)
    }

    async fn subsystem_request(&mut self, channel: ChannelId, name: &str, session: &mut Session) -> Result<(), Error> {
        let good = name == "sftp" && self.start(channel, Work::Sftp, session);
        reply(session, channel, good)
    }

    async fn signal(&mut self, channel: ChannelId, name: Sig, session: &mut Session) -> Result<(), Error> {
        let signal = session::signal(&name);
        if let Some(signal) = signal {
            self.channels.feed(channel, |feed| feed.word(Word::Signal(signal)));
        }
        reply(session, channel, signal.is_some())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, session: &mut Session) -> Result<bool, Error> {
        let Some(login) = self.permitted(|login| login.rights.forwarding) else { return Ok(false) };
        let link = self.link(session);
        let actual = self.listeners.listen(&link, &login, address, *port);
        *port = actual.unwrap_or(*port);
        Ok(actual.is_some())
    }

    async fn cancel_tcpip_forward(&mut self, address: &str, port: u32, _: &mut Session) -> Result<bool, Error> {
        Ok(self.listeners.stop(address, port))
    }

    async fn streamlocal_forward(&mut self, path: &str, session: &mut Session) -> Result<bool, Error> {
        let Some(login) = self.permitted(|login| login.rights.forwarding && !path.contains('\0')) else { return Ok(false) };
        let link = self.link(session);
        Ok(self.listeners.listen_at(&link, &login, path).await)
    }

    async fn cancel_streamlocal_forward(&mut self, path: &str, _: &mut Session) -> Result<bool, Error> {
        Ok(self.listeners.stop_at(path))
    }
}
