"""Makes an organization from within the server's container, where the token and the authority already are.

    podman exec -i parsec-server python - NAME < make-organization.py
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

if len(sys.argv) != 2:
    sys.exit("usage: make-organization.py NAME")

request = urllib.request.Request(
    f"https://localhost:{os.environ.get('PARSEC_PORT', '6777')}/administration/organizations",
    data=json.dumps({"organization_id": sys.argv[1]}).encode(),
    headers={
        "Authorization": f"Bearer {os.environ['PARSEC_ADMINISTRATION_TOKEN']}",
        "Content-Type": "application/json",
    },
)
tls = ssl.create_default_context(cafile="/run/secrets/custom-ca.crt")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
try:
    print(json.load(opener.open(request, timeout=30))["bootstrap_url"])
except urllib.error.HTTPError as error:
    sys.exit(f"the server answered {error.code}: {error.read().decode(errors='replace')}")
except OSError as error:
    sys.exit(f"the server cannot be reached: {error}")
