use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{PasswordError, Role, Roles, Secret, User, UserError, UserFile};

/// The users as the server sees them: those of the file as it is now, or the demo's.
#[derive(Debug)]
pub struct UserList {
    file: Option<UserFile>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    users: Arc<HashMap<String, Known>>,
    /// What was wrong at the last look.
    fault: Option<String>,
}

#[derive(Clone, Debug)]
struct Known {
    roles: Roles,
    password: Secret,
}

impl UserList {
    /// Users of the file. One that is damaged is an error here; later the users known before stay.
    pub fn of_file(file: UserFile) -> Result<Self, UserError> {
        let users = known(file.read()?);
        Ok(Self { file: Some(file), state: Mutex::new(State { users: Arc::new(users), fault: None }) })
    }

    /// Fixed users with public passwords.
    pub fn public(users: &[(&str, &[Role], &str)]) -> Result<Self, PasswordError> {
        let one = |(name, roles, password): &(&str, &[Role], &str)| {
            Ok(((*name).to_string(), Known { roles: Roles::of(roles), password: Secret::public(password)? }))
        };
        let users = users.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self { file: None, state: Mutex::new(State { users: Arc::new(users), fault: None }) })
    }

    /// Takes over what the file says now. Returns what has newly gone wrong; the users known before stay then.
    pub fn refresh(&self) -> Option<String> {
        let read = self.file.as_ref()?.read();
        let mut state = self.state.lock();
        match read {
            Ok(users) => {
                *state = State { users: Arc::new(known(users)), fault: None };
                None
            }
            Err(error) => {
                let text = error.to_string();
                let new = state.fault.as_ref() != Some(&text);
                state.fault = Some(text.clone());
                new.then_some(text)
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.state.lock().users.is_empty()
    }

    /// The roles of a user; none where there is no such user (any more).
    pub fn roles(&self, name: &str) -> Roles {
        self.state.lock().users.get(name).map_or(Roles::NONE, |user| user.roles)
    }

    /// The user's roles where the password is right. Hashes: not on an async thread. Takes as long for an unknown user.
    pub fn authenticate(&self, name: &str, password: &str) -> Option<Roles> {
        let user = self.state.lock().users.get(name).cloned();
        match user {
            Some(user) => user.password.verify(password).then_some(user.roles),
            None => {
                Secret::verify_nobody(password);
                None
            }
        }
    }
}

fn known(users: Vec<User>) -> HashMap<String, Known> {
    users.into_iter().map(|user| (user.name.clone(), Known { roles: user.role_set(), password: user.password })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_file_count_at_the_next_look() {
        let dir = tempfile::tempdir().unwrap();
        let file = UserFile::of(dir.path());
        let list = UserList::of_file(file.clone()).unwrap();
        assert!(list.is_empty() && list.authenticate("anna", "first password").is_none());
        file.add("anna", &[Role::Operator], "first password").unwrap();
        assert_eq!(list.refresh(), None);
        assert_eq!(list.authenticate("anna", "first password"), Some(Roles::of(&[Role::Operator])));
        assert_eq!(list.authenticate("anna", "First password"), None);
        assert_eq!(list.roles("ANNA"), Roles::NONE);

        // What cannot be read changes nothing, and is said once.
        std::fs::write(file.path(), "users = 3").unwrap();
        assert!(list.refresh().is_some_and(|text| text.contains("damaged")));
        assert_eq!(list.refresh(), None);
        assert_eq!(list.roles("anna"), Roles::of(&[Role::Operator]));
        std::fs::remove_file(file.path()).unwrap();
        assert_eq!(list.refresh(), None);
        assert_eq!(list.roles("anna"), Roles::NONE);
    }
}
