//! Commands: methods, and the same through plain variables for screens that cannot call methods. One way to the owner of the state.
//!
//! ```text
//! Call ─(right: guard)─▶ methods ──────────┐
//!                                         ├─▶ Command ─▶ owner of the state ─▶ answer, audit event
//! Write of Request ─▶ interface: right? ──┘
//! ```

mod interface;
mod methods;

use std::sync::Arc;
use std::time::Duration;

use opcua::server::address_space::AddressSpace;
use opcua::server::node_manager::{MethodCall, RequestContext};
use opcua::sync::RwLock;
use opcua::types::{StatusCode, Variant};

pub(super) use interface::{Interfaces, prepare, write};
pub(super) use methods::MethodInfo;

use super::NodeUpdate;
use super::access::user_name;
use super::node_manager::{GatewayNodes, revision};
use super::parameter::{Ask, Rejection, Unanswered, ask_owner};
use super::publish::{Values, now, own};
use super::roles::{Action, allowed};
use crate::types::{Command, EventKind, Refusal, Scalar, Via};
use crate::wire::opcua::{from_scalar, to_scalar};

/// Longest wait for a command: an export writes a file.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// One called method of ours. Its status is set; others are left as they are.
pub(super) async fn call(
    nodes: &GatewayNodes,
    context: &RequestContext,
    space: &RwLock<AddressSpace>,
    (path, info): (&str, &MethodInfo),
    call: &mut MethodCall,
) {
    let user: Arc<str> = user_name(&context.token).into();
    let arguments = match methods::arguments(&info.inputs, call.arguments()) {
        Ok(arguments) => arguments,
        Err(bad) => {
            keep_malformed(nodes, path, info, call.arguments(), user, bad.to_string());
            match bad {
                methods::BadArguments::Missing(_) => call.set_status(StatusCode::BadArgumentsMissing),
                methods::BadArguments::TooMany(_) => call.set_status(StatusCode::BadTooManyArguments),
                methods::BadArguments::Wrong(results) => call.set_argument_error(results),
            }
            return;
        }
    };
    let Some((target, command)) = methods::command(path, arguments) else {
        call.set_status(StatusCode::BadNotImplemented);
        return;
    };
    let ask = Ask { target, command, user, operator: "".into(), via: Via::Method };
    if let Some(why) = not_resettable(nodes, context, &ask.command) {
        keep_refused(nodes, &ask, &why);
        call.set_status(StatusCode::BadUserAccessDenied);
        return;
    }
    let (reconfigures, user) = (reconfigures(&ask.command), ask.user.clone());
    match ask_owner(&nodes.commands, ask, PATIENCE).await {
        Ok(mut answer) => {
            if reconfigures {
                let values = Values { space, subscriptions: &context.subscriptions, shared: &nodes.shared };
                values.set(&new_revision(space, &user));
            }
            answer.outputs.truncate(info.outputs);
            call.set_outputs(answer.outputs.iter().map(from_scalar).collect());
            call.set_status(StatusCode::Good);
        }
        Err(Unanswered::Refused(Refusal::Argument { index, .. })) if index < info.inputs.len() => {
            let mut results = vec![StatusCode::Good; info.inputs.len()];
            results[index] = StatusCode::BadOutOfRange;
            call.set_argument_error(results);
        }
        Err(why) => call.set_status(Rejection::from(why).status),
    }
}

/// Whether a command changes the configuration.
fn reconfigures(command: &Command) -> bool {
    matches!(command, Command::ResetParameter { .. } | Command::ReloadConfig { dry_run: false })
}

fn new_revision(space: &RwLock<AddressSpace>, user: &str) -> Vec<NodeUpdate> {
    vec![
        own("Gateway.Configuration.LastChangedTime", Scalar::Time(now())),
        own("Gateway.Configuration.LastChangedBy", user),
        own("Gateway.Configuration.Revision", Scalar::U32(revision(space).wrapping_add(1))),
    ]
}

/// Whether a session may give a command by variables: what it may do to the node of the method that does the same.
fn permitted(context: &RequestContext, ask: &Ask) -> bool {
    let action = if matches!(ask.command, Command::AcknowledgeAlarms { .. }) { Action::Write } else { Action::Call };
    allowed(context, &ask.command.path(&ask.target), action)
}

/// Why a session may not reset what it asks for: a parameter that it may not write.
fn not_resettable(nodes: &GatewayNodes, context: &RequestContext, command: &Command) -> Option<String> {
    let Command::ResetParameter { path: wanted, .. } = command else { return None };
    let meant = |path: &str| if wanted.ends_with('.') { path.starts_with(&**wanted) } else { *path == **wanted };
    let forbidden = |path: &&Arc<str>| meant(path) && !allowed(context, path, Action::Write);
    nodes.shared.parameters.keys().filter(forbidden).min().map(|path| format!("the user has no right to write {path}"))
}

/// Keeps a command that never reached its owner.
fn keep_refused(nodes: &GatewayNodes, ask: &Ask, why: &str) {
    let Ask { target, command, user, operator, via } = ask;
    let refused = Some(why.to_string());
    let kind = EventKind::Command {
        command: command.name().into(),
        path: command.path(target).into(),
        via: *via,
        arguments: command.arguments(),
        user: user.clone(),
        operator: operator.clone(),
        old: String::new(),
        new: String::new(),
        result: String::new(),
        refused,
    };
    nodes.audit.keep(kind);
}

/// Keeps a call whose arguments are none.
fn keep_malformed(nodes: &GatewayNodes, path: &str, info: &MethodInfo, given: &[Variant], user: Arc<str>, why: String) {
    let named = info.inputs.iter().zip(given);
    let arguments = named.filter_map(|((name, kind), value)| Some((name.clone(), to_scalar(value, *kind)?)));
    let kind = EventKind::Command {
        command: path.rsplit('.').next().unwrap_or_default().into(),
        path: path.into(),
        via: Via::Method,
        arguments: arguments.collect(),
        user,
        operator: "".into(),
        old: String::new(),
        new: String::new(),
        result: String::new(),
        refused: Some(why),
    };
    nodes.audit.keep(kind);
}

/// A request that is no command at all.
fn keep_nonsense(nodes: &GatewayNodes, target: &str, written: Scalar, user: Arc<str>, operator: Arc<str>, why: &str) {
    let kind = EventKind::Command {
        command: "Request".into(),
        path: format!("{target}.Command.Request").into(),
        via: Via::Variables,
        arguments: vec![("Request".into(), written)],
        user,
        operator,
        old: String::new(),
        new: String::new(),
        result: String::new(),
        refused: Some(why.to_string()),
    };
    nodes.audit.keep(kind);
}

/// Name of a command for texts.
fn words(command: &Command) -> &'static str {
    command.name()
}
