//! The command interface: plain variables that screens write, and a result that stays until the next request.
//!
//! ```text
//! arguments, then Request=code ─▶ known? right? possible? free? ─no─▶ State=Rejected, ResultText; the write has a bad status
//!                                        │ yes
//!                                        ▼
//!                          State=Busy ─▶ owner ─▶ State=Done | Rejected | Failed, Request back to 0
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opcua::server::address_space::{AddressSpace, NodeType};
use opcua::server::node_manager::{ParsedWriteValue, RequestContext};
use opcua::sync::RwLock;
use opcua::types::{AttributeId, DateTime, StatusCode, Variant};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::super::access::user_name;
use super::super::instantiate::{Instantiator, join};
use super::super::node_manager::{GatewayNodes, instance_path, said};
use super::super::parameter::{Ask, Rejection, Unanswered, ask_owner, check};
use super::super::publish::{Values, current, now, own};
use super::super::{INSTANCES, NodeUpdate, ParameterSpec, ServerError};
use super::{PATIENCE, keep_nonsense, keep_refused, new_revision, not_resettable, permitted, reconfigures, words};
use crate::server::view::ascii;
use crate::types::{
    Answer, Command, CommandCode, CommandState, GATEWAY, LabelArguments, RequestArguments, Scalar, ScalarKind, Timestamp, Via, one_line,
};
use crate::wire::opcua::to_scalar;

