use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A well-known role of OPC UA (Part 18). A session without a user has none: it is Anonymous.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    Observer,
    Operator,
    Engineer,
    Supervisor,
    ConfigureAdmin,
    SecurityAdmin,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Observer, Self::Operator, Self::Engineer, Self::Supervisor, Self::ConfigureAdmin, Self::SecurityAdmin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Observer => "Observer",
            Self::Operator => "Operator",
            Self::Engineer => "Engineer",
            Self::Supervisor => "Supervisor",
            Self::ConfigureAdmin => "ConfigureAdmin",
            Self::SecurityAdmin => "SecurityAdmin",
        }
    }

    /// Its number in namespace 0.
    pub const fn id(self) -> u32 {
        match self {
            Self::Observer => 15668,
            Self::Operator => 15680,
            Self::Engineer => 16036,
            Self::Supervisor => 15692,
            Self::ConfigureAdmin => 15716,
            Self::SecurityAdmin => 15704,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    /// Case does not matter.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|role| role.name()).collect();
            format!("no such role: `{text}`; one of {}", names.join(", "))
        })
    }
}

/// A set of roles.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    /// Anonymous.
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self::of(&Role::ALL);

    pub const fn of(roles: &[Role]) -> Self {
        let (mut bits, mut k) = (0, 0);
        while k < roles.len() {
            bits |= roles[k].bit();
            k += 1;
        }
        Self(bits)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the two have a role in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Role::ALL.into_iter().filter(|role| self.contains(*role)).map(Role::name).collect();
        f.write_str(if names.is_empty() { "Anonymous" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_in_any_case_and_shown_in_one() {
        assert_eq!("configureadmin".parse(), Ok(Role::ConfigureAdmin));
        assert!("root".parse::<Role>().unwrap_err().contains("Observer"));
        assert_eq!(Roles::of(&[Role::Operator, Role::Observer]).to_string(), "Observer, Operator");
        assert_eq!(Roles::NONE.to_string(), "Anonymous");
    }
}
