//! Methods and command variables over the wire; the owner of the state is played here.

use opcua::types::{CallMethodRequest, CallMethodResult, DateTime};

use super::*;
use crate::types::{Answer, CommandState, EventKind, Via};

const FREEZE: &str = "Motor1.Regimes.FreezeReference";

async fn call(session: &Session, path: &str, arguments: Vec<Variant>) -> CallMethodResult {
    let (object, _) = path.rsplit_once('.').unwrap();
    let request = CallMethodRequest { object_id: node_id(object), method_id: node_id(path), input_arguments: Some(arguments) };
    session.call_one(request).await.unwrap()
}

fn done(request: CommandRequest, outputs: Vec<Scalar>) {
    request.reply.send(Ok(Answer { outputs, text: "done \u{e4}".into(), ..Answer::default() })).unwrap();
}

/// What the next audit event says of a refused command: name and reason.
async fn refused(bench: &mut Bench) -> (String, String) {
    match tokio::time::timeout(Duration::from_secs(5), bench.audit.recv()).await.expect("an audit event").unwrap() {
        EventKind::Command { command, refused: Some(why), .. } => (command.to_string(), why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_asks_the_owner_and_brings_its_answer() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let owner = async {
        let request = bench.commands.recv().await.unwrap();
        assert_eq!(request.command, Command::FreezeReference { regime: "V=164".into(), comment: "enough".into() });
        assert_eq!((&*request.target, &*request.user, request.via), ("Motor1", "anonymous", Via::Method));
        done(request, vec![Scalar::from("abc-R01.1")]);
    };
    let (result, ()) = tokio::join!(call(&session, FREEZE, vec!["V=164".into(), "enough".into()]), owner);
    assert_eq!((result.status_code, result.output_arguments), (StatusCode::Good, Some(vec!["abc-R01.1".into()])));

    // A method of another machine part, with all the types there are.
    let time = DateTime::now();
    let label = vec!["Motor1-7".into(), time.into(), time.into(), 2u16.into(), 0.5.into(), "".into()];
    let owner = async {
        let request = bench.commands.recv().await.unwrap();
        assert!(matches!(&request.command, Command::SubmitLabel { class: 2, value, .. } if *value == 0.5), "{:?}", request.command);
        done(request, Vec::new());
    };
    let (result, ()) = tokio::join!(call(&session, "Motor1.SubmitLabel", label), owner);
    assert_eq!(result.status_code, StatusCode::Good);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_never_reach_the_owner() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let text = || Variant::from("x");
    for (arguments, status) in [
        (vec![], StatusCode::BadArgumentsMissing),
        (vec![text()], StatusCode::BadArgumentsMissing),
        (vec![text(), 1i32.into()], StatusCode::BadInvalidArgument),
        (vec![Variant::Empty, text()], StatusCode::BadInvalidArgument),
        (vec![text(), vec![1.0f64].into()], StatusCode::BadInvalidArgument),
        (vec!["x".repeat(2_000).as_str().into(), text()], StatusCode::BadInvalidArgument),
    ] {
        let result = call(&session, FREEZE, arguments.clone()).await;
        assert_eq!(result.status_code, status, "{arguments:?}");
        assert_eq!(refused(&mut bench).await.0, "FreezeReference");
        if status == StatusCode::BadInvalidArgument {
            let results = result.input_argument_results.unwrap();
            assert_eq!((results.len(), results.iter().filter(|r| r.is_bad()).count()), (2, 1), "{results:?}");
        }
    }
    // The stack counts those that are too many by itself.
    let result = call(&session, FREEZE, vec![text(), text(), text()]).await;
    assert_eq!(result.status_code, StatusCode::BadTooManyArguments);
    let result = call(&session, "Motor1.Drift.ResumeMonitoring", vec![text()]).await;
    assert_eq!(result.status_code, StatusCode::BadTooManyArguments);
    // The type's method stands for that of the object.
    let ids = include_str!("../../../nodesets/Driftgate.Types.NodeIds.csv");
    let row = ids.lines().find(|l| l.starts_with("RegimeSetType_FreezeReference,")).unwrap();
    let declared = NodeId::new(TYPES, row.split(',').nth(1).unwrap().parse::<u32>().unwrap());
    let request = CallMethodRequest { object_id: node_id("Motor1.Regimes"), method_id: declared, input_arguments: Some(vec![text()]) };
    assert_eq!(session.call_one(request).await.unwrap().status_code, StatusCode::BadArgumentsMissing);
    let unknown = call(&session, "Motor1.Regimes.MeltReference", vec![]).await;
    assert_eq!(unknown.status_code, StatusCode::BadMethodInvalid);
    assert!(bench.commands.try_recv().is_err());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_the_argument_or_the_state() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    for (refusal, status, results) in [
        (Refusal::InvalidState("learning".into()), StatusCode::BadInvalidState, None),
        (Refusal::NotSupported("not yet".into()), StatusCode::BadNotSupported, None),
        (
            Refusal::Argument { index: 0, text: "no such regime".into() },
            StatusCode::BadInvalidArgument,
            Some(vec![StatusCode::BadOutOfRange, StatusCode::Good]),
        ),
    ] {
        let owner = async { bench.commands.recv().await.unwrap().reply.send(Err(refusal)).unwrap() };
        let (result, ()) = tokio::join!(call(&session, FREEZE, vec!["".into(), "".into()]), owner);
        assert_eq!((result.status_code, result.input_argument_results), (status, results));
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_the_model_has_its_own_node() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let tree = browse(&session, node_id("Motor1")).await;
    let ids: HashSet<_> = tree.iter().map(|(id, _)| id.clone()).collect();
    for path in [
        "Motor1.Regimes.StartReferenceLearning",
        "Motor1.Regimes.AcceptDriftAsNewReference.InputArguments",
        "Motor1.Regimes.RestoreReference.OutputArguments",
        "Motor1.Drift.SuspendMonitoring",
        "Motor1.Drift.DataDrift.ResetMonitor",
        "Motor1.Models.Stator.PredictionDrift.ResetMonitor",
        "Motor1.Models.Stator.ActivateModel",
        "Motor1.Buffers.B04.ExportBuffer.OutputArguments",
        "Motor1.SubmitLabel",
    ] {
        assert!(ids.contains(&node_id(path)), "{path}");
    }
    bench.stop().await;
}

const ALL: u32 = u32::MAX;

async fn allow(bench: &Bench, session: &Session, bits: u32) {
    bench.publish(update("Motor1.Command.AllowedRequests", Scalar::U32(bits), Quality::Good, 1_700_000_000)).await;
    wait_for(session, "Motor1.Command.AllowedRequests", |v| v.value == Some(bits.into())).await;
}

async fn state(session: &Session) -> (u16, bool, u16, String) {
    let value = |path: &'static str| async move { value_of(session, path).await };
    let Variant::UInt16(state) = value("Motor1.Command.State").await else { panic!("State") };
    let Variant::Boolean(busy) = value("Motor1.Command.Busy").await else { panic!("Busy") };
    let Variant::UInt16(request) = value("Motor1.Command.Request").await else { panic!("Request") };
    (state, busy, request, value("Motor1.Command.ResultText").await.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_by_variables_is_the_same_command() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    allow(&bench, &session, ALL).await;
    for (name, value) in [
        ("TextArgument", Variant::from("V=164")),
        ("NumericArgument", 500.0.into()),
        ("OperatorName", "eva".into()),
        ("RequestId", 77u32.into()),
    ] {
        assert_eq!(write(&session, &format!("Motor1.Command.{name}"), value).await, StatusCode::Good, "{name}");
    }
    let other = bench.connect().await;
    let owner = async {
        let request = bench.commands.recv().await.unwrap();
        assert_eq!(
            request.command,
            Command::StartReferenceLearning { regime: "V=164".into(), min_rows: 500, max_seconds: 0.0, comment: "".into() }
        );
        assert_eq!((&*request.operator, request.via), ("eva", Via::Variables));
        // Under way: seen by all, and the next one has to wait.
        assert_eq!(state(&other).await, (CommandState::Busy.code(), true, 2, "StartReferenceLearning".into()));
        assert_eq!(write(&other, "Motor1.Command.Request", 7u16).await, StatusCode::BadInvalidState);
        assert_eq!(state(&other).await.0, CommandState::Busy.code(), "the state is that of the first");
        done(request, vec![Scalar::from("id")]);
    };
    let (status, ()) = tokio::join!(write(&session, "Motor1.Command.Request", 2u16), owner);
    assert_eq!(status, StatusCode::Good);
    assert_eq!(state(&session).await, (CommandState::Done.code(), false, 0, "done ?".into()), "ASCII, and Request back to 0");
    for (name, value) in
        [("LastRequest", Variant::from(2u16)), ("AckId", 77u32.into()), ("ResultCode", 0u32.into()), ("StateText", "Done".into())]
    {
        assert_eq!(value_of(&session, &format!("Motor1.Command.{name}")).await, value, "{name}");
    }
    assert!(matches!(value_of(&session, "Motor1.Command.LastTime").await, Variant::DateTime(_)));
    assert_eq!(refused(&mut bench).await, ("ResumeMonitoring".into(), "ResumeMonitoring refused: another command is under way".into()));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_says_so_twice() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let request = "Motor1.Command.Request";
    assert_eq!(state(&session).await, (CommandState::Idle.code(), false, 0, String::new()));
    // Nothing is offered yet, an unknown code, no target beside a dangerous code.
    assert_eq!(write(&session, request, 3u16).await, StatusCode::BadInvalidState);
    assert_eq!(state(&session).await, (CommandState::Rejected.code(), false, 0, "FreezeReference is not possible now".into()));
    assert_eq!(refused(&mut bench).await.0, "FreezeReference");
    allow(&bench, &session, ALL).await;
    assert_eq!(write(&session, request, 99u16).await, StatusCode::BadOutOfRange);
    assert_eq!(refused(&mut bench).await.0, "Request");
    for code in [4u16, 5, 20] {
        assert_eq!(write(&session, request, code).await, StatusCode::BadOutOfRange);
        let (state, _, _, text) = state(&session).await;
        assert!(state == CommandState::Rejected.code() && text.contains("TextArgument"), "{text}");
        assert_eq!(value_of(&session, "Motor1.Command.ResultCode").await, StatusCode::BadOutOfRange.bits().into());
        refused(&mut bench).await;
    }
    assert!(bench.commands.try_recv().is_err());

    let owner = async {
        let request = bench.commands.recv().await.unwrap();
        request.reply.send(Err(Refusal::Argument { index: 0, text: "no such regime".into() })).unwrap();
    };
    let (status, ()) = tokio::join!(write(&session, request, 3u16), owner);
    assert_eq!(status, StatusCode::BadOutOfRange);
    assert_eq!(state(&session).await, (CommandState::Rejected.code(), false, 0, "no such regime".into()));
    // Taking the button back is no command, and leaves the result.
    assert_eq!(write(&session, request, 0u16).await, StatusCode::Good);
    assert_eq!(state(&session).await.0, CommandState::Rejected.code());
    for (path, value) in
        [(request, Variant::from(3u32)), ("Motor1.Command.NumericArgument", f64::NAN.into()), ("Motor1.Command.TextArgument", 1u16.into())]
    {
        assert!(write(&session, path, value).await.is_bad(), "{path}");
    }
    assert_eq!(write(&session, "Motor1.Command.TextArgument", "x".repeat(1_001).as_str()).await, StatusCode::BadOutOfRange);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_command_goes_on_without_its_writer() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    allow(&bench, &session, ALL).await;
    assert_eq!(write(&session, "Motor1.Label.LabelClass", 3u16).await, StatusCode::Good);
    let (written, request) = tokio::join!(write(&session, "Motor1.Command.Request", 11u16), bench.commands.recv());
    assert_eq!(written, StatusCode::Good, "accepted, not done");
    assert_eq!(state(&session).await.0, CommandState::Busy.code());
    done(request.unwrap(), Vec::new());
    wait_for(&session, "Motor1.Command.State", |v| v.value == Some(CommandState::Done.code().into())).await;
    let owner = async { done(bench.commands.recv().await.unwrap(), Vec::new()) };
    let (status, ()) = tokio::join!(write(&session, "Motor1.Command.Request", 7u16), owner);
    assert_eq!(status, StatusCode::Good, "free again");
    bench.stop().await;
}
