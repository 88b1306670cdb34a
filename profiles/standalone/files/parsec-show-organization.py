"""Tells how an organization is, from within the server's container, where the token and the authority already are.

    podman exec parsec-standalone_parsec-server python /usr/local/lib/parsec/show-organization.py NAME
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from urllib.parse import quote

if len(sys.argv) != 2:
    sys.exit("usage: show-organization.py NAME")

name = sys.argv[1]
request = urllib.request.Request(
    f"https://localhost:{os.environ.get('PARSEC_PORT', '6777')}/administration/organizations/{quote(name, safe='')}",
    headers={"Authorization": f"Bearer {os.environ['PARSEC_ADMINISTRATION_TOKEN']}"},
)
tls = ssl.create_default_context(cafile="/run/secrets/custom-ca.crt")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
try:
    told = json.load(opener.open(request, timeout=30))
except urllib.error.HTTPError as error:
    if error.code == 404:
        sys.exit(f"there is no organization called {name}")
    sys.exit(f"the server answered {error.code}: {error.read().decode(errors='replace')}")
except OSError as error:
    sys.exit(f"the server cannot be reached: {error}")

print(f"organization: {name}")
for key, value in told.items():
    if value is None or isinstance(value, bool):
        value = {None: "none", True: "yes", False: "no"}[value]
    elif not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    print(f"{key.removeprefix('is_').replace('_', ' ')}: {value}")
