#!/usr/bin/env python3
"""Reads a Convoy backup repository from its format document alone.

Sections (§) are those of docs/formats/repository.md. Python's standard
library only; zstd frames are read with the system's libzstd.so.1.

    convoy_reader.py list DIR              live backups as JSON lines
    convoy_reader.py restore DIR NAME OUT  a sparse file of the volume
    convoy_reader.py check DIR             verifies all that can be verified
    convoy_reader.py selftest              BLAKE3 vectors and tests
"""

import ctypes
import json
import os
import re
import struct
import sys
from collections import namedtuple

import pure_blake3

LOG_MAGIC, PACK_MAGIC, PACK_END = b"CNVYLOG1", b"CNVYPACK", b"CNVYPEND"
BLOB_MAGIC, INDEX_MAGIC, NODE_MAGIC = b"CVBL", b"CNVYINDX", b"CNVYNODE"
MAX_CONFIG, MAX_BODY, MAX_PACK = 1 << 20, 16 << 20, 64 << 20
MAX_SEGMENT_PACKS, MAX_RECORDS = 1 << 16, 1 << 20
MAX_NODE = 16 + 4 * 512 + 32 * 1024
MAX_SEGMENT = 64 + 44 * MAX_SEGMENT_PACKS + 1024 + 44 * MAX_RECORDS
FANOUT, MAX_SLOTS, COMMIT_WINDOW = 1024, 1 << 48, 1 << 20
MAX_DEPTH = 32
MAX_NAMES = 1024
CHUNK, NODE = 0, 1
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HEX64, SESSION = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")
STORED_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{8})-([0-9a-f]{32})")
BACKUP_NAME = re.compile(r"backup-[0-9a-f]{16}")


class Damage(Exception):
    """An object is not what the format says; the text names the object."""


class Refused(Exception):
    """The repository or request is one that this program does not read."""


class Void(Exception):
    """An entry has no effect (§5.3)."""


def need(condition, name, what):
    """Raises `Damage` that names the object unless the condition holds."""
    if not condition:
        raise Damage(f"{name}: {what}")


def warn(text):
    """A remark that does not change the result."""
    print(f"note: {text}", file=sys.stderr)


# ---------------------------------------------------------------- the store

