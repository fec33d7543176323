#!/usr/bin/env python3
"""Random histories on a real dm-thin pool; our difference must equal thin_delta's, live and offline.

Runs as root in a guest with two disks to spare: histories.py THIN_DIFF METADATA_DISK SEED COUNT [STEPS]
THIN_DIFF is the built example of convoy-blockdiff; thin_delta is found on the path. The pool's data device is
dm-zero: only mappings matter here. Prints one line a history and `all equal`; exit status 1 at the first difference,
with the seed.
"""

import fcntl
import itertools
import os
import random
import re
import struct
import subprocess
import sys

BLOCK = 65536
BLKDISCARD = 0x1277
DATA_BLOCKS = 1 << 20
VIRTUAL_BLOCKS = 40000


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Pool:
    def __init__(self, metadata):
        self.metadata = metadata
        with open(metadata, "r+b") as disk:
            disk.write(bytes(4096))
            self.sectors = disk.seek(0, os.SEEK_END) // 512
        self.size = self.sectors // 2
        run("dmsetup", "create", "zero", "--table", f"0 {DATA_BLOCKS * 128} zero")
        run("dmsetup", "create", "md", "--table", f"0 {self.size // 8 * 8} linear {metadata} 0")
        self.active = {}
        self.ids = []
        self.start()

    def start(self):
        run("dmsetup", "create", "pool", "--table", f"0 {DATA_BLOCKS * 128} thin-pool /dev/mapper/md /dev/mapper/zero 128 0 1 skip_block_zeroing")

    def stop(self):
        for dev_id in list(self.active):
            self.deactivate(dev_id)
        run("dmsetup", "remove", "pool")

    def remove(self):
        self.stop()
        run("dmsetup", "remove", "md")
        run("dmsetup", "remove", "zero")

    def grow_metadata(self):
        self.size = self.sectors
        run("dmsetup", "load", "md", "--table", f"0 {self.size // 8 * 8} linear {self.metadata} 0")
        run("dmsetup", "suspend", "md")
        run("dmsetup", "resume", "md")
        run("dmsetup", "suspend", "pool")
        run("dmsetup", "resume", "pool")

    def message(self, text):
        run("dmsetup", "message", "pool", "0", text)

    def activate(self, dev_id):
        if dev_id not in self.active:
            run("dmsetup", "create", f"thin{dev_id}", "--table", f"0 {VIRTUAL_BLOCKS * 128} thin /dev/mapper/pool {dev_id}")
            self.active[dev_id] = os.open(f"/dev/mapper/thin{dev_id}", os.O_RDWR)
        return self.active[dev_id]

    def deactivate(self, dev_id):
        os.fsync(self.active[dev_id])
        os.close(self.active.pop(dev_id))
        run("dmsetup", "remove", "--retry", f"thin{dev_id}")

    def create(self, dev_id):
        self.message(f"create_thin {dev_id}")
        self.ids.append(dev_id)

    def snapshot(self, dev_id, origin):
        if origin in self.active:
            self.deactivate(origin)
        self.message(f"create_snap {dev_id} {origin}")
        self.ids.append(dev_id)

    def delete(self, dev_id):
        if dev_id in self.active:
            self.deactivate(dev_id)
        self.message(f"delete {dev_id}")
        self.ids.remove(dev_id)

    def write(self, dev_id, begin, count):
        fd = self.activate(dev_id)
        count = min(count, VIRTUAL_BLOCKS - begin)
        for first in range(begin, begin + count, 64):
            os.pwrite(fd, bytes(BLOCK * min(64, begin + count - first)), first * BLOCK)
        os.fsync(fd)

    def scatter(self, dev_id, blocks):
        fd = self.activate(dev_id)
        for block in blocks:
            os.pwrite(fd, bytes(4096), block * BLOCK)
        os.fsync(fd)

    def discard(self, dev_id, begin, count):
        count = min(count, VIRTUAL_BLOCKS - begin)
        fd = self.activate(dev_id)
        os.fsync(fd)
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", begin * BLOCK, count * BLOCK))

    def held_root(self):
        return run("dmsetup", "status", "--noflush", "pool").split()[6]


