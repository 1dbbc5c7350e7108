//! `fly agent serve`: does on this kernel what the other end asks for.

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::host;
use super::wire::{self, Call, Hello, Reply, Request, Response};
use crate::engine::guest_version;
use crate::net::{Capture, Hold, Kernel, NetError, NetPlane as _};
use crate::types::Name;

pub(super) fn main() -> ExitCode {
    if host::enter().is_err() {
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Whatever there is to say goes to stderr, which the engine hands on apart from stdout.
    match runtime.and_then(|runtime| runtime.block_on(serve())) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever has gone does not listen.
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve() -> io::Result<()> {
    let (mut stdin, mut stdout) = (tokio::io::stdin(), tokio::io::stdout());
    let kernel = Kernel::new();
    let denied = kernel.as_ref().map_or_else(|error| Some(error.clone()), |kernel| kernel.check_rights().err());
    wire::write(&mut stdout, &Hello { version: guest_version()?, denied }).await?;
    let Ok(kernel) = kernel else { return Ok(()) };
    let kernel = Arc::new(kernel);
    let (stop, stopped) = watch::channel(false);
    let mut captures = vec![];
    let holds = Arc::new(Mutex::new(vec![]));
    let (answer, mut answers) = mpsc::unbounded_channel::<Response>();
    let speak = tokio::spawn(async move {
        while let Some(response) = answers.recv().await {
            wire::write(&mut stdout, &response).await?;
        }
        io::Result::Ok(())
    });
    while let Ok(request) = tokio::time::timeout(wire::SILENCE, wire::read(&mut stdin)).await {
        let Some(Request { id, call }) = request? else { break };
        match call {
            Call::Capture { pid, options } => {
                let done = kernel
                    .capture(pid, *options)
                    .map(|capture| captures.push(tokio::spawn(hand_on(capture, id, answer.clone(), stopped.clone()))));
                if let Err(error) = done {
                    let _ = answer.send(Response { id, reply: Reply::Refused(error) });
                }
                continue;
            }
            Call::StopCapture => {
                stop.send_replace(true);
                continue;
            }
            _ => {}
        }
        let (kernel, answer, holds) = (Arc::clone(&kernel), answer.clone(), Arc::clone(&holds));
        tokio::spawn(async move {
            let reply = perform(&kernel, &holds, call).await.unwrap_or_else(Reply::Refused);
            // What was begun is finished, also when nobody waits for it any more.
            let _ = answer.send(Response { id, reply });
        });
    }
    // Nobody is left to read them.
    captures.iter().for_each(JoinHandle::abort);
    drop(answer);
    speak.await.map_err(io::Error::other)?
}

/// Piece by piece, to its end.
async fn hand_on(mut capture: Capture, id: u64, answer: mpsc::UnboundedSender<Response>, mut stopped: watch::Receiver<bool>) {
    let mut is_stopped = false;
    loop {
        let piece = tokio::select! {
            changed = stopped.changed(), if !is_stopped => {
                // From here on there is only the rest.
                is_stopped = true;
                drop(changed);
                capture.stop();
                continue;
            }
            piece = capture.next() => piece,
        };
        let Some(piece) = piece else { return };
        let _ = answer.send(Response { id, reply: piece.map_or_else(Reply::Refused, Reply::Captured) });
    }
}

async fn perform(kernel: &Kernel, holds: &Mutex<Vec<(Name, Hold)>>, call: Call) -> Result<Reply, NetError> {
    Ok(match call {
        Call::Firewall => Reply::Firewall(kernel.firewall().await?),
        Call::Observe { project, processes } => Reply::Observed(Box::new(kernel.observe(&project, &processes).await?)),
        Call::Guests { processes } => Reply::Guests(kernel.guests(&processes).await?),
        Call::Lacking { modules } => Reply::Lacking(kernel.lacking(&modules).await?),
        Call::Cards { devices } => Reply::Cards(kernel.cards(&devices).await?),
        Call::Space { pid } => Reply::Space(kernel.space(pid).await?),
        // The others are answered apart.
        Call::Alive | Call::Capture { .. } | Call::StopCapture => Reply::Performed,
        Call::Hold { project } => {
            let hold = kernel.hold(&project).await?;
            let is_held = hold.is_some();
            holds.lock().unwrap_or_else(PoisonError::into_inner).extend(hold.map(|hold| (project, hold)));
            Reply::Held(is_held)
        }
        Call::Release { project } => {
            holds.lock().unwrap_or_else(PoisonError::into_inner).retain(|(held, _)| *held != project);
            Reply::Performed
        }
        Call::Perform { op, project, processes } => {
            kernel.perform(&op, &project, &processes).await?;
            Reply::Performed
        }
    })
}
