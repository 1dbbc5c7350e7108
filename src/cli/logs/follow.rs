//! One machine's log as it grows, over restarts and replacements.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use crate::cli::log_lines::{Line, Lines};
use crate::engine::session::{Found, LogQuery, Member};
use crate::engine::{Docker, EngineError, RunState};
use crate::types::Name;

/// How often an ended machine is asked whether it runs again.
const EVERY: Duration = Duration::from_millis(200);

pub(super) enum Event {
    Line(Name, Line),
    /// It has ended and is not about to be started again.
    Ended,
    /// It runs again.
    Began,
    Failed(EngineError),
}

/// Tells what the machine writes until nobody listens any more.
pub(super) async fn follow(docker: Docker, project: Name, member: Member, query: LogQuery, tell: Sender<Event>) {
    let mut log = Log { docker, project, member, query, last: None };
    loop {
        if let Err(Over::Failed(error)) = log.read(&tell).await {
            let _ = tell.send(Event::Failed(error)).await;
            return;
        }
        let mut is_live = true;
        loop {
            let state = match log.look().await {
                Ok(state) => state,
                Err(error) => {
                    let _ = tell.send(Event::Failed(error)).await;
                    return;
                }
            };
            let event = match state {
                State::Again => break,
                State::Gone if is_live => Some(Event::Ended),
                State::Gone | State::Soon => None,
            };
            if let Some(event) = event {
                is_live = false;
                if tell.send(event).await.is_err() {
                    return;
                }
            }
            if tell.is_closed() {
                return;
            }
            sleep(EVERY).await;
        }
        if !is_live && tell.send(Event::Began).await.is_err() {
            return;
        }
    }
}

struct Log {
    docker: Docker,
    project: Name,
    member: Member,
    query: LogQuery,
    /// Of the last line that was told.
    last: Option<Timestamp>,
}

enum Over {
    Unheard,
    Failed(EngineError),
}

enum State {
    Again,
    /// The engine is about to start it, or to say that it has ended.
    Soon,
    Gone,
}

impl Log {
    /// Reads until it ends, from where it was read last time.
    async fn read(&mut self, tell: &Sender<Event>) -> Result<(), Over> {
        let mut query = self.query.clone();
        if let Some(last) = self.last {
            query.tail = None;
            let next = last + SignedDuration::from_nanos(1);
            query.since = Some(format!("{}.{:09}", next.as_second(), next.subsec_nanosecond()));
        }
        let output = self.docker.logs(&self.member, &query).await.map_err(Over::Failed)?;
        let mut lines = Lines::new(output, self.member.tty);
        while let Some(line) = lines.next().await.map_err(Over::Failed)? {
            self.last = line.time.or(self.last);
            tell.send(Event::Line(self.member.machine.clone(), line)).await.map_err(|_| Over::Unheard)?;
        }
        Ok(())
    }

    /// Whether it runs since the log has ended.
    async fn look(&mut self) -> Result<State, EngineError> {
        let Found::Ours(now) = self.docker.member(&self.project, &self.member.machine).await? else { return Ok(State::Gone) };
        let is_another = (&now.id, &now.started_at) != (&self.member.id, &self.member.started_at);
        Ok(match now.state {
            // One that has ended again in between has written something that is worth reading.
            RunState::Running | RunState::Paused | RunState::Exited { .. } if is_another => {
                self.member = now;
                State::Again
            }
            RunState::Running | RunState::Paused | RunState::Restarting => State::Soon,
            RunState::Created | RunState::Exited { .. } | RunState::Dead => State::Gone,
        })
    }
}
