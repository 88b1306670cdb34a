"""Counts its visitors. The number is in valkey, so it is kept when this program is started again."""

import os

import flask
import valkey

app = flask.Flask(__name__)
store = valkey.Valkey(host="store", password=os.environ["STORE_PASSWORD"])


@app.get("/")
def visit():
    return f"visitor {store.incr('visitors')}\n"


@app.get("/ready")
def ready():
    store.ping()
    return "", 204
