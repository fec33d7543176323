#!/usr/bin/env python3
"""Makes the small kernel-made metadata image that the tests and the documentation examples read.

Runs as root in a guest: fixture.py METADATA_DISK OUTPUT. Devices of the image: 1 is a volume of 700 blocks of
64 KiB, 2 a snapshot of it that was then written to and discarded from, 3 a snapshot of 2, 5 an empty device; 4 was deleted.
A metadata snapshot is held, made before device 1 was written to for the last time. Transaction id 7.
"""

import fcntl
import os
import struct
import subprocess
import sys

BLOCK = 65536
BLKDISCARD = 0x1277
SIZE = 64 * 4096


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def message(text):
    run("dmsetup", "message", "pool", "0", text)


def thin(dev_id, writes, discards=()):
    run("dmsetup", "create", "thin", "--table", f"0 {2000 * 128} thin /dev/mapper/pool {dev_id}")
    fd = os.open("/dev/mapper/thin", os.O_RDWR)
    for begin, count in writes:
        for block in range(begin, begin + count):
            os.pwrite(fd, bytes(BLOCK), block * BLOCK)
    os.fsync(fd)
    for begin, count in discards:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", begin * BLOCK, count * BLOCK))
    os.close(fd)
    run("dmsetup", "remove", "--retry", "thin")


def main():
    disk, output = sys.argv[1:]
    with open(disk, "r+b") as device:
        device.write(bytes(SIZE))
    run("dmsetup", "create", "zero", "--table", f"0 {4096 * 128} zero")
    run("dmsetup", "create", "md", "--table", f"0 {SIZE // 512} linear {disk} 0")
    run("dmsetup", "create", "pool", "--table", f"0 {4096 * 128} thin-pool /dev/mapper/md /dev/mapper/zero 128 0 1 skip_block_zeroing")
    message("create_thin 1")
    message("set_transaction_id 0 7")
    thin(1, [(0, 700)])
    message("create_snap 2 1")
    thin(2, [(10, 5), (900, 20)], [(300, 8)])
    message("create_snap 3 2")
    message("create_snap 4 1")
    message("create_thin 5")
    thin(3, [(699, 2)])
    message("delete 4")
    message("reserve_metadata_snap")
    thin(1, [(1000, 3)])
    print(run("dmsetup", "status", "pool"))
    run("dmsetup", "remove", "pool")
    with open("/dev/mapper/md", "rb") as device, open(output, "wb") as image:
        image.write(device.read(SIZE))


main()
