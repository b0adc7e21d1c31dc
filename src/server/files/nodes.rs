//! The file objects of the address space.

use std::collections::HashMap;
use std::sync::Arc;

use opcua::types::{DataTypeId, ObjectTypeId};

use super::super::ServerError;
use super::super::instantiate::{Instantiator, join, node_id};
use super::handles::{MAX_READ, PATIENCE};
use super::{Source, Target};
use crate::config::{Config, MachineConfig};

/// Fixed slots of buffers.
const BUFFERS: [&str; 4] = ["B01", "B02", "B03", "B04"];
/// An upload's file, below its transfer object.
const UPLOAD: &str = "Upload";

type Arguments = &'static [(&'static str, DataTypeId)];

/// Methods of a file with their arguments: OPC 10000-20.
const METHODS: [(&str, Arguments, Arguments); 6] = [
    ("Open", &[("Mode", DataTypeId::Byte)], &[("FileHandle", DataTypeId::UInt32)]),
    ("Close", &[("FileHandle", DataTypeId::UInt32)], &[]),
    ("Read", &[("FileHandle", DataTypeId::UInt32), ("Length", DataTypeId::Int32)], &[("Data", DataTypeId::ByteString)]),
    ("Write", &[("FileHandle", DataTypeId::UInt32), ("Data", DataTypeId::ByteString)], &[]),
    ("GetPosition", &[("FileHandle", DataTypeId::UInt32)], &[("Position", DataTypeId::UInt64)]),
    ("SetPosition", &[("FileHandle", DataTypeId::UInt32), ("Position", DataTypeId::UInt64)], &[]),
];

const TRANSFER_METHODS: [(&str, Arguments, Arguments); 3] = [
    (
        "GenerateFileForRead",
        &[("GenerateOptions", DataTypeId::BaseDataType)],
        &[("FileNodeId", DataTypeId::NodeId), ("FileHandle", DataTypeId::UInt32), ("CompletionStateMachine", DataTypeId::NodeId)],
    ),
    (
        "GenerateFileForWrite",
        &[("GenerateOptions", DataTypeId::BaseDataType)],
        &[("FileNodeId", DataTypeId::NodeId), ("FileHandle", DataTypeId::UInt32)],
    ),
    ("CloseAndCommit", &[("FileHandle", DataTypeId::UInt32)], &[("CompletionStateMachine", DataTypeId::NodeId)]),
];

/// Makes the file objects; what comes back says where their content is, by their paths.
pub(in super::super) fn add(nodes: &mut Instantiator<'_>, config: &Config) -> Result<HashMap<Arc<str>, Target>, ServerError> {
    let mut targets = HashMap::new();
    let path = join("Gateway.Configuration", "File");
    nodes.optional("Gateway.Configuration", "ConfigurationType", "File")?;
    file(nodes, &path, "application/toml")?;
    targets.insert(path.into(), Target::Read(Source::Text(Arc::clone(&config.text))));
    for (k, machine) in config.machines.iter().enumerate() {
        of_machine(nodes, k, machine, &mut targets)?;
    }
    Ok(targets)
}

fn of_machine(
    nodes: &mut Instantiator<'_>,
    index: usize,
    machine: &MachineConfig,
    targets: &mut HashMap<Arc<str>, Target>,
) -> Result<(), ServerError> {
    let m = &machine.name;
    for buffer in BUFFERS {
        let buffer = format!("{m}.Buffers.{buffer}");
        nodes.optional(&buffer, "RetrainingBufferType", "File")?;
        let path = join(&buffer, "File");
        file(nodes, &path, "application/octet-stream")?;
        let source = Source::Export { machine: m.clone(), name: join(&buffer, "LastExportFile").into() };
        targets.insert(path.into(), Target::Read(source));
    }
    let report = join(m, "Report");
    let path = join(&report, "HtmlFile");
    nodes.standard_object(&path, &node_id(&report), "HtmlFile", ObjectTypeId::FileType);
    file(nodes, &path, "text/html")?;
    targets.insert(path.into(), Target::Read(Source::Node { path: join(&report, "Html").into() }));
    for model in &machine.models {
        let parent = format!("{m}.Models.{}", model.name);
        nodes.optional(&parent, "ModelManagementType", "ModelTransfer")?;
        let transfer = join(&parent, "ModelTransfer");
        nodes.property(&transfer, "ClientProcessingTimeout", DataTypeId::Duration, (PATIENCE.as_secs_f64() * 1e3).into());
        nodes.set(&join(&transfer, "ClientProcessingTimeout"), PATIENCE.as_secs_f64() * 1e3)?;
        for (name, inputs, outputs) in TRANSFER_METHODS {
            nodes.method(&transfer, name, inputs, outputs);
        }
        let upload: Arc<str> = join(&transfer, UPLOAD).into();
        nodes.standard_object(&upload, &node_id(&transfer), UPLOAD, ObjectTypeId::FileType);
        file(nodes, &upload, "application/octet-stream")?;
        for name in ["Writable", "UserWritable"] {
            nodes.set(&join(&upload, name), true)?;
        }
        let target = Target::Transfer { upload: Arc::clone(&upload), machine: index };
        targets.insert(transfer.into(), target);
        targets.insert(upload, Target::Upload);
    }
    Ok(())
}

/// Properties and methods of a file, as far as its type has not brought them.
fn file(nodes: &mut Instantiator<'_>, path: &str, mime_type: &str) -> Result<(), ServerError> {
    let properties = [
        ("Size", DataTypeId::UInt64, 0u64.into()),
        ("Writable", DataTypeId::Boolean, false.into()),
        ("UserWritable", DataTypeId::Boolean, false.into()),
        ("OpenCount", DataTypeId::UInt16, 0u16.into()),
        ("MimeType", DataTypeId::String, mime_type.into()),
        ("MaxByteStringLength", DataTypeId::UInt32, (MAX_READ as u32).into()),
    ];
    for (name, data_type, value) in properties {
        nodes.property(path, name, data_type, value);
    }
    nodes.set(&join(path, "Size"), 0u64)?;
    nodes.set(&join(path, "OpenCount"), 0u16)?;
    for name in ["Writable", "UserWritable"] {
        nodes.set(&join(path, name), false)?;
    }
    for (name, inputs, outputs) in METHODS {
        nodes.method(path, name, inputs, outputs);
    }
    Ok(())
}