/// A write waits so long for the end of its command; then it says Good, and the end shows in State.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of a command interface: names, types, values at start.
fn arguments() -> [(&'static str, Scalar); 4] {
    [("TextArgument", "".into()), ("NumericArgument", Scalar::F64(0.0)), ("OperatorName", "".into()), ("RequestId", Scalar::U32(0))]
}

/// Variables of the label input that screens write.
fn label() -> [(&'static str, Scalar); 6] {
    [
        ("PredictionId", "".into()),
        ("FromTime", Scalar::Time(Timestamp::EPOCH)),
        ("ToTime", Scalar::Time(Timestamp::EPOCH)),
        ("LabelClass", Scalar::U16(0)),
        ("TrueValue", Scalar::F64(0.0)),
        ("Comment", "".into()),
    ]
}

/// One command interface: of a machine, or of the gateway.
#[derive(Debug)]
pub(in crate::server) struct Interface {
    /// Machine or gateway.
    target: Arc<str>,
    busy: AtomicBool,
}

/// What command interfaces share.
#[derive(Debug)]
pub(in crate::server) struct Interfaces {
    /// By the path of their `Request`.
    requests: HashMap<Arc<str>, Arc<Interface>>,
    /// Variables that are only kept until a request uses them.
    inputs: HashMap<Arc<str>, ParameterSpec>,
    /// Results that came after the write had ended, on their way to the publisher.
    late: mpsc::Sender<Vec<NodeUpdate>>,
    /// Commands under way.
    pub(in crate::server) tasks: TaskTracker,
}

impl Interfaces {
    /// The second half is for the publisher.
    pub(in crate::server) fn new(prepared: Vec<ParameterSpec>) -> (Self, mpsc::Receiver<Vec<NodeUpdate>>) {
        let (late, results) = mpsc::channel(16);
        let (mut requests, mut inputs) = (HashMap::new(), HashMap::new());
        for spec in prepared {
            if spec.path.ends_with(".Command.Request") {
                let target = spec.path.split('.').next().unwrap_or_default().into();
                requests.insert(spec.path.clone(), Arc::new(Interface { target, busy: AtomicBool::new(false) }));
            } else {
                inputs.insert(spec.path.clone(), spec);
            }
        }
        (Self { requests, inputs, late, tasks: TaskTracker::new() }, results)
    }
}

/// Makes the variables of a command interface (and of a machine's label input) writable, with values as of a start: nothing that was
/// asked for before a restart is done after it. Returns what can be written.
pub(in crate::server) fn prepare(nodes: &mut Instantiator<'_>, target: &str) -> Result<Vec<ParameterSpec>, ServerError> {
    let command = join(target, "Command");
    let initial: [(&str, Variant); 9] = [
        ("State", CommandState::Idle.code().into()),
        ("StateText", CommandState::Idle.name().into()),
        ("Busy", false.into()),
        ("LastRequest", 0u16.into()),
        ("AckId", 0u32.into()),
        ("ResultCode", 0u32.into()),
        ("ResultText", "".into()),
        ("Progress", 0.0.into()),
        ("AllowedRequests", if target == GATEWAY { gateway_requests() } else { 0 }.into()),
    ];
    for (name, value) in initial {
        nodes.set(&join(&command, name), value)?;
    }
    let mut writable = vec![(join(&command, "Request"), Scalar::U16(0))];
    writable.extend(arguments().map(|(name, value)| (join(&command, name), value)));
    if target != GATEWAY {
        let input = join(target, "Label");
        writable.extend(label().map(|(name, value)| (join(&input, name), value)));
    }
    let mut specs = Vec::new();
    for (path, value) in writable {
        nodes.writable(&path)?;
        match &value {
            Scalar::Time(_) => nodes.set(&path, DateTime::null())?,
            value => nodes.set(&path, crate::wire::opcua::from_scalar(value))?,
        }
        specs.push(ParameterSpec {
            path: path.into(),
            kind: value.kind(),
            default: value.clone(),
            value,
            min: None,
            max: None,
            unit: "",
            allowed: &[],
            description: "",
        });
    }
    Ok(specs)
}

/// What the gateway can always be asked for.
fn gateway_requests() -> u32 {
    CommandCode::ReloadConfig.bit() | CommandCode::ResetParameter.bit()
}

/// A written variable of a command interface; `None` where it is none.
pub(in crate::server) async fn write(
    nodes: &GatewayNodes,
    context: &RequestContext,
    space: &RwLock<AddressSpace>,
    written: &ParsedWriteValue,
) -> Option<StatusCode> {
    let path = instance_path(&written.node_id).filter(|_| written.attribute_id == AttributeId::Value)?;
    let interfaces = &nodes.shared.interfaces;
    if let Some(spec) = interfaces.inputs.get(path) {
        return Some(keep_input(nodes, context, space, spec, written));
    }
    let desk = Desk { nodes, context, space, interface: interfaces.requests.get(path)? };
    Some(match request_code(written) {
        // Some screens put their button back by themselves.
        Ok(0) => StatusCode::Good,
        Ok(code) => desk.request(code).await,
        Err(rejection) => desk.refuse_malformed(written, &rejection),
    })
}

/// The written code, if it is written as a whole, as a UInt16 and with a good status.
fn request_code(written: &ParsedWriteValue) -> Result<u16, Rejection> {
    if written.index_range.has_range() || written.value.status.is_some_and(|status| !status.is_good()) {
        return Err(Rejection::new(StatusCode::BadWriteNotSupported, "only a whole code with a good status can be written"));
    }
    match written.value.value.as_ref().and_then(|v| to_scalar(v, ScalarKind::U16)) {
        Some(Scalar::U16(code)) => Ok(code),
        _ => Err(Rejection::new(StatusCode::BadTypeMismatch, "the code has another type: write a UInt16")),
    }
}

/// An argument for the next request. A time is taken as it is.
fn keep_input(
    nodes: &GatewayNodes,
    context: &RequestContext,
    space: &RwLock<AddressSpace>,
    spec: &ParameterSpec,
    written: &ParsedWriteValue,
) -> StatusCode {
    let value = match (check(spec, &written.value, &written.index_range), spec.kind) {
        (Ok(Scalar::Text(text)), _) if text.len() > 1_000 => return StatusCode::BadOutOfRange,
        (Ok(value), _) => value,
        (Err(rejection), _) => return rejection.status,
    };
    let values = Values { space, subscriptions: &context.subscriptions, shared: &nodes.shared };
    values.set(&[own(Arc::clone(&spec.path), value)]);
    StatusCode::Good
}

/// One request at its interface.
struct Desk<'a> {
    nodes: &'a GatewayNodes,
    context: &'a RequestContext,
    space: &'a RwLock<AddressSpace>,
    interface: &'a Arc<Interface>,
}

/// Who asks, by what the session and the variables say.
struct Asker {
    user: Arc<str>,
    operator: Arc<str>,
    id: u32,
}

impl Desk<'_> {
    fn asker(&self) -> Asker {
        Asker {
            user: user_name(&self.context.token).into(),
            operator: self.text("Command.OperatorName"),
            id: if let Some(Variant::UInt32(id)) = self.value("Command.RequestId") { id } else { 0 },
        }
    }

    /// What was written is no code at all.
    fn refuse_malformed(&self, written: &ParsedWriteValue, rejection: &Rejection) -> StatusCode {
        let asker = self.asker();
        let value = written.value.value.as_ref().map(said).unwrap_or_default();
        keep_nonsense(
            self.nodes,
            &self.interface.target,
            value.as_str().into(),
            asker.user.clone(),
            asker.operator.clone(),
            &rejection.text,
        );
        self.reject(0, &asker, rejection)
    }

    async fn request(&self, code: u16) -> StatusCode {
        let target = &self.interface.target;
        let asker = self.asker();
        let wrong = |text: String| Rejection::new(StatusCode::BadOutOfRange, text);
        let command = match CommandCode::of(code).filter(|c| *c != CommandCode::None) {
            None => Err(wrong(format!("{code} is no command"))),
            Some(known) => Command::of_request(known, &self.arguments()).map_err(|refusal| wrong(refusal.to_string())),
        };
        let command = match command {
            Ok(command) => command,
            Err(rejection) => {
                keep_nonsense(self.nodes, target, Scalar::U16(code), asker.user.clone(), asker.operator.clone(), &rejection.text);
                return self.reject(code, &asker, &rejection);
            }
        };
        let user = asker.user.clone();
        let ask = Ask { target: target.clone(), command, user, operator: asker.operator.clone(), via: Via::Variables };
        let denied = match permitted(self.context, &ask) {
            true => not_resettable(self.nodes, self.context, &ask.command),
            false => Some(format!("the user has no right to {}", words(&ask.command))),
        };
        if let Some(why) = denied {
            keep_refused(self.nodes, &ask, &why);
            return self.reject(code, &asker, &Rejection::new(StatusCode::BadUserAccessDenied, why));
        }
        let allowed = if let Some(Variant::UInt32(bits)) = self.value("Command.AllowedRequests") { bits } else { 0 };
        if allowed & ask.command.code().bit() == 0 {
            let why = format!("{} is not possible now", words(&ask.command));
            keep_refused(self.nodes, &ask, &why);
            return self.reject(code, &asker, &Rejection::new(StatusCode::BadInvalidState, why));
        }
        if self.interface.busy.swap(true, Ordering::AcqRel) {
            // The state is that of the command under way.
            let why = format!("{} refused: another command is under way", words(&ask.command));
            keep_refused(self.nodes, &ask, &why);
            self.set(&[self.own("ResultText", why.as_str())]);
            return StatusCode::BadInvalidState;
        }
        self.execute(code, &asker, ask).await
    }

    async fn execute(&self, code: u16, asker: &Asker, ask: Ask) -> StatusCode {
        let (name, reconfigures) = (words(&ask.command), reconfigures(&ask.command));
        self.set(&[
            self.own("Request", Scalar::U16(code)),
            self.own("LastRequest", Scalar::U16(code)),
            self.own("AckId", Scalar::U32(asker.id)),
            self.own("State", Scalar::U16(CommandState::Busy.code())),
            self.own("StateText", CommandState::Busy.name()),
            self.own("Busy", Scalar::Bool(true)),
            self.own("ResultCode", Scalar::U32(StatusCode::Good.bits())),
            self.own("ResultText", name),
            self.own("Progress", Scalar::F64(0.0)),
        ]);
        let (done, end) = oneshot::channel();
        let (commands, interface) = (self.nodes.commands.clone(), Arc::clone(self.interface));
        let late = self.nodes.shared.interfaces.late.clone();
        // The command goes on where its client has gone.
        self.nodes.shared.interfaces.tasks.spawn(async move {
            let outcome = Outcome::of(name, ask_owner(&commands, ask, PATIENCE).await);
            if let Err(outcome) = done.send(outcome) {
                // The publisher may have ended.
                let _ = late.send(outcome.updates(&interface.target)).await;
                interface.busy.store(false, Ordering::Release);
            }
        });
        match tokio::time::timeout(WRITE_PATIENCE, end).await {
            Ok(Ok(outcome)) => {
                if reconfigures && outcome.state == CommandState::Done {
                    self.set(&new_revision(self.space, &asker.user));
                }
                self.set(&outcome.updates(&self.interface.target));
                self.interface.busy.store(false, Ordering::Release);
                outcome.status
            }
            // Still under way: State says how it ends.
            _ => StatusCode::Good,
        }
    }

    fn reject(&self, code: u16, asker: &Asker, rejection: &Rejection) -> StatusCode {
        let Rejection { status, text } = rejection;
        if self.interface.busy.load(Ordering::Acquire) {
            self.set(&[self.own("ResultText", ascii(text).as_str())]);
            return *status;
        }
        let mut updates = vec![self.own("LastRequest", Scalar::U16(code)), self.own("AckId", Scalar::U32(asker.id))];
        let outcome = Outcome { state: CommandState::Rejected, status: *status, text: ascii(text) };
        updates.extend(outcome.updates(&self.interface.target));
        self.set(&updates);
        *status
    }

    /// What stands in the argument variables.
    fn arguments(&self) -> RequestArguments {
        let number = |name: &str| if let Some(Variant::Double(x)) = self.value(name) { x } else { 0.0 };
        let time = |name: &str| match self.value(name).and_then(|v| to_scalar(&v, ScalarKind::Time)) {
            Some(Scalar::Time(time)) if time > Timestamp::EPOCH => time,
            _ => Timestamp::EPOCH,
        };
        RequestArguments {
            text: self.text("Command.TextArgument"),
            number: number("Command.NumericArgument"),
            label: LabelArguments {
                prediction: self.text("Label.PredictionId"),
                from: time("Label.FromTime"),
                to: time("Label.ToTime"),
                class: if let Some(Variant::UInt16(class)) = self.value("Label.LabelClass") { class } else { 0 },
                value: number("Label.TrueValue"),
                comment: self.text("Label.Comment"),
            },
        }
    }

    fn text(&self, name: &str) -> Arc<str> {
        match self.value(name) {
            Some(Variant::String(text)) => one_line(text.as_ref()).into(),
            _ => "".into(),
        }
    }

    /// The present value of a variable below the target.
    fn value(&self, name: &str) -> Option<Variant> {
        match self.space.read().find((INSTANCES, join(&self.interface.target, name).as_str())) {
            Some(NodeType::Variable(variable)) => current(variable).value,
            _ => None,
        }
    }

    fn own(&self, name: &str, value: impl Into<Scalar>) -> NodeUpdate {
        own(format!("{}.Command.{name}", self.interface.target), value)
    }

    fn set(&self, updates: &[NodeUpdate]) {
        Values { space: self.space, subscriptions: &self.context.subscriptions, shared: &self.nodes.shared }.set(updates);
    }
}

