//! `fly guest serve`: the machine's ssh server.
//!
//! russh speaks the protocol; what is here decides who may log in (`auth`), what a session is (`session`, `process`, `pty`), what is
//! forwarded (`forward`, `listeners`), and what anybody may cost (`limits`, `transport`). One thread, no state but the host key.

mod audit;
mod auth;
mod authorized_keys;
mod channels;
mod forward;
mod helper;
mod limits;
mod listen;
mod listeners;
mod process;
mod pty;
mod resolve;
mod server;
mod session;
mod settings;
mod transport;

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use russh::server::Config;
use russh::{Preferred, SshId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use self::audit::Audit;
use self::auth::Peer;
use self::limits::{ATTEMPTS, Connections, KEEPALIVE, LOGIN_TIME, PACKET, Place, WINDOW};
use self::server::Client;
use self::settings::Settings;
use self::transport::{Gate, Transport};
use super::{hostkey, log, memory};

/// How long a connection that is broken off may take to notice.
const FAREWELL: Duration = Duration::from_secs(5);
/// Passwords are checked beside everything else, few at a time.
const HELPERS: usize = 2;
/// Whether there is nothing to do any more is looked at this often.
const REST: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
struct Times {
    /// To log in.
    grace: Duration,
    /// A client that says nothing is asked this often.
    keepalive: Duration,
}

/// What all connections share.
struct Server {
    home: PathBuf,
    times: Times,
    settings: watch::Sender<Settings>,
    connections: Arc<Connections>,
    audit: Audit,
    /// `None`: there is no host key, and so no server.
    config: tokio::sync::OnceCell<Arc<Config>>,
}

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let started = options(arguments).and_then(|options| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(HELPERS).build();
        Ok((options, runtime.map_err(|error| format!("ssh: the server cannot start: {error}"))?))
    });
    match started {
        Ok(((home, times), runtime)) => {
            runtime.block_on(serve(home, times));
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::line(&error);
            ExitCode::FAILURE
        }
    }
}

/// `--home DIR`; `--keepalive SECONDS` and `--grace SECONDS` to log in: tests cannot wait as long as people may.
fn options(arguments: &[OsString]) -> Result<(PathBuf, Times), String> {
    let (mut rest, mut times) = (arguments, Times { grace: LOGIN_TIME, keepalive: KEEPALIVE });
    while let [before @ .., option, seconds] = rest {
        let time = match option.to_str() {
            Some("--grace") => &mut times.grace,
            Some("--keepalive") => &mut times.keepalive,
            _ => break,
        };
        let seconds = seconds.to_str().and_then(|text| text.parse().ok());
        *time = Duration::from_secs(seconds.ok_or_else(|| format!("`{}` takes a number of seconds", option.display()))?);
        rest = before;
    }
    Ok((super::home(rest)?, times))
}

async fn serve(home: PathBuf, times: Times) {
    let settings = watch::Sender::new(Settings::default());
    let server =
        Arc::new(Server { home, times, settings, connections: Arc::default(), audit: Audit::new(), config: tokio::sync::OnceCell::new() });
    let listening = async {
        key(&server).await;
        listen::follow(&server).await;
    };
    tokio::join!(settings::follow(&server.home, &server.settings), listening, rest(&server.connections));
}

/// Lets go of memory after the start, and whenever the last client has gone.
async fn rest(connections: &Connections) {
    let mut seen = None;
    loop {
        tokio::time::sleep(REST).await;
        let quiet = connections.quiet();
        if quiet.is_some() && quiet != seen {
            memory::rest();
            seen = quiet;
        }
    }
}

/// The host key, as soon as there is a server to have one. Without it nobody can be served: the status says so until it can be read.
async fn key(server: &Server) {
    let mut settings = server.settings.subscribe();
    let mut told = None;
    loop {
        let machine = {
            let now = settings.borrow_and_update();
            now.port.map(|_| now.machine.clone())
        };
        if let Some(machine) = machine {
            match hostkey::load(&server.home, &machine) {
                Ok(key) => {
                    let _ = server.config.set(Arc::new(config(key, server.times.keepalive)));
                    return;
                }
                Err(error) => {
                    let error = format!("there is no host key: {error}");
                    if told.as_ref() != Some(&error) {
                        listen::fail(&server.home, &error);
                        told = Some(error);
                    }
                }
            }
        }
        let again = tokio::time::sleep(if told.is_some() { FAREWELL } else { Duration::MAX });
        tokio::select! {
            _ = settings.changed() => {}
            () = again => {}
        }
    }
}

fn config(key: russh::keys::PrivateKey, keepalive: Duration) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-fly")),
        methods: server::methods(false),
        // Keys are no secret that time could tell of. Passwords take their own.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: None,
        keys: vec![key],
        // The first question of every client, whether nothing is enough, is counted as well.
        max_auth_attempts: ATTEMPTS + 1,
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        event_buffer_size: 4,
        channel_buffer_size: 1,
        // No compression: it is not worth its memory, and was a door into other servers.
        preferred: Preferred { compression: Cow::Borrowed(&[russh::compression::NONE]), ..Preferred::DEFAULT },
        inactivity_timeout: None,
        // Asked by russh; who does not answer is given up by `transport`, which knows when it does not listen itself.
        keepalive_interval: Some(keepalive),
        keepalive_max: 0,
        nodelay: true,
        ..Config::default()
    }
}

/// One client, from its first byte to its last.
async fn connection<S>(server: Arc<Server>, stream: S, peer: Peer, place: Place)
where
    S: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
{
    let Some(config) = server.config.get().cloned() else { return };
    let gate = Gate::new(server.times.grace, server.times.keepalive);
    let client = Client::new(Arc::clone(&server), peer, Arc::clone(&gate), place);
    let transport = Transport::new(stream, Arc::clone(&gate));
    let session = async {
        // What is wrong with a client is its own matter; that it is gone is told when `Client` goes.
        if let Ok(running) = russh::server::run_stream(config, transport, client).await {
            let _ = running.await;
        }
    };
    tokio::pin!(session);
    let reason = tokio::select! {
        () = &mut session => return,
        reason = gate.overdue() => reason,
    };
    server.audit.refuse(&format!("{peer} {reason}"));
    gate.break_off();
    let _ = tokio::time::timeout(FAREWELL, session).await;
}
