//! The program that a bundle brings along, so that the host needs nothing but an engine.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;

/// The program for the bundle: the one named, which must be statically linked and for `architecture` (`amd64`); without
/// a name this program itself, if it is.
///
/// # Errors
/// When the named file cannot be read or would not run on any host.
pub fn choose(named: Option<&Path>, architecture: &str) -> Result<Option<PathBuf>> {
    match named {
        Some(path) => {
            if runs_anywhere(path, architecture).map_err(|error| Failure::usage(error.to_string()))? {
                return Ok(Some(path.to_owned()));
            }
            let message = format!("{} is not a statically linked program for {architecture}", path.display());
            let hint = "build it with RUSTFLAGS=\"-C target-feature=+crt-static\" and --target";
            Err(Failure::usage(message).hint(hint).into())
        }
        None => {
            let machine = Machine::here();
            let Some(own) = machine.program() else { return Ok(None) };
            Ok(runs_anywhere(own, architecture)?.then(|| own.to_owned()))
        }
    }
}

/// Whether the file is an ELF executable of the architecture that asks for no dynamic loader.
pub(crate) fn runs_anywhere(path: &Path, architecture: &str) -> std::io::Result<bool> {
    let mut head = Vec::new();
    // Linkers put the program header table right behind the ELF header.
    fs_err::File::open(path)?.take(4096).read_to_end(&mut head)?;
    Ok(is_static(&head, architecture))
}

/// The same of a file's beginning (System V ABI, "Object Files": no entry of type `PT_INTERP` in the program header
/// table).
fn is_static(bytes: &[u8], architecture: &str) -> bool {
    const PT_INTERP: u64 = 3;
    let machine = match architecture {
        "amd64" => 62,
        "arm64" => 183,
        _ => return false,
    };
    let number = |at: u64, size: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let field = bytes.get(at..at.checked_add(size)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    // 64-bit, little-endian.
    if !bytes.starts_with(b"\x7fELF\x02\x01") || number(18, 2) != Some(machine) {
        return false;
    }
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else { return false };
    count > 0
        && (0..count).all(|at| {
            let kind = table.checked_add(at * size).and_then(|entry| number(entry, 4));
            kind.is_some_and(|kind| kind != PT_INTERP)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest file with a program header table of these types.
    fn elf(machine: u8, types: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = machine;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(types.len()).unwrap();
        for kind in types {
            bytes.push(*kind);
            bytes.extend([0; 55]);
        }
        bytes
    }

    #[test]
    fn a_loader_or_another_machine_is_seen() {
        assert!(is_static(&elf(62, &[1, 2]), "amd64"));
        assert!(!is_static(&elf(62, &[1, 3]), "amd64"));
        assert!(!is_static(&elf(183, &[1]), "amd64"));
        assert!(is_static(&elf(183, &[1]), "arm64"));
        let good = elf(62, &[1, 2]);
        for length in 0..good.len() - 55 {
            assert!(!is_static(&good[..length], "amd64"), "{length}");
        }
        assert!(!is_static(b"#!/bin/sh\n", "amd64"));
    }
}
