"""A dataset that a gateway exports by itself is announced by webhook over TLS, also where the receiver is away and the gateway is killed meanwhile."""

import hashlib
import hmac
import ipaddress
import json
import ssl
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway import ROOT, Gateway, Server, eventually

KEY = "a secret of the plant"
SPEED = 20


def certificates(folder):
    """An authority's certificate, and one of it for 127.0.0.1 together with its key; files."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("test authority", "receiver")]
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in names]
    now, made = datetime.now(timezone.utc), []
    for own, (name, key) in enumerate(zip(names, keys)):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(names[0]).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        builder = builder.not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(own == 0, None), True)
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made.append((builder.add_extension(address, False) if own else builder).sign(keys[0], hashes.SHA256()))
    pem = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in made]
    (folder / "ca.pem").write_bytes(pem[0])
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "receiver.pem").write_bytes(keys[1].private_bytes(*form) + pem[1])
    return folder / "ca.pem", folder / "receiver.pem"


class Receiver:
    """Refuses all until it is `open`; keeps the bodies with the right signature that it has taken."""

    def __init__(self, certificate):
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
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}/datasets"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver(tmp_path):
    receiver = Receiver(certificates(tmp_path)[1])
    yield receiver
    receiver.server.shutdown()


def test_an_announcement_survives_an_outage_of_the_receiver_and_a_crash(tmp_path, receiver):
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    with Gateway(tmp_path / "demo", speed=SPEED) as demo:
        plc = demo.lines[0]["plc"]
        text = (ROOT / "configs/demo.toml").read_text().replace("opc.tcp://127.0.0.1:48400", plc)
        text += f'\n[server]\nport = 0\n[announce.webhook]\nurl = "{receiver.url}"\nca_file = "{tmp_path}/ca.pem"\nsecret_file = "{key}"\n'
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


def test_a_receiver_that_nobody_vouches_for_gets_nothing(tmp_path, receiver):
    receiver.open = True
    waiting = tmp_path / "data/announcements/webhook/000000000001.json"
    waiting.parent.mkdir(parents=True)
    waiting.write_text("{}")
    text = f"""[server]\nport = 0\n[[machines]]\nname = "M"\nperiod = "1s"\nlearn_rows = 200\nsignals = ["a"]
[machines.data_drift]\ntests = ["kolmogorov_smirnov"]\n[announce.webhook]\nurl = "{receiver.url}"\n"""
    with Server(tmp_path / "data", text=text) as server:
        eventually(lambda: "does not take announcements" in server.log(), 20, "the refusal is told")
        assert "certificate" in server.log().partition("does not take announcements")[2].splitlines()[0]
    assert waiting.is_file() and (receiver.refused, receiver.taken) == (0, [])
