//! Writes of parameters: checks, then a command to the owner of the state, whose answer decides.

use std::sync::Arc;
use std::time::Duration;

use opcua::types::{DataValue, NumericRange, StatusCode};
use tokio::sync::oneshot;

use super::{CommandRequest, CommandSender, ParameterSpec};
use crate::types::{Answer, Command, Refusal, Scalar, ScalarKind, Via};
use crate::wire::opcua::to_scalar;

/// Longest wait for the owner of the state.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest text, bytes.
const MAX_TEXT: usize = 1_000;

/// Why nothing was changed: for the client, and for the `LastErrorText` of HMIs that hide status codes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rejection {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Rejection {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::OutOfRange(_) => StatusCode::BadOutOfRange,
            Refusal::TypeMismatch(_) => StatusCode::BadTypeMismatch,
            Refusal::InvalidState(_) => StatusCode::BadInvalidState,
            Refusal::Unknown(_) => StatusCode::BadNodeIdUnknown,
            Refusal::NotSupported(_) => StatusCode::BadNotSupported,
            Refusal::Denied(_) => StatusCode::BadUserAccessDenied,
            Refusal::Argument { .. } => StatusCode::BadInvalidArgument,
        };
        Self::new(status, refusal.to_string())
    }
}

/// The written value, if it has exactly the parameter's type and lies in its range.
pub(super) fn check(spec: &ParameterSpec, written: &DataValue, range: &NumericRange) -> Result<Scalar, Rejection> {
    if range.has_range() || written.status.is_some_and(|status| !status.is_good()) {
        return Err(Rejection::new(StatusCode::BadWriteNotSupported, "only whole values with a good status can be written"));
    }
    let kind = kind_name(spec.kind);
    let wrong_type = || Rejection::new(StatusCode::BadTypeMismatch, format!("the value has another type: write a {kind}"));
    let value = written.value.as_ref().and_then(|v| to_scalar(v, spec.kind)).ok_or_else(wrong_type)?;
    if let Scalar::Text(text) = &value
        && text.len() > MAX_TEXT
    {
        return Err(Rejection::new(StatusCode::BadOutOfRange, format!("the text is too long: at most {MAX_TEXT} bytes")));
    }
    // The range of a threshold is that of its test, which may be another one than at the start: its owner knows.
    let Some(number) = value.number().filter(|_| !spec.path.ends_with(".Threshold")) else { return Ok(value) };
    let (min, max) = (spec.min.unwrap_or(f64::NEG_INFINITY), spec.max.unwrap_or(f64::INFINITY));
    // False for NaN, too.
    if number.is_finite() && (min..=max).contains(&number) {
        Ok(value)
    } else {
        Err(Rejection::new(StatusCode::BadOutOfRange, format!("`{value}` is out of range: write {}", allowed(spec.min, spec.max))))
    }
}

fn allowed(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "a finite number".into(),
    }
}

fn kind_name(kind: ScalarKind) -> &'static str {
    match kind {
        ScalarKind::Bool => "Boolean",
        ScalarKind::U16 => "UInt16",
        ScalarKind::U32 => "UInt32",
        ScalarKind::F64 => "Double",
        ScalarKind::Text => "String",
        ScalarKind::Time => "DateTime",
    }
}

/// Asks the owner of the state to take the value, and waits for its answer at most `patience`.
pub(super) async fn submit(
    commands: &CommandSender,
    path: Arc<str>,
    value: Scalar,
    user: &str,
    patience: Duration,
) -> Result<(), Rejection> {
    let target = path.split('.').next().unwrap_or_default().into();
    let ask = Ask { target, command: Command::SetParameter { path, value }, user: user.into(), operator: "".into(), via: Via::Variables };
    ask_owner(commands, ask, patience).await.map(|_| ()).map_err(Rejection::from)
}

/// A command on its way to the owner of the state.
pub(super) struct Ask {
    pub(super) target: Arc<str>,
    pub(super) command: Command,
    pub(super) user: Arc<str>,
    pub(super) operator: Arc<str>,
    pub(super) via: Via,
}

/// Why there is no good answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Unanswered {
    Refused(Refusal),
    Stopping,
    Late,
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Stopping => f.write_str("the gateway is stopping"),
            Self::Late => f.write_str("the gateway did not answer in time: read the value back"),
        }
    }
}

impl From<Unanswered> for Rejection {
    fn from(why: Unanswered) -> Self {
        let text = why.to_string();
        match why {
            Unanswered::Refused(refusal) => refusal.into(),
            Unanswered::Stopping => Self::new(StatusCode::BadShutdown, text),
            Unanswered::Late => Self::new(StatusCode::BadTimeout, text),
        }
    }
}

