#!/bin/sh
# What the gateway costs, with the demo at real-time speed (Linux): memory and load over 60 s after it has learned, then, started again on
# the same store, the time to the first answer to an OPC UA client and to the first verdict. The simulated PLC runs in the same process and is counted in.
# Usage: benches/footprint.sh [SECONDS]; DRIFTGATE names the program. Takes about four minutes.
set -eu
exec python3 - "${DRIFTGATE:-target/release/driftgate}" "${1:-60}" <<'EOF'
import json, os, signal, socket, struct, subprocess, sys, tempfile, threading, time

PROGRAM, SECONDS = sys.argv[1], float(sys.argv[2])
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Demo:
    """A running demo; `at` holds when (s after the start) things were first seen."""

    def __init__(self, folder):
        self.port, self.at, self.seen = free_port(), {}, threading.Event()
        self.begun = time.monotonic()
        command = [PROGRAM, "demo", "--json", "--port", str(self.port), "--data-dir", folder]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.knock, daemon=True).start()
        threading.Thread(target=self.read, daemon=True).start()

    def note(self, what):
        self.at.setdefault(what, time.monotonic() - self.begun)

    def knock(self):
        """Until the server answers an OPC UA Hello: only then clients get in."""
        url = f"opc.tcp://127.0.0.1:{self.port}/".encode()
        body = struct.pack("<IIIIIi", 0, 65536, 65536, 0, 0, len(url)) + url
        hello = b"HELF" + struct.pack("<I", 8 + len(body)) + body
        while self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
                    s.sendall(hello)
                    if s.recv(4) == b"ACKF":
                        return self.note("answer")
            except OSError:
                pass
            time.sleep(0.002)

    def read(self):
        for line in self.process.stdout:
            value = json.loads(line)
            if value["type"] in ("event", "state") and value.get("status") in ("OK", "Warning", "Drift"):
                self.note("verdict")
                self.seen.set()

    def wait_for_verdict(self, seconds):
        if not self.seen.wait(seconds):
            self.stop()
            sys.exit(f"no verdict within {seconds} s")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self, key):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith(key + ":"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


with tempfile.TemporaryDirectory(prefix="driftgate-footprint-") as folder:
    first = Demo(folder)
    first.wait_for_verdict(300)
    cpu, begun = first.cpu_seconds(), time.monotonic()
    time.sleep(SECONDS)
    load = 100 * (first.cpu_seconds() - cpu) / (time.monotonic() - begun)
    print(f"memory: {first.memory_mb('VmRSS'):.0f} MB resident, {first.memory_mb('VmHWM'):.0f} MB at most")
    print(f"load: {load:.1f} % of one core over {SECONDS:.0f} s")
    first.stop()
    second = Demo(folder)
    second.wait_for_verdict(60)
    print(f"started again: first answer to a client after {second.at['answer']:.2f} s, first verdict after {second.at['verdict']:.2f} s")
    second.stop()
EOF
