//! `sealift sign`

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::common::{Jobs, PasswordOption};
use crate::signing::{self, SigningKey};

/// Sign the file of a bundle
///
/// Adds a signature of SHA256SUMS, which has the digests of all files, to the bundle, and a signed
/// statement of where the bundle comes from (in-toto, SLSA). Writes FILE.minisig, a signature of the
/// whole file. Everything else in the file stays as it is, signatures by other keys too; but of the
/// file as a whole, only the last signature is right. The bundle is checked first: a damaged one is
/// not signed.
///
/// Stock tools check both: `minisign -Vm FILE -p NAME.pub` before it is unpacked, then in the folder
/// `minisign -Vm SHA256SUMS -x SHA256SUMS.KEY.minisig -p NAME.pub` and `sha256sum -c SHA256SUMS`.
///
/// Examples:
///   sealift sign parsec-standalone-3.10.0-linux-amd64.tar --key release.key
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Sign {
    /// File of the bundle
    bundle: PathBuf,
    /// File of the private key (`sealift key new`)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    password: PasswordOption,
    #[command(flatten)]
    jobs: Jobs,
}

impl Sign {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let key = SigningKey::open(&self.key, &self.password.password())?;
        let (signature, by_others) = signing::sign(&self.bundle, &key, self.jobs.count())?;
        writeln!(context.out, "{}", signature.display())?;
        context.note(format_args!("signed {} with the key {}", self.bundle.display(), key.id()));
        if by_others {
            // The bytes of the file are others than before.
            context.note(format_args!(
                "{} is by this key alone; the signatures in the bundle are by all keys: of SHA256SUMS, once it is unpacked",
                signature.display()
            ));
        }
        Ok(())
    }
}