/// Asks the owner of the state, and waits for its answer at most `patience`.
pub(super) async fn ask_owner(commands: &CommandSender, ask: Ask, patience: Duration) -> Result<Answer, Unanswered> {
    let (reply, answer) = oneshot::channel();
    let Ask { target, command, user, operator, via } = ask;
    let request = CommandRequest { target, command, user, operator, via, reply };
    let exchange = async {
        commands.send(request).await.map_err(|_| Unanswered::Stopping)?;
        answer.await.map_err(|_| Unanswered::Stopping)?.map_err(Unanswered::Refused)
    };
    tokio::time::timeout(patience, exchange).await.unwrap_or(Err(Unanswered::Late))
}

#[cfg(test)]
mod tests {
    use opcua::types::Variant;
    use tokio::sync::mpsc;

    use super::*;

    fn spec(kind: ScalarKind, value: Scalar) -> ParameterSpec {
        ParameterSpec {
            path: "p".into(),
            kind,
            default: value.clone(),
            value,
            min: Some(0.0),
            max: Some(10.0),
            unit: "",
            allowed: &[],
            description: "",
        }
    }

    fn status(spec: &ParameterSpec, value: impl Into<Variant>) -> StatusCode {
        match check(spec, &DataValue::value_only(value), &NumericRange::None) {
            Ok(_) => StatusCode::Good,
            Err(rejection) => rejection.status,
        }
    }

    #[test]
    fn only_the_exact_type_within_the_range_passes() {
        let threshold = spec(ScalarKind::F64, Scalar::F64(1.0));
        for good in [0.0, 10.0, 0.05] {
            assert_eq!(status(&threshold, good), StatusCode::Good);
        }
        for bad in [-0.001, 10.001, f64::NAN, f64::INFINITY] {
            assert_eq!(status(&threshold, bad), StatusCode::BadOutOfRange, "{bad}");
        }
        for wrong in [Variant::from(1.0f32), 1i32.into(), "1".into(), vec![1.0f64].into(), Variant::Empty] {
            assert_eq!(status(&threshold, wrong), StatusCode::BadTypeMismatch);
        }
        let rows = spec(ScalarKind::U32, Scalar::U32(1));
        assert_eq!((status(&rows, 10u32), status(&rows, 11u32)), (StatusCode::Good, StatusCode::BadOutOfRange));
        assert_eq!(status(&rows, 1u16), StatusCode::BadTypeMismatch);
    }

    #[test]
    fn parts_and_statuses_cannot_be_written() {
        let text = spec(ScalarKind::Text, "x".into());
        let part = check(&text, &DataValue::value_only("abc"), &NumericRange::Index(1));
        assert_eq!(part.unwrap_err().status, StatusCode::BadWriteNotSupported);
        let bad = DataValue { status: Some(StatusCode::Bad), ..DataValue::value_only("abc") };
        assert_eq!(check(&text, &bad, &NumericRange::None).unwrap_err().status, StatusCode::BadWriteNotSupported);
        assert_eq!(check(&text, &DataValue::value_only("abc"), &NumericRange::None), Ok("abc".into()));
    }

    #[tokio::test]
    async fn a_refusal_comes_back_with_its_reason() {
        let (commands, mut requests) = mpsc::channel(1);
        let owner = tokio::spawn(async move {
            let request: CommandRequest = requests.recv().await.unwrap();
            assert_eq!((&*request.user, request.command), ("engineer", Command::SetParameter { path: "p".into(), value: Scalar::U32(3) }));
            request.reply.send(Err(Refusal::InvalidState("learning".into()))).unwrap();
        });
        let answer = submit(&commands, "p".into(), Scalar::U32(3), "engineer", ANSWER_TIMEOUT).await;
        assert_eq!(answer, Err(Rejection::new(StatusCode::BadInvalidState, "learning")));
        owner.await.unwrap();
        let gone = submit(&commands, "p".into(), Scalar::U32(3), "engineer", ANSWER_TIMEOUT).await;
        assert_eq!(gone.unwrap_err().status, StatusCode::BadShutdown);
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        let (commands, _requests) = mpsc::channel(1);
        let answer = submit(&commands, "p".into(), Scalar::U32(3), "engineer", Duration::from_millis(1)).await;
        assert_eq!(answer.unwrap_err().status, StatusCode::BadTimeout);
    }
}