/// How a request has ended.
#[derive(Debug)]
struct Outcome {
    state: CommandState,
    status: StatusCode,
    text: String,
}

impl Outcome {
    fn of(name: &str, answer: Result<Answer, Unanswered>) -> Self {
        match answer {
            Ok(answer) => {
                let text = if answer.text.is_empty() { name.into() } else { ascii(&answer.text) };
                Self { state: CommandState::Done, status: StatusCode::Good, text }
            }
            Err(why) => {
                let state = if matches!(why, Unanswered::Refused(_)) { CommandState::Rejected } else { CommandState::Failed };
                let Rejection { status, text } = Rejection::from(why);
                let status = if status == StatusCode::BadInvalidArgument { StatusCode::BadOutOfRange } else { status };
                Self { state, status, text: ascii(&text) }
            }
        }
    }

    fn updates(&self, target: &str) -> Vec<NodeUpdate> {
        let own = |name: &str, value: Scalar| own(format!("{target}.Command.{name}"), value);
        vec![
            own("ResultCode", Scalar::U32(self.status.bits())),
            own("ResultText", self.text.as_str().into()),
            own("LastTime", Scalar::Time(now())),
            own("Progress", Scalar::F64(if self.state == CommandState::Done { 100.0 } else { 0.0 })),
            own("Busy", Scalar::Bool(false)),
            own("State", Scalar::U16(self.state.code())),
            own("StateText", self.state.name().into()),
            own("Request", Scalar::U16(0)),
        ]
    }
}
