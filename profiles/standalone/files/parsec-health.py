"""Healthy when the server answers HTTPS with a certificate of the site's authority."""

import os
import ssl
import sys
import urllib.error
import urllib.request

port = os.environ.get("PARSEC_PORT", "6777")
tls = ssl.create_default_context(cafile="/run/secrets/custom-ca.crt")
# No proxy: http_proxy and the like may be set for the server.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
try:
    opener.open(f"https://localhost:{port}/", timeout=8).read()
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"unhealthy: {error}")