def step(pool, rng, next_id):
    """One thing that happens; returns the next free id."""
    dev_id = rng.choice(pool.ids)
    kind = rng.choices(["create", "snap", "delete", "write", "scatter", "discard"], [1, 4, 1, 4, 5, 4])[0]
    begin = rng.randrange(VIRTUAL_BLOCKS)
    if kind == "create":
        pool.create(next_id)
        pool.write(next_id, begin, rng.randrange(1, 2000))
        return next_id + 1
    if kind == "snap":
        pool.snapshot(next_id, dev_id)
        return next_id + 1
    if kind == "delete" and len(pool.ids) > 2:
        pool.delete(dev_id)
    elif kind == "write":
        pool.write(dev_id, begin, rng.choice([1, 10, 300, 3000]))
    elif kind == "scatter":
        pool.scatter(dev_id, [rng.randrange(VIRTUAL_BLOCKS) for _ in range(rng.choice([1, 5, 100]))])
    elif kind == "discard":
        pool.discard(dev_id, begin, rng.choice([1, 7, 400, 5000]))
        # thin_delta 0.9.0 reads past the end of a device without mappings.
        pool.write(dev_id, 0, 1)
    return next_id


KINDS = {"same": "same", "different": "different", "left_only": "left_only", "right_only": "right_only"}


def theirs(metadata, left, right, live):
    text = run("thin_delta", *(["-m"] if live else []), "--thin1", str(left), "--thin2", str(right), metadata)
    found = re.findall(r'<(\w+) begin="(\d+)" length="(\d+)"/>', text)
    return [f"{KINDS[kind]} {begin} {length}" for kind, begin, length in found]


def ours(program, metadata, left, right, root):
    lines = run(program, metadata, str(left), str(right), *([root] if root else [])).splitlines()
    if not lines or not lines[-1].startswith("end "):
        sys.exit("no end")
    return lines[:-1], lines[-1]


def compare(program, metadata, left, right, root, seed):
    mine, end = ours(program, metadata, left, right, root)
    if mine != theirs(metadata, left, right, root is not None):
        sys.exit(f"seed {seed}: devices {left} and {right} differ from thin_delta {'live' if root else 'offline'}")
    return end


def history(program, metadata, seed, steps):
    rng = random.Random(seed)
    pool = Pool(metadata)
    pool.create(1)
    pool.write(1, rng.randrange(1000), rng.choice([1, 100, 8000, 20000]))
    pool.snapshot(2, 1)
    next_id = 3
    compared = 0
    for number in range(steps):
        next_id = step(pool, rng, next_id)
        if number == steps // 2:
            pool.grow_metadata()
        if rng.random() < 0.2:
            pool.message("reserve_metadata_snap")
            root = pool.held_root()
            pairs = list(itertools.permutations(pool.ids, 2))
            # The pool goes on changing under the held root.
            next_id = step(pool, rng, next_id)
            for left, right in rng.sample(pairs, min(2, len(pairs))):
                compare(program, "/dev/mapper/md", left, right, root, seed)
                compared += 1
            pool.message("release_metadata_snap")
    pool.stop()
    pairs = list(itertools.permutations(pool.ids, 2))
    for left, right in rng.sample(pairs, min(4, len(pairs))):
        end = compare(program, "/dev/mapper/md", left, right, None, seed)
        compared += 1
    run("dmsetup", "remove", "md")
    run("dmsetup", "remove", "zero")
    print(f"history {seed}: {compared} comparisons equal, {len(pool.ids)} devices, last: {end}", flush=True)


def main():
    program, metadata, seed, count = sys.argv[1:5]
    steps = int(sys.argv[5]) if len(sys.argv) > 5 else 25
    for number in range(int(seed), int(seed) + int(count)):
        history(program, metadata, number, steps)
    print("all equal")


main()
