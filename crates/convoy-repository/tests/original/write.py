#!/usr/bin/env python3
"""Wrote the repositories beside it, from docs/formats/original.md and with Python's own gzip and SHA-512.

They stay as they are: a reader that cannot read them any more is wrong. Prints the SHA-256 of what each backup holds.
"""

import gzip
import hashlib
import json
import pathlib

BLOCK = 2 << 20
DATE = "Sun Nov 22 08:04:40 +0100 2015"


def block(text):
    """A block that is easy to compress and different for each text."""
    line = (text + "\n").encode()
    return (line * (BLOCK // len(line) + 1))[:BLOCK]


def layers(name):
    name = name.ljust(4, "!")
    return f"{name[:2]}/{name[2:4]}/{name}"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def volume(root, name, config, backups):
    base = root / "convoy-objectstore" / "volumes" / layers(name)
    write(base / "volume.cfg", compact(config))
    for backup, config, blocks in backups:
        listed = []
        image = bytearray(config.pop("size"))
        for number, text in sorted(blocks.items()):
            content = block(text) if text else bytes(BLOCK)
            checksum = hashlib.sha512(content).hexdigest()[:64]
            write(base / "blocks" / checksum[:2] / checksum[2:4] / f"{checksum}.blk", gzip.compress(content, mtime=0))
            listed.append({"Offset": number * BLOCK, "BlockChecksum": checksum})
            image[number * BLOCK:(number + 1) * BLOCK] = content
        if listed:
            config["Blocks"] = listed
        config["SingleFile"] = {"FilePath": ""}
        write(base / "backups" / f"backup_{backup}.cfg", compact(config))
        print(name, backup, hashlib.sha256(image).hexdigest())


def names(name, volume_name, snapshot, size):
    return {"Name": name, "Driver": "", "VolumeName": volume_name, "SnapshotName": snapshot, "SnapshotCreatedAt": DATE,
            "CreatedTime": DATE, "size": size}


def uuids(uuid, volume_uuid, snapshot, size):
    return {"UUID": uuid, "Driver": "", "VolumeUUID": volume_uuid, "SnapshotUUID": snapshot, "SnapshotName": "",
            "SnapshotCreatedAt": DATE, "CreatedTime": DATE, "size": size}


def main():
    here = pathlib.Path(__file__).parent
    root = here / "v0.5"
    first, second = "backup-1111111111111111", "backup-2222222222222222"
    size = 4 * BLOCK
    volume(root, "ab",
           {"Name": "ab", "Driver": "devicemapper", "Size": size, "CreatedTime": DATE, "LastBackupName": second},
           [(first, names(first, "ab", "s1", size), {0: "one", 1: "two", 3: "three"}),
            (second, names(second, "ab", "s2", size), {0: "one", 1: "", 2: "four", 3: "three"})])
    empty = "backup-3333333333333333"
    volume(root, "Vol.1",
           {"Name": "Vol.1", "Driver": "devicemapper", "Size": size, "CreatedTime": DATE, "LastBackupName": empty},
           [(empty, names(empty, "Vol.1", "a&b", size), {})])
    root = here / "v0.4"
    uuid, backup = "d9d6e0ac-1d0e-4b6a-9b2f-3f1e6f3c2b11", "f98f9ea1-dd6e-4490-8212-6d50df1982ea"
    volume(root, uuid,
           {"UUID": uuid, "Name": "data", "Driver": "devicemapper", "Size": size, "FileSystem": "ext4",
            "CreatedTime": DATE, "LastBackupUUID": backup},
           [(backup, uuids(backup, uuid, "0b6e3b7e-7f0a-4e0e-8b0a-5d3a0c5f9e77", size), {2: "five"})])


if __name__ == "__main__":
    main()
