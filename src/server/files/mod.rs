//! Files over OPC UA (OPC 10000-20): the configuration, the last export of each buffer, the last full report for download; bundles
//! for upload.
//!
//! ```text
//! Open ─▶ Source: text, node, file on disk ─▶ handle (bounded, of one session) ─▶ Read, SetPosition, Close
//! GenerateFileForWrite ─▶ handle ─▶ Write ─▶ CloseAndCommit ─▶ bundle read and checked ─▶ its machine: Candidate
//! ```

mod handles;
mod nodes;
mod upload;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use opcua::nodes::NodeType;
use opcua::server::address_space::AddressSpace;
use opcua::server::node_manager::{MethodCall, RequestContext};
use opcua::sync::{Mutex, RwLock};
use opcua::types::{ByteString, DataValue, NodeId, StatusCode, Variant};

use self::handles::{Content, Handles, Holder};
pub(super) use self::nodes::add;
use super::INSTANCES;
use super::instantiate::{join, node_id};
use super::offer::OfferSenders;
use super::publish::{Values, current, own};
use crate::config::Config;
use crate::dataset::find;
use crate::types::Scalar;

/// Modes of Open.
const READ: u8 = 1;
const ALL_MODES: u8 = 0b1111;

/// What a file object stands for.
pub(super) enum Target {
    Read(Source),
    /// A TemporaryFileTransferType, its file, and the machine that it is for.
    Transfer {
        upload: Arc<str>,
        machine: usize,
    },
    /// Opened by its transfer object only.
    Upload,
}

/// Where the content of a file comes from.
pub(super) enum Source {
    Text(Arc<str>),
    /// The text of a variable.
    Node {
        path: Arc<str>,
    },
    /// A machine's file in the folder of datasets, by the name that a variable has.
    Export {
        machine: Arc<str>,
        name: Arc<str>,
    },
}

pub(super) struct Files {
    targets: HashMap<Arc<str>, Target>,
    handles: Handles,
    config: Arc<Config>,
    data_dir: PathBuf,
    /// Where the exports that variables name were found.
    found: Mutex<HashMap<Arc<str>, PathBuf>>,
    offers: OfferSenders,
}

type Outputs = Result<Vec<Variant>, StatusCode>;

impl Files {
    pub(super) fn new(targets: HashMap<Arc<str>, Target>, config: Arc<Config>, data_dir: PathBuf, offers: OfferSenders) -> Self {
        Self { targets, handles: Handles::default(), config, data_dir, found: Mutex::default(), offers }
    }

    /// Whether a path is a method of a file; the others are somebody else's.
    pub(super) fn owns(&self, method: &str) -> bool {
        method.rsplit_once('.').is_some_and(|(object, _)| self.targets.contains_key(object))
    }

    /// Calls `Motor1.Buffers.B01.File.Read`. The caller's right to do so has been checked.
    pub(super) async fn call(&self, context: &RequestContext, values: &Values<'_>, method: &str, call: &mut MethodCall) {
        let done = match method.rsplit_once('.').and_then(|(object, name)| Some((self.targets.get_key_value(object)?, name))) {
            Some(((path, Target::Read(source)), "Open")) => self.open(context, values, path, source, call.arguments()).await,
            Some(((_, Target::Upload), "Open")) => Err(StatusCode::BadInvalidState),
            Some(((path, Target::Read(_) | Target::Upload), name)) => self.use_open(context, values, path, name, call.arguments()).await,
            Some(((path, Target::Transfer { upload, machine }), name)) => {
                let transfer = upload::Transfer { files: self, transfer: path, upload, machine: *machine };
                transfer.call(context, values, name, call.arguments()).await
            }
            None => Err(StatusCode::BadMethodInvalid),
        };
        match done {
            Ok(outputs) => {
                call.set_outputs(outputs);
                call.set_status(StatusCode::Good);
            }
            Err(status) => call.set_status(status),
        }
    }