class Store:
    """A directory whose files are the objects, by key (§2)."""

    def __init__(self, path):
        inner = os.path.join(path, "convoy-repository")
        if not os.path.exists(os.path.join(path, "config")) \
                and os.path.isdir(inner):
            path = inner
        self.path = path

    def _file(self, key):
        return os.path.join(self.path, *key.split("/"))

    def exists(self, key):
        """Whether the object is there."""
        return os.path.exists(self._file(key))

    def size(self, key):
        """The object's length in bytes."""
        try:
            return os.stat(self._file(key)).st_size
        except OSError as error:
            raise Damage(f"{key}: {error.strerror}") from error

    def read(self, key, limit):
        """The whole object, at most `limit` bytes long."""
        try:
            with open(self._file(key), "rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise Damage(f"{key}: {error.strerror}") from error
        need(len(data) <= limit, key, f"longer than {limit} bytes")
        return data

    def read_at(self, key, offset, length):
        """Exactly `length` bytes from `offset`."""
        try:
            with open(self._file(key), "rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise Damage(f"{key}: {error.strerror}") from error
        need(len(data) == length, key,
             f"ends inside bytes {offset}..{offset + length}")
        return data

    def keys(self, folder):
        """All keys below a folder, in order."""
        found = []
        for path, folders, files in os.walk(self._file(folder)):
            folders.sort()
            base = os.path.relpath(path, self.path).replace(os.sep, "/")
            found.extend(f"{base}/{name}" for name in sorted(files))
        return sorted(found)


# ------------------------------------------------------------- JSON, types

def not_json(name):
    """`NaN` and the like."""
    raise ValueError(f"{name} is not JSON")


def json_int(text):
    """An integer; `-0` is none, and what no double can hold is refused."""
    try:
        float(int(text))
    except OverflowError as error:
        raise ValueError("a number is too large") from error
    return -0.0 if text == "-0" else int(text)


def json_float(text):
    """Another number."""
    if float(text) in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return float(text)


def json_object(pairs):
    """An object whose names occur once each, and are not too many."""
    if len(pairs) > MAX_NAMES:
        raise ValueError("an object has too many names")
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name occurs twice in an object")
    return fields


def check_json(value, depth=0):
    """§5.1: depth, and strings that are Unicode; else `ValueError`."""
    if isinstance(value, str):
        value.encode("utf-8")  # a lone surrogate is a `ValueError`
    elif isinstance(value, (dict, list)):
        if depth == MAX_DEPTH:
            raise ValueError("nested too deeply")
        for item in value:
            check_json(item, depth + 1)
        for item in value.values() if isinstance(value, dict) else ():
            check_json(item, depth + 1)


def parse_json(data):
    """A JSON object in its one meaning (§5.1), or `ValueError`."""
    try:
        value = json.loads(
            data.decode("utf-8"), parse_constant=not_json,
            parse_int=json_int, parse_float=json_float,
            object_pairs_hook=json_object)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    check_json(value)
    return value


def is_int(value, low=0, high=(1 << 64) - 1):
    """A JSON integer within limits (true and false are none)."""
    return type(value) is int and low <= value <= high


def matches(pattern, value):
    """A string that the pattern describes as a whole."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def is_text(value):
    """A string."""
    return isinstance(value, str)


def is_uuid(value):
    """A UUID with dashes, lower case."""
    return matches(UUID, value)


def uuid_bytes(text):
    """A UUID's 16 bytes in the order they are printed."""
    return bytes.fromhex(text.replace("-", ""))


def u32_at(data, offset):
    """A little-endian u32."""
    return struct.unpack_from("<I", data, offset)[0]


# ----------------------------------------------------------------- config

class Config:
    """§4: the object `config`; and the keys of §3."""

    def __init__(self, data):
        try:
            fields = parse_json(data)
        except ValueError as error:
            raise Damage(f"config: {error}") from error
        self.fields, self.digest = fields, pure_blake3.blake3(data)
        self._format()
        self._features()
        self._shape()
        self._keys()

    def _require(self, name, good, what):
        need(name in self.fields, "config", f"no field {name}")
        need(good(self.fields[name]), "config", f"{name} is not {what}")
        return self.fields[name]

    def _format(self):
        self._require("format", lambda v: v == "convoy-repository",
                      "convoy-repository")
        version = self._require("version", lambda v: is_int(v, 1),
                                "an integer from 1")
        if version > 1:
            raise Refused(f"config: version {version}, made by "
                          f"{self.fields.get('created_by')!r}, is newer")

    def _features(self):
        features = self._require("features", lambda v: isinstance(v, dict),
                                 "an object")
        for name in ("compat", "read_compat", "incompat"):
            names = features.get(name)
            need(isinstance(names, list) and all(map(is_text, names)),
                 "config", f"features.{name} is not a list of strings")
        if features["incompat"]:
            raise Refused("config: unknown incompatible feature "
                          + ", ".join(map(repr, features["incompat"])))

    def _coded(self, name, known):
        """A field `{name, code}` whose two halves must agree."""
        value = self._require(name, lambda v: isinstance(v, dict),
                              "an object")
        pair = (value.get("name"), value.get("code"))
        if not is_text(pair[0]) or not is_int(pair[1]) or pair not in known:
            raise Refused(f"config: unknown {name} {pair[0]!r}, "
                          f"code {pair[1]!r}")

    def _shape(self):
        self.id = uuid_bytes(self._require("id", is_uuid, "a UUID"))
        self.chunk_size = self._require(
            "chunk_size", lambda v: is_int(v, 4096, 4194304)
            and v & (v - 1) == 0, "a power of two, 4096 to 4194304")
        self._require("tree_fanout", lambda v: is_int(v, FANOUT, FANOUT),
                      "1024")
        self._coded("hash", {("blake3-keyed", 1)})
        self._coded("compression", {("none", 0), ("zstd", 1)})
        self._coded("cipher", {("none", 0)})
        self._require("grace_seconds", is_int, "an integer")
        self._require("single_writer", lambda v: isinstance(v, bool),
                      "true or false")

    def _keys(self):
        self._require("id_key", lambda v: matches(HEX64, v), "64 hex digits")
        material = bytes.fromhex(self.fields["id_key"])
        self.chunk_key, self.node_key, self.log_key, self.collector_key = (
            derived_keys(material))


def derived_keys(material):
    """§3: the chunk, node, log and collector keys."""
    return [pure_blake3.derive_key(f"convoy repository v1 {use}", material)
            for use in ("chunk id", "tree node id", "log mac",
                        "collector mac")]


# -------------------------------------------------------------- log bodies

def check_runs(value):
    """§5.1: a list of runs `[session, a, b]`; else `ValueError`."""
    if not isinstance(value, list):
        raise ValueError("packs are not a list of runs")
    for run in value:
        if not (isinstance(run, list) and len(run) == 3
                and matches(SESSION, run[0]) and is_int(run[1])
                and is_int(run[2], run[1] + 1, (1 << 32) - 1)):
            raise ValueError(f"{run!r} is not a run")


def check_names(value):
    """§5.1: a list of segment names."""
    if not (isinstance(value, list)
            and all(matches(STORED_NAME, name) for name in value)):
        raise ValueError("not a list of segment names")


def check_uuids(value):
    """A list of UUIDs."""
    if not (isinstance(value, list) and all(map(is_uuid, value))):
        raise ValueError("not a list of UUIDs")


def checker(good, what):
    """Makes a function that raises `ValueError` for a wrong value."""
    def check(value):
        if not good(value):
            raise ValueError(f"not {what}")
    return check


UUID_FIELD = checker(is_uuid, "a UUID")
OBJECT_FIELD = checker(lambda v: isinstance(v, dict), "an object")
COUNT_FIELD = checker(is_int, "an unsigned integer")
SESSION_FIELD = checker(lambda v: matches(SESSION, v), "32 hex digits")
HEX_FIELD = checker(lambda v: matches(HEX64, v), "64 hex digits")

# §5.2: the fields that decide. The others are for information: they may be
# absent or anything at all, and nothing here may depend on them.
BACKUP_FIELDS = {
    "id": UUID_FIELD,
    "name": checker(lambda v: matches(BACKUP_NAME, v), "a backup's name"),
    "volume": UUID_FIELD,
    "size": checker(lambda v: is_int(v, 1, (1 << 63) - 1), "a volume's size"),
    "root": checker(lambda v: v is None or matches(HEX64, v), "an id or null"),
    "base": checker(lambda v: v is None or is_uuid(v), "a UUID or null"),
}


def check_fields(body, fields):
    """Raises `ValueError` for a field that is missing or of a wrong type."""
    for name, check in fields.items():
        if name not in body:
            raise ValueError(f"no field {name}")
        try:
            check(body[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def check_backups(value):
    """§5.2: the backups of a commit."""
    if not isinstance(value, list):
        raise ValueError("not a list")
    for backup in value:
        OBJECT_FIELD(backup)
        check_fields(backup, BACKUP_FIELDS)


# §5.1
KINDS = {
    1: ("init", {"repository": UUID_FIELD, "config": HEX_FIELD}),
    2: ("volume", {"id": UUID_FIELD}),
    3: ("commit", {"session": SESSION_FIELD, "began": COUNT_FIELD,
                   "backups": check_backups, "uses": check_runs,
                   "segments": check_names}),
    4: ("delete", {"backups": check_uuids}),
    5: ("undelete", {"backups": check_uuids}),
    6: ("keep", {"session": SESSION_FIELD}),
    16: ("forget", {"backups": check_uuids}),
    17: ("warn", {"packs": check_runs, "basis": COUNT_FIELD}),
    18: ("sweep", {"packs": check_runs, "basis": COUNT_FIELD}),
    19: ("move", {"from": check_runs, "to": check_runs,
                  "segments": check_names, "basis": COUNT_FIELD}),
    20: ("compact", {"old": check_names, "new": check_names}),
}


# ------------------------------------------------------------ packs in runs

class PackSet:
    """A set of packs `(session, seq)` kept as runs, never pack by pack."""

    def __init__(self):
        self.sessions = {}

    def _edit(self, run, keep):
        session, low, high = run
        kept = [(low, high)] if keep else []
        for a, b in self.sessions.get(session, ()):
            kept.extend(part for part in ((a, min(b, low)), (max(a, high), b))
                        if part[0] < part[1])
        self.sessions[session] = sorted(kept)

    def add(self, run):
        """Puts in all packs of a run."""
        self._edit(run, True)

    def remove(self, run):
        """Takes out all packs of a run."""
        self._edit(run, False)

    def remove_session(self, session):
        """Takes out all packs of a session."""
        self.sessions.pop(session, None)

    def common(self, run):
        """The runs of this set that lie in a run."""
        session, low, high = run
        return [[session, max(a, low), min(b, high)]
                for a, b in self.sessions.get(session, ())
                if max(a, low) < min(b, high)]

    def touches(self, runs):
        """Whether any pack of the runs is in the set."""
        return any(self.common(run) for run in runs)

    def has(self, session, seq):
        """Whether the pack is in the set."""
        return self.touches([[session, seq, seq + 1]])


# ------------------------------------------------------------------ the log

Entry = namedtuple("Entry", "slot kind flags op body digest known")


def entry_key(slot):
    """§2: the key of the entry at a slot."""
    digits = f"{slot:012x}"
    return f"log/{digits[:9]}/{digits}"


def parse_entry(config, slot, data, prev):
    """§5: checks one entry's envelope; the body is left as bytes."""
    key = entry_key(slot)
    need(len(data) >= 128, key, "shorter than its header")
    magic, version, kind, flags, length, number = struct.unpack_from(
        "<8sHBBIQ", data)
    need(magic == LOG_MAGIC, key, "wrong magic")
    need(length <= MAX_BODY and len(data) == 128 + length, key,
         f"wrong length: the body is said to have {length} bytes")
    need(number == slot, key, f"says it is slot {number}")
    need(data[64:96] == prev, key, "`prev` is not the entry before it")
    mac_key = config.collector_key if flags & 1 else config.log_key
    need(pure_blake3.keyed(mac_key, data[:96] + data[128:]) == data[96:128],
         key, "wrong MAC")
    known = version == 1 and not flags & 0xFE and kind in KINDS
    return Entry(slot, kind, flags, data[32:48], data[128:],
                 pure_blake3.blake3(data), known)


class Fold:
    """§5.3: the state that the entries leave."""

    def __init__(self, config):
        self.config, self.count = config, 0
        self.volumes, self.backups, self.state = set(), {}, {}
        self.segments, self.dead, self.warned = {}, PackSet(), PackSet()
        self.ops, self.committed, self.remarks = set(), set(), []
        self.naming, self.collected = [], []

    def apply(self, entry):
        """Folds one entry in; a void or unknown one leaves a remark."""
        key = entry_key(entry.slot)
        self.count = entry.slot + 1
        if entry.slot == 0 and (entry.kind != 1 or not entry.known):
            raise Damage(f"{key}: is not `init`")
        try:
            self._apply(entry)
        except Void as reason:
            need(entry.slot != 0, key, f"`init` is void: {reason}")
            self.remarks.append(f"{key}: void: {reason}")

    def _apply(self, entry):
        if not entry.known:
            raise Void(f"unknown kind {entry.kind}, flag or version")
        if (entry.flags & 1) != (16 <= entry.kind <= 31):
            raise Void("flag bit 0 does not suit the kind")
        name, fields = KINDS[entry.kind]
        body = self._body(entry, name, fields)
        if name == "commit":
            self.naming.append((entry.slot, body["uses"]))
        elif name == "keep":
            whole = [[body["session"], 0, (1 << 32) - 1]]
            self.naming.append((entry.slot, whole))
        if entry.op in self.ops:
            raise Void("its `op` took effect before")
        getattr(self, "_" + name)(entry.slot, body)
        self.ops.add(entry.op)

    @staticmethod
    def _body(entry, name, fields):
        try:
            body = parse_json(entry.body)
            check_fields(body, fields)
        except ValueError as error:
            raise Void(f"{name}: bad body: {error}") from error
        return body

    def _init(self, slot, body):
        if slot != 0:
            raise Void("`init` at a slot other than 0")
        need(uuid_bytes(body["repository"]) == self.config.id, entry_key(0),
             "is of another repository than config")
        need(bytes.fromhex(body["config"]) == self.config.digest,
             "config", "is not the one that entry 0 names")

    def _volume(self, _slot, body):
        if body["id"] in self.volumes:
            raise Void("the volume exists")
        self.volumes.add(body["id"])

    def _commit(self, slot, body):
        began, ids = body["began"], [b["id"] for b in body["backups"]]
        if began > slot or slot - began > COMMIT_WINDOW:
            raise Void("`began` is out of its limits")
        if body["session"] in self.committed:
            raise Void("the session committed before")
        if self.dead.touches(body["uses"]):
            raise Void("a pack it uses is dead")
        for backup in body["backups"]:
            if backup["base"] is not None and self.state.get(
                    backup["base"]) not in ("live", "trash"):
                raise Void(f"base {backup['base']} is not protected")
        if len(set(ids)) < len(ids) or any(i in self.state for i in ids):
            raise Void("a backup id exists already")
        self.committed.add(body["session"])
        for backup in body["backups"]:
            self.backups[backup["id"]] = backup
            self.state[backup["id"]] = "live"
        self.segments.update(dict.fromkeys(body["segments"]))
        for run in body["uses"]:
            self.warned.remove(run)

    def _turn(self, ids, old, new):
        for backup in ids:
            if self.state.get(backup) != old:
                raise Void(f"backup {backup} is not {old}")
        self.state.update(dict.fromkeys(ids, new))

    def _delete(self, _slot, body):
        self._turn(body["backups"], "live", "trash")

    def _undelete(self, _slot, body):
        self._turn(body["backups"], "trash", "live")

    def _forget(self, _slot, body):
        for backup in body["backups"]:
            if self.state.get(backup) == "trash":
                self.state[backup] = "gone"

    def _keep(self, _slot, body):
        self.warned.remove_session(body["session"])

    def _basis(self, slot, body):
        if body["basis"] > slot:
            raise Void("`basis` is out of its limits")
        return body["basis"]

    def _named(self, basis):
        """The packs named in [basis, n)."""
        named = PackSet()
        for slot, runs in reversed(self.naming):
            if slot < basis:
                break
            for run in runs:
                named.add(run)
        return named

    def _alone(self, basis):
        if any(slot >= basis for slot in self.collected):
            raise Void("a sweep or move took effect since `basis`")

    def _warn(self, slot, body):
        named, fresh = self._named(self._basis(slot, body)), PackSet()
        for run in body["packs"]:
            fresh.add(run)
            for skipped in self.dead.common(run) + named.common(run):
                fresh.remove(skipped)
        for session, parts in fresh.sessions.items():
            for a, b in parts:
                self.warned.add([session, a, b])

    def _sweep(self, slot, body):
        basis = self._basis(slot, body)
        self._alone(basis)
        named, swept = self._named(basis), PackSet()
        for run in body["packs"]:
            for part in self.warned.common(run):
                swept.add(part)
            for skipped in named.common(run):
                swept.remove(skipped)
        self.collected.append(slot)
        self._kill([[session, a, b] for session, parts
                    in swept.sessions.items() for a, b in parts])

    def _kill(self, runs):
        for run in runs:
            self.dead.add(run)
            self.warned.remove(run)

    def _move(self, slot, body):
        basis = self._basis(slot, body)
        self._alone(basis)
        targets = PackSet()
        for run in body["to"]:
            targets.add(run)
        if self.dead.touches(body["from"] + body["to"]):
            raise Void("a pack is dead")
        if targets.touches(body["from"]):
            raise Void("a pack is both in `from` and `to`")
        if self._named(basis).touches(body["from"]):
            raise Void("a pack of `from` was named since `basis`")
        self.collected.append(slot)
        self._kill(body["from"])
        self.segments.update(dict.fromkeys(body["segments"]))

    def _compact(self, _slot, body):
        for name in body["old"]:
            if name not in self.segments:
                raise Void(f"segment {name} is not current")
        for name in dict.fromkeys(body["old"]):
            del self.segments[name]
        self.segments.update(dict.fromkeys(body["new"]))


# ----------------------------------------------------------------- segments

PackRef = namedtuple("PackRef", "key session seq length content")
Record = namedtuple("Record", "id pack offset stored")


def pack_key(session, seq, digest):
    """§2: a pack's key."""
    return f"packs/{digest[:2]}/{session}-{seq:08x}-{digest}"


class Segment:
    """§7: where blobs lie."""

    def __init__(self, config, name, data):
        self.key = key = f"index/{name}"
        need(pure_blake3.blake3(data)[:16].hex() == name[-32:], key,
             "its bytes do not have the hash of its name")
        need(len(data) >= 64, key, "shorter than its header")
        magic, version, zero, packs, records = struct.unpack_from(
            "<8sHHII", data)
        need(magic == INDEX_MAGIC, key, "wrong magic")
        need(version == 1, key, f"version {version}")
        need(zero == 0 and not any(data[20:32]), key, "reserved bytes")
        need(packs <= MAX_SEGMENT_PACKS and records <= MAX_RECORDS, key,
             "more packs or records than allowed")
        need(data[32:48] == config.id, key, "is of another repository")
        need(data[48:64].hex() == name[:32], key, "is of another session")
        self.start = 64 + 44 * packs + 1024
        need(len(data) == self.start + 44 * records, key, "wrong length")
        self.data, self.count = data, records
        self.packs = [self._pack(64 + 44 * i) for i in range(packs)]
        self.fan = struct.unpack_from("<256I", data, self.start - 1024)
        need(list(self.fan) == sorted(self.fan) and self.fan[255] == records,
             key, "the fan-out does not ascend to the number of records")

    def _pack(self, offset):
        session, seq, length, content, digest = struct.unpack_from(
            "<16sIII16s", self.data, offset)
        need(128 <= length <= MAX_PACK and content in (CHUNK, NODE),
             self.key, f"the pack at {offset} has a wrong length or content")
        session = session.hex()
        return PackRef(pack_key(session, seq, digest.hex()), session, seq,
                       length, content)

    def _id(self, i):
        return self.data[self.start + 44 * i:self.start + 44 * i + 32]

    def record(self, i):
        """Record `i`, its pack and bounds checked."""
        pack, offset, stored = struct.unpack_from(
            "<III", self.data, self.start + 44 * i + 32)
        need(pack < len(self.packs), self.key, f"record {i}: no pack {pack}")
        ref = self.packs[pack]
        # The blob, its header in the table and the end follow one another.
        need(offset >= 64 and offset + 64 + stored + 128 <= ref.length,
             self.key, f"record {i}: outside of its pack")
        return Record(self._id(i), ref, offset, stored)

    def find(self, wanted):
        """All records of an id, by the fan-out and bisection."""
        first = wanted[0]
        low = self.fan[first - 1] if first else 0
        end = self.fan[first]
        high = end
        while low < high:
            middle = (low + high) // 2
            if self._id(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        while low < end and self._id(low) == wanted:
            yield self.record(low)
            low += 1

    def check_order(self):
        """The records ascend by id, then pack, as the fan-out says."""
        previous, counts = (b"", 0), [0] * 256
        for i in range(self.count):
            item = self.record(i)
            pack = u32_at(self.data, self.start + 44 * i + 32)
            need((item.id, pack) >= previous, self.key,
                 f"record {i} is out of order")
            previous = (item.id, pack)
            counts[item.id[0]] += 1
        total = 0
        for i, count in enumerate(counts):
            total += count
            need(self.fan[i] == total, self.key, f"fan-out {i} is wrong")


# ----------------------------------------------------------- packs and blobs

Blob = namedtuple("Blob", "type compression plain stored number id")


def parse_blob(config, name, header):
    """§6: a blob's header."""
    (magic, version, kind, compression, cipher, plain, stored, master,
     number, zeros, blob_id) = struct.unpack("<4sBBBBIIII8s32s", header)
    need(magic == BLOB_MAGIC, name, "wrong magic")
    need(version == 1, name, f"version {version}")
    need(kind in (CHUNK, NODE), name, f"unknown type {kind}")
    need(cipher == 0 and master == 0, name, "is encrypted (not supported)")
    need(compression in (0, 1), name, f"unknown compression {compression}")
    need(not any(zeros), name, "reserved bytes")
    if kind == CHUNK:
        need(plain == config.chunk_size, name, "is not of the chunk size")
    else:
        need(plain <= MAX_NODE, name, "is too long for a tree node")
    need(compression != 0 or plain == stored, name,
         "is stored as it is in another length")
    need(stored <= MAX_PACK, name, "is longer than a pack")
    return Blob(kind, compression, plain, stored, number, blob_id)


def load_zstd():
    """The system's zstd library."""
    library = ctypes.CDLL("libzstd.so.1")
    size, pointer = ctypes.c_size_t, ctypes.c_char_p
    library.ZSTD_decompress.restype = size
    library.ZSTD_decompress.argtypes = [ctypes.c_void_p, size, pointer, size]
    library.ZSTD_findFrameCompressedSize.restype = size
    library.ZSTD_findFrameCompressedSize.argtypes = [pointer, size]
    library.ZSTD_getDictID_fromFrame.restype = ctypes.c_uint
    library.ZSTD_getDictID_fromFrame.argtypes = [pointer, size]
    library.ZSTD_isError.argtypes = [size]
    return library


_ZSTD = []


def unzstd(name, data, length):
    """One zstd frame (RFC 8878) of exactly `length` plain bytes."""
    if not _ZSTD:
        _ZSTD.append(load_zstd())
    library = _ZSTD[0]
    need(data[:4] == b"\x28\xb5\x2f\xfd", name, "no zstd frame")
    need(library.ZSTD_findFrameCompressedSize(data, len(data)) == len(data),
         name, "is not exactly one zstd frame")
    need(library.ZSTD_getDictID_fromFrame(data, len(data)) == 0, name,
         "needs a dictionary")
    plain = ctypes.create_string_buffer(max(length, 1))
    got = library.ZSTD_decompress(plain, length, data, len(data))
    need(not library.ZSTD_isError(got) and got == length, name,
         f"does not decompress into {length} bytes")
    return plain.raw[:length]


def plain_blob(config, name, blob, payload):
    """§6: the plain bytes of a blob, proved by its id (§3)."""
    plain = unzstd(name, payload, blob.plain) if blob.compression else payload
    key = config.node_key if blob.type == NODE else config.chunk_key
    need(pure_blake3.keyed(key, plain) == blob.id, name,
         "its bytes do not have its id")
    return plain


def check_pack_name(key, data):
    """§2: a pack's key; returns its name's session and seq."""
    parts = key.split("/")
    found = STORED_NAME.fullmatch(parts[-1])
    need(len(parts) == 3 and found, key, "is not the key of a pack")
    need(parts[1] == found[3][:2], key, "is in the wrong folder")
    need(pure_blake3.blake3(data)[:16].hex() == found[3], key,
         "its bytes do not have the hash of its name")


def check_pack(config, key, data):
    """§6: header, blobs, table and end of a pack; its blobs by offset."""
    check_pack_name(key, data)
    need(len(data) >= 128, key, "shorter than header and end")
    content = check_pack_header(config, key, data[:64])
    end = data[-64:]
    magic, count, zero, length, zeros = struct.unpack_from("<8sIIQ8s", end)
    need(magic == PACK_END, key, "wrong magic at the end")
    need(zero == 0 and not any(zeros), key, "reserved bytes at the end")
    need(length == len(data), key, "wrong length at the end")
    table = len(data) - 64 - 64 * count
    need(table >= 64, key, "the table is longer than the pack")
    need(pure_blake3.blake3(data[:64] + data[table:-64]) == end[32:], key,
         "wrong hash of header and table")
    blobs, offset = {}, 64
    for number in range(count):
        name = f"{key} at {offset}"
        header = data[table + 64 * number:table + 64 * number + 64]
        blob = parse_blob(config, name, header)
        need(offset + 64 + blob.stored <= table, name, "runs into the table")
        need(data[offset:offset + 64] == header, name,
             "differs from the table")
        need(blob.number == number, name, f"says it is number {blob.number}")
        need(blob.type == content, name, "is not of the pack's content")
        blobs[offset] = blob
        offset += 64 + blob.stored
    need(offset == table, key, "bytes between the last blob and the table")
    return blobs


def check_pack_header(config, key, header):
    """§6: a pack's header; returns its content."""
    magic, version, content, cipher, flags = struct.unpack_from(
        "<8sHBBI", header)
    need(magic == PACK_MAGIC, key, "wrong magic")
    need(version == 1, key, f"version {version}")
    need(content in (CHUNK, NODE), key, f"unknown content {content}")
    need(cipher == 0 and not any(header[32:64]), key,
         "is encrypted (not supported)")
    need(flags == 0, key, f"unknown flags {flags}")
    need(header[16:32] == config.id, key, "is of another repository")
    return content


# ------------------------------------------------------------------ the tree

def parse_node(name, data, level):
    """§8: a node's used slots as `{slot: id}`."""
    need(len(data) >= 16, name, "shorter than a node's header")
    magic, version, own_level, runs, count = struct.unpack_from(
        "<8sBBHI", data)
    need(magic == NODE_MAGIC, name, "wrong magic")
    need(version == 1, name, f"node version {version}")
    need(own_level == level, name, f"level {own_level} where {level} belongs")
    need(runs <= 512 and 1 <= count <= FANOUT, name, "too many runs or ids")
    need(len(data) == 16 + 4 * runs + 32 * count, name, "wrong length")
    slots, slot, at = {}, 0, 16 + 4 * runs
    for i in range(runs):
        empty, used = struct.unpack_from("<HH", data, 16 + 4 * i)
        need(used >= 1 and (empty >= 1 or i == 0), name, f"run {i} is empty")
        slot += empty
        need(slot + used <= FANOUT and at + 32 * used <= len(data), name,
             f"run {i} is too long")
        for slot in range(slot, slot + used):
            slots[slot] = data[at:at + 32]
            at += 32
        slot += 1
    need(len(slots) == count, name, "the runs do not sum up to the ids")
    return slots


def root_level(chunks):
    """§8: the least `L` with 1024^(L+1) ≥ chunks."""
    level = 0
    while FANOUT ** (level + 1) < chunks:
        level += 1
    return level


# ------------------------------------------------------------ the repository

class Repository:
    """The folded log, and blobs by id."""

    def __init__(self, path):
        self.store = Store(path)
        self.config = Config(self.store.read("config", MAX_CONFIG))
        names = self.config.fields["features"]["read_compat"]
        if names:
            warn(f"config: opened read-only for {', '.join(map(repr, names))}")
        self.fold = Fold(self.config)
        self._read_log()
        self.segments = None

    def _read_log(self):
        prev, slot = bytes(32), 0
        while slot < MAX_SLOTS and self.store.exists(entry_key(slot)):
            data = self.store.read(entry_key(slot), 128 + MAX_BODY)
            entry = parse_entry(self.config, slot, data, prev)
            self.fold.apply(entry)
            prev, slot = entry.digest, slot + 1
        if slot == 0:
            raise Refused(f"{entry_key(0)}: absent; the creation of this "
                          "repository was not finished")

    def live(self):
        """The live backups in the order of their commits."""
        return [backup for backup_id, backup in self.fold.backups.items()
                if self.fold.state[backup_id] == "live"]

    def backup(self, name):
        """The one live backup of that name (or id)."""
        found = [b for b in self.live() if name in (b["name"], b["id"])]
        if len(found) > 1:
            raise Refused(f"{name}: {len(found)} live backups have this name; "
                          "give the id")
        if found:
            return found[0]
        for backup_id, backup in self.fold.backups.items():
            if name in (backup["name"], backup_id):
                raise Refused(f"{name}: is not live but "
                              f"{self.fold.state[backup_id]}")
        raise Refused(f"{name}: no such backup")

    def load_segments(self, report):
        """Reads all current segments; damage goes to `report`."""
        self.segments = []
        for name in self.fold.segments:
            try:
                data = self.store.read(f"index/{name}", MAX_SEGMENT)
                self.segments.append(Segment(self.config, name, data))
            except Damage as damage:
                report(str(damage))

    def records(self, blob_id, report):
        """Where an id lies: current segments, packs that are not dead."""
        dead = self.fold.dead
        for segment in self.segments:
            try:
                found = list(segment.find(blob_id))
            except Damage as damage:
                report(str(damage))
                continue
            for record in found:
                if not dead.has(record.pack.session, record.pack.seq):
                    yield record

    def read_record(self, record, kind):
        """The plain bytes that a record leads to."""
        ref, stored = record.pack, record.stored
        name = f"{ref.key} at {record.offset}"
        need(ref.content == kind, name, "is in a pack of the wrong content")
        data = self.store.read_at(ref.key, record.offset, 64 + stored)
        blob = parse_blob(self.config, name, data[:64])
        need(blob.type == kind and blob.id == record.id, name,
             "is another blob than the index says")
        need(blob.stored == stored, name, "has another length than indexed")
        return plain_blob(self.config, name, blob, data[64:])

    def read_id(self, blob_id, kind, what):
        """The plain bytes of an id, from any record that is good."""
        problems = []
        for record in self.records(blob_id, problems.append):
            try:
                plain = self.read_record(record, kind)
            except Damage as damage:
                problems.append(str(damage))
                continue
            for problem in problems:
                warn(problem)
            return plain
        reason = "; ".join(problems) or "no current segment has it"
        raise Damage(f"{what}, id {blob_id.hex()}: {reason}")

    def chunks(self, backup, report=None):
        """§8: a backup's chunks as `(number, id)`, in order.

        Damage of a node is raised, or given to `report` and passed over.
        """
        if backup["root"] is None:
            return
        count = -(-backup["size"] // self.config.chunk_size)
        root = bytes.fromhex(backup["root"])
        place = (root_level(count), 0)
        yield from self._walk(backup["name"], root, place, count, report)

    def _node(self, what, node_id, place, count):
        """A node's used slots, as `(number below, id)`."""
        level, number = place
        data = self.read_id(node_id, NODE, what)
        slots = parse_node(what, data, level)
        below = [(FANOUT * number + slot, child)
                 for slot, child in slots.items()]
        need(below[-1][0] * FANOUT ** level < count, what,
             "has slots past the end of the volume")
        return below

    def _walk(self, name, node_id, place, count, report):
        level, number = place
        what = f"{name}: node {number} of level {level}"
        try:
            below = self._node(what, node_id, place, count)
        except Damage as damage:
            if report is None:
                raise
            report(str(damage))
            return
        for child_number, child in below:
            if level == 0:
                yield child_number, child
            else:
                yield from self._walk(name, child, (level - 1, child_number),
                                      count, report)


# ---------------------------------------------------------------- commands

LISTED = ("id", "name", "volume", "volume_name", "size", "snapshot", "base")


def command_list(path):
    """Prints the live backups as JSON lines."""
    repository = Repository(path)
    for remark in repository.fold.remarks:
        warn(remark)
    for backup in repository.live():
        print(json.dumps({name: backup.get(name) for name in LISTED}))
    return 0


def command_restore(path, name, out):
    """§8: writes one backup to a new sparse file of exactly its size."""
    repository = Repository(path)
    backup = repository.backup(name)
    repository.load_segments(warn)
    size, part = backup["size"], out + ".partial"
    with open(part, "wb") as file:
        file.truncate(size)
        for number, chunk_id in repository.chunks(backup):
            what = f"{backup['name']}: chunk {number}"
            plain = repository.read_id(chunk_id, CHUNK, what)
            start = number * repository.config.chunk_size
            file.seek(start)
            file.write(plain[:size - start])
    os.replace(part, out)
    return 0


class Checker:
    """`check`: all that the document lets a reader verify."""

    def __init__(self, path):
        self.repository, self.problems = Repository(path), 0
        self.packs = {}

    def report(self, text):
        """Prints one piece of damage."""
        self.problems += 1
        print(f"damage: {text}")

    def guarded(self, work, *arguments):
        """Does a piece of work, and reports the damage that it finds."""
        try:
            return work(*arguments)
        except Damage as damage:
            return self.report(str(damage))

    def run(self):
        """Checks everything; the exit status."""
        repository = self.repository
        for remark in repository.fold.remarks:
            print(f"note: {remark}")
        self.check_log_end()
        repository.load_segments(self.report)
        named = {ref.key for segment in repository.segments
                 for ref in segment.packs}
        for key in repository.store.keys("packs"):
            try:
                self.check_pack_object(key)
            except Damage as damage:
                if key in named:
                    self.report(str(damage))
                else:
                    print(f"note: {damage} (no current segment names it)")
        for segment in repository.segments:
            self.guarded(self.check_segment, segment)
        self.check_other_segments()
        cache = set()
        for backup in repository.live():
            self.check_backup(backup, cache)
        print(json.dumps({
            "entries": repository.fold.count, "packs": len(self.packs),
            "segments": len(repository.segments),
            "live": len(repository.live()), "damage": self.problems}))
        return 1 if self.problems else 0

    def check_log_end(self):
        """Nothing may stand in the log after the first absent slot."""
        count = self.repository.fold.count
        for key in self.repository.store.keys("log"):
            name = key.rsplit("/", 1)[-1]
            if not re.fullmatch(r"[0-9a-f]{12}", name) \
                    or key != entry_key(int(name, 16)):
                print(f"note: {key}: is not the key of an entry")
            elif int(name, 16) >= count:
                self.report(f"{key}: exists, but {entry_key(count)} is absent")

    def check_pack_object(self, key):
        """One object below `packs/`."""
        name = key.rsplit("/", 1)[-1]
        found = STORED_NAME.fullmatch(name)
        if not found:
            print(f"note: {key}: is not the key of a pack")
            return
        repository = self.repository
        if repository.fold.dead.has(found[1], int(found[2], 16)):
            return
        data = repository.store.read(key, MAX_PACK)
        self.packs[key] = (len(data),
                           check_pack(repository.config, key, data))

    def check_segment(self, segment):
        """A current segment's records against the packs' tables."""
        segment.check_order()
        dead = self.repository.fold.dead
        for i in range(segment.count):
            record = segment.record(i)
            ref = record.pack
            if dead.has(ref.session, ref.seq):
                continue
            need(ref.key in self.packs, segment.key,
                 f"{ref.key}: absent or damaged")
            length, blobs = self.packs[ref.key]
            blob = blobs.get(record.offset)
            need(length == ref.length and blob and blob.id == record.id
                 and blob.stored == record.stored
                 and blob.type == ref.content, segment.key,
                 f"record {i} does not agree with {ref.key}")

    def check_other_segments(self):
        """Objects below `index/` that are not current."""
        repository = self.repository
        for key in repository.store.keys("index"):
            name = key.split("/", 1)[1]
            if name in repository.fold.segments:
                continue
            if not STORED_NAME.fullmatch(name):
                print(f"note: {key}: is not the key of a segment")
                continue
            try:
                self._other_segment(key, name)
            except Damage as damage:
                print(f"note: {damage} (it is not current)")

    def _other_segment(self, key, name):
        data = self.repository.store.read(key, MAX_SEGMENT)
        Segment(self.repository.config, name, data).check_order()

    def check_backup(self, backup, seen):
        """A live backup's nodes, and its chunks by id (each id once)."""
        repository, name = self.repository, backup["name"]
        for number, chunk_id in repository.chunks(backup, self.report):
            if chunk_id in seen:
                continue
            seen.add(chunk_id)
            what = f"{name}: chunk {number}"
            plain = self.guarded(repository.read_id, chunk_id, CHUNK, what)
            if plain is not None and not any(plain):
                print(f"note: {what}: a chunk of zeros is stored")


def command_check(path):
    """Verifies the whole repository."""
    return Checker(path).run()


def command_selftest():
    """BLAKE3 against known vectors, and the reader against its tests."""
    import test_reader
    return test_reader.run_all()


COMMANDS = {"list": (command_list, 1), "restore": (command_restore, 3),
            "check": (command_check, 1), "selftest": (command_selftest, 0)}


def main(arguments):
    """Runs one command; 0 good, 1 damage or refusal, 2 wrong use."""
    if not arguments or arguments[0] not in COMMANDS \
            or len(arguments) - 1 != COMMANDS[arguments[0]][1]:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return COMMANDS[arguments[0]][0](*arguments[1:])
    except (Damage, Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
