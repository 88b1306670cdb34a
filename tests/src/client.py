"""What clients of the server do, with its own library, in its container. Each step is one run, and keeps its keys in a file.

    bootstrap LINK AUTHORITY    makes the first user of an organization with a sequester authority: its public key in PEM
    workspace [SERVICE]...      makes a workspace, with keys for these sequester services, and two blocks; prints its ID
    blocks                      reads the blocks
    plan                        plans the deletion of the workspace for now
"""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from parsec import _parsec as p
from parsec.components.auth import AuthenticatedToken

state_file = Path("/var/lib/parsec/exports/client.json")
state = json.loads(state_file.read_text()) if state_file.exists() else {}
tls = ssl.create_default_context(cafile=os.environ["PARSEC_SSL_CERTFILE"])
tls.check_hostname = False
commands = p.authenticated_cmds.latest


def post(path: str, request, replies, **headers: str):
    url = f"https://127.0.0.1:{os.environ.get('PARSEC_PORT', '6777')}/{path}"
    headers |= {"Content-Type": "application/msgpack", "Api-Version": str(p.ApiVersion.API_LATEST_VERSION)}
    answer = urllib.request.urlopen(urllib.request.Request(url, request.dump(), headers), context=tls).read()
    reply = replies.Rep.load(answer)
    assert isinstance(reply, replies.RepOk), reply
    return reply


def signed(replies, *arguments, **named):
    key, device = p.SigningKey(bytes.fromhex(state["key"])), p.DeviceID.from_hex(state["device"])
    token = AuthenticatedToken.generate_raw(device, p.DateTime.now(), key).decode()
    return post(f"authenticated/{state['organization']}", replies.Req(*arguments, **named), replies, Authorization=f"Bearer {token}")


def identity():
    return p.SigningKey(bytes.fromhex(state["key"])), p.DeviceID.from_hex(state["device"]), p.UserID.from_hex(state["user"])


def bootstrap(link: str, authority: str) -> None:
    organization = urlsplit(link).path.strip("/")
    token = p.ParsecOrganizationBootstrapAddr.from_url(link).token
    root, device_key, user_key = p.SigningKey.generate(), p.SigningKey.generate(), p.PrivateKey.generate()
    user, device, now = p.UserID.new(), p.DeviceID.new(), p.DateTime.now()

    def certificates(handle, label):
        for_user = p.UserCertificate(
            author=None, timestamp=now, user_id=user, human_handle=handle, public_key=user_key.public_key,
            algorithm=p.PrivateKeyAlgorithm.X25519_XSALSA20_POLY1305, profile=p.UserProfile.ADMIN,
        )
        for_device = p.DeviceCertificate(
            author=None, timestamp=now, purpose=p.DevicePurpose.STANDARD, user_id=user, device_id=device, device_label=label,
            verify_key=device_key.verify_key, algorithm=p.SigningKeyAlgorithm.ED25519,
        )
        return for_user.dump_and_sign(root), for_device.dump_and_sign(root)

    full = certificates(p.HumanHandle(p.EmailAddress("a@parsec.test"), "Ann A"), p.DeviceLabel("laptop"))
    redacted = certificates(None, None)
    sequester = p.SequesterAuthorityCertificate(now, p.SequesterVerifyKeyDer.load_pem(authority))
    replies = p.anonymous_cmds.latest.organization_bootstrap
    request = replies.Req(token, root.verify_key, *full, *redacted, sequester.dump_and_sign(root))
    post(f"anonymous/{organization}", request, replies)
    state.update(organization=organization, key=device_key.encode().hex(), device=device.hex, user=user.hex)


def workspace(*services: str) -> None:
    key, device, user = identity()
    realm = p.VlobID.new()
    now = p.DateTime.now()
    role = p.RealmRoleCertificate(device, now, realm, user, p.RealmRole.OWNER).dump_and_sign(key)
    signed(commands.realm_create, role)
    now = p.DateTime.now()
    rotation = p.RealmKeyRotationCertificate(
        device, now, realm, 1, p.SecretKeyAlgorithm.BLAKE2B_XSALSA20_POLY1305, p.HashAlgorithm.SHA256, b"canary"
    )
    access = {p.SequesterServiceID.from_hex(service): b"access" for service in services}
    signed(commands.realm_rotate_key, rotation.dump_and_sign(key), {user: b"access"}, access, b"bundle")
    signed(commands.vlob_create, realm, p.VlobID.new(), 1, p.DateTime.now(), b"manifest")
    blocks = []
    for content in range(2):
        block = p.BlockID.new()
        signed(commands.block_create, block, realm, 1, bytes([content]) * 524288)
        blocks.append(block.hex)
    state.update(realm=realm.hex, blocks=blocks)
    print(realm.hex)


def blocks() -> None:
    for content, block in enumerate(state["blocks"]):
        reply = signed(commands.block_read, p.BlockID.from_hex(block), p.VlobID.from_hex(state["realm"]))
        assert reply.block == bytes([content]) * 524288, "another block"
    print(f"{len(state['blocks'])} blocks are right")


def plan() -> None:
    key, device, _ = identity()
    now = p.DateTime.now()
    when = p.RealmArchivingConfiguration.deletion_planned(now)
    certificate = p.RealmArchivingCertificate(device, now, p.VlobID.from_hex(state["realm"]), when)
    signed(commands.realm_update_archiving, certificate.dump_and_sign(key))


{"bootstrap": bootstrap, "workspace": workspace, "blocks": blocks, "plan": plan}[sys.argv[1]](*sys.argv[2:])
state_file.write_text(json.dumps(state))
