//! Rights by role, seen by a client over the wire.

use std::sync::Arc;
use std::time::Duration;

use opcua::client::{DataChangeCallback, IdentityToken, Session};
use opcua::crypto::SecurityPolicy;
use opcua::types::{
    AttributeId, MonitoredItemCreateRequest, NodeId, ObjectId, ReadValueId, StatusCode, TimestampsToReturn, VariableId, Variant,
};

use super::instantiate::node_id;
use super::tests::{Bench, browse, read, read_path, write};
use super::*;
use crate::types::EventKind;

const THRESHOLD: &str = "Motor1.Drift.DataDrift.T1.Threshold";

async fn login(bench: &Bench, user: &str) -> Arc<Session> {
    let identity = IdentityToken::UserName(user.into(), "demo".into());
    bench.connect_as(SecurityPolicy::Aes128Sha256RsaOaep, identity).await.unwrap()
}

async fn user_access_level(session: &Session, path: &str) -> Variant {
    let wanted = [ReadValueId::new(node_id(path), AttributeId::UserAccessLevel)];
    session.read(&wanted, TimestampsToReturn::Neither, 0.0).await.unwrap().remove(0).value.unwrap()
}

/// The status of a new monitored item.
async fn monitor(session: &Session, node: NodeId) -> StatusCode {
    let callback = DataChangeCallback::new(|_, _| {});
    let subscription = session.create_subscription(Duration::from_millis(50), 100, 20, 0, 0, true, callback).await.unwrap();
    let item = MonitoredItemCreateRequest::from(node);
    session.create_monitored_items(subscription, TimestampsToReturn::Both, vec![item]).await.unwrap()[0].result.status_code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_decide_what_a_user_may_write() {
    let mut bench = Bench::start(Access::Demo).await;
    let operator = login(&bench, "operator").await;
    assert_eq!(write(&operator, THRESHOLD, 0.5).await, StatusCode::BadUserAccessDenied);
    assert_eq!(user_access_level(&operator, THRESHOLD).await, Variant::Byte(1));
    assert_eq!(write(&operator, "Gateway.Heartbeat", 1u32).await, StatusCode::BadNotWritable);
    assert!(read_path(&operator, "Gateway.InstanceName").await.status().is_good());
    assert!(bench.commands.try_recv().is_err(), "nobody was asked");

    let Ok(EventKind::Session { user, roles, address }) = bench.audit.try_recv() else { panic!("the login is written down") };
    assert_eq!((&*user, &*roles, &*address), ("operator", "Operator", "127.0.0.1"));
    let Ok(EventKind::Refused { user, action, target, reason, address, .. }) = bench.audit.try_recv() else { panic!("and the refusal") };
    assert_eq!((&*user, &*action, &*target), ("operator", "write", THRESHOLD));
    assert!(reason.contains("Engineer") && &*address == "127.0.0.1", "{reason} {address}");
    let Ok(EventKind::Refused { target, .. }) = bench.audit.try_recv() else { panic!("and that of what nobody may write") };
    assert_eq!(&*target, "Gateway.Heartbeat");
    assert!(bench.audit.try_recv().is_err());

    let engineer = login(&bench, "engineer").await;
    let written = tokio::spawn(async move { write(&engineer, THRESHOLD, 0.5).await });
    let request = bench.commands.recv().await.unwrap();
    assert_eq!(&*request.user, "engineer");
    request.reply.send(Ok(Answer::default())).unwrap();
    assert_eq!(written.await.unwrap(), StatusCode::Good);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_user_an_encrypted_session_sees_the_server_and_types() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect_as(SecurityPolicy::Basic256Sha256, IdentityToken::Anonymous).await.unwrap();
    let seen = browse(&session, ObjectId::ObjectsFolder.into()).await;
    assert!(seen.iter().any(|(id, _)| *id == ObjectId::Server));
    assert!(seen.iter().all(|(id, _)| id.namespace != INSTANCES), "{seen:?}");
    let types = browse(&session, ObjectId::TypesFolder.into()).await;
    assert!(types.iter().any(|(_, name)| name == "BaseObjectType"));
    assert!(types.iter().all(|(id, _)| id.namespace != INSTANCES));

    assert!(read(&session, VariableId::Server_ServerStatus_State).await.status().is_good());
    assert_eq!(read_path(&session, "Gateway.InstanceName").await.status(), StatusCode::BadUserAccessDenied);
    assert_eq!(write(&session, THRESHOLD, 0.5).await, StatusCode::BadUserAccessDenied);
    assert_eq!(monitor(&session, node_id("Gateway.Heartbeat")).await, StatusCode::BadUserAccessDenied);
    assert_eq!(monitor(&session, VariableId::Server_ServerStatus_CurrentTime.into()).await, StatusCode::Good);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_application_ends_the_session() {
    let mut bench = Bench::start(Access::Demo).await;
    let client = bench.client_of("urn:somebody:else");
    let identity = IdentityToken::UserName("engineer".into(), "demo".into());
    let session = bench.connect_with(client, SecurityPolicy::Basic256Sha256, identity).await;
    if let Ok(session) = session {
        let value = [ReadValueId::from(node_id("Gateway.InstanceName"))];
        let read = session.read(&value, TimestampsToReturn::Neither, 0.0).await;
        assert!(read.is_err() || read.is_ok_and(|v| v[0].status().is_bad()));
    }
    let mut reasons = Vec::new();
    while let Ok(kind) = bench.audit.try_recv() {
        if let EventKind::Refused { action, target, reason, .. } = kind {
            reasons.push((action.to_string(), target.to_string(), reason.to_string()));
        }
    }
    assert!(reasons.iter().any(|(a, t, r)| a == "login" && t == "urn:somebody:else" && r.contains("application URI")), "{reasons:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_locked_out_and_the_user_is_not() {
    let mut bench = Bench::start(Access::Demo).await;
    let wrong = || IdentityToken::UserName("engineer".into(), "wrong".into());
    for _ in 0..7 {
        assert!(bench.connect_as(SecurityPolicy::Aes128Sha256RsaOaep, wrong()).await.is_err());
    }
    let mut reasons = Vec::new();
    while let Ok(EventKind::Refused { reason, .. }) = bench.audit.try_recv() {
        reasons.push(reason.to_string());
    }
    assert!(reasons.iter().filter(|r| r.starts_with("unknown user")).count() >= 5, "{reasons:?}");
    assert!(reasons.iter().any(|r| r.contains("too many wrong")), "{reasons:?}");
    login(&bench, "operator").await;
    bench.stop().await;
}
