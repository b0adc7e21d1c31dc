//! What clients may ask for at most: chosen so that a 10,000-node HMI fits and one client cannot exhaust the gateway.

use opcua::server::{Limits, OperationalLimits, SubscriptionLimits};

use crate::config::ServerConfig;

/// How often subscriptions are looked at, in milliseconds; also the shortest publishing interval.
pub(super) const POLL_INTERVAL_MS: u64 = 50;
/// Longest time a session may be idle. PLC clients ask for hours; a dead one should not hold a session for that long.
pub(super) const SESSION_TIMEOUT_MS: u64 = 300_000;

/// Buffers of one message chunk. The answer to a HEL never exceeds what the client offers (S7-1500 offers 8,192 bytes and
/// drops the link otherwise).
const BUFFER_SIZE: usize = 65_535;
const MESSAGE_SIZE: usize = 8 * 1024 * 1024;

/// Sessions that were created and not activated, kept by the stack beside those in use until they time out.
const UNACTIVATED: usize = 500;

pub(super) fn limits(config: &ServerConfig) -> Limits {
    Limits {
        max_array_length: 20_000,
        max_string_length: 65_535,
        max_byte_string_length: 4 * 1024 * 1024,
        max_message_size: MESSAGE_SIZE,
        max_chunk_count: MESSAGE_SIZE / BUFFER_SIZE + 1,
        send_buffer_size: BUFFER_SIZE,
        receive_buffer_size: BUFFER_SIZE,
        max_history_continuation_points: 20,
        // How many are in use at once is bound where they log in.
        max_sessions: usize::from(config.max_sessions) + UNACTIVATED,
        subscriptions: SubscriptionLimits {
            max_subscriptions_per_session: 20,
            max_pending_publish_requests: 100,
            // node-opcua keeps many publish requests waiting and warns below that.
            max_publish_requests_per_subscription: 20,
            // 0: every change is a sample; see `items`.
            min_sampling_interval_ms: 0.0,
            min_publishing_interval_ms: POLL_INTERVAL_MS as f64,
            max_monitored_items_per_sub: 10_000,
            max_monitored_item_queue_size: 10_000,
            max_notifications_per_publish: 5_000,
            max_queued_notifications: 100,
            ..SubscriptionLimits::default()
        },
        operational: OperationalLimits {
            max_nodes_per_translate_browse_paths_to_node_ids: 1_000,
            max_nodes_per_read: 10_000,
            max_nodes_per_write: 1_000,
            max_nodes_per_method_call: 100,
            max_nodes_per_browse: 1_000,
            max_nodes_per_register_nodes: 10_000,
            max_monitored_items_per_call: 10_000,
            max_references_per_browse_node: 1_000,
            max_nodes_per_history_read_data: 100,
            ..OperationalLimits::default()
        },
        ..Limits::default()
    }
}
