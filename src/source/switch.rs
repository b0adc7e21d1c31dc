//! A source that people switch off and on while the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::emit::Emitter;
use super::report::Reporter;
use super::{SourceTask, connect};
use crate::types::{Cause, SourceState};

/// Between two attempts to tell a machine, whose channel is full, that the source is off.
const AGAIN: Duration = Duration::from_millis(100);

/// Reads the source while `enabled` holds, until the task's `stop` is cancelled; then closes its connection and returns.
///
/// Switched off, it closes its connection in order; then all its values are Bad (`SwitchedOff`) and its state is Disabled. Switched on,
/// it connects as at the start; its counts go on.
pub async fn run_switched(task: SourceTask, mut enabled: watch::Receiver<bool>) {
    let SourceTask { config, tags, samples, status, pki_dir, stop } = task;
    let emitter = Arc::new(Emitter::new(tags.into(), samples));
    let reporter = || Reporter::new(config.name.clone(), status.clone(), emitter.clone());
    while !stop.is_cancelled() {
        if *enabled.borrow_and_update() {
            let session = stop.child_token();
            let mut connected = std::pin::pin!(connect(config.kind.clone(), pki_dir.clone(), emitter.clone(), reporter(), session.clone()));
            tokio::select! {
                // At the stop only.
                () = &mut connected => return,
                () = switched(&mut enabled, false) => {
                    session.cancel();
                    connected.await;
                }
            }
        } else {
            reporter().set(SourceState::Disabled, "switched off");
            tokio::select! {
                () = stop.cancelled() => return,
                () = switched(&mut enabled, true) => {}
                () = tell_off(&emitter) => {}
            }
        }
    }
}

/// Until it is switched to this; for ever where nobody can switch it any more.
async fn switched(enabled: &mut watch::Receiver<bool>, to: bool) {
    if enabled.wait_for(|on| *on == to).await.is_err() {
        std::future::pending().await
    }
}

/// Says of every value that it is Bad because the source is off; then waits for ever.
async fn tell_off(emitter: &Emitter) {
    let mut left: Vec<usize> = (0..emitter.tags().len()).collect();
    loop {
        left = emitter.send_all_bad(left, Cause::SwitchedOff);
        if left.is_empty() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::super::{SampleSender, SourceStatus, test_tag};
    use super::*;
    use crate::config::Config;
    use crate::types::Quality;

    /// A source of a PLC that takes connections and says nothing.
    fn config(port: u16) -> crate::config::SourceConfig {
        let text = format!(
            "[[sources]]\nname = \"P\"\nprotocol = \"modbus\"\nendpoint = \"tcp://127.0.0.1:{port}\"\n[[machines]]\nname = \"M\"\nperiod = \"1s\"\n[[machines.signals]]\nname = \"a\"\naddress = \"holding:1\"\nregister_type = \"f32\"\n"
        );
        Config::parse(&text).unwrap().sources[0].clone()
    }

    #[tokio::test]
    async fn off_closes_the_connection_and_says_why_and_on_connects_again() {
        let plc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (samples, mut received) = mpsc::channel(100);
        let (status, mut state) = watch::channel(SourceStatus::default());
        let (on, enabled) = watch::channel(true);
        let stop = CancellationToken::new();
        let task = SourceTask {
            config: config(plc.local_addr().unwrap().port()),
            tags: vec![test_tag("a", "holding:1"), test_tag("b", "holding:3")],
            samples: SampleSender::new(vec![samples]),
            status,
            pki_dir: std::env::temp_dir(),
            stop: stop.clone(),
        };
        let task = tokio::spawn(run_switched(task, enabled));
        let (connection, _) = plc.accept().await.unwrap();
        on.send(false).unwrap();
        state.wait_for(|s| s.state == SourceState::Disabled).await.unwrap();
        // Closed by the other side: the first byte that is none.
        let mut closed = [0u8; 64];
        loop {
            connection.readable().await.unwrap();
            match connection.try_read(&mut closed) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let off = Quality::Bad(Cause::SwitchedOff);
        let mut told = 0;
        while told < 2 {
            told += usize::from(received.recv().await.unwrap().quality == off);
        }
        on.send(true).unwrap();
        let _again = plc.accept().await.unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_channel_is_told_later() {
        let (samples, mut received) = mpsc::channel(1);
        let (status, mut state) = watch::channel(SourceStatus::default());
        let (_on, enabled) = watch::channel(false);
        let stop = CancellationToken::new();
        let task = SourceTask {
            config: config(1),
            tags: vec![test_tag("a", "holding:1"), test_tag("b", "holding:3"), test_tag("c", "holding:5")],
            samples: SampleSender::new(vec![samples]),
            status,
            pki_dir: std::env::temp_dir(),
            stop: stop.clone(),
        };
        let task = tokio::spawn(run_switched(task, enabled));
        for _ in 0..3 {
            assert_eq!(received.recv().await.unwrap().quality, Quality::Bad(Cause::SwitchedOff));
        }
        assert_eq!(state.wait_for(|s| s.state == SourceState::Disabled).await.unwrap().text, "switched off");
        stop.cancel();
        task.await.unwrap();
    }
}
