//! Which role may do what to which of our nodes: one table, held against the nodeset's RolePermissions by a test.

use opcua::nodes::AccessLevel;
use opcua::server::node_manager::RequestContext;
use opcua::types::MessageSecurityMode;

use super::instantiate::node_id;
use crate::users::{Role, Roles};

/// Kinds of access to a node.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Browse,
    /// Also subscribing to values.
    Read,
    /// Subscribing to events, ConditionRefresh.
    Events,
    /// Reading history.
    History,
    Write,
    Call,
}

impl Action {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Browse => "browse",
            Self::Read => "read",
            Self::Events => "events",
            Self::History => "history",
            Self::Write => "write",
            Self::Call => "call",
        }
    }
}

struct Rule {
    pattern: &'static str,
    actions: &'static [Action],
    roles: Roles,
}

const fn rule(pattern: &'static str, actions: &'static [Action], roles: Roles) -> Rule {
    Rule { pattern, actions, roles }
}

use Action::{Browse, Call, Events, History, Read, Write};

const NOBODY: Roles = Roles::NONE;
const EVERYONE: Roles = Roles::ALL;
const OPERATE: Roles = Roles::of(&[Role::Operator, Role::Engineer, Role::ConfigureAdmin]);
const OPERATE_CALL: Roles = Roles::of(&[Role::Operator, Role::Engineer, Role::Supervisor, Role::ConfigureAdmin]);
const ENGINEER: Roles = Roles::of(&[Role::Engineer, Role::ConfigureAdmin]);
const CONFIGURE: Roles = Roles::of(&[Role::ConfigureAdmin]);

/// The first rule counts whose pattern fits the path and whose actions have the action; without one nobody may.
///
/// Patterns: `*` stands for one segment, `a|b` for either, `**` in front for any number of segments. Members of standard types
/// (FileType, alarms), which the nodeset does not describe, stand at the end.
const TABLE: &[Rule] = &[
    rule("**", &[Browse, Read, Events, History], EVERYONE),
    // Commands by variables, acknowledging, labels.
    rule("**.Command.Request|TextArgument|NumericArgument|OperatorName|RequestId", &[Write], OPERATE),
    rule("**.Alarms.AckWord", &[Write], OPERATE),
    rule("**.Label.PredictionId|FromTime|ToTime|LabelClass|TrueValue|Comment", &[Write], OPERATE),
    rule("*.SubmitLabel", &[Call], OPERATE_CALL),
    rule("*.Drift.SuspendMonitoring|ResumeMonitoring", &[Call], OPERATE_CALL),
    rule("*.Buffers.*.AcknowledgeBuffer", &[Call], OPERATE_CALL),
    // Thresholds, references, buffers, models.
    rule("*.Regimes.MinReferenceRows|FreezeAfterLearning|AutoLearnNewRegime", &[Write], ENGINEER),
    rule("*.Regimes.StartReferenceLearning|FreezeReference|AcceptDriftAsNewReference|DiscardReference|RestoreReference", &[Call], ENGINEER),
    rule("*.Settings.*.Tolerance", &[Write], ENGINEER),
    rule("**.DataDrift|PredictionDrift|PerformanceDrift.T1|T2|T3|T4.Name|Threshold", &[Write], ENGINEER),
    rule("**.DataDrift|PredictionDrift|PerformanceDrift.Enabled|WindowRows|Hop|ConsecutiveLimit|Budget", &[Write], ENGINEER),
    rule("**.DataDrift|PredictionDrift|PerformanceDrift.ResetMonitor", &[Call], ENGINEER),
    rule("*.Drift.Rebaseline|RestoreBaseline", &[Call], ENGINEER),
    rule("*.Models.*.Inference.ScoreThreshold|LatencyBudget", &[Write], ENGINEER),
    rule("*.Models.*.ConfirmModel|RollbackModel", &[Call], ENGINEER),
    rule("*.Buffers.*.TargetRows|ExportFormat|AutoExport", &[Write], ENGINEER),
    rule("*.Buffers.*.StartCollecting|ExportBuffer|ReleaseBuffer", &[Call], ENGINEER),
    rule("*.Checks.*.Limit", &[Write], ENGINEER),
    rule("*.Report.Interval", &[Write], ENGINEER),
    // Sources, activation, configuration.
    rule("Gateway.Sources.*.Endpoint|Enabled", &[Write], CONFIGURE),
    rule("*.Models.*.ConfirmationTimeout", &[Write], CONFIGURE),
    rule("*.Models.*.ActivateModel", &[Call], CONFIGURE),
    rule("**.Configuration.ReloadConfig", &[Call], CONFIGURE),
    rule("**.Configuration.ResetParameter", &[Call], ENGINEER),
    rule("**.Configuration.Revision|Hash|LastChangedTime|LastChangedBy|LastErrorText|RestartPending", &[Write], NOBODY),
    rule("**.Configuration.*", &[Write], CONFIGURE),
    // Members of standard types.
    rule("**.Acknowledge|AddComment|Confirm", &[Call], OPERATE_CALL),
    rule("**.Enable|Disable", &[Call], ENGINEER),
    rule("**.ConditionRefresh|ConditionRefresh2", &[Call], EVERYONE),
    rule("*.Models.*.ModelTransfer.GenerateFileForWrite|CloseAndCommit", &[Call], ENGINEER),
    rule("**.ModelTransfer.*.Open|Close|Read|Write|GetPosition|SetPosition", &[Call], ENGINEER),
    rule("**.Open|Close|Read|GetPosition|SetPosition", &[Call], EVERYONE),
];

/// The roles that may do this to the node `ns=2;s=<path>`; of a method, the path of the object and the method's name.
pub(super) fn granted(path: &str, action: Action) -> Roles {
    TABLE.iter().find(|rule| rule.actions.contains(&action) && fits(rule.pattern, path)).map_or(NOBODY, |rule| rule.roles)
}

fn fits(pattern: &str, path: &str) -> bool {
    let segments = path.split('.').count();
    let (pattern, wanted) = match pattern.strip_prefix("**") {
        Some("") => return true,
        Some(rest) => (&rest[1..], rest[1..].split('.').count()),
        None if pattern.split('.').count() == segments => (pattern, segments),
        None => return false,
    };
    if segments < wanted {
        return false;
    }
    let tail = path.split('.').skip(segments - wanted);
    pattern.split('.').zip(tail).all(|(part, segment)| part == "*" || part.split('|').any(|word| word == segment))
}

/// Whether the session behind `context` may do this to the node `ns=2;s=<path>`. For a method it is the path of the object and the
/// method's name (`Motor1.Drift.SuspendMonitoring`), also where the client named the type's method.
///
/// Reads, writes, calls, history and subscriptions of our own nodes are checked before they reach [`super::GatewayNodes`]; ask here
/// where a standard node leads to one of ours: conditions, events of the Server object, files.
pub(super) fn allowed(context: &RequestContext, path: &str, action: Action) -> bool {
    if context.token.is_anonymous() && context.session.read().message_security_mode() != MessageSecurityMode::None {
        return false;
    }
    let (node, authority) = (node_id(path), &context.authenticator);
    let wanted = match action {
        Call => return authority.is_user_executable(&context.token, &node),
        Browse | Read | Events => AccessLevel::CURRENT_READ,
        History => AccessLevel::HISTORY_READ,
        Write => AccessLevel::CURRENT_WRITE,
    };
    authority.effective_user_access_level(&context.token, wanted, &node).contains(wanted)
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
