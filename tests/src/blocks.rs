//! The server's own block store code, tried from within its container.

use anyhow::{Result, ensure};

use crate::podman::Podman;

/// Makes the block store as the server does, from the server's own environment; `write` puts a block there, `read` expects
/// it. The block's name and bytes are fixed, so that a later run looks for the same one.
const SCRIPT: &str = r#"
import asyncio, os, sys
from parsec._parsec import BlockID, OrganizationID
from parsec.cli.options import _parse_blockstore_params
from parsec.components.blockstore import blockstore_factory

store = blockstore_factory(_parse_blockstore_params([os.environ["PARSEC_BLOCKSTORE"]]))
assert type(store).__name__ == "S3BlockStoreComponent", type(store)
endpoint = store._s3.meta.endpoint_url
assert endpoint == sys.argv[2], endpoint
organization, block = OrganizationID("MyOrg"), BlockID.from_hex("3b91779235ac409f9af1fe6de8d2b905")
content = bytes(range(256)) * 2048

async def main():
    if sys.argv[1] == "write":
        assert await store.create(organization, block, content) is None, "not written"
    assert await store.read(organization, block) == content, "not what was written"
    other = await store.read(organization, BlockID.from_hex("00000000000000000000000000000001"))
    assert other != content and not isinstance(other, bytes), other

asyncio.run(main())
print("ok")
"#;

/// An S3 storage as one container sees it.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    /// The server's container.
    pub container: &'a str,
    /// The storage's URL that the server must be configured with.
    pub endpoint: &'a str,
}

impl Blocks<'_> {
    /// Writes (`write`) or reads (`read`) a block.
    ///
    /// # Errors
    /// The command in the container fails, or finds another block.
    pub fn pass(&self, podman: &Podman, what: &str) -> Result<()> {
        let output = podman.podman(&["exec", self.container, "python", "-c", SCRIPT, what, self.endpoint])?;
        ensure!(output.trim_end().ends_with("ok"), "{what}: {output}");
        Ok(())
    }

    /// With the public authorities only, the same program must refuse the storage's certificate.
    ///
    /// # Errors
    /// The certificate is accepted.
    pub fn only_the_authority_is_trusted(&self, podman: &Podman) -> Result<()> {
        let public = "AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt";
        let arguments = ["exec", "--env", public, self.container, "python", "-c", SCRIPT, "read", self.endpoint];
        let ran = podman.try_podman(&arguments)?;
        ensure!(ran.code != Some(0) && ran.stderr.contains("CERTIFICATE_VERIFY_FAILED"), "it is trusted: {ran:?}");
        Ok(())
    }
}
