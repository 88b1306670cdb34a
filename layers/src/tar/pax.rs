//! Pax records (POSIX.1-2017, "pax Interchange Format"): their syntax, and what they change about a member.

use std::collections::BTreeMap;

use super::members::{Member, damaged, owner};
use super::read::ReadError;
use crate::escape::line;

/// Applies a pax record that is not about names.
pub(super) fn apply(member: &mut Member, key: &[u8], value: Vec<u8>) -> Result<(), ReadError> {
    let number = |member: &Member| -> Result<u64, ReadError> {
        let text = std::str::from_utf8(&value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let name = line(&member.name);
        text.and_then(|text| text.parse().ok()).ok_or_else(|| damaged(&format!("`{name}` has an invalid pax record")))
    };
    match key {
        b"uid" => member.uid = owner(number(member)?.into())?,
        b"gid" => member.gid = owner(number(member)?.into())?,
        b"size" => {
            let size = number(member)?;
            if ![0, size].contains(&member.size) || size > i64::MAX as u64 {
                return Err(damaged("the size of a member differs between its header and its pax record"));
            }
            member.size = size;
        }
        // Written with names that are not UTF-8, and understood so in any case.
        b"hdrcharset" if value == b"BINARY" => {}
        key if key.starts_with(b"GNU.sparse.") => return Err(damaged("it has a sparse file")),
        key => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                let name = utf8(name.to_vec())?;
                if name.is_empty() || name.contains('\0') || is_acted_on(&name) {
                    let name = line(&name);
                    return Err(damaged(&format!("the extended attribute `{name}` is not one of a file")));
                }
                member.xattrs.insert(name, value);
            } else {
                // Its first bytes will do: a tar may have 64 MiB of such keys.
                let key = String::from_utf8_lossy(&key[..key.len().min(100)]);
                member.oddity = Some(format!("has the pax record `{}`", line(&key)));
            }
        }
    }
    Ok(())
}

/// Whether engines take the attribute as an instruction: overlayfs, and fuse-overlayfs and containers' storage for engines
/// without root, to hide what is below, to take another file, or to give it another owner or mode. An access control list
/// lets others write what its mode protects.
fn is_acted_on(name: &str) -> bool {
    let begins = ["user.fuseoverlayfs.", "user.containers.", "user.rootlesscontainers", "system.posix_acl_"];
    name.contains(".overlay.") || begins.iter().any(|begin| name.starts_with(begin))
}

/// Parses pax records: `LENGTH KEY=VALUE` and a newline, where the length is that of the whole record. Values may have any
/// bytes.
pub(super) fn records(bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
    let wrong = || damaged("a pax record is malformed");
    let mut records = BTreeMap::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().take(8).position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let digits = std::str::from_utf8(&rest[..space]).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let length: usize = digits.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        let (record, after) = rest.split_at_checked(length).ok_or_else(wrong)?;
        let body = record.get(space + 1..).and_then(|body| body.strip_suffix(b"\n")).ok_or_else(wrong)?;
        let equals = body.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(wrong)?;
        if records.insert(body[..equals].to_vec(), body[equals + 1..].to_vec()).is_some() {
            return Err(damaged("a member has a pax record twice"));
        }
        rest = after;
    }
    Ok(records)
}

fn utf8(bytes: Vec<u8>) -> Result<String, ReadError> {
    String::from_utf8(bytes).map_err(|error| ReadError::NotUtf8(String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
