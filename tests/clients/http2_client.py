"""Owns the client over TLS and HTTP/2: asks for many things at once, all on one connection.

Its argument is JSON: {"ca": FILE, "requests": [{"url", "headers"}…]}, all of one host. Prints what it sees, one JSON a
line, each with the number of its request: first the head, then each event as it comes (or the body), then the end.

Not httpx: with several streams on one connection it shows what came for one only when something comes for another.
"""

import json
import socket
import ssl
import sys
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events


def tell(number, event, **more):
    print(json.dumps({"number": number, "event": event, **more}), flush=True)


class Answer:
    def __init__(self, number):
        self.number = number
        self.is_stream = False
        self.text = b""

    def head(self, pairs):
        headers = {name.decode(): value.decode() for name, value in pairs}
        self.is_stream = headers.get("content-type", "").startswith("text/event-stream")
        tell(self.number, "head", status=int(headers[":status"]), headers=headers)

    def data(self, chunk):
        self.text += chunk
        while self.is_stream and b"\n\n" in self.text:
            block, self.text = self.text.split(b"\n\n", 1)
            fields = [line.partition(": ") for line in block.decode().split("\n")]
            data = "\n".join(value for name, _, value in fields if name == "data")
            if data:
                name = next((value for name, _, value in fields if name == "event"), "message")
                tell(self.number, name, data=data)

    def end(self):
        if not self.is_stream:
            tell(self.number, "body", data=self.text.decode())
        tell(self.number, "end")


def connect(url, ca):
    trust = ssl.create_default_context(cafile=ca)
    trust.set_alpn_protocols(["h2"])
    # Longer than any test: a silence is the proxy's to end.
    plain = socket.create_connection((url.hostname, url.port), timeout=60)
    secure = trust.wrap_socket(plain, server_hostname=url.hostname)
    if secure.selected_alpn_protocol() != "h2":
        sys.exit("the proxy does not speak HTTP/2")
    return secure


def ask(connection, request):
    url = urlsplit(request["url"])
    path = f"{url.path}?{url.query}" if url.query else url.path
    own = [(":method", "GET"), (":scheme", "https"), (":authority", url.netloc), (":path", path)]
    given = [(name.lower(), value) for name, value in request["headers"].items()]
    number = connection.get_next_available_stream_id()
    connection.send_headers(number, own + given, end_stream=True)
    return number


def main(play):
    secure = connect(urlsplit(play["requests"][0]["url"]), play["ca"])
    config = h2.config.H2Configuration(client_side=True, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    answers = {ask(connection, request): Answer(number) for number, request in enumerate(play["requests"])}
    while answers:
        secure.sendall(connection.data_to_send())
        received = secure.recv(65536)
        if not received:
            sys.exit("the proxy closed the connection")
        for event in connection.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived):
                answers[event.stream_id].head(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                answers[event.stream_id].data(event.data)
            elif isinstance(event, h2.events.StreamEnded):
                answers.pop(event.stream_id).end()
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                sys.exit(f"cut off: {event}")
    # The goodbye is for the proxy's log only.
    connection.close_connection()
    secure.sendall(connection.data_to_send())


main(json.loads(sys.argv[1]))
