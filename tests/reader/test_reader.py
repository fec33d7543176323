#!/usr/bin/env python3
"""Tests of the reader: BLAKE3 vectors, and repositories of a small writer.

The writer below follows docs/formats/repository.md too; it exists to be
damaged, and to have volumes with known bytes.
"""

import contextlib
import ctypes
import io
import json
import os
import random
import struct
import sys
import tempfile
import unittest
import uuid

import convoy_reader as reader
import pure_blake3

KEY = b"whats the Elvish word for friend"
CONTEXT = "BLAKE3 2019-12-27 16:29:52 test vectors context"

# Input: bytes i % 251. Length: hash, keyed hash, derived key (32 bytes each).
VECTORS = {
    0: ("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
        "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"),
    1: ("2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
        "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c"),
    1024: ("42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
           "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
           "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706"),
    1025: ("d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
           "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
           "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb"),
    262144: (
        "d57dc906e20d3fd326ffaa85535500486f46a0979f5a323f028dcabfd381fd4a",
        "78b2f14279f6b0c44ad68e55dbf038e8e5a7f5d09cd328e8b4a8ce0f6ea900a0",
        "4b45df9b591e73cb15ecec75b36a4c47f5152000ab96fbc921789aa9356a5c2a"),
}
# §3: the four keys of K = 00 01 02 … 1f.
DERIVED = (
    "f962defec682319633e4f2f25b1237176b6b70721598ae1b8110fc50a5d20bd8",
    "3711691aac151b7fd1b923072ba3b0613ea910f305c825024590175701eb0697",
    "9ef02b78a3bd43d653ebddb62504b0d42fbd338ee74627b0c24cd47e13986d02",
    "e28af9e41b7df359cd931ffabc5d7bea9855d7e9b70f11b9d6fc26770c8e8d1e")

CHUNK = 4096


class Vectors(unittest.TestCase):
    """BLAKE3 and the keys of §3."""

    def test_blake3(self):
        """The three modes on each length."""
        for length, expected in VECTORS.items():
            data = bytes(i % 251 for i in range(length))
            got = (pure_blake3.blake3(data), pure_blake3.keyed(KEY, data),
                   pure_blake3.derive_key(CONTEXT, data))
            self.assertEqual(tuple(d.hex() for d in got), expected, length)

    def test_groups(self):
        """The tree is the same however many chunks are taken together."""
        data = bytes(i % 251 for i in range(262144))
        whole = pure_blake3.BATCH
        try:
            pure_blake3.BATCH = 8
            got = pure_blake3.blake3(data).hex()
        finally:
            pure_blake3.BATCH = whole
        self.assertEqual(got, VECTORS[262144][0])

    def test_keys(self):
        """§3: the derived keys."""
        got = reader.derived_keys(bytes(range(32)))
        self.assertEqual(tuple(key.hex() for key in got), DERIVED)


def make_uuid(number):
    """A UUID from a number."""
    return str(uuid.UUID(int=number))


def zstd(data):
    """One zstd frame."""
    library = reader.load_zstd()
    library.ZSTD_compress.restype = ctypes.c_size_t
    library.ZSTD_compress.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
        ctypes.c_int]
    room = ctypes.create_string_buffer(len(data) + 1024)
    size = library.ZSTD_compress(room, len(room), data, len(data), 3)
    return room.raw[:size]


