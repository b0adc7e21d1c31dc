//! Files that are dropped into a folder: bundles, and labels (`label_files`). Each is read and held against its machine on a
//! blocking thread, then handed to it.
//!
//! ```text
//! inbox/Motor1.bundle ─▶ unchanged since the last look? ─▶ read, checked ─▶ Motor1: Candidate; the file is gone
//!                                                                       └▶ refused: renamed to Motor1.bundle.refused
//! inbox/Motor1.csv    ─▶ the same                                        ─▶ Motor1: labels; the file is gone
//!                                                                       └▶ lines that were refused: Motor1.csv.refused, with the reasons
//! ```
//! `Motor1.bundle` and `Motor1-anything.bundle` are for the machine `Motor1`; where there is one machine, every file is for it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::label_files;
use crate::config::Config;
use crate::server::{CommandSender, OfferSenders, Offered, offer};
use crate::store::MAX_BLOB;

/// The folder, below the data directory.
pub const FOLDER: &str = "inbox";
/// Between two looks; a file that is still being written changes in between.
const EVERY: Duration = Duration::from_secs(1);
/// Who has brought it.
const USER: &str = "inbox";

/// What the watch of the folder is given.
pub struct Inbox {
    pub config: Arc<Config>,
    pub folder: PathBuf,
    pub offers: OfferSenders,
    pub commands: CommandSender,
    pub stop: CancellationToken,
}

/// Size and time of a file at the last look.
type Seen = HashMap<PathBuf, (u64, Option<SystemTime>)>;

impl Inbox {
    /// Runs until `stop`.
    pub async fn run(self) {
        let mut seen = Seen::new();
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.stop.run_until_cancelled(tick.tick()).await.is_some() {
            let folder = self.folder.clone();
            let Ok((ripe, now)) = tokio::task::spawn_blocking(move || look(&folder, &seen)).await else { return };
            seen = now;
            for path in ripe {
                if self.stop.run_until_cancelled(self.take(&path)).await.is_none() {
                    return;
                }
            }
        }
    }

    async fn take(&self, path: &Path) {
        let Some(index) = self.machine_of(path) else {
            let names: Vec<&str> = self.config.machines.iter().map(|m| &*m.name).collect();
            tracing::warn!("`{}`: no machine has this name; begin it with one of {}", path.display(), names.join(", "));
            return refuse(path);
        };
        if is_csv(path) {
            return label_files::take(path, &self.config.machines[index], &self.commands).await;
        }
        let (machine, file) = (self.config.machines[index].clone(), path.to_path_buf());
        let read = tokio::task::spawn_blocking(move || {
            let size = fs::metadata(&file).map_err(|e| e.to_string())?.len();
            if size > MAX_BLOB as u64 {
                return Err(format!("the bundle has {size} bytes; at most {MAX_BLOB}"));
            }
            let bytes = fs::read(&file).map_err(|e| e.to_string())?;
            Offered::read(bytes, &machine).map_err(|e| e.to_string())
        });
        let bundle = read.await.unwrap_or_else(|_| Err("the bundle cannot be read".into()));
        match offer(&self.offers[index], bundle, USER.into()).await {
            Ok(()) => {
                if let Err(error) = fs::remove_file(path) {
                    tracing::warn!("`{}` was taken, but cannot be removed: {error}", path.display());
                }
            }
            Err(why) => {
                tracing::warn!("`{}` is refused: {why}", path.display());
                refuse(path);
            }
        }
    }

    /// Index of the machine that a file is for.
    fn machine_of(&self, path: &Path) -> Option<usize> {
        let stem = path.file_stem()?.to_str()?;
        let machines = &self.config.machines;
        let is_for = |name: &str| stem.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let named = machines.iter().position(|m| is_for(&m.name));
        named.or_else(|| (machines.len() == 1).then_some(0))
    }
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "csv")
}

/// Bundles and labels that have not changed since the last look, and how all are now.
fn look(folder: &Path, before: &Seen) -> (Vec<PathBuf>, Seen) {
    let mut now = Seen::new();
    // A folder that is not there has no files.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if (is_csv(&path) || path.extension().is_some_and(|e| e == "bundle"))
            && let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            now.insert(path, (metadata.len(), metadata.modified().ok()));
        }
    }
    let mut ripe: Vec<PathBuf> = now.iter().filter(|(path, is)| before.get(*path) == Some(is)).map(|(path, _)| path.clone()).collect();
    ripe.sort();
    (ripe, now)
}

/// Puts a file aside, so that it is not looked at again.
fn refuse(path: &Path) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".refused");
    if let Err(error) = fs::rename(path, PathBuf::from(aside)) {
        tracing::warn!("`{}` cannot be renamed: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Offer;
    use tokio::sync::mpsc;

    fn inbox(machines: &[&str], folder: &Path) -> (Inbox, mpsc::Receiver<Offer>) {
        let machine =
            |name: &&str| format!("[[machines]]\nname = \"{name}\"\nsignals = [\"a\"]\n[machines.data_drift]\ntests = [\"psi\"]\n");
        let config = Arc::new(Config::parse(&machines.iter().map(machine).collect::<String>()).unwrap());
        let (sender, receiver) = mpsc::channel(1);
        let offers = vec![sender; machines.len()].into();
        let (commands, _) = mpsc::channel(1);
        (Inbox { config, folder: folder.into(), offers, commands, stop: CancellationToken::new() }, receiver)
    }

    #[test]
    fn a_file_waits_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M.bundle");
        assert_eq!(look(&dir.path().join("none"), &Seen::new()), (vec![], Seen::new()));
        fs::write(&path, "half").unwrap();
        fs::write(dir.path().join("M.bundle.part"), "other").unwrap();
        let (ripe, seen) = look(dir.path(), &Seen::new());
        assert!(ripe.is_empty());
        fs::write(&path, "half and half").unwrap();
        let (ripe, seen) = look(dir.path(), &seen);
        assert!(ripe.is_empty(), "it has grown");
        assert_eq!(look(dir.path(), &seen).0, [path]);
    }

    #[test]
    fn the_name_says_for_which_machine() {
        let (several, _rx) = inbox(&["Pump", "Pump2"], Path::new("x"));
        let of = |name: &str| several.machine_of(Path::new(name));
        assert_eq!(
            (of("x/Pump.bundle"), of("x/Pump2-new.bundle"), of("x/Pump3.bundle"), of("x/any.bundle")),
            (Some(0), Some(1), None, None)
        );
        assert_eq!(inbox(&["Pump"], Path::new("x")).0.machine_of(Path::new("x/any.bundle")), Some(0));
    }

    #[tokio::test]
    async fn what_is_no_bundle_is_told_and_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M.bundle");
        fs::write(&path, "nonsense\n").unwrap();
        let (inbox, mut offers) = inbox(&["M"], dir.path());
        let owner = async {
            let offer = offers.recv().await.unwrap();
            let why = offer.bundle.unwrap_err();
            assert!(why.contains("not a driftgate bundle"), "{why}");
            offer.reply.send(Err(why)).unwrap();
        };
        tokio::join!(inbox.take(&path), owner);
        assert!(!path.exists() && dir.path().join("M.bundle.refused").exists());
    }
}
