//! Who may use the gateway: names, roles and passwords, in one file of the data directory.
//!
//! ```text
//!  driftgate user ... ─▶ users.toml ─▶ UserList (held by the server, read anew when the file has changed)
//! ```
//! The file holds no passwords, only their Argon2id hashes. It is written whole or not at all, readable by its owner alone.

mod file;
mod list;
mod password;
mod role;

pub use file::{UserError, UserFile};
pub use list::UserList;
pub use password::{MAX_PASSWORD, MIN_PASSWORD, PasswordError, Secret, check as check_password};
pub use role::{Role, Roles};

use serde::{Deserialize, Serialize};

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// A letter, then letters, digits and `_ . - @`, at most 64.
    pub name: String,
    pub roles: Vec<Role>,
    /// The password's hash.
    pub password: Secret,
}

impl User {
    /// The roles as a set.
    pub fn role_set(&self) -> Roles {
        self.roles.iter().copied().collect()
    }
}

/// Longest name of a user.
const MAX_NAME: usize = 64;

/// Whether `name` can be a user's. The stack's own name for sessions without a user cannot.
fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-@".contains(c));
    starts && rest && name.len() <= MAX_NAME && !name.eq_ignore_ascii_case("anonymous")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_never_the_anonymous_one() {
        for good in ["anna", "Anna.Berg", "scada-1", "a@line1", "A"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "a b", "a\n", "ärger", "ANONYMOUS", "anonymous", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
