//! The table against the nodeset.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const XML: &str = include_str!("../../nodesets/Driftgate.Types.NodeSet2.xml");
const IDS: &str = include_str!("../../nodesets/Driftgate.Types.NodeIds.csv");

/// Where instances of a type with restricted members stand.
const HOMES: &[(&str, &[&str])] = &[
    ("CommandInterfaceType", &["Gateway.Command", "Motor1.Command"]),
    ("AlarmWordsType", &["Gateway.Alarms", "Motor1.Alarms"]),
    ("ConfigurationType", &["Gateway.Configuration", "Motor1.Configuration"]),
    ("SourceConnectionType", &["Gateway.Sources.PLC1"]),
    ("MachineSettingType", &["Motor1.Settings.Voltage"]),
    ("RegimeSetType", &["Motor1.Regimes"]),
    (
        "DriftTestType",
        &["Motor1.Drift.DataDrift.T1", "Motor1.Models.Stator.PredictionDrift.T4", "Motor1.Models.Stator.PerformanceDrift.T2"],
    ),
    ("DriftMonitorType", &["Motor1.Drift.DataDrift", "Motor1.Models.Stator.PredictionDrift", "Motor1.Models.Stator.PerformanceDrift"]),
    ("DriftType", &["Motor1.Drift"]),
    ("InferenceType", &["Motor1.Models.Stator.Inference"]),
    ("ModelManagementType", &["Motor1.Models.Stator"]),
    ("LabelInputType", &["Motor1.Label"]),
    ("RetrainingBufferType", &["Motor1.Buffers.B01"]),
    ("CheckType", &["Motor1.Checks.FewGaps"]),
    ("FullReportType", &["Motor1.Report"]),
    ("MachineType", &["Motor1"]),
];

/// Bits of PermissionType, in Part 3.
const BITS: [(Action, u32); 6] = [(Browse, 1), (Read, 1 << 5), (Write, 1 << 6), (History, 1 << 7), (Events, 1 << 11), (Call, 1 << 12)];

/// What the nodeset says: of each node with RolePermissions of its own, the roles by action.
struct Described {
    /// Members of own types: the name of the type, of the member, class, permissions.
    members: Vec<(String, String, String, BTreeMap<u32, u32>)>,
    /// Of all other nodes.
    default: BTreeMap<u32, u32>,
}

fn permissions(text: &str) -> BTreeMap<u32, u32> {
    text.split("<RolePermission ")
        .skip(1)
        .map(|entry| {
            let bits = entry.split('"').nth(1).unwrap().parse().unwrap();
            let role = entry.split("i=").nth(1).unwrap().split('<').next().unwrap().parse().unwrap();
            (role, bits)
        })
        .collect()
}

fn described() -> Described {
    let (head, nodes) = XML.split_once("</Models>").unwrap();
    let mut own = BTreeMap::new();
    for element in nodes.split("\n  <UA").skip(1) {
        let id: u32 = element.split("NodeId=\"ns=1;i=").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        own.insert(id, permissions(element));
    }
    let default = permissions(head);
    let members = IDS.lines().filter_map(|line| {
        let mut columns = line.split(',');
        let (path, id, class) = (columns.next()?, columns.next()?.parse::<u32>().ok()?, columns.next()?);
        let (owner, member) = path.split_once('_')?;
        let found = own.get(&id)?;
        let found = if found.is_empty() { default.clone() } else { found.clone() };
        // Deeper ones repeat what their own type says.
        (!member.contains('_')).then(|| (owner.to_string(), member.to_string(), class.to_string(), found))
    });
    Described { members: members.collect(), default: default.clone() }
}

fn as_roles(permissions: &BTreeMap<u32, u32>, bit: u32) -> Roles {
    Role::ALL.into_iter().filter(|role| permissions.get(&role.id()).is_some_and(|bits| bits & bit != 0)).collect()
}

#[test]
fn the_table_equals_the_nodeset() {
    let described = described();
    assert!(described.members.len() > 300, "the nodeset was not understood");
    let mut differences = Vec::new();
    let mut used = BTreeSet::new();
    let mut restricted = 0;
    for (owner, member, class, permissions) in &described.members {
        let Some((_, homes)) = HOMES.iter().find(|(name, _)| name == owner) else {
            if *permissions != described.default {
                differences.push(format!("{owner} is not listed above: where do its instances stand?"));
            }
            continue;
        };
        restricted += usize::from(*permissions != described.default);
        let member = if member.starts_with('<') { "Patience" } else { member };
        for home in *homes {
            let path = format!("{home}.{member}");
            for (action, bit) in BITS {
                // Objects are neither written nor called, variables not called, methods not written.
                if (action == Write && class != "Variable") || (action == Call && class != "Method") {
                    continue;
                }
                if let Some(rule) = TABLE.iter().position(|r| r.actions.contains(&action) && fits(r.pattern, &path)) {
                    used.insert(rule);
                }
                let (table, nodeset) = (granted(&path, action), as_roles(permissions, bit));
                if table != nodeset {
                    differences.push(format!("{path}, {}: the table says {table}, the nodeset {nodeset}", action.name()));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(restricted >= 40, "only {restricted} restricted members were found");
    let idle: Vec<_> = TABLE[..TABLE.len() - 6].iter().enumerate().filter(|(k, _)| !used.contains(k)).map(|(_, r)| r.pattern).collect();
    assert!(idle.is_empty(), "rules that fit no node: {idle:?}");
}

#[test]
fn patterns_fit_whole_segments() {
    for (pattern, path, fit) in [
        ("**", "Gateway", true),
        ("**.Command.Request", "Motor1.Command.Request", true),
        ("**.Command.Request", "Command.Request", true),
        ("**.Command.Request", "Motor1.Command.RequestId", false),
        ("*.Drift.Rebaseline", "Motor1.Drift.Rebaseline", true),
        ("*.Drift.Rebaseline", "A.Motor1.Drift.Rebaseline", false),
        ("**.T1|T2.Threshold", "Motor1.Drift.DataDrift.T2.Threshold", true),
        ("**.T1|T2.Threshold", "Motor1.Drift.DataDrift.T3.Threshold", false),
        ("**.T1|T2.Threshold", "Threshold", false),
    ] {
        assert_eq!(fits(pattern, path), fit, "{pattern} {path}");
    }
}

#[test]
fn what_no_rule_names_nobody_may_change() {
    assert_eq!(granted("Motor1.Drift.Status", Write), Roles::NONE);
    assert_eq!(granted("Motor1.Drift.DataDrift.T1.Threshold.EffectiveValue", Write), Roles::NONE);
    assert_eq!(granted("Motor1.Anything", Call), Roles::NONE);
    assert_eq!(granted("Motor1.Buffers.B01.File.Write", Call), Roles::NONE);
    assert!(granted("Motor1.Models.Stator.ModelTransfer.T1.Write", Call).contains(Role::Engineer));
    assert!(!granted("Motor1.Models.Stator.ModelTransfer.T1.Write", Call).contains(Role::Operator));
    assert!(granted("Motor1.Drift.Status", Read).contains(Role::SecurityAdmin));
}
