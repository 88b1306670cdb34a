"""Makes an organization, where the server runs and with its own token: `sealift task create-organization NAME`."""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

if len(sys.argv) != 2:
    sys.exit("usage: make-organization.py NAME")

public = urlsplit(os.environ["PARSEC_SERVER_ADDR"]).netloc
# 3.10.0 fails when it makes a link from an IPv6 address (it loses the brackets): ask for one with a name in its place.
asked = "ipv6.invalid" + public.partition("]")[2] if public.startswith("[") else public
request = urllib.request.Request(
    f"https://127.0.0.1:{os.environ.get('PARSEC_PORT', '6777')}/administration/organizations",
    data=json.dumps({"organization_id": sys.argv[1]}).encode(),
    headers={
        "Authorization": f"Bearer {os.environ['PARSEC_ADMINISTRATION_TOKEN']}",
        "Content-Type": "application/json",
        # The server makes the link from the address that it was asked by: give the public one.
        "Host": asked,
    },
)
# Whoever signed the server's certificate, and for whatever name: it is trusted itself, and no other is.
tls = ssl.create_default_context(cafile=os.environ["PARSEC_SSL_CERTFILE"])
tls.check_hostname = False
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
try:
    link = json.load(opener.open(request, timeout=30))["bootstrap_url"]
    print(link.replace(f"//{asked}/", f"//{public}/", 1))
except urllib.error.HTTPError as error:
    sys.exit(f"the server answered {error.code}: {error.read().decode(errors='replace')}")
except OSError as error:
    sys.exit(f"the server cannot be reached: {error}")
