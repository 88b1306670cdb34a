"""Makes the bucket for the server's data blocks, or brings an existing one to what it must be: versions are kept, the object lock
is on, and the server may read and write objects and nothing else. Run by `parsec-bucket` before each start of the server.
"""

import json
import os
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from parsec.cli.options import _parse_blockstore_params

store = _parse_blockstore_params([os.environ["PARSEC_BLOCKSTORE"]])
bucket, user = store.s3_bucket, {"AWS": [f"arn:aws:iam:::user/{os.environ['BUCKET_USER']}"]}
everything = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
versioning = {"Status": "Enabled"}

lock: dict = {"ObjectLockEnabled": "Enabled"}
if mode := os.environ.get("BUCKET_RETENTION"):
    lock["Rule"] = {"DefaultRetention": {"Mode": mode, "Days": int(os.environ["BUCKET_RETENTION_DAYS"])}}

# What the server does with objects, it may. Objects that it has written are its own: what their owner could do with them has to be
# refused by name, as radosgw 20.2 has no effect of NotAction. `?*` is everything longer than PutObject.
allowed = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]
refused = ["s3:PutObject?*", "s3:Delete*", "s3:Bypass*", "s3:Restore*", "s3:PutBucket*", "s3:PutLifecycle*"]
policy = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": user, "Action": allowed, "Resource": everything},
        {"Effect": "Deny", "Principal": user, "Action": refused, "Resource": everything},
        {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/owner"]}, "Action": ["s3:*"], "Resource": everything},
    ],
}
# Nor may it give objects to everyone as it writes them.
public = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}


def found(read, *keys):
    """What the storage has of it, or None."""
    try:
        value = read(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
    for key in keys:
        value = value.get(key) if value else None
    return value


def exists() -> bool:
    """Waits for the storage: with podman-compose all services start at once."""
    end = time.monotonic() + 60
    while True:
        try:
            return found(s3.head_bucket) is not None
        except (BotoCoreError, ClientError) as error:
            down = isinstance(error, BotoCoreError) or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
            if not down or time.monotonic() > end:
                raise
            time.sleep(1)


def state() -> dict:
    text = found(s3.get_bucket_policy, "Policy")
    return {
        "versioning": {"Status": found(s3.get_bucket_versioning, "Status")},
        "object lock": found(s3.get_object_lock_configuration, "ObjectLockConfiguration"),
        "policy": json.loads(text) if text else None,
        "public access": found(s3.get_public_access_block, "PublicAccessBlockConfiguration"),
    }


s3 = boto3.client(
    "s3",
    region_name=store.s3_region,
    aws_access_key_id=store.s3_key,
    aws_secret_access_key=store.s3_secret,
    endpoint_url=store.s3_endpoint_url,
    config=Config(s3={"addressing_style": "path"}),
)
wanted = {"versioning": versioning, "object lock": lock, "policy": policy, "public access": public}
try:
    if not exists():
        s3.create_bucket(Bucket=bucket)
        print(f"made the bucket {bucket}")
    before = state()
    # In this order: a lock needs versions.
    if before["versioning"] != versioning:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
    if before["object lock"] != lock:
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    if before["policy"] != policy:
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    if before["public access"] != public:
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=public)
    after = state()
except (BotoCoreError, ClientError) as error:
    sys.exit(f"the bucket {bucket} cannot be prepared: {error}")

# A storage may answer that it did, and not have done it.
if wrong := [name for name in wanted if after[name] != wanted[name]]:
    sys.exit("\n".join([f"the bucket {bucket} is not as it must be", *(f"{name}: {after[name]}" for name in wrong)]))
print(f"the bucket {bucket} keeps versions, the object lock is on, retention: {lock.get('Rule', 'none')}")
