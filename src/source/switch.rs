//! A source that people switch off and on while the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::emit::Emitter;
use super::report::Reporter;
use super::{SourceTask, Tag, connect};
use crate::config::SourceKind;
use crate::types::{Cause, SourceState};

/// Between two attempts to tell a machine, whose channel is full, that what has happened.
const AGAIN: Duration = Duration::from_millis(100);

/// What a source is to read at present, and whether at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub on: bool,
    pub kind: SourceKind,
    pub tags: Arc<[Tag]>,
}

/// Reads the source as `wanted`, in place of the task's own configuration and tags, until the task's `stop` is cancelled; then closes its
/// connection and returns.
///
/// Switched off, it closes its connection in order; then all its values are Bad (`SwitchedOff`) and its state is Disabled. Switched on,
/// or wanted otherwise, it connects as at the start; its counts go on, those of samples as long as the tags are the same.
pub async fn run_switched(task: SourceTask, mut wanted: watch::Receiver<Wanted>) {
    let SourceTask { config, tags: _, samples, status, pki_dir, stop, outbox, lines } = task;
    let mut now = wanted.borrow_and_update().clone();
    let mut emitter = Arc::new(Emitter::new(now.tags.clone(), samples.clone()));
    while !stop.is_cancelled() {
        let reporter = Reporter::new(config.name.clone(), status.clone(), emitter.clone(), outbox.counts.clone());
        let next = if now.on {
            let session = stop.child_token();
            let (kind, shared) = (now.kind.clone(), (pki_dir.clone(), lines.clone()));
            let mut connected = std::pin::pin!(connect(kind, shared, emitter.clone(), reporter, outbox.clone(), session.clone()));
            tokio::select! {
                // At the stop only.
                () = &mut connected => return,
                next = other_than(&mut wanted, &now) => {
                    session.cancel();
                    connected.await;
                    next
                }
            }
        } else {
            reporter.set(SourceState::Disabled, "switched off");
            let told = async {
                tell(&emitter, Cause::SwitchedOff).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                next = other_than(&mut wanted, &now) => next,
                () = told => return,
            }
        };
        if next.tags != now.tags {
            emitter = Arc::new(Emitter::new(next.tags.clone(), samples.clone()));
        }
        if next.on && (&next.kind, &next.tags) != (&now.kind, &now.tags) {
            // What came from elsewhere is not the value any more.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tell(&emitter, Cause::NoData) => {}
            }
        }
        now = next;
    }
}

/// Waits until something else is wanted; for ever where nobody can want it any more.
async fn other_than(wanted: &mut watch::Receiver<Wanted>, now: &Wanted) -> Wanted {
    let next = wanted.wait_for(|next| next != now).await.map(|next| next.clone());
    match next {
        Ok(next) => next,
        Err(_) => std::future::pending().await,
    }
}

/// Says of every value that it is Bad, also where a machine's channel is full for a while.
async fn tell(emitter: &Emitter, cause: Cause) {
    let mut left: Vec<usize> = (0..emitter.tags().len()).collect();
    loop {
        left = emitter.send_all_bad(left, cause);
        if left.is_empty() {
            return;
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
        let stop = CancellationToken::new();
        let config = config(plc.local_addr().unwrap().port());
        let tags = vec![test_tag("a", "holding:1"), test_tag("b", "holding:3")];
        let (orders, wanted) = watch::channel(Wanted { on: true, kind: config.kind.clone(), tags: tags.clone().into() });
        let task = SourceTask {
            config,
            tags,
            samples: SampleSender::new(vec![samples]),
            status,
            pki_dir: std::env::temp_dir(),
            stop: stop.clone(),
            outbox: crate::source::Outbox::empty(),
            lines: Default::default(),
        };
        let task = tokio::spawn(run_switched(task, wanted));
        let (connection, _) = plc.accept().await.unwrap();
        orders.send_modify(|w| w.on = false);
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
        orders.send_modify(|w| w.on = true);
        let _again = plc.accept().await.unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_channel_is_told_later() {
        let (samples, mut received) = mpsc::channel(1);
        let (status, mut state) = watch::channel(SourceStatus::default());
        let stop = CancellationToken::new();
        let tags = vec![test_tag("a", "holding:1"), test_tag("b", "holding:3"), test_tag("c", "holding:5")];
        let (_orders, wanted) = watch::channel(Wanted { on: false, kind: config(1).kind, tags: tags.clone().into() });
        let task = SourceTask {
            config: config(1),
            tags,
            samples: SampleSender::new(vec![samples]),
            status,
            pki_dir: std::env::temp_dir(),
            stop: stop.clone(),
            outbox: crate::source::Outbox::empty(),
            lines: Default::default(),
        };
        let task = tokio::spawn(run_switched(task, wanted));
        for _ in 0..3 {
            assert_eq!(received.recv().await.unwrap().quality, Quality::Bad(Cause::SwitchedOff));
        }
        assert_eq!(state.wait_for(|s| s.state == SourceState::Disabled).await.unwrap().text, "switched off");
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn another_endpoint_is_gone_to_and_old_values_end() {
        let (old, new) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (samples, mut received) = mpsc::channel(100);
        let (status, _state) = watch::channel(SourceStatus::default());
        let stop = CancellationToken::new();
        let first = config(old.local_addr().unwrap().port());
        let tags = vec![test_tag("a", "holding:1")];
        let (orders, wanted) = watch::channel(Wanted { on: true, kind: first.kind.clone(), tags: tags.clone().into() });
        let task = SourceTask {
            config: first,
            tags,
            samples: SampleSender::new(vec![samples]),
            status,
            pki_dir: std::env::temp_dir(),
            stop: stop.clone(),
            outbox: crate::source::Outbox::empty(),
            lines: Default::default(),
        };
        let task = tokio::spawn(run_switched(task, wanted));
        let _connection = old.accept().await.unwrap();
        orders.send_modify(|w| w.kind = config(new.local_addr().unwrap().port()).kind);
        let _connection = new.accept().await.unwrap();
        while received.recv().await.unwrap().quality != Quality::Bad(Cause::NoData) {}
        stop.cancel();
        task.await.unwrap();
    }
}
