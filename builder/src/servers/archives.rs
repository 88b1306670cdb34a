//! Folders and servers that have archives: files that no package index lists.

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_layers::digest::Measured;
use sealift_layers::limits::ARTIFACT;

use super::{Servers, file_name};
use crate::fetch::{Download, Urls};
use crate::lock::ArchiveFile;
use crate::mirrors::access::Address;
use crate::mirrors::{self, Mirror};

/// Largest archive that is measured for a lock, in bytes.
const LIMIT: u64 = ARTIFACT;

impl Servers<'_> {
    /// The folders and servers for archives, in the order in which they are tried. There may be none.
    ///
    /// # Errors
    /// A usage failure for one that is neither a folder nor a URL.
    pub fn archives(&self) -> Result<Vec<Mirror>> {
        mirrors::archives(&self.options.archives, self.machine)
    }

    /// Where the archive `file` may be: below each folder and server, and there also by its name alone.
    fn archive_addresses(&self, file: &str) -> Result<Vec<Address>> {
        let mut addresses = Vec::new();
        for mirror in self.archives()? {
            addresses.push(mirror.address.below(&quoted(file)));
            if file.contains('/') {
                addresses.push(mirror.address.below(&quoted(file_name(file))));
            }
        }
        Ok(addresses)
    }

    /// The download of an archive.
    ///
    /// # Errors
    /// The machine names no folder and no server for archives.
    pub fn archive_file<'a>(&self, archive: &ArchiveFile) -> Result<Download<'a>> {
        let urls = self.archive_addresses(&archive.file)?;
        if urls.is_empty() {
            let message = format!("the archive {} is not in the profile's folder", archive.file);
            return Err(Failure::usage(message).hint(HINT).into());
        }
        let name = archive.file_name().to_owned();
        Ok(Download { name, urls: Urls::Known(urls), size: archive.size, digest: archive.sha256 })
    }

    /// Size and SHA-256 of the archive `file`; `None` if no folder or server has it.
    ///
    /// # Errors
    /// A server cannot be reached.
    pub fn measure_archive(&self, file: &str) -> Result<Option<Measured>> {
        let addresses = self.archive_addresses(file)?;
        if addresses.is_empty() { Ok(None) } else { self.client.measure_in(&addresses, LIMIT, file) }
    }
}

/// What to do about an archive that is nowhere.
pub const HINT: &str = "put it there, or name the folder or server that has it: --archives DIR or URL, SEALIFT_ARCHIVES, or \
                        `archive-mirror` in ~/.config/sealift/config.toml";

/// A path as part of a URL.
fn quoted(path: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(path, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sealift_deployment::machine::Machine;
    use sealift_layers::digest::Digest;

    use super::*;
    use crate::fetch::server::{Reply, Server};
    use crate::servers::Options;

    fn archive(file: &str) -> ArchiveFile {
        let (name, version) = ("site".to_owned(), "1.2".to_owned());
        ArchiveFile { name, version, file: file.to_owned(), size: 5, sha256: Digest::of(b"bytes") }
    }

    #[test]
    fn archives_are_below_the_named_folders_and_servers_or_there_by_name() {
        let place = tempfile::tempdir().unwrap();
        let machine = Machine::of(Path::new("/nonexistent"), &[]);
        let folder = place.path().to_str().unwrap().to_owned();
        let archives = vec![folder.clone(), "https://u:secret@a.example/files/".to_owned()];
        let servers = Servers::new(&machine, Options { archives, ..Options::default() }).unwrap();
        let Urls::Known(urls) = servers.archive_file(&archive("dist/a b+1.zip")).unwrap().urls else { panic!() };
        let urls: Vec<String> = urls.iter().map(|url| url.to_string().replace(&folder, "/DIR")).collect();
        insta::assert_snapshot!(urls.join("\n"), @r"
        file:///DIR/dist/a%20b%2B1.zip
        file:///DIR/a%20b%2B1.zip
        https://a.example/files/dist/a%20b%2B1.zip
        https://a.example/files/a%20b%2B1.zip
        ");
        assert!(!servers.measure_archive("none.zip").unwrap_err().to_string().is_empty());
        fs_err::write(place.path().join("a b+1.zip"), "bytes").unwrap();
        let found = servers.measure_archive("dist/a b+1.zip").unwrap().unwrap();
        assert_eq!((found.size, found.digest), (5, Digest::of(b"bytes")));
    }

    #[test]
    fn an_archive_that_no_server_has_is_none_and_without_servers_an_error_with_a_hint() {
        let server = Server::start(|_, request| match request.path.as_str() {
            "/files/site.zip" => Reply::ok(b"bytes"),
            _ => Reply::status("404 Not Found"),
        });
        let machine = Machine::of(Path::new("/nonexistent"), &[("SEALIFT_ARCHIVES", &server.url("/files"))]);
        let servers = Servers::new(&machine, Options::default()).unwrap();
        assert_eq!(servers.measure_archive("site.zip").unwrap().unwrap().digest, Digest::of(b"bytes"));
        assert!(servers.measure_archive("other.zip").unwrap().is_none());
        let bare = Machine::of(Path::new("/nonexistent"), &[]);
        let servers = Servers::new(&bare, Options::default()).unwrap();
        let error = servers.archive_file(&archive("site.zip")).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the archive site.zip is not in the profile's folder");
        assert!(Failure::hint_in(&error).unwrap().contains("archive-mirror"));
    }
}
