use opcua::client::Session;
use opcua::types::{CallMethodRequest, CallMethodResult};

use super::super::tests::Bench;
use super::super::{Access, NodeUpdate};
use super::*;

async fn call(session: &Session, object: &str, method: &str, arguments: Vec<Variant>) -> CallMethodResult {
    let request =
        CallMethodRequest { object_id: node_id(object), method_id: node_id(&join(object, method)), input_arguments: Some(arguments) };
    session.call_one(request).await.unwrap()
}

fn output(result: CallMethodResult) -> Variant {
    assert_eq!(result.status_code, StatusCode::Good);
    result.output_arguments.unwrap_or_default().into_iter().next().unwrap_or_default()
}

const CONFIGURATION: &str = "Gateway.Configuration.File";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_read_and_not_written() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let handle = output(call(&session, CONFIGURATION, "Open", vec![Variant::Byte(1)]).await);
    let mut content = Vec::new();
    loop {
        let part = call(&session, CONFIGURATION, "Read", vec![handle.clone(), Variant::Int32(100)]).await;
        let Variant::ByteString(ByteString { value: Some(bytes) }) = output(part) else { break };
        if bytes.is_empty() {
            break;
        }
        content.extend(bytes.iter().copied());
    }
    assert_eq!(String::from_utf8(content).unwrap(), *super::super::fixture::config().text);
    let missing = call(&session, CONFIGURATION, "Read", vec![handle.clone()]).await;
    assert_eq!(missing.status_code, StatusCode::BadArgumentsMissing);
    // Nobody's role allows it.
    let written = call(&session, CONFIGURATION, "Write", vec![handle.clone(), ByteString::from(vec![1u8]).into()]).await;
    assert_eq!(written.status_code, StatusCode::BadUserAccessDenied);
    output(call(&session, CONFIGURATION, "Close", vec![handle.clone()]).await);
    let closed = call(&session, CONFIGURATION, "GetPosition", vec![handle]).await;
    assert_eq!(closed.status_code, StatusCode::BadInvalidArgument);
    for (mode, status) in [(2, StatusCode::BadNotWritable), (3, StatusCode::BadNotWritable), (0, StatusCode::BadInvalidArgument)] {
        assert_eq!(call(&session, CONFIGURATION, "Open", vec![Variant::Byte(mode)]).await.status_code, status);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_the_file_that_is_named_and_no_other() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let datasets = bench.dir.path().join(crate::dataset::FOLDER);
    std::fs::create_dir_all(&datasets).unwrap();
    std::fs::write(datasets.join("b.parquet"), b"rows").unwrap();
    std::fs::write(bench.dir.path().join("secret"), b"key").unwrap();
    let file = "Motor1.Buffers.B01.File";
    let open = || call(&session, file, "Open", vec![Variant::Byte(1)]);
    assert_eq!(open().await.status_code, StatusCode::BadNotFound);
    let names = [
        ("b.parquet", StatusCode::Good),
        ("../secret", StatusCode::BadNotFound),
        ("..", StatusCode::BadNotFound),
        ("gone", StatusCode::BadNotFound),
    ];
    for (second, (name, status)) in names.into_iter().enumerate() {
        let time = crate::types::Timestamp::from_secs_f64(second as f64 + 1.0);
        let value = Some(Scalar::from(name));
        let path = Arc::from("Motor1.Buffers.B01.LastExportFile");
        bench.publish(NodeUpdate { path, value, quality: crate::types::Quality::Good, time }).await;
        // The publisher is another task.
        let shown = opcua::types::ReadValueId::from(node_id("Motor1.Buffers.B01.LastExportFile"));
        while session.read(std::slice::from_ref(&shown), opcua::types::TimestampsToReturn::Neither, 0.0).await.unwrap()[0].value
            != Some(name.into())
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(open().await.status_code, status, "{name}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_no_bundle_is_refused() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let (transfer, upload) = ("Motor1.Models.Stator.ModelTransfer", "Motor1.Models.Stator.ModelTransfer.Upload");
    let outputs = call(&session, transfer, "GenerateFileForWrite", vec![Variant::Empty]).await.output_arguments.unwrap();
    assert_eq!(outputs[0], id(upload));
    // One at a time.
    let second = call(&session, transfer, "GenerateFileForWrite", vec![Variant::Empty]).await;
    assert_eq!(second.status_code, StatusCode::BadResourceUnavailable);
    output(call(&session, upload, "Write", vec![outputs[1].clone(), ByteString::from(b"nonsense\n".to_vec()).into()]).await);
    let done = call(&session, transfer, "CloseAndCommit", vec![outputs[1].clone()]).await;
    assert_eq!(done.status_code, StatusCode::BadDecodingError);
    bench.stop().await;
}
