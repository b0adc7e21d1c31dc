//! Commands to one machine: decided by its core, stored, put in force, answered, and kept as events.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Running, keys, log, wall_clock};
use crate::alarm::Scope;
use crate::bundle;
use crate::config::{MachineConfig, tunable};
use crate::pipeline::core::{Decided, Plan};
use crate::server::CommandRequest;
use crate::store::Record;
use crate::types::{Answer, Command, CommandCode, Event, EventKind, Refusal, Scalar, Via};

/// A newer version of this machine in the configuration file; it differs in tunable parameters alone.
#[derive(Debug)]
pub struct NewFile {
    pub machine: Arc<MachineConfig>,
    pub user: Arc<str>,
    /// Paths of the parameters that have changed, or why none has.
    pub reply: oneshot::Sender<Result<Vec<Arc<str>>, String>>,
}

impl Running {
    pub(super) async fn command(&mut self, request: CommandRequest) {
        if matches!(request.command, Command::ExportBuffer { .. }) {
            return self.export(request).await;
        }
        let CommandRequest { target: _, command, user, operator, via, reply } = request;
        let result = match &command {
            Command::SetParameter { path, value } => self.set_parameter(path, value, &user).await.map(|()| Answer::default()),
            Command::ResetParameter { path, .. } => self.reset_parameters(path, &user).await,
            Command::ActivateModel { .. } | Command::ConfirmModel { .. } | Command::RollbackModel { .. } => {
                self.change_model(&command, via, &user).await
            }
            Command::AcknowledgeAlarms { bits, comment } => {
                self.d.alarms.command(Scope::Machine(self.d.machine), *bits, comment, &user).await
            }
            command => self.decide(command, &user, &operator).await,
        };
        // A write of a parameter has its own event.
        if !matches!(command, Command::SetParameter { .. }) {
            self.tell(audit(&command, &self.d.from_file.name, via, (&user, &operator), &result));
        }
        // First the news, so that whoever has the answer can see them.
        self.publish();
        // The client may have gone.
        let _ = reply.send(result);
    }

    /// The codes that are possible now.
    pub(super) fn allowed(&self) -> u32 {
        let always = CommandCode::ResetParameter.bit() | CommandCode::AcknowledgeAlarms.bit();
        self.d.core.allowed() | self.d.models.life.allowed() | always
    }

    async fn decide(&mut self, command: &Command, user: &Arc<str>, operator: &Arc<str>) -> Result<Answer, Refusal> {
        let before = self.d.core.state();
        match self.d.core.decide(command, user, wall_clock())? {
            Decided::Plan(plan) => self.change_reference(*plan, user).await,
            Decided::Done(answer, events) => {
                if let Some(record) = self.state()
                    && let Err(why) = self.durable(record).await
                {
                    self.d.core.restore(&before);
                    return Err(not_stored(&why));
                }
                for mut kind in events {
                    if let EventKind::Label { operator: claimed, .. } = &mut kind {
                        claimed.clone_from(operator);
                    }
                    self.tell(kind);
                }
                Ok(answer)
            }
        }
    }

    /// Stores another bundle, then puts it in force.
    async fn change_reference(&mut self, plan: Plan, user: &Arc<str>) -> Result<Answer, Refusal> {
        let encoded = tokio::task::block_in_place(|| bundle::encode(&plan.bundle));
        let (bytes, hash) = encoded.map_err(|e| not_stored(&e.to_string()))?;
        let record = Record::PutBlob { key: self.active_key(), value: bytes.into() };
        self.durable(record).await.map_err(|why| not_stored(&why))?;
        let core = &mut self.d.core;
        let (old, new) = (core.reference_id(plan.slot(), plan.old), core.reference_id(plan.slot(), plan.new));
        core.commit(&plan);
        let hash: Arc<str> = hash.into();
        core.name_bundle(hash.clone());
        self.d.bundle_hash = Some(hash);
        self.show_bundles();
        self.save().await;
        let word = plan.kind.word();
        self.tell(EventKind::ReferenceChanged {
            regime: plan.regime.clone(),
            old: old.as_str().into(),
            new: new.as_str().into(),
            reason: word.into(),
            user: user.clone(),
        });
        let text = format!("reference of {} {word}", plan.regime);
        Ok(Answer { outputs: vec![Scalar::Text(new.as_str().into())], text, old, new })
    }

    /// Takes a newer file over: where it has changed, what was written lapses.
    pub(super) async fn adopt(&mut self, new: NewFile) {
        let NewFile { machine, user, reply } = new;
        let result = self.try_adopt(&machine, &user).await;
        self.publish();
        // Whoever asked may have gone.
        let _ = reply.send(result);
    }

    async fn try_adopt(&mut self, file: &Arc<MachineConfig>, user: &Arc<str>) -> Result<Vec<Arc<str>>, String> {
        let before = self.d.core.config().clone();
        let (adopted, paths) = tunable::adopt(&before, &self.d.from_file, file).map_err(|e| e.to_string())?;
        let tunables = tunable::tunables(file);
        for tunable in tunables.iter().filter(|t| paths.contains(&t.path)) {
            self.durable(Record::Remove { key: keys::parameter(&tunable.kept_as) }).await?;
            if let Some(along) = tunable.takes_along() {
                self.durable(Record::Remove { key: keys::parameter(&along) }).await?;
            }
        }
        let old: Vec<Scalar> = paths.iter().filter_map(|p| Some(self.in_use(p, tunable::read(&before, p)?))).collect();
        let adopted = Arc::new(adopted);
        self.tune(adopted.clone());
        self.d.from_file = file.clone();
        for (path, old) in paths.iter().zip(old) {
            let new = tunable::read(&adopted, path).map(|value| self.in_use(path, value).to_string()).unwrap_or_default();
            self.tell(EventKind::Parameter { path: path.clone(), old: old.to_string(), new, user: user.clone(), refused: None });
        }
        self.show(&paths, user).await;
        Ok(paths)
    }

    /// Something that has happened beside the rows.
    pub(super) fn tell(&mut self, kind: EventKind) {
        let row = self.d.core.verdict().row;
        let event = Event { unit: self.d.from_file.name.clone(), row, time: wall_clock(), kind };
        log(&event);
        self.record(vec![Record::Event(event.clone())]);
        // Nobody may be listening.
        let _ = self.d.events.send(event);
        self.changed = true;
    }
}

pub(super) fn refusal(error: tunable::TunableError) -> Refusal {
    match error {
        tunable::TunableError::OutOfRange(text) => Refusal::OutOfRange(text),
        tunable::TunableError::TypeMismatch(text) => Refusal::TypeMismatch(text),
        tunable::TunableError::InvalidState(text) => Refusal::InvalidState(text),
        tunable::TunableError::Unknown(text) => Refusal::Unknown(text),
    }
}

pub(super) fn not_stored(why: &str) -> Refusal {
    Refusal::InvalidState(format!("not changed: it cannot be stored: {why}"))
}

/// What is kept of a command.
pub fn audit(command: &Command, target: &str, via: Via, who: (&Arc<str>, &Arc<str>), result: &Result<Answer, Refusal>) -> EventKind {
    let answer = result.as_ref().ok().cloned().unwrap_or_default();
    EventKind::Command {
        command: command.name().into(),
        path: command.path(target).into(),
        via,
        arguments: command.arguments(),
        user: who.0.clone(),
        operator: who.1.clone(),
        old: answer.old,
        new: answer.new,
        result: answer.text,
        refused: result.as_ref().err().map(ToString::to_string),
    }
}
