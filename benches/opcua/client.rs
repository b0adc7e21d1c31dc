//! Clients of the gateway.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opcua::client::{ClientBuilder, IdentityToken, Session};
use opcua::crypto::SecurityPolicy;
use opcua::types::{
    ByteString, CallMethodRequest, MessageSecurityMode, NodeId, ReadValueId, StatusCode, TimestampsToReturn, UserTokenPolicy, Variant,
};

/// Anonymous on the open endpoint, or the demo's operator with Sign&Encrypt.
pub async fn connect(endpoint: &str, pki_dir: &Path, encrypted: bool) -> Arc<Session> {
    let mut client = ClientBuilder::new()
        .application_name("bench")
        .application_uri("urn:driftgate:bench")
        .product_uri("urn:driftgate:bench")
        .pki_dir(pki_dir)
        .create_sample_keypair(true)
        .trust_server_certs(true)
        .request_timeout(Duration::from_secs(60))
        .min_publish_interval(Duration::from_millis(20))
        .max_array_length(200_000)
        .max_byte_string_length(8 << 20)
        .max_message_size(64 << 20)
        .max_chunk_count(1_000)
        .client()
        .expect("a client");
    let (policy, mode, identity) = if encrypted {
        let user = IdentityToken::UserName("operator".into(), "demo".into());
        (SecurityPolicy::Basic256Sha256, MessageSecurityMode::SignAndEncrypt, user)
    } else {
        (SecurityPolicy::None, MessageSecurityMode::None, IdentityToken::Anonymous)
    };
    let wanted = (endpoint, policy.to_str(), mode, UserTokenPolicy::anonymous());
    let (session, event_loop) = client.connect_to_matching_endpoint(wanted, identity).await.expect("a session");
    event_loop.spawn();
    assert!(session.wait_for_connection().await, "connected");
    session
}

/// An instance by its path.
pub fn node(path: &str) -> NodeId {
    NodeId::new(2, path)
}

pub async fn read(session: &Session, path: &str) -> Variant {
    let values = session.read(&[ReadValueId::from(node(path))], TimestampsToReturn::Neither, 0.0).await.expect("a value");
    values.into_iter().next().and_then(|v| v.value).unwrap_or_default()
}

/// Reads until it holds.
pub async fn wait_for(session: &Session, path: &str, wanted: impl Fn(&Variant) -> bool) -> Variant {
    loop {
        let value = read(session, path).await;
        if wanted(&value) {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn call(session: &Session, object: &str, method: &str, arguments: Vec<Variant>) -> Vec<Variant> {
    let method_id = node(&format!("{object}.{method}"));
    let request = CallMethodRequest { object_id: node(object), method_id, input_arguments: Some(arguments) };
    let result = session.call_one(request).await.expect("an answer");
    assert_eq!(result.status_code, StatusCode::Good, "{object}.{method}");
    result.output_arguments.unwrap_or_default()
}

/// A whole file; the bytes of one read as the file object allows.
pub async fn download(session: &Session, file: &str, chunk: i32) -> Vec<u8> {
    let handle = call(session, file, "Open", vec![Variant::Byte(1)]).await.remove(0);
    let mut content = Vec::new();
    loop {
        let part = call(session, file, "Read", vec![handle.clone(), Variant::Int32(chunk)]).await.remove(0);
        let Variant::ByteString(ByteString { value: Some(bytes) }) = part else { break };
        if bytes.is_empty() {
            break;
        }
        content.extend(bytes.iter().copied());
    }
    call(session, file, "Close", vec![handle]).await;
    content
}
