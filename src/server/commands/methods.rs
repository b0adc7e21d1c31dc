//! Methods: what their arguments must be, and which command they stand for.

use std::sync::Arc;

use opcua::types::{StatusCode, Variant};

use crate::types::{Command, Scalar, ScalarKind, Timestamp, one_line};
use crate::wire::opcua::to_scalar;

/// Longest text of an argument, bytes.
const MAX_TEXT: usize = 1_000;

/// A method's arguments, as its instance declares them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::server) struct MethodInfo {
    pub(in crate::server) inputs: Vec<(Arc<str>, ScalarKind)>,
    pub(in crate::server) outputs: usize,
}

/// What is wrong with the arguments of a call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum BadArguments {
    #[error("only {0} arguments")]
    Missing(usize),
    #[error("{0} arguments are too many")]
    TooMany(usize),
    #[error("an argument has the wrong type or is too long")]
    Wrong(Vec<StatusCode>),
}

/// The arguments, if they are as many and of the types that the method declares.
pub(super) fn arguments(declared: &[(Arc<str>, ScalarKind)], given: &[Variant]) -> Result<Vec<Scalar>, BadArguments> {
    match given.len() {
        n if n < declared.len() => return Err(BadArguments::Missing(n)),
        n if n > declared.len() => return Err(BadArguments::TooMany(n)),
        _ => {}
    }
    let read: Vec<Result<Scalar, StatusCode>> = declared.iter().zip(given).map(|((_, kind), value)| argument(*kind, value)).collect();
    if read.iter().any(Result::is_err) {
        return Err(BadArguments::Wrong(read.iter().map(|r| r.as_ref().err().copied().unwrap_or(StatusCode::Good)).collect()));
    }
    Ok(read.into_iter().flatten().collect())
}

fn argument(kind: ScalarKind, value: &Variant) -> Result<Scalar, StatusCode> {
    match to_scalar(value, kind) {
        None => Err(StatusCode::BadTypeMismatch),
        Some(Scalar::Text(text)) if text.len() > MAX_TEXT => Err(StatusCode::BadOutOfRange),
        Some(scalar) => Ok(scalar),
    }
}

/// Target and command of a called method; `None` for methods that are none of ours. The arguments are of the declared types.
pub(super) fn command(path: &str, arguments: Vec<Scalar>) -> Option<(Arc<str>, Command)> {
    let (object, method) = path.rsplit_once('.')?;
    let (target, object) = object.split_once('.').unwrap_or((object, ""));
    let mut given = Given(arguments.into_iter());
    let command = match method {
        "StartReferenceLearning" => Command::StartReferenceLearning {
            regime: given.text(),
            min_rows: given.count(),
            max_seconds: given.number(),
            comment: given.text(),
        },
        "FreezeReference" => Command::FreezeReference { regime: given.text(), comment: given.text() },
        "AcceptDriftAsNewReference" => Command::AcceptDriftAsNewReference { regime: given.text(), comment: given.text() },
        "DiscardReference" => Command::DiscardReference { regime: given.text(), comment: given.text() },
        "RestoreReference" => Command::RestoreReference { regime: given.text(), comment: given.text() },
        "SuspendMonitoring" => Command::SuspendMonitoring { max_seconds: given.number(), comment: given.text() },
        "ResumeMonitoring" => Command::ResumeMonitoring,
        "Rebaseline" => Command::Rebaseline { comment: given.text() },
        "RestoreBaseline" => Command::RestoreBaseline { comment: given.text() },
        "ResetMonitor" => {
            let monitor = object.strip_prefix("Drift.").or_else(|| object.strip_prefix("Models."))?;
            Command::ResetMonitor { monitor: monitor.into(), comment: given.text() }
        }
        "StartCollecting" => {
            Command::StartCollecting { slot: Some(slot(object)?), regime: given.text(), target_rows: given.count(), comment: given.text() }
        }
        "ExportBuffer" => Command::ExportBuffer {
            slot: Some(slot(object)?),
            dataset: "".into(),
            format: given.text(),
            from: given.time(),
            to: given.time(),
        },
        "AcknowledgeBuffer" => Command::AcknowledgeBuffer { slot: Some(slot(object)?), dataset: given.text(), comment: given.text() },
        "ReleaseBuffer" => Command::ReleaseBuffer { slot: Some(slot(object)?), dataset: given.text(), comment: given.text() },
        "SubmitLabel" => Command::SubmitLabel {
            prediction: given.text(),
            from: given.time(),
            to: given.time(),
            class: given.code(),
            value: given.number(),
            comment: given.text(),
        },
        "ActivateModel" => Command::ActivateModel {
            model: object.strip_prefix("Models.")?.into(),
            version: given.text(),
            hash: given.text(),
            comment: given.text(),
        },
        "ConfirmModel" => Command::ConfirmModel { model: object.strip_prefix("Models.")?.into(), comment: given.text() },
        "RollbackModel" => Command::RollbackModel { model: object.strip_prefix("Models.")?.into(), reason: given.text() },
        "ReloadConfig" => Command::ReloadConfig { dry_run: given.flag() },
        "ResetParameter" => Command::ResetParameter { path: given.text(), comment: given.text() },
        _ => return None,
    };
    Some((target.into(), command))
}

