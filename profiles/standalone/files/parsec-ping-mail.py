"""Sends one mail the way the server would, with the server's own settings.

    podman exec parsec-standalone_parsec-server python /usr/local/lib/parsec/ping-mail.py you@example.com
"""

import os
import smtplib
import ssl
import sys
from email.message import EmailMessage

if len(sys.argv) != 2:
    sys.exit("usage: ping-mail.py RECIPIENT")


def on(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "t", "yes", "y", "on")


host, port = os.environ["PARSEC_EMAIL_HOST"], int(os.environ.get("PARSEC_EMAIL_PORT", "25"))
message = EmailMessage()
message["Subject"] = "Parsec: mail works"
message["From"] = os.environ["PARSEC_EMAIL_SENDER"]
message["To"] = sys.argv[1]
message.set_content(f"Sent by the Parsec server for {os.environ['PARSEC_SERVER_ADDR']}.\n")

try:
    tls = ssl.create_default_context()
    if on("PARSEC_EMAIL_USE_SSL"):
        connection = smtplib.SMTP_SSL(host, port, timeout=10, context=tls)
    else:
        connection = smtplib.SMTP(host, port, timeout=10)
    with connection:
        if on("PARSEC_EMAIL_USE_TLS") and not on("PARSEC_EMAIL_USE_SSL"):
            connection.starttls(context=tls)
        if os.environ.get("PARSEC_EMAIL_HOST_USER"):
            connection.login(os.environ["PARSEC_EMAIL_HOST_USER"], os.environ.get("PARSEC_EMAIL_HOST_PASSWORD", ""))
        connection.send_message(message)
except (OSError, smtplib.SMTPException) as error:
    sys.exit(f"{host}:{port} did not take the mail: {error}")
print(f"{host}:{port} took a mail for {sys.argv[1]}")
