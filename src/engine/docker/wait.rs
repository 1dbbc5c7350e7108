//! Waits until a container is healthy or has completed, and says why when it never will be.

use std::time::Duration;

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::answer::Inspect;
use super::error::Failure;
use super::{Docker, observe};
use crate::engine::{EngineErrorKind, Health, RunState, WaitFor};
use crate::types::Seconds;

const EVERY: Duration = Duration::from_millis(100);
/// How much of the log goes into a message.
const LINES: &str = "5";

pub(super) async fn until(docker: &Docker, name: &str, condition: WaitFor, limit: Seconds) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let Some(inspect) = docker.inspect(name).await? else {
            return Err(Failure::new(EngineErrorKind::NotFound, "it is not there any more"));
        };
        match verdict(&inspect, condition) {
            Verdict::Reached => return Ok(()),
            Verdict::Never(why) => {
                let log = last_words(docker, name).await;
                let log = if log.is_empty() { log } else { format!("; its log ends: {log}") };
                return Err(Failure::new(EngineErrorKind::Unhealthy, format!("{why}{log}")));
            }
            Verdict::NotYet(state) if start.elapsed() >= limit.duration() => {
                return Err(Failure::new(EngineErrorKind::Timeout, format!("{state} after {limit}")));
            }
            Verdict::NotYet(_) => sleep(EVERY).await,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    NotYet(String),
    Never(String),
}

fn verdict(inspect: &Inspect, condition: WaitFor) -> Verdict {
    let state = &inspect.state;
    match (observe::run_state(state), condition) {
        (RunState::Exited { code: 0 }, WaitFor::Completed) => Verdict::Reached,
        (RunState::Exited { code }, _) => {
            let error = if state.error.is_empty() { String::new() } else { format!(": {}", state.error) };
            Verdict::Never(format!("it exited with code {code}{error}"))
        }
        (RunState::Dead, _) => Verdict::Never("it is being removed".into()),
        (RunState::Created, _) => Verdict::NotYet("it has not been started".into()),
        (RunState::Restarting, _) => Verdict::NotYet(format!("it restarts again and again, last with code {}", state.exit_code)),
        (_, WaitFor::Completed) => Verdict::NotYet("it still runs".into()),
        (_, WaitFor::Healthy) => match observe::health(state) {
            Health::Healthy => Verdict::Reached,
            Health::None => Verdict::Never("it has no health check".into()),
            Health::Unhealthy => Verdict::Never(format!("it is unhealthy{}", last_probe(inspect))),
            Health::Starting => Verdict::NotYet(format!("its health is still unknown{}", last_probe(inspect))),
        },
    }
}

fn last_probe(inspect: &Inspect) -> String {
    let Some(probe) = inspect.state.health.as_ref().and_then(|it| it.log.last()) else { return String::new() };
    let output = probe.output.trim().lines().last().unwrap_or_default();
    if output.is_empty() { format!(": the check exits with code {}", probe.exit_code) } else { format!(": {output}") }
}

/// The end of its log, lines parted by ` | `; nothing when the log cannot be read.
async fn last_words(docker: &Docker, name: &str) -> String {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(LINES).build();
    let collect = async {
        let mut text = String::new();
        let mut stream = std::pin::pin!(docker.api.logs(name, Some(options)));
        while let Some(Ok(part)) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&part.into_bytes()));
        }
        text
    };
    let text = timeout(Duration::from_secs(5), collect).await.unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(json: &str) -> Inspect {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_waited_for_comes_or_never_will() {
        let exited = inspect(r#"{"State":{"Status":"exited","ExitCode":3}}"#);
        assert_eq!(verdict(&exited, WaitFor::Completed), Verdict::Never("it exited with code 3".into()));
        let done = inspect(r#"{"State":{"Status":"exited","ExitCode":0}}"#);
        assert_eq!(verdict(&done, WaitFor::Completed), Verdict::Reached);
        assert_eq!(verdict(&done, WaitFor::Healthy), Verdict::Never("it exited with code 0".into()));
        let sick = r#"{"State":{"Status":"running","Health":{"Status":"unhealthy","Log":[{"ExitCode":1,"Output":"a\nno route\n"}]}}}"#;
        assert_eq!(verdict(&inspect(sick), WaitFor::Healthy), Verdict::Never("it is unhealthy: no route".into()));
        let unknown = inspect(r#"{"State":{"Status":"running","Health":{"Status":"pondering"}}}"#);
        assert_eq!(verdict(&unknown, WaitFor::Healthy), Verdict::NotYet("its health is still unknown".into()));
    }
}
