//! Uploads of bundles: read, held against the machine, and handed to it as its candidate. Activating one is another step.

use std::sync::Arc;

use opcua::server::node_manager::RequestContext;
use opcua::types::{StatusCode, Variant};

use super::super::access::user_name;
use super::super::offer::{Offered, Unfit, offer};
use super::super::publish::Values;
use super::handles::Content;
use super::{Files, Outputs, holder, id, nothing, wrong};

/// One transfer object.
pub(super) struct Transfer<'a> {
    pub(super) files: &'a Files,
    pub(super) transfer: &'a Arc<str>,
    pub(super) upload: &'a Arc<str>,
    pub(super) machine: usize,
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
                self.commit(user_name(&context.token).into(), bytes).await?;
                Ok(vec![nothing()])
            }
            ("GenerateFileForWrite" | "CloseAndCommit", _) => Err(wrong(arguments, 1)),
            _ => Err(StatusCode::BadMethodInvalid),
        }
    }

    /// The machine hears of both: a bundle that fits, and one that does not.
    async fn commit(&self, user: Arc<str>, bytes: Vec<u8>) -> Result<(), StatusCode> {
        let machine = self.files.config.machines.get(self.machine).cloned().ok_or(StatusCode::BadInternalError)?;
        let to = self.files.offers.get(self.machine).ok_or(StatusCode::BadInternalError)?;
        let read = tokio::task::spawn_blocking(move || Offered::read(bytes, &machine));
        let read = read.await.map_err(|_| StatusCode::BadInternalError)?;
        let unfit = read.as_ref().err().map(|why| match why {
            Unfit::Unreadable(_) => StatusCode::BadDecodingError,
            Unfit::Contract(_) => StatusCode::BadConfigurationError,
        });
        let taken = offer(to, read.map_err(|why| why.to_string()), user).await;
        match (unfit, taken) {
            (Some(status), _) => Err(status),
            (None, Ok(())) => Ok(()),
            (None, Err(why)) => {
                tracing::warn!("`{}`: an uploaded bundle cannot be kept: {why}", self.transfer);
                Err(StatusCode::BadUnexpectedError)
            }
        }
    }
}
