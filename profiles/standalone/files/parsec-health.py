"""Healthy when the server answers HTTPS with the very certificate that it was given, and that is still valid."""

import os
import ssl
import sys
import urllib.error
import urllib.request

port = os.environ.get("PARSEC_PORT", "6777")
# Whoever signed it, and for whatever name: it is trusted itself, and no other is.
tls = ssl.create_default_context(cafile=os.environ["PARSEC_SSL_CERTFILE"])
tls.check_hostname = False
# No proxy: http_proxy and the like may be set for the server.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
try:
    opener.open(f"https://127.0.0.1:{port}/", timeout=8).read()
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"unhealthy: {error}")
