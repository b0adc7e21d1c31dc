"""An OPC UA server that behaves like a PLC: limits, replay and faults on top of asyncua.

sim_siemens.py and sim_beckhoff.py give the profile (namespaces, node ids, limits); this module runs it.

Commands (HTTP POST body, --at, or a line on standard input)
    status                      what is going on
    seek SECONDS [hold]         the replay goes on from (or stands still at) this time of the data
    hold | go                   the replay stands still | goes on
    bad SIGNAL STATUS           value becomes bad (e.g. BadSensorFailure); "bad * BadCommunicationError" for all
    uncertain SIGNAL            value stays, status UncertainLastUsableValue
    freeze SIGNAL               value stays, timestamps go on
    stale SIGNAL                neither value nor timestamps go on
    set SIGNAL VALUE            force a value until "clear"
    clear [SIGNAL]              end these faults
    remove SIGNAL               online change: the node is gone (BadNodeIdUnknown)
    restore SIGNAL              the node is back; old monitored items stay dead, as on a PLC
    retype SIGNAL TYPE          online change: the node has another type
    drop                        reset all TCP connections
    stall SECONDS               answer nothing for so long (connections stay open)
    slow MS                     answer every request so much later (0: end)
    killsessions                sessions become invalid (BadSessionIdInvalid), connections stay open
    fault SERVICE STATUS [N]    the next N (default 1) requests of that service fail, e.g. fault Read BadTooManyOperations 3
    skew SECONDS                server clock is wrong by so much
    plcmode RUN|STOP            PLC in STOP: values no longer change (Siemens) or turn bad (Beckhoff)
    stop | start                server closed, sockets refused | back
    restart [SECONDS]           power cycle: down for SECONDS (default 2)
    download [SECONDS]          new program: restart with namespaces (and numeric ids) moved
    reindex N                   restart with N foreign namespaces in front of the PLC's
"""
from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import ipaddress
import json
import logging
import os
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.structures104 import load_custom_struct
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server import binary_server_asyncio
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary

from plcsim_common import Bad, Control, Signal, add_replay_args, free_port, make_replay, reset

VARIANT = {
    "BOOL": "Boolean", "REAL": "Float", "LREAL": "Double", "STRING": "String", "SINT": "SByte", "USINT": "Byte",
    "BYTE": "Byte", "INT": "Int16", "UINT": "UInt16", "WORD": "UInt16", "DINT": "Int32", "UDINT": "UInt32",
    "DWORD": "UInt32", "LINT": "Int64", "ULINT": "UInt64", "LWORD": "UInt64", "TIME": "Int32",
}
EPOCH_NS0 = "http://opcfoundation.org/UA/"
DI_URI = "http://opcfoundation.org/UA/DI/"
log = logging.getLogger("plcsim")


@dataclass
class Limits:
    """0 means unlimited. The values of a profile are defaults; every one is a command line option."""
    max_sessions: int = 32
    max_subscriptions: int = 20
    max_monitored_items: int = 1000          # of the whole server
    max_nodes_per_read: int = 1000
    max_nodes_per_write: int = 1000
    max_nodes_per_browse: int = 1000
    max_nodes_per_register: int = 1000
    max_items_per_call: int = 1000           # CreateMonitoredItems
    min_sampling_ms: float = 100.0
    min_publishing_ms: float = 100.0
    max_queue: int = 1000
    min_session_timeout_s: float = 1.0
    max_session_timeout_s: float = 30.0
    buffer_bytes: int = 65535                # one chunk
    max_message_bytes: int = 1 << 24
    max_chunks: int = 0


@dataclass
class Profile:
    """What makes a server look like one vendor's."""
    name: str
    application_uri: str
    application_name: str
    product_uri: str
    manufacturer: str
    namespaces: list[str]                     # from index 2 on; the last one is the PLC's
    limits: Limits
    unsupported: set[str] = field(default_factory=set)   # services answered with BadServiceUnsupported
    stop_status: str | None = None            # status of all values in STOP; None: values freeze
    struct_as_object: bool = False
    software_version: str = "1.0"

    @property
    def plc_uri(self) -> str:
        return self.namespaces[-1]

    async def build(self, sim: "PlcSim") -> None:
        raise NotImplementedError


