//! `fly agent serve`: does on this kernel what the other end asks for.

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::host;
use super::wire::{self, Call, Hello, Reply, Request, Response};
use crate::engine::guest_version;
use crate::net::{Hold, Kernel, NetError, NetPlane as _};

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
    let holds = Arc::new(Mutex::new(vec![]));
    let (answer, mut answers) = mpsc::unbounded_channel::<Response>();
    let speak = tokio::spawn(async move {
        while let Some(response) = answers.recv().await {
            wire::write(&mut stdout, &response).await?;
        }
        io::Result::Ok(())
    });
    while let Some(Request { id, call }) = wire::read(&mut stdin).await? {
        let (kernel, answer, holds) = (Arc::clone(&kernel), answer.clone(), Arc::clone(&holds));
        tokio::spawn(async move {
            let reply = perform(&kernel, &holds, call).await.unwrap_or_else(Reply::Refused);
            // What was begun is finished, also when nobody waits for it any more.
            let _ = answer.send(Response { id, reply });
        });
    }
    drop(answer);
    speak.await.map_err(io::Error::other)?
}

async fn perform(kernel: &Kernel, holds: &Mutex<Vec<Hold>>, call: Call) -> Result<Reply, NetError> {
    Ok(match call {
        Call::Firewall => Reply::Firewall(kernel.firewall().await?),
        Call::Observe { project, processes } => Reply::Observed(Box::new(kernel.observe(&project, &processes).await?)),
        Call::Guests { processes } => Reply::Guests(kernel.guests(&processes).await?),
        Call::Lacking { modules } => Reply::Lacking(kernel.lacking(&modules).await?),
        Call::Space { pid } => Reply::Space(kernel.space(pid).await?),
        Call::Hold { project } => {
            let hold = kernel.hold(&project).await?;
            let is_held = hold.is_some();
            holds.lock().unwrap_or_else(PoisonError::into_inner).extend(hold);
            Reply::Held(is_held)
        }
        Call::Perform { op, project, processes } => {
            kernel.perform(&op, &project, &processes).await?;
            Reply::Performed
        }
    })
}
