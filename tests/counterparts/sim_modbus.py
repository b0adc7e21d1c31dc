#!/usr/bin/env python3
"""A Modbus TCP server that looks like a PLC, with the faults that real ones show.

Register layout (zero-based protocol addresses; add 1, and 40001/30001, for the numbers in many manuals)
    --profile generic    holding and input registers 0..: the signals in the order of the source; coils and discrete
                         inputs 0..: the BOOLs among them
    --profile mbserver   Siemens MB_SERVER: holding 0.. is the data block behind MB_HOLD_REG; input registers, coils
                         and discrete inputs are the process image, here zeros
    --profile tf6250     Beckhoff TF6250 default mapping: holding 0x3000.. is the PLC memory area (the signals) and
                         0x8000..0x80FF GVL.mb_Output_Registers (zeros, writable); input registers
                         0x8000..0x80FF GVL.mb_Input_Registers (the first signals again); coils and discrete inputs
                         0x8000..0x80FF (the BOOLs); everything else is exception 2
Words of one 32- or 64-bit value: --order ABCD (big endian; default, and Siemens), CDAB (word swapped; default of
tf6250, whose memory is little endian), BADC (byte swapped), DCBA (little endian).
REAL is a 32-bit float, LREAL 64-bit, DINT/UDINT/DWORD/TIME two registers, LINT/ULINT/LWORD four, BOOL one register
(0/1), STRING is left out; arrays lie element after element.
`--map` prints the layout as JSON and ends.

Commands (see plcsim_common.py; HTTP, --at, standard input)
    status | seek SECONDS [hold] | hold | go | bad SIGNAL | freeze SIGNAL | set SIGNAL VALUE | clear [SIGNAL]
    exception CODE [N]      the next N (default 1, 0: until "clear") requests are answered with that exception code
    slow MS                 answer later            wrongid [N]   wrong transaction id in the next N answers
    silent [N]              no answer to the next N requests
    wrongunit [N]           wrong unit id           short [N]     half of the answer, then the connection stays open
    garbage [N]             random bytes instead    split MS      answers in two TCP segments MS apart (0: off)
    drop                    reset all connections   halfclose     close the sending half only
    stop | start            listener closed | back
"""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import struct

from plcsim_common import Bad, Control, add_replay_args, free_port, make_replay, reset

FORMAT = {"REAL": "f", "LREAL": "d", "SINT": "h", "USINT": "H", "BYTE": "H", "INT": "h", "UINT": "H", "WORD": "H",
          "DINT": "i", "UDINT": "I", "DWORD": "I", "TIME": "i", "LINT": "q", "ULINT": "Q", "LWORD": "Q", "BOOL": "H"}
MAX_READ, MAX_BITS, MAX_WRITE, MAX_WRITE_BITS = 125, 2000, 123, 1968
PROFILES = {  # first holding register, first bit, default order
    "generic": (0, 0, "ABCD"), "mbserver": (0, 0, "ABCD"), "tf6250": (0x3000, 0x8000, "CDAB")}
GVL = range(0x8000, 0x8100)


