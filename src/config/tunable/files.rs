//! What a machine's file and its written parameters make together.

use std::sync::Arc;

use super::{Tunable, TunableError, find, tunables, unknown};
use crate::config::MachineConfig;
use crate::types::Scalar;

/// The machine with these parameters as a file has them, all in one: a threshold that the file leaves open is open again.
///
/// # Errors
/// A path is unknown, or a value does not go with another parameter. The file must have the machine's shape.
pub fn reset(machine: &MachineConfig, file: &MachineConfig, paths: &[Arc<str>]) -> Result<MachineConfig, TunableError> {
    let mut changed = machine.clone();
    let list = paths.iter().map(|path| find(machine, path).ok_or_else(|| unknown(machine, path))).collect::<Result<Vec<_>, _>>()?;
    list.iter().for_each(|t| t.copy(&mut changed, file));
    list.iter().try_for_each(|t| t.check_state(&changed, &t.get(&changed)))?;
    Ok(changed)
}

/// The value that a parameter would have after a reset; `None` where no parameter has this path.
pub fn default_of(machine: &MachineConfig, file: &MachineConfig, path: &str) -> Option<Scalar> {
    find(machine, path).map(|tunable| tunable.default_in(machine, file))
}

impl Tunable {
    /// The value that it would have after a reset.
    pub fn default_in(&self, machine: &MachineConfig, file: &MachineConfig) -> Scalar {
        let mut probe = machine.clone();
        self.copy(&mut probe, file);
        self.get(&probe)
    }
}

/// The machine of a file with what was written, in whatever order, and what of it does not go any more.
pub fn restore(file: &MachineConfig, written: Vec<(Arc<str>, Scalar)>) -> (MachineConfig, Vec<(Arc<str>, TunableError)>) {
    let (mut left, mut refused) = (written, Vec::new());
    // What a test is called decides which thresholds it may have.
    left.sort_by_key(|(path, _)| !path.ends_with(".Name"));
    loop {
        match apply(file, &left) {
            Ok(machine) => return (machine, refused),
            Err((k, error)) => refused.push((left.remove(k).0, error)),
        }
    }
}

/// All values in one; the first that cannot be, and why.
fn apply(file: &MachineConfig, written: &[(Arc<str>, Scalar)]) -> Result<MachineConfig, (usize, TunableError)> {
    let mut machine = file.clone();
    for (k, (path, value)) in written.iter().enumerate() {
        let tunable = find(&machine, path).ok_or_else(|| (k, unknown(&machine, path)))?;
        tunable.check_type(value).and_then(|()| tunable.check_range(value)).map_err(|error| (k, error))?;
        tunable.set(&mut machine, value);
    }
    for (k, (path, value)) in written.iter().enumerate() {
        find(&machine, path).map_or(Ok(()), |t| t.check_state(&machine, value)).map_err(|error| (k, error))?;
    }
    Ok(machine)
}

/// Whether two versions of a machine in a file differ in tunable parameters alone.
pub fn same_but_tunables(a: &MachineConfig, b: &MachineConfig) -> bool {
    let (ours, list) = (tunables(a), tunables(b));
    if !ours.iter().map(|t| &t.path).eq(list.iter().map(|t| &t.path)) {
        return false;
    }
    let mut probe = a.clone();
    list.iter().for_each(|t| t.copy(&mut probe, b));
    probe == *b
}

/// The machine with every parameter that differs between two versions of its file as in the newer one, and the paths of those.
///
/// # Errors
/// A value of the file does not go with one that was written. The files must differ in tunable parameters alone.
pub fn adopt(
    machine: &MachineConfig,
    before: &MachineConfig,
    file: &MachineConfig,
) -> Result<(MachineConfig, Vec<Arc<str>>), TunableError> {
    let list = tunables(file);
    let mut adopted = machine.clone();
    let mut paths = Vec::new();
    for tunable in &list {
        let mut probe = before.clone();
        tunable.copy(&mut probe, file);
        if probe != *before {
            tunable.copy(&mut adopted, file);
            paths.push(tunable.path.clone());
        }
    }
    list.iter().try_for_each(|t| t.check_state(&adopted, &t.get(&adopted)))?;
    Ok((adopted, paths))
}