def service_name(typeid: ua.NodeId) -> str:
    return ua.ObjectIdNames.get(typeid.Identifier, "").replace("Request_Encoding_DefaultBinary", "")


class PlcProcessor(UaProcessor):
    """asyncua's request handler with the limits and faults of the simulated PLC in front."""

    async def _process_message(self, typeid, requesthdr, seqhdr, body):
        sim: PlcSim = self.iserver.plcsim
        name = service_name(typeid)
        await sim.before(name)
        if name == "CreateSession" and sim.limits.max_sessions and \
                len(self.iserver._external_sessions_count()) >= sim.limits.max_sessions:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        if self.session is not None and self.session.session_id in sim.killed and name not in (
                "CreateSession", "GetEndpoints", "FindServers", "CloseSession"):
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        sim.check(name, body.copy() if hasattr(body, "copy") else body)
        return await super()._process_message(typeid, requesthdr, seqhdr, body)


class Users:
    def __init__(self, users: dict[str, str], anonymous: bool):
        self.users, self.anonymous = users, anonymous

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if username is None:
            return User(role=UserRole.User) if self.anonymous else None
        good = self.users.get(username) is not None and self.users[username] == password
        return User(role=UserRole.User, name=username) if good else None


def self_signed(path: str, app_uri: str, common_name: str, fault: str | None) -> tuple[str, str]:
    """A key and a certificate as a PLC makes them for itself; fault: expired, notyet, uri or host."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    os.makedirs(path, exist_ok=True)
    cert_file, key_file = (os.path.join(path, f"{common_name}{'-' + fault if fault else ''}.{x}") for x in ("der", "pem"))
    if os.path.exists(cert_file) and os.path.exists(key_file):
        return cert_file, key_file
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = dt.datetime.now(dt.timezone.utc)
    begin, end = {"expired": (-800, -30), "notyet": (30, 800)}.get(fault, (-1, 7300))
    host = "plc-of-another-name" if fault == "host" else socket.gethostname()
    address = "192.168.0.1" if fault == "host" else "127.0.0.1"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = dict(digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
                 key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=begin)).not_valid_after(now + dt.timedelta(days=end))
            .add_extension(x509.SubjectAlternativeName([
                x509.UniformResourceIdentifier("urn:not:the:application" if fault == "uri" else app_uri),
                x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(address))]), False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(x509.KeyUsage(**usage), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
            .sign(key, hashes.SHA256()))
    with open(cert_file, "wb") as f:
        f.write(cert.public_bytes(serialization.Encoding.DER))
    with open(key_file, "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))
    return cert_file, key_file


class PlcSim:
    def __init__(self, profile: Profile, args: argparse.Namespace):
        self.profile, self.args, self.limits = profile, args, profile.limits
        self.replay = make_replay(args)
        self.signals: dict[str, Signal] = {s.name: s for s in self.replay.source.signals}
        self.server: Server | None = None
        self.nodes: dict[str, object] = {}       # signal name -> Node
        self.structs: dict[str, tuple] = {}      # struct name -> (Node, class, member signals)
        self.faults: dict[str, tuple] = {}       # signal name -> (kind, argument)
        self.forced_types: dict[str, str] = {}
        self.removed: set[str] = set()
        self.killed: set = set()
        self.service_faults: dict[str, list] = {}
        self.stall_until = 0.0
        self.slow_ms = 0.0
        self.skew = 0.0
        self.run_mode = True
        self.extra_namespaces = 0
        self.downloads = 0
        self.restarts = 0
        self.requests: Counter[str] = Counter()
        self.last: dict = {}
        self.settings_seen: dict = {}
        self.quit = asyncio.Event()
        self._lock = asyncio.Lock()

    # ---- the server -------------------------------------------------------------------------------------------
    async def start(self) -> None:
        p, a, lim = self.profile, self.args, self.limits
        server = Server(user_manager=Users(dict(u.split(":", 1) for u in a.user), not a.no_anonymous))
        server.product_uri, server.manufacturer_name = p.product_uri, p.manufacturer
        server.application_type = ua.ApplicationType.Server
        server._application_uri = p.application_uri
        await server.init()
        await server.set_application_uri(p.application_uri)
        server.set_server_name(p.application_name)
        server.set_endpoint(f"opc.tcp://{a.host}:{a.port}")
        await server.set_build_info(p.product_uri, p.manufacturer, p.name, p.software_version, "1",
                                    dt.datetime.now(dt.timezone.utc))
        policies = {"none": [ua.SecurityPolicyType.NoSecurity],
                    "secure": [ua.SecurityPolicyType.Basic256Sha256_Sign, ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
                               ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt]}
        chosen = policies["none"] * (a.security != "secure") + policies["secure"] * (a.security != "none")
        if a.security != "none":
            cert, key = self_signed(a.pki, p.application_uri, p.name.replace(" ", "_"), a.cert_fault)
            await server.load_certificate(cert)
            await server.load_private_key(key)
        server.set_security_policy(chosen)
        tokens = [] if a.no_anonymous else [ua.AnonymousIdentityToken]
        server.set_identity_tokens(tokens + ([ua.UserNameIdentityToken] if a.user else []))
        if a.client_trust:
            from pathlib import Path
            from asyncua.crypto.truststore import TrustStore
            from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
            store = TrustStore([Path(a.client_trust)], [])
            await store.load()
            server.set_certificate_validator(CertificateValidator(
                CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT, store))
        server.limits = TransportLimits(lim.buffer_bytes, lim.buffer_bytes, lim.max_chunks, lim.max_message_bytes)
        isrv = server.iserver
        isrv.plcsim = self
        isrv._external_sessions_count = lambda: [
            s for s in getattr(isrv, "_external_sessions", {}).values() if s.state.value < 2]
        isrv.min_session_timeout_ms, isrv.max_session_timeout_ms = (
            lim.min_session_timeout_s * 1000, lim.max_session_timeout_s * 1000)
        isrv.max_monitored_item_queue_size = lim.max_queue or 10_000
        isrv.max_subscriptions = lim.max_subscriptions or 1_000
        self._limit_subscriptions(isrv.subscription_service)
        self.server, self.nodes, self.structs, self.killed = server, {}, {}, set()
        extra = [f"http://foreign.example/interface{i + 1}" for i in range(self.extra_namespaces)]
        for uri in p.namespaces[:-1] + extra + p.namespaces[-1:]:
            await server.register_namespace(uri)
        self.ns = await server.get_namespace_index(p.plc_uri)
        await p.build(self)
        await self._publish_limits()
        await self.scan()
        binary_server_asyncio.UaProcessor = PlcProcessor
        await server.start()
        isrv._time_task_stop = True               # our clock (skew) instead of asyncua's
        log.info("%s on opc.tcp://%s:%s, PLC namespace %s", p.name, a.host, a.port, self.ns)

    async def stop(self) -> None:
        if self.server:
            server, self.server = self.server, None
            if server.bserver and server.bserver._server:
                server.bserver._server.close()      # first, or clients come again while it stops
            stopping = asyncio.create_task(server.stop())
            # A subscription that is publishing at this moment can make asyncua wait for ever.
            _, pending = await asyncio.wait({stopping}, timeout=5)
            if pending:
                stopping.cancel()
                logging.warning("asyncua's server has not stopped; left behind")

    async def restart(self, seconds: float) -> None:
        async with self._lock:
            await self.stop()
            await asyncio.sleep(seconds)
            self.restarts += 1
            await self.start()

    def _limit_subscriptions(self, service) -> None:
        """Revised intervals and the number of monitored items, which asyncua leaves as requested."""
        create_sub, create_items, lim = service.create_subscription, service.create_monitored_items, self.limits

        async def subscription(params, *args, **kw):
            params.RequestedPublishingInterval = max(params.RequestedPublishingInterval, lim.min_publishing_ms)
            return await create_sub(params, *args, **kw)

        async def monitored_items(params, *args, **kw):
            wanted = params.ItemsToCreate
            room = max(0, lim.max_monitored_items - self.items()) if lim.max_monitored_items else len(wanted)
            params.ItemsToCreate = wanted[:room]
            results = await create_items(params, *args, **kw)
            for item, result in zip(wanted, results):
                result.RevisedSamplingInterval = max(item.RequestedParameters.SamplingInterval, lim.min_sampling_ms)
            refused = ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems)
            return results + [ua.MonitoredItemCreateResult(StatusCode=refused) for _ in wanted[room:]]

        service.create_subscription, service.create_monitored_items = subscription, monitored_items

    async def _publish_limits(self) -> None:
        lim, get = self.limits, self.server.get_node
        for ident, value, kind in [
            (ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, lim.max_nodes_per_read, "UInt32"),
            (ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite, lim.max_nodes_per_write, "UInt32"),
            (ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse, lim.max_nodes_per_browse, "UInt32"),
            (ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRegisterNodes, lim.max_nodes_per_register, "UInt32"),
            (ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall, lim.max_items_per_call, "UInt32"),
            (ua.ObjectIds.Server_ServerCapabilities_MinSupportedSampleRate, lim.min_sampling_ms, "Double"),
        ]:
            try:
                await get(ua.NodeId(ident)).write_value(ua.Variant(value, ua.VariantType[kind]))
            except ua.UaStatusCodeError:
                log.debug("no node %s in this address space", ident)

    # ---- the address space ------------------------------------------------------------------------------------
    def id(self, text: str) -> ua.NodeId:
        return ua.NodeId(text, self.ns)

    async def folder(self, parent, text_or_id, name: str):
        nodeid = text_or_id if isinstance(text_or_id, ua.NodeId) else self.id(text_or_id)
        return await parent.add_object(nodeid, ua.QualifiedName(name, nodeid.NamespaceIndex))

    async def add_signal(self, parent, sig: Signal, nodeid: ua.NodeId, browse: str, datatype: ua.NodeId | None = None):
        kind = ua.VariantType[VARIANT[self.forced_types.get(sig.name, sig.type)]]
        node = await parent.add_variable(nodeid, ua.QualifiedName(browse, self.ns),
                                         ua.Variant(sig.zero(), kind), varianttype=kind, datatype=datatype)
        rank = ua.ValueRank.OneDimension if sig.length else ua.ValueRank.Scalar
        await node.write_attribute(ua.AttributeIds.ValueRank, ua.DataValue(ua.Variant(int(rank), ua.VariantType.Int32)))
        if sig.length:
            await node.write_array_dimensions([sig.length])
        if sig.setting or self.args.all_writable:
            await node.set_writable()
        self.nodes[sig.name] = node
        return node

    async def add_struct_type(self, name: str, members: list[Signal], type_id: ua.NodeId, enc_id: ua.NodeId):
        """A DataType with its definition and its binary encoding, under the node ids the vendor uses."""
        dtype = await self.server.nodes.base_structure_type.add_data_type(type_id, ua.QualifiedName(name, self.ns))
        enc = await self.server.get_node(type_id).add_object(
            enc_id, ua.QualifiedName("Default Binary", 0), objecttype=ua.ObjectIds.DataTypeEncodingType)
        await dtype.delete_reference(enc, ua.ObjectIds.HasComponent, forward=True, bidirectional=True)
        await dtype.add_reference(enc, ua.ObjectIds.HasEncoding, forward=True, bidirectional=True)
        fields = []
        for m in members:
            f = ua.StructureField(Name=m.name.split(".", 1)[1], DataType=ua.NodeId(ua.VariantType[VARIANT[m.type]].value),
                                  ValueRank=1 if m.length else -1, IsOptional=False)
            fields.append(f)
        await dtype.write_data_type_definition(ua.StructureDefinition(
            DefaultEncodingId=enc_id, BaseDataType=ua.NodeId(ua.ObjectIds.Structure),
            StructureType=ua.StructureType.Structure, Fields=fields))
        return await load_custom_struct(dtype)

    def members(self) -> dict[str, list[Signal]]:
        out: dict[str, list[Signal]] = {}
        for s in self.signals.values():
            if s.struct:
                out.setdefault(s.struct, []).append(s)
        return out

    # ---- the scan ---------------------------------------------------------------------------------------------
    def clock(self) -> dt.datetime:
        return dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=self.skew)

    async def run(self) -> None:
        period, due = self.args.scan_ms / 1000, time.monotonic()
        while not self.quit.is_set():
            if self.server is not None and not self._lock.locked():
                await self.scan()
            due = max(due + period, time.monotonic() - period)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def scan(self) -> None:
        now = self.clock()
        if self.run_mode:
            self.last = self.replay.values()
        for name, sig in self.signals.items():
            if name in self.nodes and name not in self.removed:
                await self._write(sig, self.last[name], now)
        for node, cls, members in self.structs.values():
            parts = [self._effective(m, self.last[m.name])[0] for m in members]
            bad = next((p for p in parts if isinstance(p, Bad)), None)
            if bad or (not self.run_mode and self.profile.stop_status):
                await node.write_value(self._data_value(bad or Bad(self.profile.stop_status), None, now))
            else:
                value = cls(**{m.name.split(".", 1)[1]: p for m, p in zip(members, parts)})
                await node.write_value(self._data_value(value, ua.VariantType.ExtensionObject, now))
        await self._write_clock(now)

    def _effective(self, sig: Signal, value):
        kind, arg = self.faults.get(sig.name, (None, None))
        if kind == "bad":
            return Bad(arg), "Good"
        if kind in ("freeze", "stale", "set"):
            return arg, "Good"
        return value, "UncertainLastUsableValue" if kind == "uncertain" else "Good"

    async def _write(self, sig: Signal, value, now) -> None:
        kind, _ = self.faults.get(sig.name, (None, None))
        if kind == "stale":
            return
        if sig.setting and kind is None and not isinstance(value, Bad):
            if self.settings_seen.get(sig.name) == value:
                return                         # unchanged in the data: what a client wrote stays
            self.settings_seen[sig.name] = value
        value, status = self._effective(sig, value)
        if not self.run_mode and self.profile.stop_status:
            value = Bad(self.profile.stop_status)
        forced = self.forced_types.get(sig.name)
        if forced and not isinstance(value, Bad):
            value = Signal(sig.name, forced)._one(str(value)) if not sig.length else value
        vtype = ua.VariantType[VARIANT[forced or sig.type]]
        await self.nodes[sig.name].write_value(self._data_value(value, vtype, now, status))

    def _data_value(self, value, vtype, now, status: str = "Good") -> ua.DataValue:
        if isinstance(value, Bad):
            return ua.DataValue(Value=ua.Variant(), StatusCode=ua.StatusCode(getattr(ua.StatusCodes, value.status)),
                                SourceTimestamp=now, ServerTimestamp=now)
        return ua.DataValue(Value=ua.Variant(value, vtype), StatusCode=ua.StatusCode(getattr(ua.StatusCodes, status)),
                            SourceTimestamp=now, ServerTimestamp=now)

    async def _write_clock(self, now) -> None:
        isrv = self.server.iserver
        status = await isrv.server_status_node.read_value()
        status.CurrentTime = now
        await isrv.server_status_node.write_value(status)
        await isrv.current_time_node.write_value(now)

    # ---- requests ---------------------------------------------------------------------------------------------
    async def before(self, service: str) -> None:
        self.requests[service] += 1
        while (left := self.stall_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
        if self.slow_ms:
            await asyncio.sleep(self.slow_ms / 1000)
        if service == "Republish":      # asyncua answers Good with nothing, which makes node-opcua ask for ever
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        if service in self.profile.unsupported:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        fault = self.service_faults.get(service)
        if fault:
            fault[1] -= 1
            if fault[1] <= 0:
                del self.service_faults[service]
            raise ServiceError(getattr(ua.StatusCodes, fault[0]))

    def check(self, service: str, body) -> None:
        lim = self.limits

        def over(count, limit):
            if limit and count > limit:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)

        if service == "Read":
            p = struct_from_binary(ua.ReadParameters, body)
            over(len(p.NodesToRead), lim.max_nodes_per_read)
            if p.MaxAge < 0:
                raise ServiceError(ua.StatusCodes.BadMaxAgeInvalid)
        elif service == "Write":
            over(len(struct_from_binary(ua.WriteParameters, body).NodesToWrite), lim.max_nodes_per_write)
        elif service == "Browse":
            over(len(struct_from_binary(ua.BrowseParameters, body).NodesToBrowse), lim.max_nodes_per_browse)
        elif service == "RegisterNodes":
            over(len(struct_from_binary(ua.RegisterNodesParameters, body).NodesToRegister), lim.max_nodes_per_register)
        elif service == "CreateMonitoredItems":
            over(len(struct_from_binary(ua.CreateMonitoredItemsParameters, body).ItemsToCreate), lim.max_items_per_call)

    def items(self) -> int:
        subs = self.server.iserver.subscription_service.subscriptions.values() if self.server else []
        return sum(len(s.monitored_item_srv._monitored_items) for s in subs)

    # ---- commands ---------------------------------------------------------------------------------------------
    def status(self) -> dict:
        isrv = self.server.iserver if self.server else None
        return {
            "profile": self.profile.name, "up": self.server is not None, "mode": "RUN" if self.run_mode else "STOP",
            "t": round(self.replay.now(), 3), "namespace": self.ns if self.server else None,
            "sessions": len(isrv._external_sessions_count()) if isrv else 0,
            "subscriptions": len(isrv.subscription_service.subscriptions) if isrv else 0,
            "monitored_items": self.items(), "requests": dict(self.requests), "restarts": self.restarts,
            "faults": {k: v[0] for k, v in self.faults.items()}, "removed": sorted(self.removed),
            "nodes": {k: n.nodeid.to_string() for k, n in self.nodes.items()},
        }

    def _names(self, name: str) -> list[str]:
        if name == "*":
            return list(self.signals)
        if name not in self.signals:
            raise KeyError(f"no signal {name}")
        return [name]

    async def command(self, cmd: str, words: list[str]):
        if cmd == "status":
            return self.status()
        if self.replay.command(cmd, words):
            return "done"
        if cmd in ("bad", "uncertain", "freeze", "stale", "set"):
            for n in self._names(words[0]):
                if cmd == "bad":
                    getattr(ua.StatusCodes, words[1])      # an unknown name is the caller's error
                if cmd in ("freeze", "stale"):
                    self.faults[n] = (cmd, self.last[n])
                else:
                    self.faults[n] = (cmd, self.signals[n].parse(words[1]) if cmd == "set" else words[1] if cmd == "bad" else None)
        elif cmd == "clear":
            for n in self._names(words[0] if words else "*"):
                self.faults.pop(n, None)
                self.settings_seen.pop(n, None)
        elif cmd == "remove":
            for n in self._names(words[0]):
                node = self.nodes[n]
                await node.write_value(self._data_value(Bad("BadNodeIdUnknown"), None, self.clock()))
                self.removed.add(n)
                await self.server.delete_nodes([node])
        elif cmd in ("restore", "retype"):
            name = words[0]
            if cmd == "retype":
                self.forced_types[name] = words[1].upper()
                await self.server.delete_nodes([self.nodes[name]])
            self.removed.discard(name)
            await self.profile.add_one(self, self.signals[name])
        elif cmd == "drop":
            for t in list(self.server.iserver.asyncio_transports):
                reset(t)
        elif cmd == "stall":
            self.stall_until = time.monotonic() + float(words[0])
        elif cmd == "slow":
            self.slow_ms = float(words[0])
        elif cmd == "killsessions":
            self.killed |= {s.session_id for s in self.server.iserver._external_sessions_count()}
        elif cmd == "fault":
            getattr(ua.StatusCodes, words[1])
            self.service_faults[words[0]] = [words[1], int(words[2]) if len(words) > 2 else 1]
        elif cmd == "skew":
            self.skew = float(words[0])
        elif cmd == "plcmode":
            self.run_mode = words[0].upper() == "RUN"
            self.settings_seen.clear()
        elif cmd == "stop":
            async with self._lock:
                await self.stop()
        elif cmd == "start":
            async with self._lock:
                if self.server is None:
                    await self.start()
        elif cmd == "restart":
            await self.restart(float(words[0]) if words else 2.0)
        elif cmd == "download":
            self.extra_namespaces = 1 - self.extra_namespaces if self.extra_namespaces < 2 else self.extra_namespaces - 1
            self.downloads += 1
            await self.restart(float(words[0]) if words else 2.0)
        elif cmd == "reindex":
            self.extra_namespaces = int(words[0])
            await self.restart(0.5)
        elif cmd == "quit":
            self.quit.set()
        else:
            raise ValueError(f"unknown command {cmd}")
        return "done"


def arguments(description: str, port: int, limits: Limits) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=port)
    p.add_argument("--security", choices=["none", "secure", "both"], default="both", help="endpoints offered")
    p.add_argument("--user", action="append", default=[], metavar="NAME:PASSWORD", help="allow this user (may be repeated)")
    p.add_argument("--no-anonymous", action="store_true")
    p.add_argument("--pki", default="pki", help="folder of the self-signed server certificate")
    p.add_argument("--cert-fault", choices=["expired", "notyet", "uri", "host"], help="a wrong server certificate")
    p.add_argument("--client-trust", metavar="DIR", help="accept only client certificates in DIR (default: all)")
    p.add_argument("--all-writable", action="store_true", help="clients may write every signal, not only the settings")
    p.add_argument("--log", default="WARNING")
    g = p.add_argument_group("limits (0: none)")
    for name, value in vars(limits).items():
        g.add_argument("--" + name.replace("_", "-"), type=type(value), default=None, help=f"(profile: {value})")
    add_replay_args(p)
    return p


def apply_limits(limits: Limits, args: argparse.Namespace) -> Limits:
    for name in vars(limits):
        if getattr(args, name) is not None:
            setattr(limits, name, getattr(args, name))
    return limits


async def serve(profile: Profile, args: argparse.Namespace) -> None:
    logging.basicConfig(level=args.log.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("asyncua").setLevel(max(logging.ERROR, logging.getLogger().level))
    args.port = args.port or free_port(args.host)
    sim = PlcSim(profile, args)
    await sim.start()
    control = Control(sim.command, sim.status)
    await control.start(args)
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, sim.quit.set)
    print(json.dumps({"ready": True, "endpoint": f"opc.tcp://{args.host}:{args.port}", "profile": profile.name,
                      "namespace": sim.ns, "control": args.control or None}), flush=True)
    sim.replay.begin(hold=args.hold)
    scan = asyncio.create_task(sim.run())
    quit_ = asyncio.create_task(sim.quit.wait())
    await asyncio.wait({scan, quit_}, return_when=asyncio.FIRST_COMPLETED)
    if scan.done() and scan.exception():
        raise scan.exception()
    scan.cancel()
    await sim.stop()
