//! `driftgate user`: who may use the gateway's OPC UA server.

use std::io::{BufRead, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, Usage, print_json};
use crate::users::{MAX_PASSWORD, Role, UserError, UserFile, check_password};

/// The environment variable that a password is taken from.
const PASSWORD_VARIABLE: &str = "DRIFTGATE_PASSWORD";

/// Arguments of `user`.
#[derive(Args, Debug)]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand, Debug)]
enum UserCommand {
    /// Add a user.
    #[command(after_help = ROLES)]
    Add {
        name: String,
        /// A role; may be given several times, or as a list.
        #[arg(long = "role", value_name = "ROLE", required = true, value_delimiter = ',')]
        roles: Vec<Role>,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        place: Place,
    },
    /// Give a user another password. Sessions that are open stay.
    Passwd {
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        place: Place,
    },
    /// List the users and their roles.
    List {
        #[command(flatten)]
        place: Place,
        /// Machine-readable result on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Remove a user; connections of that user are ended.
    Remove {
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

const ROLES: &str = "Roles: Observer reads. Operator also gives commands, labels and acknowledges. Engineer also changes thresholds, \
references, buffers and models. Supervisor reads and calls the operator's methods. ConfigureAdmin changes everything but users. \
SecurityAdmin reads; users and certificates are managed here, on the gateway's computer.";

#[derive(Args, Debug)]
struct Place {
    /// Data directory of the gateway.
    #[arg(long, value_name = "DIR", default_value = super::run::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
}

impl Place {
    fn file(&self) -> UserFile {
        UserFile::of(&self.data_dir)
    }
}

/// Where the password comes from: a prompt, standard input, or the environment variable DRIFTGATE_PASSWORD. Never an argument, which
/// others on the computer could read.
#[derive(Args, Debug)]
struct PasswordArgs {
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArgs {
    fn get(&self, name: &str) -> anyhow::Result<String> {
        let password = if self.password_stdin {
            first_line()?
        } else if let Some(password) = std::env::var_os(PASSWORD_VARIABLE) {
            password.into_string().map_err(|_| Usage(format!("{PASSWORD_VARIABLE} is not UTF-8")))?
        } else if std::io::stdin().is_terminal() {
            ask(name)?
        } else {
            bail!(Usage(format!("no terminal to ask for a password; use --password-stdin or the variable {PASSWORD_VARIABLE}")))
        };
        check_password(&password).map_err(|why| Usage(why.to_string()))?;
        Ok(password)
    }
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let stdin = std::io::stdin().lock();
    // A wrong file must not be read for ever.
    stdin.take(MAX_PASSWORD as u64 + 3).read_line(&mut line).context("the password cannot be read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_string())
}

fn ask(name: &str) -> anyhow::Result<String> {
    let prompt = |text: String| rpassword::prompt_password(text).context("the password cannot be read from the terminal");
    let password = prompt(format!("Password of {name}: "))?;
    check_password(&password).map_err(|why| Usage(why.to_string()))?;
    if prompt("The same again: ".into())? != password {
        bail!(Usage("the two passwords differ; nothing was changed".into()));
    }
    Ok(password)
}

/// Adds, changes, lists or removes.
pub fn run(args: UserArgs) -> anyhow::Result<Outcome> {
    let done = match args.command {
        UserCommand::Add { name, roles, password, place } => {
            let password = password.get(&name)?;
            place.file().add(&name, &roles, &password).map(|()| format!("{name} added"))
        }
        UserCommand::Passwd { name, password, place } => {
            let password = password.get(&name)?;
            place.file().set_password(&name, &password).map(|()| format!("{name} has another password"))
        }
        UserCommand::Remove { name, place } => place.file().remove(&name).map(|()| format!("{name} removed")),
        UserCommand::List { place, json } => return list(&place, json),
    };
    match done {
        Ok(text) => say!("{text}")?,
        Err(error @ (UserError::Name(_) | UserError::NoRole | UserError::Password(_))) => bail!(Usage(error.to_string())),
        Err(error) => return Err(error.into()),
    }
    Ok(Outcome::Done)
}

fn list(place: &Place, as_json: bool) -> anyhow::Result<Outcome> {
    let users = place.file().read()?;
    if as_json {
        let users: Vec<_> = users.iter().map(|u| json!({ "name": u.name, "roles": u.roles })).collect();
        print_json(&json!({ "users": users }))?;
        return Ok(Outcome::Done);
    }
    if users.is_empty() {
        say!("no users: the gateway listens on this computer only; add one with `driftgate user add NAME --role ROLE`")?;
    }
    for user in &users {
        say!("{:<24} {}", user.name, user.role_set())?;
    }
    Ok(Outcome::Done)
}