    async fn open(
        &self,
        context: &RequestContext,
        values: &Values<'_>,
        path: &Arc<str>,
        source: &Source,
        arguments: &[Variant],
    ) -> Outputs {
        let [Variant::Byte(mode)] = arguments else { return Err(wrong(arguments, 1)) };
        if *mode == 0 || mode & !ALL_MODES != 0 {
            return Err(StatusCode::BadInvalidArgument);
        }
        if *mode != READ {
            return Err(StatusCode::BadNotWritable);
        }
        let content = self.content(values.space, source).await?;
        let size = match &content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Disk(_, size) => *size,
            Content::Upload(_) => 0,
        };
        let handle = self.handles.open(path, holder(context), content)?;
        set_size(values.space, path, size);
        self.count(values, path);
        Ok(vec![handle.into()])
    }

    async fn use_open(&self, context: &RequestContext, values: &Values<'_>, path: &Arc<str>, name: &str, arguments: &[Variant]) -> Outputs {
        let session = context.session_id;
        match (name, arguments) {
            ("Close", [Variant::UInt32(handle)]) => {
                // An upload that is not committed is gone.
                self.handles.close(path, session, *handle)?;
                self.count(values, path);
                Ok(Vec::new())
            }
            ("Read", [Variant::UInt32(handle), Variant::Int32(length)]) => {
                let length = usize::try_from(*length).ok().filter(|l| *l > 0).ok_or(StatusCode::BadInvalidArgument)?;
                let part = self.handles.read(path, session, *handle, length)?;
                let bytes = tokio::task::spawn_blocking(move || part.read()).await.map_err(|_| StatusCode::BadInternalError)??;
                Ok(vec![ByteString::from(bytes).into()])
            }
            ("Write", [Variant::UInt32(handle), Variant::ByteString(data)]) => {
                self.handles.write(path, session, *handle, data.value.as_deref().unwrap_or_default())?;
                Ok(Vec::new())
            }
            ("GetPosition", [Variant::UInt32(handle)]) => Ok(vec![self.handles.position(path, session, *handle)?.into()]),
            ("SetPosition", [Variant::UInt32(handle), Variant::UInt64(position)]) => {
                self.handles.seek(path, session, *handle, *position)?;
                Ok(Vec::new())
            }
            ("Close" | "GetPosition", _) => Err(wrong(arguments, 1)),
            ("Read" | "Write" | "SetPosition", _) => Err(wrong(arguments, 2)),
            _ => Err(StatusCode::BadMethodInvalid),
        }
    }

    async fn content(&self, space: &RwLock<AddressSpace>, source: &Source) -> Result<Content, StatusCode> {
        match source {
            Source::Text(text) => Ok(Content::Memory(text.as_bytes().into())),
            Source::Node { path } => {
                let text = text_of(space, path).ok_or(StatusCode::BadNotFound)?;
                Ok(Content::Memory(text.as_bytes().into()))
            }
            Source::Export { machine, name } => {
                let (machine, file) = (machine.clone(), text_of(space, name).ok_or(StatusCode::BadNotFound)?);
                let data_dir = self.data_dir.clone();
                let opened = tokio::task::spawn_blocking(move || {
                    let path = find(&data_dir, &machine, &file).ok_or(std::io::ErrorKind::NotFound)?;
                    let file = File::open(path)?;
                    let size = file.metadata()?.len();
                    Ok::<_, std::io::Error>(Content::Disk(Arc::new(Mutex::new(file)), size))
                });
                opened.await.map_err(|_| StatusCode::BadInternalError)?.map_err(|_| StatusCode::BadNotFound)
            }
        }
    }

    /// Bytes of the file that a variable names. It is looked for once. Blocking.
    fn size(&self, space: &RwLock<AddressSpace>, machine: &str, variable: &Arc<str>) -> Option<u64> {
        let name = text_of(space, variable)?;
        let known = self.found.lock().get(variable).filter(|path| path.ends_with(&name)).cloned();
        let path = known.filter(|path| path.is_file()).or_else(|| find(&self.data_dir, machine, &name))?;
        let size = std::fs::metadata(&path).ok()?.len();
        self.found.lock().insert(variable.clone(), path);
        Some(size)
    }

    fn count(&self, values: &Values<'_>, path: &str) {
        values.set(&[own(join(path, "OpenCount"), Scalar::U16(self.handles.count(path)))]);
    }

    /// Lets go what sessions have left behind, and looks how large the files are now.
    pub(super) fn refresh(&self, values: &Values<'_>) {
        for path in self.handles.sweep(Instant::now()) {
            self.count(values, &path);
        }
        for (path, target) in &self.targets {
            let size = match target {
                Target::Read(Source::Text(text)) => text.len() as u64,
                Target::Read(Source::Node { path }) => text_of(values.space, path).map_or(0, |text| text.len() as u64),
                Target::Read(Source::Export { machine, name }) => self.size(values.space, machine, name).unwrap_or(0),
                Target::Transfer { .. } | Target::Upload => continue,
            };
            set_size(values.space, path, size);
        }
    }
}

/// Too few, too many, or others than declared.
fn wrong(arguments: &[Variant], wanted: usize) -> StatusCode {
    match arguments.len().cmp(&wanted) {
        std::cmp::Ordering::Less => StatusCode::BadArgumentsMissing,
        std::cmp::Ordering::Equal => StatusCode::BadTypeMismatch,
        std::cmp::Ordering::Greater => StatusCode::BadTooManyArguments,
    }
}

fn holder(context: &RequestContext) -> Holder {
    let session = Arc::downgrade(&context.session);
    Holder { session: context.session_id, alive: Box::new(move || session.strong_count() > 0) }
}

/// A text that is there and not empty.
fn text_of(space: &RwLock<AddressSpace>, path: &str) -> Option<String> {
    match space.read().find((INSTANCES, path)) {
        Some(NodeType::Variable(variable)) => match current(variable).value {
            Some(Variant::String(text)) if !text.is_empty() => Some(text.to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// A size has 64 bits, which none of our own values has: it is set past them, and read, not subscribed to.
fn set_size(space: &RwLock<AddressSpace>, path: &str, size: u64) {
    if let Some(NodeType::Variable(variable)) = space.write().find_mut((INSTANCES, join(path, "Size").as_str()))
        && current(variable).value != Some(size.into())
    {
        variable.set_data_value(DataValue::new_now(size));
    }
}

/// The node of a path as an output argument.
fn id(path: &str) -> Variant {
    Variant::NodeId(Box::new(node_id(path)))
}

fn nothing() -> Variant {
    Variant::NodeId(Box::new(NodeId::null()))
}

#[cfg(test)]
mod tests;
