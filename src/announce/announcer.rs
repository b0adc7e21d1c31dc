//! Empties the queues: the oldest announcement first, again and again until it is delivered.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio_util::sync::CancellationToken;

use super::Queue;
use super::mqtt::Mqtt;
use super::webhook::Webhook;
use crate::config::AnnounceConfig;

/// How fast it looks and tries.
#[derive(Copy, Clone, Debug)]
pub struct Pace {
    /// Between two looks into an empty queue.
    pub look: Duration,
    /// After the first failure; doubled after each further one.
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { look: Duration::from_secs(1), first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl Pace {
    /// Waiting time after so many failures in a row (1 or more), with up to a quarter more or less: many gateways do not come at once.
    fn delay(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest).mul_f64(rand::thread_rng().gen_range(0.75..1.25))
    }
}

enum Channel {
    Webhook(Arc<Webhook>),
    Mqtt(Mqtt),
}

impl Channel {
    /// What stands in the log.
    fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mqtt(_) => "MQTT broker",
        }
    }

    async fn deliver(&self, content: Vec<u8>) -> Result<(), String> {
        match self {
            Self::Webhook(webhook) => Arc::clone(webhook).deliver(content).await,
            Self::Mqtt(mqtt) => mqtt.deliver(content).await,
        }
    }
}

/// The channels of a configuration with their queues.
pub struct Announcer {
    channels: Vec<(Arc<Queue>, Channel)>,
    pace: Pace,
}

impl Announcer {
    /// For a gateway's data directory.
    pub fn new(config: &AnnounceConfig, data_dir: &Path, pace: Pace) -> Self {
        let queue = |channel| Arc::new(Queue::new(data_dir, channel));
        let webhook = config.webhook.clone().map(|c| (queue("webhook"), Channel::Webhook(Arc::new(Webhook::new(c)))));
        let mqtt = config.mqtt.clone().map(|c| (queue("mqtt"), Channel::Mqtt(Mqtt::new(c))));
        Self { channels: webhook.into_iter().chain(mqtt).collect(), pace }
    }

    /// Runs until `stop`. Each channel goes on by itself: one that is down does not hold up the other.
    pub async fn run(self, stop: CancellationToken) {
        let Self { channels, pace } = self;
        let all = futures::future::join_all(channels.into_iter().map(|(queue, channel)| empty(queue, channel, pace)));
        // What is under way is tried again after the start.
        stop.run_until_cancelled(all).await;
    }
}

async fn empty(queue: Arc<Queue>, channel: Channel, pace: Pace) {
    let mut failures = 0u32;
    // Said once, until it is another one.
    let mut trouble: Option<String> = None;
    loop {
        let result = step(&queue, &channel).await;
        let wait = match result {
            Ok(false) => pace.look,
            Ok(true) => {
                if trouble.take().is_some() {
                    tracing::info!("the {} takes announcements again, after {failures} tries", channel.name());
                }
                failures = 0;
                continue;
            }
            Err(why) => {
                failures = failures.saturating_add(1);
                if trouble.as_ref() != Some(&why) {
                    tracing::warn!("the {} does not take announcements: {why}; they are kept in {queue} and tried again", channel.name());
                    trouble = Some(why);
                }
                pace.delay(failures)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Delivers the oldest announcement; `false` where none waits.
async fn step(queue: &Arc<Queue>, channel: &Channel) -> Result<bool, String> {
    let (from, done) = (Arc::clone(queue), Arc::clone(queue));
    let oldest = tokio::task::spawn_blocking(move || from.oldest()).await.map_err(|e| e.to_string())?;
    let Some((number, content)) = oldest.map_err(|e| format!("{queue} cannot be read: {e}"))? else { return Ok(false) };
    channel.deliver(content).await?;
    let removed = tokio::task::spawn_blocking(move || done.remove(number)).await.map_err(|e| e.to_string())?;
    removed.map_err(|e| format!("a delivered announcement stays in {queue}, and comes again: {e}"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_double_up_to_the_longest() {
        let pace = Pace::default();
        for (failures, expected) in [(1, 1.0), (2, 2.0), (5, 16.0), (10, 300.0), (40, 300.0), (u32::MAX, 300.0)] {
            let delay = pace.delay(failures).as_secs_f64();
            assert!((expected * 0.75..expected * 1.25).contains(&delay), "{delay} instead of {expected}");
        }
    }
}
