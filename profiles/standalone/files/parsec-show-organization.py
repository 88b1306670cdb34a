"""Tells how an organization is, where the server runs and with its own token: `sealift task show-organization NAME`."""

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
    f"https://127.0.0.1:{os.environ.get('PARSEC_PORT', '6777')}/administration/organizations/{quote(name, safe='')}",
    headers={"Authorization": f"Bearer {os.environ['PARSEC_ADMINISTRATION_TOKEN']}"},
)
# Whoever signed the server's certificate, and for whatever name: it is trusted itself, and no other is.
tls = ssl.create_default_context(cafile=os.environ["PARSEC_SSL_CERTFILE"])
tls.check_hostname = False
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
