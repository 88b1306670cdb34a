//! `sealift key`

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Context;
use super::common::PasswordOption;
use crate::signing::{self, Password, SigningKey};

/// Make keys that sign bundles
///
/// Keys are in minisign's format, and `minisign` can use them. A host that has a public key as a file in
/// /etc/sealift/keys.d, in ~/.config/sealift/keys.d, or from `up --key`, takes only bundles that this key
/// has signed.
#[derive(Args, Debug)]
pub(super) struct KeyCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(New),
    Vouch(Vouch),
}

/// Make a key pair
///
/// Writes NAME.key, the private key, and NAME.pub, which operators need; NAME.pem is the same public
/// key for other tools. A password protects the private key; it is asked for on the terminal.
///
/// Examples:
///   sealift key new release
///   sealift key new ci --no-password
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct New {
    /// Name of the files, without `.key`
    name: PathBuf,
    /// Make a private key that needs no password: whoever reads the file can sign
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
    #[command(flatten)]
    password: PasswordOption,
}

/// Sign a new public key with an old one, so that hosts that trust the old one accept it
///
/// Writes NEW.pub.minisig beside NEW.pub. On a host, `sealift up --key NEW.pub` needs both files.
///
/// Examples:
///   sealift key vouch new.pub --key old.key
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct Vouch {
    /// File of the new public key
    new: PathBuf,
    /// File of the old private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    password: PasswordOption,
}

impl KeyCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        match &self.command {
            Command::New(New { name, no_password, password }) => {
                let password = if *no_password { Password::None } else { password.password() };
                let (key, file) = signing::create(name, &password)?;
                writeln!(context.out, "{} {}", key.id, file.display())?;
                context.note(format_args!(
                    "Keep {}.key secret, and a copy of it in a safe place. Operators need {}.",
                    name.display(),
                    file.display()
                ));
            }
            Command::Vouch(Vouch { new, key, password }) => {
                let key = SigningKey::open(key, &password.password())?;
                writeln!(context.out, "{}", signing::vouch(new, &key)?.display())?;
            }
        }
        Ok(())
    }
}
