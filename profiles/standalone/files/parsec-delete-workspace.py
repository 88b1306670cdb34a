"""Deletes a workspace for good: its metadata, then its data blocks, wherever the server keeps them.

    sealift task delete-workspace ORGANIZATION WORKSPACE

The server itself only lists the blocks. The list stays until all of them are gone: run again, this goes on with it.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

if len(sys.argv) != 3:
    sys.exit("usage: delete-workspace.py ORGANIZATION WORKSPACE")
organization, workspace = sys.argv[1:]
if not re.fullmatch(r"[\w-]{1,32}", organization):
    sys.exit(f"{organization} is not the name of an organization: 1 to 32 letters, digits, - or _")
if not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f-]{36}", workspace):
    sys.exit(f"{workspace} is not the ID of a workspace: 32 hexadecimal digits")

kept = Path("/var/lib/parsec/exports")
folder = kept if kept.is_dir() else Path(tempfile.gettempdir())
listed = folder / f"blocks-{organization}-{workspace}.txt"
fresh = listed.with_suffix(".new")

command = [sys.executable, "-m", "parsec", "delete_realm", "--log-level", "WARNING"]
command += ["--organization", organization, "--realm", workspace, "--dump-realm-blocks", str(fresh)]
deleted = subprocess.run(command, check=False).returncode == 0
if deleted:
    fresh.rename(listed)
else:
    fresh.unlink(missing_ok=True)
    if not listed.exists():
        sys.exit("nothing was deleted")
    print("an earlier run has deleted the metadata: going on with its blocks", file=sys.stderr)

from parsec.cli.options import _parse_blockstore_params  # noqa: E402

blocks = listed.read_text().split()


def stores(config) -> list:
    return [leaf for store in config.blockstores for leaf in stores(store)] if hasattr(config, "blockstores") else [config]


async def remove_from_database() -> list[str]:
    import asyncpg

    connection = await asyncpg.connect(os.environ["PARSEC_DB"])
    try:
        for start in range(0, len(blocks), 10_000):
            ids = [block.split("/")[1] for block in blocks[start : start + 10_000]]
            await connection.execute(
                "DELETE FROM block_data WHERE organization_id = $1 AND block_id = ANY($2::uuid[])", organization, ids
            )
    finally:
        await connection.close()
    return []


def remove_from_s3(store) -> list[str]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        region_name=store.s3_region,
        aws_access_key_id=store.s3_key,
        aws_secret_access_key=store.s3_secret,
        endpoint_url=store.s3_endpoint_url,
    )
    left = []
    for block in blocks:
        try:
            client.delete_object(Bucket=store.s3_bucket, Key=block)
        except (BotoCoreError, ClientError) as error:
            print(f"{block}: {error}", file=sys.stderr)
            left.append(block)
    return left


def remove_from_swift(store) -> list[str]:
    import swiftclient

    connection = swiftclient.Connection(
        authurl=store.swift_authurl, user=f"{store.swift_user}:{store.swift_tenant}", key=store.swift_password
    )
    left = []
    for block in blocks:
        try:
            connection.delete_object(store.swift_container, block)
        except swiftclient.ClientException as error:
            if error.http_status != 404:
                print(f"{block}: {error}", file=sys.stderr)
                left.append(block)
    return left


left: set[str] = set()
for store in stores(_parse_blockstore_params(os.environ["PARSEC_BLOCKSTORE"].split())):
    match type(store).__name__:
        case "PostgreSQLBlockStoreConfig":
            left.update(asyncio.run(remove_from_database()))
        case "S3BlockStoreConfig":
            left.update(remove_from_s3(store))
        case "SWIFTBlockStoreConfig":
            left.update(remove_from_swift(store))
        case other:
            sys.exit(f"blocks in {other} cannot be removed by this program: their list is {listed}")

if left:
    listed.write_text("".join(f"{block}\n" for block in sorted(left)))
    sys.exit(
        f"{len(left)} of {len(blocks)} blocks are still in the storage, as the server may not delete there; their names are in "
        f"{listed}: have them removed by who may, or run this again"
    )
listed.unlink()
print(f"the workspace {workspace} is deleted, and {len(blocks)} blocks are removed")
