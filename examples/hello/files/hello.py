"""An ASGI application (ASGI 3.0, HTTP and lifespan) that greets whom its environment names."""

import os

TEXT = f"hello, {os.environ.get('HELLO_TO', 'world')}\n".encode()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(TEXT)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": TEXT})
