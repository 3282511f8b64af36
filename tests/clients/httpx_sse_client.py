"""Owns the client from PyPI: httpx-sse, with the loop around it that a stream needs there.

Prints what it sees, one JSON a line.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def watch(url):
    last_id = ""
    # Before the first `retry:` the pause is the client's own choice.
    pause = 0.2
    with httpx.Client(trust_env=False, timeout=30) as client:
        while True:
            try:
                headers = {"Last-Event-ID": last_id} if last_id else {}
                with connect_sse(client, "GET", url, headers=headers) as source:
                    if source.response.status_code == 204:
                        tell("closed")
                        return
                    source.response.raise_for_status()
                    tell("open")
                    for event in source.iter_sse():
                        last_id = event.id
                        if event.retry is not None:
                            pause = event.retry / 1000
                        # A heartbeat or a bare `retry:` is no event for the standard, but one for this library.
                        if event.data:
                            show(event)
            except httpx.TransportError:
                pass
            tell("cut")
            time.sleep(pause)


def show(event):
    if event.event == "trouble":
        tell("trouble", data=event.data)
    else:
        tell(event.event, id=event.id, data=event.data)


watch(sys.argv[1])
