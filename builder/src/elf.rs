//! Headers of ELF files (System V ABI, "Object Files").

use std::io::{self, Read};
use std::path::Path;

use sealift_deployment::files;
use sealift_layers::platform::Architecture;

/// Whether the file is a 64-bit ELF executable for `architecture` that asks for no dynamic loader: it runs on any Linux
/// host of that architecture.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn is_static_executable(path: &Path, architecture: Architecture) -> io::Result<bool> {
    let mut head = Vec::new();
    // Linkers put the program header table right behind the ELF header.
    files::open(path)?.take(4096).read_to_end(&mut head)?;
    Ok(is_static(&head, architecture))
}

/// The same for the beginning of a file: its program header table has no entry of type `PT_INTERP`.
fn is_static(bytes: &[u8], architecture: Architecture) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: u64, size: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let field = bytes.get(at..at.checked_add(size)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    // 64-bit, little-endian.
    if !bytes.starts_with(b"\x7fELF\x02\x01") || number(18, 2) != Some(architecture.elf_machine().into()) {
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
    fn programs_with_a_loader_or_for_another_architecture_are_not_static() {
        assert!(is_static(&elf(62, &[1, 2]), Architecture::Amd64));
        assert!(!is_static(&elf(62, &[1, 3]), Architecture::Amd64));
        assert!(!is_static(&elf(183, &[1]), Architecture::Amd64));
        assert!(is_static(&elf(183, &[1]), Architecture::Arm64));
        let good = elf(62, &[1, 2]);
        for length in 0..good.len() - 55 {
            assert!(!is_static(&good[..length], Architecture::Amd64), "{length}");
        }
        assert!(!is_static(b"#!/bin/sh\n", Architecture::Amd64));
    }
}