/// 0 of `Buffers.B01`.
fn slot(object: &str) -> Option<u16> {
    object.strip_prefix("Buffers.B")?.parse::<u16>().ok()?.checked_sub(1)
}

/// Arguments one after the other; their types are known to fit.
struct Given(std::vec::IntoIter<Scalar>);

impl Given {
    fn text(&mut self) -> Arc<str> {
        if let Some(Scalar::Text(text)) = self.0.next() { one_line(&text).into() } else { "".into() }
    }

    fn number(&mut self) -> f64 {
        self.0.next().and_then(|s| s.number()).unwrap_or(f64::NAN)
    }

    fn count(&mut self) -> u32 {
        if let Some(Scalar::U32(count)) = self.0.next() { count } else { 0 }
    }

    fn code(&mut self) -> u16 {
        if let Some(Scalar::U16(code)) = self.0.next() { code } else { 0 }
    }

    fn flag(&mut self) -> bool {
        self.0.next() == Some(Scalar::Bool(true))
    }

    fn time(&mut self) -> Timestamp {
        if let Some(Scalar::Time(time)) = self.0.next() { time } else { Timestamp::EPOCH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_counted_and_typed() {
        let declared = [("A".into(), ScalarKind::Text), ("B".into(), ScalarKind::F64)];
        let read = |given: &[Variant]| arguments(&declared, given);
        assert_eq!(read(&["x".into(), 1.0.into()]), Ok(vec![Scalar::from("x"), Scalar::F64(1.0)]));
        assert_eq!(read(&["x".into()]), Err(BadArguments::Missing(1)));
        assert_eq!(read(&["x".into(), 1.0.into(), 2.0.into()]), Err(BadArguments::TooMany(3)));
        let wrong = vec![StatusCode::Good, StatusCode::BadTypeMismatch];
        assert_eq!(read(&["x".into(), 1i32.into()]), Err(BadArguments::Wrong(wrong)));
        let long = "x".repeat(MAX_TEXT + 1);
        assert!(matches!(read(&[long.as_str().into(), 1.0.into()]), Err(BadArguments::Wrong(r)) if r[0] == StatusCode::BadOutOfRange));
    }

    #[test]
    fn the_object_says_what_is_meant() {
        let text = |t: &str| Scalar::from(t);
        let (target, release) = command("Motor1.Buffers.B03.ReleaseBuffer", vec![text("id"), text("c")]).unwrap();
        assert_eq!(&*target, "Motor1");
        assert_eq!(release, Command::ReleaseBuffer { slot: Some(2), dataset: "id".into(), comment: "c".into() });
        assert_eq!(release.path("Motor1"), "Motor1.Buffers.B03.ReleaseBuffer");
        for path in ["Motor1.Models.Stator.PredictionDrift.ResetMonitor", "Motor1.Drift.DataDrift.ResetMonitor"] {
            assert_eq!(command(path, vec![text("")]).unwrap().1.path("Motor1"), path);
        }
        let reload = command("Gateway.Configuration.ReloadConfig", vec![Scalar::Bool(true)]).unwrap();
        assert_eq!(reload, ("Gateway".into(), Command::ReloadConfig { dry_run: true }));
        assert_eq!(command("Motor1.Drift.DataDrift.DriftAlarm.Acknowledge", vec![]), None);
        assert_eq!(command("Motor1.SubmitLabel", vec![]).unwrap().0, "Motor1".into());
    }
}
