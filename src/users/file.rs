use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{MAX_NAME, PasswordError, Role, Secret, User, is_name};

const NAME: &str = "users.toml";
const HEAD: &str = "# Users of the OPC UA server, with the Argon2id hashes of their passwords. Made by `driftgate user`.\n\n";
/// Larger files are not read.
const MAX_FILE: u64 = 1 << 20;
/// Users at most.
const MAX_USERS: usize = 1_000;

/// Why users cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("`{path}` cannot be read or written: {cause}")]
    Io { path: String, cause: io::Error },
    #[error("`{path}` is damaged: {cause}; mend it, or remove it and add the users anew")]
    Damaged { path: String, cause: String },
    #[error("there is no user `{0}`; `driftgate user list` shows those there are")]
    Unknown(String),
    #[error("there is a user `{0}` already; `driftgate user passwd` changes a password")]
    Exists(String),
    #[error("`{0}` cannot be a user's name: a letter, then letters, digits and _ . - @, at most {MAX_NAME}, not `anonymous`")]
    Name(String),
    #[error("a user needs a role")]
    NoRole,
    #[error("there are {MAX_USERS} users already; remove one first")]
    Full,
    #[error(transparent)]
    Password(#[from] PasswordError),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    users: Vec<User>,
}

/// `users.toml` of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFile {
    path: PathBuf,
}

impl UserFile {
    pub fn of(data_dir: &Path) -> Self {
        Self { path: data_dir.join(NAME) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The users, in the order in which they were added; none where there is no file.
    pub fn read(&self) -> Result<Vec<User>, UserError> {
        let text = match fs::metadata(&self.path) {
            Ok(meta) if meta.len() > MAX_FILE => return Err(self.damaged(format!("it has {} bytes", meta.len()))),
            Ok(_) => fs::read_to_string(&self.path).map_err(|e| self.io(e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(self.io(e)),
        };
        // The parser's message would show the line, with the hash in it.
        let content: Content = toml::from_str(&text).map_err(|e| self.damaged(e.message().to_string()))?;
        for user in &content.users {
            if !is_name(&user.name) || user.roles.is_empty() || !user.password.is_valid() {
                return Err(self.damaged(format!("the user `{}` has no valid name, roles or password hash", user.name)));
            }
        }
        Ok(content.users)
    }

    /// Adds a user.
    pub fn add(&self, name: &str, roles: &[Role], password: &str) -> Result<(), UserError> {
        if !is_name(name) {
            return Err(UserError::Name(name.into()));
        }
        if roles.is_empty() {
            return Err(UserError::NoRole);
        }
        let mut roles = roles.to_vec();
        roles.sort_unstable();
        roles.dedup();
        let user = User { name: name.into(), roles, password: Secret::new(password)? };
        self.change(|users| {
            if users.iter().any(|u| u.name == name) {
                return Err(UserError::Exists(name.into()));
            }
            if users.len() >= MAX_USERS {
                return Err(UserError::Full);
            }
            users.push(user);
            Ok(())
        })
    }

    /// Gives a user another password.
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), UserError> {
        let password = Secret::new(password)?;
        self.change(|users| {
            let user = users.iter_mut().find(|u| u.name == name).ok_or_else(|| UserError::Unknown(name.into()))?;
            user.password = password;
            Ok(())
        })
    }

    /// Removes a user.
    pub fn remove(&self, name: &str) -> Result<(), UserError> {
        self.change(|users| {
            let place = users.iter().position(|u| u.name == name).ok_or_else(|| UserError::Unknown(name.into()))?;
            users.remove(place);
            Ok(())
        })
    }

    /// Reads, changes and writes; one process at a time.
    fn change(&self, change: impl FnOnce(&mut Vec<User>) -> Result<(), UserError>) -> Result<(), UserError> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir).map_err(|e| self.io(e))?;
        }
        let lock = File::options().create(true).truncate(false).write(true).open(self.path.with_extension("lock"));
        let lock = lock.map_err(|e| self.io(e))?;
        lock.lock().map_err(|e| self.io(e))?;
        let mut users = self.read()?;
        change(&mut users)?;
        self.write(users)
    }

    /// Beside, for the owner alone, on disk, then moved into place.
    fn write(&self, users: Vec<User>) -> Result<(), UserError> {
        let text = toml::to_string(&Content { users }).map_err(|e| self.damaged(e.to_string()))?;
        let beside = self.path.with_extension("new");
        let written = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&beside)?;
            // A file left by a crash keeps its mode when it is opened.
            #[cfg(unix)]
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            file.write_all(HEAD.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)?;
            match self.path.parent() {
                Some(dir) if cfg!(unix) => File::open(dir)?.sync_all(),
                _ => Ok(()),
            }
        };
        written().map_err(|e| self.io(e))
    }

    fn io(&self, cause: io::Error) -> UserError {
        UserError::Io { path: self.path.display().to_string(), cause }
    }

    fn damaged(&self, cause: String) -> UserError {
        UserError::Damaged { path: self.path.display().to_string(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(file: &UserFile) -> Vec<String> {
        file.read().unwrap().into_iter().map(|u| u.name).collect()
    }

    #[test]
    fn users_are_added_changed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = UserFile::of(&dir.path().join("data"));
        assert!(file.read().unwrap().is_empty());
        file.add("anna", &[Role::Operator, Role::Observer, Role::Operator], "first password").unwrap();
        file.add("ben", &[Role::Engineer], "second password").unwrap();
        assert!(matches!(file.add("ben", &[Role::Engineer], "second password"), Err(UserError::Exists(_))));
        assert!(matches!(file.add("b n", &[Role::Engineer], "second password"), Err(UserError::Name(_))));
        assert!(matches!(file.add("carl", &[], "second password"), Err(UserError::NoRole)));
        assert!(matches!(file.add("carl", &[Role::Observer], "short"), Err(UserError::Password(PasswordError::TooShort(5)))));
        let anna = &file.read().unwrap()[0];
        assert_eq!(anna.roles, [Role::Observer, Role::Operator]);
        assert!(anna.password.verify("first password"));

        file.set_password("anna", "other password").unwrap();
        let anna = &file.read().unwrap()[0];
        assert!(anna.password.verify("other password") && !anna.password.verify("first password"));
        file.remove("anna").unwrap();
        assert!(matches!(file.remove("anna"), Err(UserError::Unknown(_))));
        assert!(matches!(file.set_password("anna", "other password"), Err(UserError::Unknown(_))));
        assert_eq!(names(&file), ["ben"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = UserFile::of(dir.path());
        fs::write(file.path().with_extension("new"), "left by a crash").unwrap();
        file.add("anna", &[Role::Observer], "first password").unwrap();
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!fs::read_to_string(file.path()).unwrap().contains("first password"));
    }

    #[test]
    fn a_damaged_file_is_said_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = UserFile::of(dir.path());
        let roleless = "[[users]]\nname = \"anna\"\nroles = []\npassword = \"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo\"\n";
        for text in ["users = 3", "[[users]]\nname = \"anna\"\nroles = [\"root\"]\npassword = \"x\"", roleless] {
            fs::write(file.path(), text).unwrap();
            assert!(matches!(file.read(), Err(UserError::Damaged { .. })), "{text}");
            assert!(file.add("ben", &[Role::Observer], "first password").is_err());
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
    }
}
