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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
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
fresh, killed = listed.with_suffix(".new"), listed.with_suffix(".killed")

# An earlier run that was killed has perhaps deleted the metadata: then this is the only list.
if fresh.exists():
    with killed.open("a") as file:
        file.write(fresh.read_text() + "\n")

command = [sys.executable, "-m", "parsec", "delete_realm", "--log-level", "WARNING"]
command += ["--organization", organization, "--realm", workspace, "--dump-realm-blocks", str(fresh)]
run = subprocess.run(command, check=False, capture_output=True, text=True)
output = run.stdout + run.stderr
if run.returncode == 0:
    fresh.rename(listed)
else:
    fresh.unlink(missing_ok=True)
    if killed.exists() and "already been deleted" in output:
        killed.rename(listed)
    if not listed.exists():
        print(output, end="", file=sys.stderr)
        sys.exit("nothing was deleted")
    print("an earlier run has deleted the metadata: going on with its blocks", file=sys.stderr)
killed.unlink(missing_ok=True)

from parsec.cli.options import _parse_blockstore_params  # noqa: E402

blocks = sorted(set(listed.read_text().split()))


HIDDEN = "hidden, but the storage keeps its versions"


def stores(config) -> list:
    return [leaf for store in config.blockstores for leaf in stores(store)] if hasattr(config, "blockstores") else [config]


async def remove_from_database() -> dict[str, str]:
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
    return {}


def remove_from_s3(store) -> dict[str, str]:
    """Removes all versions of the blocks. A deletion without the name of a version would only hide the block."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        region_name=store.s3_region,
        aws_access_key_id=store.s3_key,
        aws_secret_access_key=store.s3_secret,
        endpoint_url=store.s3_endpoint_url,
    )
    bucket = store.s3_bucket

    def versions(block: str) -> list[str]:
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=block)
        found = [found for page in pages for found in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        return [version["VersionId"] for version in found if version["Key"] == block]

    def why(error: BotoCoreError | ClientError, block: str, version: str | None) -> str:
        if version:
            try:
                lock = client.get_object_retention(Bucket=bucket, Key=block, VersionId=version)["Retention"]
                return f"locked until {lock['RetainUntilDate'].astimezone(UTC):%Y-%m-%d %H:%M UTC} ({lock['Mode']})"
            except (BotoCoreError, ClientError, KeyError):
                pass
        if isinstance(error, ClientError):
            return f"{error.response['Error'].get('Code')} when calling {error.operation_name}"
        return str(error)

    def remove(block: str) -> str | None:
        left = None
        try:
            try:
                found = versions(block)
            except ClientError:
                # The storage has no versions, as Garage, or does not show them to this user.
                answer = client.delete_object(Bucket=bucket, Key=block)
                return HIDDEN if "VersionId" in answer else None
            for version in found:
                try:
                    client.delete_object(Bucket=bucket, Key=block, VersionId=version)
                except ClientError as error:
                    left = why(error, block, version)
        except (BotoCoreError, ClientError) as error:
            return why(error, block, None)
        return left

    with ThreadPoolExecutor(8) as pool:
        return {block: reason for block, reason in zip(blocks, pool.map(remove, blocks), strict=True) if reason}


def remove_from_swift(store) -> dict[str, str]:
    import swiftclient

    connection = swiftclient.Connection(
        authurl=store.swift_authurl, user=f"{store.swift_user}:{store.swift_tenant}", key=store.swift_password
    )
    left = {}
    for block in blocks:
        try:
            answer: dict = {}
            connection.delete_object(store.swift_container, block, response_dict=answer)
            if "x-object-version-id" in answer.get("headers", {}):
                left[block] = HIDDEN
        except swiftclient.ClientException as error:
            if error.http_status != 404:
                left[block] = f"status {error.http_status}"
    return left


left: dict[str, str] = {}
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
    for reason, count in sorted(Counter(left.values()).items()):
        print(f"{count} blocks: {reason}", file=sys.stderr)
    sys.exit(
        f"{len(left)} of {len(blocks)} blocks are still in the storage; their names are in {listed}: have them removed by who may, "
        "or run this again"
    )
listed.unlink()
print(f"the workspace {workspace} is deleted, and {len(blocks)} blocks are removed")
