//! Uploads of bundles: taken into the inbox when the bundle's own reader accepts them and they fit the machine. Activating one is
//! another step.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use opcua::server::node_manager::RequestContext;
use opcua::types::{StatusCode, Variant};

use super::super::publish::Values;
use super::handles::Content;
use super::{Files, INBOX, Outputs, candidate, holder, id, nothing, wrong};
use crate::bundle::{self, Bundle};
use crate::config::MachineConfig;
use crate::types::{ModelState, Scalar};

/// One transfer object.
pub(super) struct Transfer<'a> {
    pub(super) files: &'a Files,
    pub(super) transfer: &'a Arc<str>,
    pub(super) upload: &'a Arc<str>,
    pub(super) machine: usize,
    pub(super) parent: &'a Arc<str>,
}

/// An accepted bundle.
struct Accepted {
    bundle: Bundle,
    hash: String,
    size: u32,
}

/// Why a bundle is not taken.
struct Refused {
    status: StatusCode,
    text: String,
}

impl Transfer<'_> {
    pub(super) async fn call(&self, context: &RequestContext, values: &Values<'_>, name: &str, arguments: &[Variant]) -> Outputs {
        match (name, arguments) {
            // There is one kind of file: options say nothing.
            ("GenerateFileForWrite", [_]) => {
                let handle = self.files.handles.open(self.upload, holder(context), Content::Upload(Vec::new()))?;
                self.files.count(values, self.upload);
                Ok(vec![id(self.upload), handle.into()])
            }
            ("GenerateFileForRead", _) => Err(StatusCode::BadNotSupported),
            ("CloseAndCommit", [Variant::UInt32(handle)]) => {
                let content = self.files.handles.close(self.upload, context.session_id, *handle)?;
                self.files.count(values, self.upload);
                let Content::Upload(bytes) = content else { return Err(StatusCode::BadInvalidState) };
                self.commit(values, bytes).await?;
                Ok(vec![nothing()])
            }
            ("GenerateFileForWrite" | "CloseAndCommit", _) => Err(wrong(arguments, 1)),
            _ => Err(StatusCode::BadMethodInvalid),
        }
    }

    async fn commit(&self, values: &Values<'_>, bytes: Vec<u8>) -> Result<(), StatusCode> {
        let machine = self.files.config.machines.get(self.machine).cloned().ok_or(StatusCode::BadInternalError)?;
        let inbox = self.files.data_dir.join(INBOX);
        let name = self.parent.replace('.', "-");
        let taken = tokio::task::spawn_blocking(move || take(&bytes, &machine, &inbox, &name));
        match taken.await.map_err(|_| StatusCode::BadInternalError)? {
            Ok(accepted) => {
                tracing::info!("`{}`: bundle {} was uploaded", self.transfer, accepted.hash);
                values.set(&candidate(self.parent, shown(&accepted)));
                Ok(())
            }
            Err(refused) => {
                tracing::warn!("`{}`: an uploaded bundle is refused: {}", self.transfer, refused.text);
                let text = refused.text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>();
                let state = Scalar::U16(ModelState::Failed.code());
                values.set(&candidate(self.parent, vec![("State", state), ("StateText", Scalar::Text(text.into()))]));
                Err(refused.status)
            }
        }
    }
}

fn shown(accepted: &Accepted) -> Vec<(&'static str, Scalar)> {
    let Accepted { bundle, hash, size } = accepted;
    vec![
        ("State", Scalar::U16(ModelState::Ready.code())),
        ("StateText", "uploaded: not active yet".into()),
        ("Name", (&*bundle.machine).into()),
        ("Hash", hash.as_str().into()),
        ("SizeBytes", Scalar::U32(*size)),
        ("TrainedFrom", Scalar::Time(bundle.provenance.from)),
        ("TrainedTo", Scalar::Time(bundle.provenance.to)),
    ]
}

/// Reads, checks and keeps a bundle; a file of another name first, so that what is in the inbox is whole.
fn take(bytes: &[u8], machine: &MachineConfig, inbox: &Path, name: &str) -> Result<Accepted, Refused> {
    let refused = |status, text: String| Refused { status, text };
    let (bundle, hash) = bundle::decode(bytes).map_err(|e| refused(StatusCode::BadDecodingError, e.to_string()))?;
    bundle.check(machine).map_err(|e| refused(StatusCode::BadConfigurationError, e.to_string()))?;
    let kept = (|| {
        fs::create_dir_all(inbox)?;
        let (new, path) = (inbox.join(format!("{name}.new")), inbox.join(format!("{name}.bundle")));
        fs::write(&new, bytes)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(new, path)
    })();
    kept.map_err(|e: std::io::Error| refused(StatusCode::BadUnexpectedError, format!("the bundle cannot be kept: {e}")))?;
    Ok(Accepted { bundle, hash, size: u32::try_from(bytes.len()).unwrap_or(u32::MAX) })
}