def encode(value, kind: str, order: str) -> list[int]:
    raw = struct.pack(">" + FORMAT[kind], value)
    words = [raw[i:i + 2] for i in range(0, len(raw), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [w[::-1] for w in words]
    return [int.from_bytes(w, "big") for w in words]


def decode(words: list[int], kind: str, order: str):
    raw = [w.to_bytes(2, "big") for w in words]
    if order in ("BADC", "DCBA"):
        raw = [w[::-1] for w in raw]
    if order in ("CDAB", "DCBA"):
        raw.reverse()
    return struct.unpack(">" + FORMAT[kind], b"".join(raw))[0]


class Layout:
    """Where each signal lies."""

    def __init__(self, signals, base: int, order: str):
        self.order, self.at, self.bits, next_word, next_bit = order, {}, {}, base, 0
        self.signals = {s.name: s for s in signals if s.type in FORMAT}
        for s in self.signals.values():
            size = struct.calcsize(FORMAT[s.type]) // 2
            self.at[s.name] = (next_word, size)
            next_word += size * (s.length or 1)
            if s.type == "BOOL":
                self.bits[s.name] = next_bit
                next_bit += s.length or 1
        self.base, self.end, self.bit_end = base, next_word, max(next_bit, 8)

    def table(self) -> list[dict]:
        return [{"signal": n, "type": s.type, "elements": s.length or 1, "setting": s.setting, "address": self.at[n][0],
                 "registers": self.at[n][1] * (s.length or 1), "coil": self.bits.get(n), "order": self.order}
                for n, s in self.signals.items()]


class ModbusSim:
    def __init__(self, args):
        self.args, self.replay = args, make_replay(args)
        base, self.bit_base, order = PROFILES[args.profile]
        self.layout = Layout(self.replay.source.signals, base if args.base is None else args.base, args.order or order)
        self.holding = {a: 0 for a in range(self.layout.base, self.layout.end)}
        self.coils = [False] * self.layout.bit_end
        if args.profile == "tf6250":
            self.holding.update({a: 0 for a in GVL if a not in self.holding})
            self.coils = [False] * len(GVL)
        self.faults: dict[str, tuple] = {}
        self.counted: dict[str, int] = {}
        self.exception_code = 4
        self.slow_ms = self.split_ms = 0.0
        self.settings_seen: dict = {}
        self.last: dict = {}
        self.requests = 0
        self.connections: dict[asyncio.StreamWriter, asyncio.Task] = {}
        self.server = None
        self.quit = asyncio.Event()

    # ---- data -------------------------------------------------------------------------------------------------
    def scan(self) -> None:
        self.last = self.replay.values()
        for name, s in self.layout.signals.items():
            value = self.last[name]
            kind, arg = self.faults.get(name, (None, None))
            if kind == "bad" or isinstance(value, Bad):
                value = [float("nan")] * (s.length or 1) if s.type in ("REAL", "LREAL") else None
                value = value if s.length or value is None else value[0]
            elif kind in ("freeze", "set"):
                value = arg
            if value is None or (s.setting and kind is None and self.settings_seen.get(name) == value):
                continue
            if s.setting:
                self.settings_seen[name] = value
            address, size = self.layout.at[name]
            for i, v in enumerate(value if s.length else [value]):
                for j, w in enumerate(encode(v, s.type, self.layout.order)):
                    self.holding[address + i * size + j] = w
                if s.type == "BOOL":
                    self.coils[self.layout.bits[name] + i] = bool(v)

    async def run(self) -> None:
        while not self.quit.is_set():
            self.scan()
            await asyncio.sleep(self.args.scan_ms / 1000)

    # ---- protocol ---------------------------------------------------------------------------------------------
    def answer(self, pdu: bytes) -> bytes:
        """One request PDU to one response PDU."""
        fc = pdu[0]

        def error(code: int) -> bytes:
            return bytes([fc | 0x80, code])

        if self.take("exception"):
            return error(self.exception_code)
        siemens = self.args.profile == "mbserver"
        try:
            if fc in (1, 2):
                address, count = struct.unpack(">HH", pdu[1:5])
                if not 1 <= count <= MAX_BITS:
                    return error(3)
                address -= self.bit_base
                if address < 0 or address + count > len(self.coils):
                    return error(2)
                bits = [False] * count if siemens else self.coils[address:address + count]
                out = bytearray((count + 7) // 8)
                for i, b in enumerate(bits):
                    out[i // 8] |= b << (i % 8)
                return bytes([fc, len(out)]) + bytes(out)
            if fc in (3, 4):
                address, count = struct.unpack(">HH", pdu[1:5])
                if not 1 <= count <= MAX_READ:
                    return error(3)
                if fc == 4 and siemens:
                    return bytes([fc, 2 * count]) + bytes(2 * count) if address + count <= 1024 else error(2)
                words = [self.input(a) if fc == 4 else self.holding.get(a) for a in range(address, address + count)]
                if None in words:
                    return error(2)
                return bytes([fc, 2 * count]) + struct.pack(f">{count}H", *words)
            if fc == 5:
                address, value = struct.unpack(">HH", pdu[1:5])
                if value not in (0, 0xFF00):
                    return error(3)
                address -= self.bit_base
                if not 0 <= address < len(self.coils):
                    return error(2)
                self.coils[address] = bool(value)
                return pdu[:5]
            if fc == 6:
                address, value = struct.unpack(">HH", pdu[1:5])
                return pdu[:5] if self.store(address, [value]) else error(2)
            if fc == 15:
                address, count, size = struct.unpack(">HHB", pdu[1:6])
                if not 1 <= count <= MAX_WRITE_BITS or size != (count + 7) // 8 or len(pdu) != 6 + size:
                    return error(3)
                address -= self.bit_base
                if address < 0 or address + count > len(self.coils):
                    return error(2)
                for i in range(count):
                    self.coils[address + i] = bool(pdu[6 + i // 8] >> (i % 8) & 1)
                return pdu[:5]
            if fc == 16:
                address, count, size = struct.unpack(">HHB", pdu[1:6])
                if not 1 <= count <= MAX_WRITE or size != 2 * count or len(pdu) != 6 + size:
                    return error(3)
                return pdu[:5] if self.store(address, list(struct.unpack(f">{count}H", pdu[6:]))) else error(2)
            return error(1)
        except struct.error:
            return error(3)

    def input(self, address: int) -> int | None:
        if self.args.profile == "tf6250":
            return self.holding.get(self.layout.base + address - GVL.start, 0) if address in GVL else None
        return self.holding.get(address)

    def store(self, address: int, words: list[int]) -> bool:
        """Write registers; only settings may be written unless --all-writable."""
        area = range(address, address + len(words))
        if not self.args.all_writable:
            free = set(GVL) if self.args.profile == "tf6250" else set()
            for n, s in self.layout.signals.items():
                if s.setting:
                    at, size = self.layout.at[n]
                    free.update(range(at, at + size * (s.length or 1)))
            if not free.issuperset(area):
                return False
        elif any(a not in self.holding for a in area):
            return False
        self.holding.update(zip(area, words))
        return True

    def take(self, what: str) -> bool:
        """True if the fault `what` applies to this request."""
        left = self.counted.get(what)
        if left is None:
            return False
        if left > 0:
            if left == 1:
                del self.counted[what]
            else:
                self.counted[what] = left - 1
        return True

    async def connection(self, reader, writer) -> None:
        if self.args.max_connections and len(self.connections) >= self.args.max_connections:
            writer.close()
            return
        self.connections[writer] = asyncio.current_task()
        try:
            while True:
                head = await reader.readexactly(7)
                tid, proto, length, unit = struct.unpack(">HHHB", head)
                if proto != 0 or not 2 <= length <= 254:
                    break
                pdu = await reader.readexactly(length - 1)
                self.requests += 1
                if self.slow_ms:
                    await asyncio.sleep(self.slow_ms / 1000)
                if self.take("silent") or (self.args.unit is not None and unit != self.args.unit):
                    continue
                body = self.answer(pdu)
                tid = tid ^ 0x5555 if self.take("wrongid") else tid
                unit = unit ^ 1 if self.take("wrongunit") else unit
                frame = struct.pack(">HHHB", tid, 0, len(body) + 1, unit) + body
                if self.take("garbage"):
                    frame = os.urandom(len(frame))
                if self.take("short"):
                    frame = frame[:len(frame) // 2]
                if self.split_ms:
                    writer.write(frame[:5])
                    await writer.drain()
                    await asyncio.sleep(self.split_ms / 1000)
                    frame = frame[5:]
                writer.write(frame)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections.pop(writer, None)
            writer.close()

    # ---- commands ---------------------------------------------------------------------------------------------
    async def listen(self) -> None:
        self.server = await asyncio.start_server(self.connection, self.args.host, self.args.port)

    def abort(self) -> None:
        for w in list(self.connections):
            reset(w.transport)

    def status(self) -> dict:
        return {"profile": self.args.profile, "up": self.server is not None, "t": round(self.replay.now(), 3),
                "connections": len(self.connections), "requests": self.requests,
                "faults": {n: f[0] for n, f in self.faults.items()}, "counted": dict(self.counted)}

    async def command(self, cmd: str, words: list[str]):
        signals = self.layout.signals
        if cmd == "status":
            return self.status()
        if self.replay.command(cmd, words):
            return "done"
        if cmd in ("bad", "freeze", "set"):
            for n in signals if words[0] == "*" else [words[0]]:
                s = signals[n]
                self.faults[n] = (cmd, s.parse(words[1]) if cmd == "set" else self.last[n])
        elif cmd == "clear":
            for n in [words[0]] if words else list(self.faults):
                self.faults.pop(n, None)
                self.settings_seen.pop(n, None)
            if not words:
                self.counted.clear()
        elif cmd == "exception":
            self.exception_code = int(words[0])
            self.counted["exception"] = int(words[1]) if len(words) > 1 else 1
        elif cmd in ("silent", "wrongid", "wrongunit", "short", "garbage"):
            self.counted[cmd] = int(words[0]) if words else 1
        elif cmd == "slow":
            self.slow_ms = float(words[0])
        elif cmd == "split":
            self.split_ms = float(words[0])
        elif cmd == "drop":
            self.abort()
        elif cmd == "halfclose":
            for w in list(self.connections):
                w.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        elif cmd == "stop" and self.server:
            self.server.close()
            self.abort()
            self.server = None
        elif cmd == "start" and not self.server:
            await self.listen()
        elif cmd == "quit":
            self.quit.set()
        elif cmd not in ("stop", "start"):
            raise ValueError(f"unknown command {cmd}")
        return "done"


async def serve(args) -> None:
    sim = ModbusSim(args)
    if args.map:
        print(json.dumps(sim.layout.table(), indent=1))
        return
    args.port = args.port or free_port(args.host)
    sim.scan()
    await sim.listen()
    await Control(sim.command, sim.status).start(args)
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, sim.quit.set)
    print(json.dumps({"ready": True, "endpoint": f"{args.host}:{args.port}", "profile": args.profile, "order": sim.layout.order,
                      "registers": [sim.layout.base, sim.layout.end], "control": args.control or None}), flush=True)
    sim.replay.begin(hold=args.hold)
    scan = asyncio.create_task(sim.run())
    quit_ = asyncio.create_task(sim.quit.wait())
    await asyncio.wait({scan, quit_}, return_when=asyncio.FIRST_COMPLETED)
    if scan.done() and scan.exception():
        raise scan.exception()
    scan.cancel()
    if sim.server:
        sim.server.close()
    sim.abort()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=5020)
    p.add_argument("--profile", choices=list(PROFILES), default="generic")
    p.add_argument("--order", choices=["ABCD", "CDAB", "BADC", "DCBA"], help="word and byte order (default: of the profile)")
    p.add_argument("--base", type=lambda t: int(t, 0), help="first register (default: of the profile)")
    p.add_argument("--unit", type=int, help="answer only this unit id (default: any)")
    p.add_argument("--max-connections", type=int, default=0, help="0: any number; MB_SERVER takes one per instance")
    p.add_argument("--all-writable", action="store_true")
    p.add_argument("--map", action="store_true", help="print the register layout and end")
    add_replay_args(p)
    asyncio.run(serve(p.parse_args()))


if __name__ == "__main__":
    main()
