"""A dataset that a gateway exports by itself is announced by webhook, also where the receiver is away and the gateway is killed meanwhile."""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from gateway import ROOT, Gateway, Server, eventually

KEY = "a secret of the plant"
SPEED = 20


class Receiver:
    """Refuses all until it is `open`; keeps the bodies with the right signature that it has taken."""

    def __init__(self):
        self.open, self.refused, self.taken = False, 0, []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                signature = "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
                good = receiver.open and hmac.compare_digest(self.headers["X-Driftgate-Signature"], signature)
                if good:
                    receiver.taken.append(json.loads(body))
                else:
                    receiver.refused += 1
                self.send_response(204 if good else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/datasets"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()


def test_an_announcement_survives_an_outage_of_the_receiver_and_a_crash(tmp_path, receiver):
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    with Gateway(tmp_path / "demo", speed=SPEED) as demo:
        plc = demo.lines[0]["plc"]
        text = (ROOT / "configs/demo.toml").read_text().replace("opc.tcp://127.0.0.1:48400", plc)
        text += f'\n[server]\nport = 0\n[announce.webhook]\nurl = "{receiver.url}"\nsecret_file = "{key}"\n'
        data = tmp_path / "data"
        server = Server(data, text=text)
        try:
            eventually(lambda: receiver.refused > 1, 150, "a dataset is exported and announced")
        finally:
            server.kill()
        log = (data / "log.txt").read_text()
        assert log.count("the webhook does not take announcements") == 1 and "503" in log, "said once"
        waiting = list((data / "announcements/webhook").glob("*.json"))
        assert waiting and not receiver.taken
        receiver.open = True
        with Server(data, text=text):
            eventually(lambda: len(receiver.taken) >= len(waiting), 60, "announced after the start")
            eventually(lambda: not any((data / "announcements/webhook").iterdir()), 10, "the queue is empty")
    told = receiver.taken[0]
    assert (told["event"], told["machine"]) == ("dataset_ready", "Motor1")
    file = data / "datasets" / told["path"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == told["sha256"]