class Writer:
    """Makes a repository, object by object."""

    def __init__(self, path, **changes):
        self.path, self.slot, self.prev = path, 0, bytes(32)
        self.id = make_uuid(1)
        config = {
            "format": "convoy-repository", "version": 1, "id": self.id,
            "created": "2026-01-01T00:00:00Z", "created_by": "test",
            "host": make_uuid(2), "chunk_size": CHUNK, "tree_fanout": 1024,
            "hash": {"name": "blake3-keyed", "code": 1},
            "compression": {"name": "zstd", "code": 1, "level": 3},
            "cipher": {"name": "none", "code": 0},
            "id_key": bytes(range(32)).hex(), "grace_seconds": 86400,
            "single_writer": False,
            "features": {"compat": ["x"], "read_compat": [], "incompat": []}}
        config.update(changes)
        data = json.dumps(config).encode()
        self.put("config", data)
        (self.chunk_key, self.node_key, self.log_key,
         self.collector_key) = reader.derived_keys(bytes(range(32)))
        self.append(1, {"repository": self.id,
                        "config": pure_blake3.blake3(data).hex()})

    def put(self, key, data):
        """Stores an object."""
        file = os.path.join(self.path, key)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as out:
            out.write(data)

    def append(self, kind, body, flags=None, operation=None, version=1):
        """Stores the next entry."""
        if flags is None:
            flags = 1 if 16 <= kind <= 31 else 0
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        header = struct.pack(
            "<8sHBBIQq16s16s32s", b"CNVYLOG1", version, kind, flags,
            len(text), self.slot, 0,
            (operation or 1000 + self.slot).to_bytes(16, "big"), bytes(16),
            self.prev)
        key = self.collector_key if flags & 1 else self.log_key
        data = header + pure_blake3.keyed(key, header + text) + text
        self.put(reader.entry_key(self.slot), data)
        self.prev, self.slot = pure_blake3.blake3(data), self.slot + 1

    def pack(self, session, seq, content, plains, compress=False):
        """Stores a pack; its key and `(id, offset, stored)` of each blob."""
        head = struct.pack("<8sHBBI16s32s", b"CNVYPACK", 1, content, 0, 0,
                           uuid.UUID(self.id).bytes, bytes(32))
        blobs, table, records = b"", b"", []
        key = self.node_key if content else self.chunk_key
        for number, plain in enumerate(plains):
            payload = zstd(plain) if compress else plain
            blob_id = pure_blake3.keyed(key, plain)
            blob = struct.pack("<4sBBBBIIII8s32s", b"CVBL", 1, content,
                               int(compress), 0, len(plain), len(payload), 0,
                               number, bytes(8), blob_id)
            records.append((blob_id, 64 + len(blobs), len(payload)))
            blobs, table = blobs + blob + payload, table + blob
        length = 128 + len(blobs) + len(table)
        end = struct.pack("<8sIIQ8s32s", b"CNVYPEND", len(plains), 0, length,
                          bytes(8), pure_blake3.blake3(head + table))
        data = head + blobs + table + end
        digest = pure_blake3.blake3(data)[:16]
        self.put(reader.pack_key(session, seq, digest.hex()), data)
        return (session, seq, length, content, digest), records

    def segment(self, session, seq, packs):
        """Stores a segment of packs; its name."""
        rows = sorted((blob_id, number, offset, stored)
                      for number, (_, records) in enumerate(packs)
                      for blob_id, offset, stored in records)
        data = struct.pack("<8sHHII12s16s16s", b"CNVYINDX", 1, 0, len(packs),
                           len(rows), bytes(12), uuid.UUID(self.id).bytes,
                           bytes.fromhex(session))
        for (owner, number, length, content, digest), _ in packs:
            data += struct.pack("<16sIII16s", bytes.fromhex(owner), number,
                                length, content, digest)
        data += struct.pack("<256I", *(sum(row[0][0] <= i for row in rows)
                                       for i in range(256)))
        for row in rows:
            data += struct.pack("<32sIII", *row)
        name = f"{session}-{seq:08x}-{pure_blake3.blake3(data)[:16].hex()}"
        self.put(f"index/{name}", data)
        return name

    def node(self, level, slots):
        """A node's bytes."""
        runs, last = [], None
        for slot in sorted(slots):
            if last is not None and slot == last + 1:
                runs[-1][1] += 1
            else:
                runs.append([slot - (last + 1 if last is not None else 0), 1])
            last = slot
        return (struct.pack("<8sBBHI", b"CNVYNODE", 1, level, len(runs),
                            len(slots))
                + b"".join(struct.pack("<HH", *run) for run in runs)
                + b"".join(slots[slot] for slot in sorted(slots)))

    def tree(self, chunks, count):
        """The nodes above chunk ids, and the root's id (None: all holes)."""
        nodes, level, current = [], 0, chunks
        while True:
            parents = {}
            for number, child in current.items():
                parents.setdefault(number // 1024, {})[number % 1024] = child
            current = {}
            for number, slots in parents.items():
                data = self.node(level, slots)
                nodes.append(data)
                current[number] = pure_blake3.keyed(self.node_key, data)
            if 1024 ** (level + 1) >= count:
                return nodes, current.get(0)
            level += 1

    def backup(self, number, volume, compress=False, **changes):
        """A whole backup of the bytes of a volume; its session."""
        session = f"{number:032x}"
        chunks = {i // CHUNK: volume[i:i + CHUNK].ljust(CHUNK, b"\0")
                  for i in range(0, len(volume), CHUNK)}
        chunks = {i: data for i, data in chunks.items() if any(data)}
        packed = self.pack(session, 0, 0, list(dict.fromkeys(chunks.values())),
                           compress)
        ids = {i: pure_blake3.keyed(self.chunk_key, data)
               for i, data in chunks.items()}
        nodes, root = self.tree(ids, -(-len(volume) // CHUNK))
        trees = self.pack(session, 1, 1, nodes, compress)
        name = self.segment(session, 0, [packed, trees])
        body = {"session": session, "began": self.slot,
                "backups": [self.entry(number, len(volume), root)],
                "uses": [[session, 0, 2]], "segments": [name]}
        for field, value in changes.pop("commit", {}).items():
            body[field] = value
        body["backups"][0].update(changes)
        self.append(3, body)
        return session

    @staticmethod
    def entry(number, size, root):
        """§5.2 with every field."""
        return {
            "id": make_uuid(100 + number), "name": f"backup-{number:016x}",
            "volume": make_uuid(50), "volume_name": "v", "size": size,
            "root": root and root.hex(), "base": None,
            "snapshot": {"id": make_uuid(7), "name": "s", "created": "x"},
            "created": "2026-01-01T00:00:00Z", "volume_created": "x",
            "filesystem": "ext4", "driver": "devicemapper",
            "host": make_uuid(2), "labels": {"a": "b"},
            "pool": {"id": "p", "dev_id": 1, "transaction": 2,
                     "block_size": 65536},
            "changed_bytes": 0, "read_bytes": 0, "new_bytes": 0,
            "stored_bytes": 0}


def sample_volume(seed, size, holes=True):
    """Random bytes, text that compresses, and holes."""
    rng, parts = random.Random(seed), []
    for start in range(0, size, CHUNK):
        kind = rng.randrange(3 if holes else 2)
        part = (rng.randbytes(CHUNK), b"%08d" % start * (CHUNK // 8),
                bytes(CHUNK))[kind]
        parts.append(part[:size - start])
    return b"".join(parts)


class Repositories(unittest.TestCase):
    """The reader against repositories of the writer above."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "convoy-repository")
        self.text = ""

    def run_reader(self, *arguments):
        """Runs a command; its status. What it printed is in `text`."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = reader.main(list(arguments))
        self.text = out.getvalue()
        return status

    def listed(self):
        """The names of the live backups."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), \
                contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(reader.main(["list", self.folder.name]), 0)
        return [int(json.loads(line)["name"][7:], 16)
                for line in out.getvalue().splitlines()]

    def assert_restores(self, number, volume):
        """A restored file is the volume, byte for byte."""
        out = os.path.join(self.folder.name, "out")
        name = f"backup-{number:016x}"
        self.assertEqual(self.run_reader("restore", self.path, name, out), 0,
                         self.text)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), volume)

    def assert_damaged(self, *words):
        """`check` fails, and names what the words say."""
        self.assertEqual(self.run_reader("check", self.path), 1, self.text)
        for word in words:
            self.assertIn(word, self.text)

    def first(self, folder):
        """The first object of a folder."""
        return reader.Store(self.path).keys(folder)[0]

    def damage(self, key, offset, byte=None):
        """Changes one byte, or cuts the object there."""
        file = os.path.join(self.path, key)
        with open(file, "rb") as source:
            data = bytearray(source.read())
        if byte is None:
            del data[offset:]
        else:
            data[offset] ^= byte
        with open(file, "wb") as out:
            out.write(data)

    def test_restore(self):
        """Levels 0 and 1, compressed and not, odd sizes, all holes."""
        writer = Writer(self.path)
        volumes = {1: sample_volume(1, 40961), 2: sample_volume(2, 5000001),
                   3: bytes(70000), 4: b"x",
                   5: bytes(1024 * CHUNK) + b"end"}
        for number, volume in volumes.items():
            writer.backup(number, volume, compress=number % 2 == 0)
        self.assertEqual(self.listed(), [1, 2, 3, 4, 5])
        for number, volume in volumes.items():
            self.assert_restores(number, volume)
        self.assertEqual(self.run_reader("check", self.path), 0, self.text)
        self.assertEqual(self.run_reader("restore", self.path, "none", "x"), 1)

    def test_trash(self):
        """delete, undelete, forget."""
        writer = Writer(self.path)
        writer.backup(1, b"a")
        writer.backup(2, b"b", base=make_uuid(101))
        writer.append(4, {"backups": [make_uuid(101)]})
        self.assertEqual(self.listed(), [2])
        writer.append(4, {"backups": [make_uuid(102), make_uuid(101)]})
        self.assertEqual(self.listed(), [2])
        writer.append(5, {"backups": [make_uuid(101)]})
        self.assertEqual(self.listed(), [1, 2])
        writer.append(16, {"backups": [make_uuid(101)]})
        self.assertEqual(self.listed(), [1, 2])
        writer.append(4, {"backups": [make_uuid(101)]})
        writer.append(16, {"backups": [make_uuid(101)]})
        writer.append(5, {"backups": [make_uuid(101)]})
        writer.backup(3, b"c", base=make_uuid(101))
        self.assertEqual(self.listed(), [2])

    def test_void_commits(self):
        """What makes a commit void."""
        writer = Writer(self.path)
        session = writer.backup(1, b"a")
        writer.backup(2, b"b", commit={"session": session})
        writer.backup(3, b"c", id=make_uuid(101))
        writer.backup(4, b"d", base=make_uuid(9))
        writer.backup(5, b"e", commit={"began": 99})
        writer.backup(6, b"f", size=0)
        writer.backup(7, b"g", root="zz")
        writer.append(3, b"{", operation=77)
        writer.append(2, {"id": make_uuid(5), "name": "v"}, operation=78)
        writer.append(2, {"id": make_uuid(6), "name": "v"}, operation=78)
        writer.append(99, b"?")
        writer.append(4, {"backups": [make_uuid(101)]}, flags=1)
        writer.append(4, {"backups": [make_uuid(101)]}, flags=4)
        writer.append(4, {"backups": [make_uuid(101)]}, version=2)
        self.assertEqual(self.listed(), [1])
        self.assertEqual(self.run_reader("check", self.path), 0, self.text)
        self.assertEqual(self.text.count(": void: "), 12)

    def test_information(self):
        """Fields for information never decide; the others must be there."""
        writer = Writer(self.path)
        writer.backup(1, b"a", labels=5, created=None, pool="x", host=[])
        bare = {name: value for name, value in Writer.entry(2, 4096, None)
                .items() if name in reader.BACKUP_FIELDS}
        writer.backup(2, b"b", commit={"backups": [bare]})
        for name in reader.BACKUP_FIELDS:
            part = {**bare, "id": make_uuid(103)}
            del part[name]
            writer.backup(3, b"c", commit={"backups": [part]})
        self.assertEqual(self.listed(), [1, 2])
        self.assert_restores(1, b"a")

    def test_json(self):
        """A text has one meaning, or none."""
        def names(count):
            return json.dumps({str(name): 0 for name in range(count)})
        for text, good in (
                (names(1024), True), (names(1025), False),
                ('{"a":[{}],"b":1e9}', True), ('{"a":1,"a":2}', False),
                ('{"b":{"a":1,"\\u0061":2}}', False), ("[]", False),
                ('{"a":"\\ud800"}', False), ('{"a":1e999}', False),
                ('{"a":NaN}', False), ('{} {}', False),
                ('{"a":' + "[" * 31 + "]" * 31 + "}", True),
                ('{"a":' + "[" * 32 + "]" * 32 + "}", False)):
            try:
                reader.parse_json(text.encode())
                got = True
            except ValueError:
                got = False
            self.assertEqual(got, good, text[:99])
        self.assertFalse(reader.is_int(reader.parse_json(b'{"a":-0}')["a"]))

    def test_orphans(self):
        """Objects that nothing names are no part of any backup."""
        writer = Writer(self.path)
        writer.backup(1, b"a")
        digest = pure_blake3.blake3(b"torn").hex()[:32]
        name = f"{7:032x}-00000000-{digest}"
        writer.put(f"packs/{digest[:2]}/{name}", b"torn")
        writer.put(f"index/{name}", b"torn")
        self.assertEqual(self.run_reader("check", self.path), 0, self.text)
        self.assertEqual(self.text.count("note: "), 2, self.text)

    def test_collection(self):
        """warn, keep, sweep and move."""
        writer = Writer(self.path)
        session = writer.backup(1, b"a")
        packs = [[session, 0, 2]]
        begin = writer.slot
        writer.append(17, {"packs": packs, "basis": 1})  # named: skipped
        writer.append(18, {"packs": packs, "basis": begin})
        self.assert_restores(1, b"a")
        begin = writer.slot
        writer.append(17, {"packs": packs, "basis": begin})
        writer.append(6, {"session": session})  # lifts the warning
        writer.append(18, {"packs": packs, "basis": begin + 2})
        self.assert_restores(1, b"a")
        begin = writer.slot
        writer.append(17, {"packs": packs, "basis": begin})
        writer.append(18, {"packs": packs, "basis": begin - 1})  # not alone
        self.assert_restores(1, b"a")
        writer.append(18, {"packs": packs, "basis": begin})
        self.assert_damaged("backup-0000000000000001", "no current segment")
        writer.backup(2, b"b", commit={"uses": packs})
        self.assertEqual(self.listed(), [1])

    def test_move(self):
        """A move makes the old pack dead and a new segment current."""
        writer = Writer(self.path)
        session = writer.backup(1, b"a")
        mover, plain = f"{9:032x}", b"a".ljust(CHUNK, b"\0")
        packed = writer.pack(mover, 0, 0, [plain])
        name = writer.segment(mover, 0, [packed])
        body = {"from": [[session, 0, 1]], "to": [[mover, 0, 1]],
                "segments": [name], "basis": 0}
        writer.append(19, body)  # named since the basis: void
        writer.append(19, {**body, "basis": writer.slot})
        os.remove(os.path.join(self.path, next(
            key for key in reader.Store(self.path).keys("packs")
            if f"{session}-00000000" in key)))
        self.assert_restores(1, b"a")
        self.assertEqual(self.run_reader("check", self.path), 0, self.text)
        writer.append(20, {"old": [name], "new": []})
        self.assert_damaged("chunk 0")

    def test_log_damage(self):
        """Every byte of the header, the chain and the end are proved."""
        Writer(self.path).backup(1, b"a")
        key = reader.entry_key(1)
        for offset in (0, 8, 10, 11, 12, 16, 24, 32, 48, 64, 96, 128):
            self.damage(key, offset, 1)
            self.assert_damaged(key)
            self.damage(key, offset, 1)
        self.assertEqual(self.run_reader("check", self.path), 0, self.text)
        self.damage(key, 100)
        self.assert_damaged(key)
        os.rename(os.path.join(self.path, key),
                  os.path.join(self.path, reader.entry_key(2)))
        self.assert_damaged(reader.entry_key(2), "is absent")
        self.damage(reader.entry_key(0), 130, 1)
        self.assert_damaged(reader.entry_key(0))

    def test_pack_damage(self):
        """Any byte of a pack; a restore names chunk and pack."""
        writer = Writer(self.path)
        writer.backup(1, sample_volume(3, 3 * CHUNK, holes=False))
        key = next(key for key in reader.Store(self.path).keys("packs")
                   if "-00000000-" in key)
        size = os.path.getsize(os.path.join(self.path, key))
        for offset in (0, 8, 63, 64, 70, 100, 128, 5000, size - 200,
                       size - 1):
            self.damage(key, offset, 1)
            self.assert_damaged(key)
            self.damage(key, offset, 1)
        self.damage(key, 200, 1)
        name, out = f"backup-{1:016x}", os.path.join(self.folder.name, "o")
        self.assertEqual(self.run_reader("restore", self.path, name, out), 1)
        self.assertIn("chunk", self.text)
        self.assertIn(key, self.text)
        self.assertFalse(os.path.exists(out))
        os.remove(os.path.join(self.path, key))
        self.assert_damaged(key)

    def test_segment_damage(self):
        """A changed or lost segment is named."""
        Writer(self.path).backup(1, b"a")
        key = self.first("index")
        self.damage(key, 70, 1)
        self.assert_damaged(key)
        os.remove(os.path.join(self.path, key))
        self.assert_damaged(key)

    def test_config(self):
        """Versions, features and fields."""
        features = {"compat": [], "read_compat": [], "incompat": ["quux"]}
        for change, word in (
                ({"version": 2}, "newer"), ({"features": features}, "quux"),
                ({"chunk_size": 5000}, "chunk_size"),
                ({"cipher": {"name": "x", "code": 7}}, "cipher"),
                ({"tree_fanout": 512}, "tree_fanout"),
                ({"id_key": "00"}, "id_key")):
            Writer(self.path, **change)
            self.assertEqual(self.run_reader("list", self.path), 1)
            self.assertIn(word, self.text)
        Writer(self.path)
        self.damage("config", 30, 1)
        self.assertEqual(self.run_reader("list", self.path), 1)
        self.assertIn("config", self.text)

    def test_nodes(self):
        """§8: only one encoding is valid."""
        one, two = b"1" * 32, b"2" * 32

        def node(runs, count, ids, level=0):
            return (struct.pack("<8sBBHI", b"CNVYNODE", 1, level, len(runs),
                                count)
                    + b"".join(struct.pack("<HH", *run) for run in runs) + ids)
        good = node([(0, 1), (4, 1)], 2, one + two)
        self.assertEqual(reader.parse_node("n", good, 0), {0: one, 5: two})
        last = node([(1023, 1)], 1, one)
        self.assertEqual(reader.parse_node("n", last, 0), {1023: one})
        for bad in (node([(0, 1), (0, 1)], 2, one + two),
                    node([(0, 0), (1, 1)], 1, one), node([], 0, b""),
                    node([(1023, 2)], 2, one + two), node([(0, 1)], 2, one),
                    node([(0, 2)], 1, one), node([(0, 1)], 1, one + b"x"),
                    node([(0, 1)], 1, one, 1), good[:15], good[:20]):
            with self.assertRaises(reader.Damage):
                reader.parse_node("n", bad, 0)

    def test_zstd(self):
        """One frame, of the exact length."""
        frame = zstd(b"a" * 100)
        self.assertEqual(reader.unzstd("z", frame, 100), b"a" * 100)
        for data, length in ((frame, 99), (frame, 101), (frame + frame, 200),
                             (frame[:-1], 100), (b"", 0), (b"x" * 9, 9)):
            with self.assertRaises(reader.Damage):
                reader.unzstd("z", data, length)


class Sets(unittest.TestCase):
    """Sets of packs against Python's own."""

    def test_pack_sets(self):
        """Random runs in and out."""
        rng, packs, plain = random.Random(4), reader.PackSet(), set()
        for _ in range(500):
            low = rng.randrange(40)
            high = low + 1 + rng.randrange(8)
            if rng.random() < 0.5:
                packs.add(["s", low, high])
                plain |= set(range(low, high))
            else:
                packs.remove(["s", low, high])
                plain -= set(range(low, high))
            got = {i for i in range(60) if packs.has("s", i)}
            self.assertEqual(got, plain)


def run_all():
    """Runs all tests; an exit status."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules[__name__])
    return 0 if unittest.TextTestRunner(verbosity=1).run(
        suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(run_all())
