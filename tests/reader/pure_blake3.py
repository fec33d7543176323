"""BLAKE3 in plain Python: hash, keyed hash and key derivation, 32 bytes out.

Written from the public BLAKE3 specification, with the standard library only.

Many 1024-byte BLAKE3 chunks are compressed at once: each of the sixteen words
of the state is one big integer with a 64-bit lane for every chunk. The upper
half of a lane is room for carries, so one addition adds all lanes.
"""

import sys
from array import array
from functools import lru_cache

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
      0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
KEYED_HASH, DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = 16, 32, 64
CHUNK_LEN, BLOCK_LEN = 1024, 64
BATCH = 1024  # chunks compressed together

_COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def _schedule():
    """The 56 quarter rounds: four state words and two message words each."""
    order, steps = list(range(16)), []
    for _ in range(7):
        for i, quad in enumerate(_COLUMNS_AND_DIAGONALS):
            steps.append(quad + (order[2 * i], order[2 * i + 1]))
        order = [order[p] for p in PERMUTATION]
    return tuple(steps)


_STEPS = _schedule()


@lru_cache(maxsize=64)
def _ones(lanes):
    """An integer with a 1 in each of `lanes` 64-bit lanes."""
    return int.from_bytes(b"\1\0\0\0\0\0\0\0" * lanes, "little")


def _compress(cv, block, counter_low, counter_high, length, flags, lanes):
    """The compression function on every lane; returns the new 8 cv words.

    The words of `a` and `c` are reduced late: they gain at most 6 bits.
    """
    ones = _ones(lanes)
    mask = 0xFFFFFFFF * ones
    v = [*cv, *(word * ones for word in IV[:4]),
         counter_low, counter_high, length * ones, flags * ones]
    for ia, ib, ic, id_, ix, iy in _STEPS:
        b = v[ib]
        a = v[ia] + b + block[ix]
        t = (v[id_] ^ a) & mask
        d = (t >> 16 | t << 16) & mask
        c = v[ic] + d
        t = (b ^ c) & mask
        b = (t >> 12 | t << 20) & mask
        a += b + block[iy]
        t = (d ^ a) & mask
        d = (t >> 8 | t << 24) & mask
        c += d
        t = (b ^ c) & mask
        v[ib] = (t >> 7 | t << 25) & mask
        v[ia], v[ic], v[id_] = a, c, d
    return [(v[i] ^ v[i + 8]) & mask for i in range(8)]


def _words(data):
    """The bytes as an array of little-endian 32-bit words."""
    words = array("I")
    words.frombytes(data)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _last_chunk(data, counter, key, flags, root):
    """The chaining value of one chunk of at most 1024 bytes."""
    cv = list(key)
    blocks = range(0, max(len(data), 1), BLOCK_LEN)
    for start in blocks:
        block = data[start:start + BLOCK_LEN]
        extra = CHUNK_START if start == 0 else 0
        if start == blocks[-1]:
            extra |= CHUNK_END | root
        words = _words(bytes(block) + bytes(BLOCK_LEN - len(block)))
        cv = _compress(cv, words, counter & 0xFFFFFFFF, counter >> 32,
                       len(block), flags | extra, 1)
    return cv


def _whole_chunks(data, first, key, flags):
    """The chaining values of whole chunks, the first being number `first`."""
    lanes = len(data) // CHUNK_LEN
    words = _words(data)
    wide = array("I", bytes(8 * lanes))
    low_halves = memoryview(wide)[::2]
    numbers = range(first, first + lanes)
    low = _spread(array("I", (n & 0xFFFFFFFF for n in numbers)))
    high = _spread(array("I", (n >> 32 for n in numbers)))
    cv = [word * _ones(lanes) for word in key]
    for block in range(16):
        message = []
        for column in range(16 * block, 16 * block + 16):
            low_halves[:] = words[column::256]
            message.append(_from_native(wide))
        extra = {0: CHUNK_START, 15: CHUNK_END}.get(block, 0)
        cv = _compress(cv, message, low, high, BLOCK_LEN, flags | extra, lanes)
    return cv


def _from_native(wide):
    """An integer of the 64-bit lanes that `wide` holds as pairs of words."""
    if sys.byteorder == "big":
        wide = array("I", wide)
        wide.byteswap()
    return int.from_bytes(wide.tobytes(), "little")


def _spread(values):
    """An integer with one value in each 64-bit lane."""
    wide = array("I", bytes(8 * len(values)))
    memoryview(wide)[::2] = values
    return _from_native(wide)


def _lane_array(word, lanes):
    """The lanes of one word as an array, to be sliced (order kept)."""
    lane_words = array("Q")
    lane_words.frombytes(word.to_bytes(8 * lanes, "little"))
    return lane_words


def _parents(cvs, lanes, key, flags):
    """One level up: pairs become parents, an odd last one is carried."""
    columns = [_lane_array(word, lanes) for word in cvs]
    pairs = lanes // 2
    sides = [int.from_bytes(column[side:2 * pairs:2].tobytes(), "little")
             for side in (0, 1) for column in columns]
    start = [word * _ones(pairs) for word in key]
    result = _compress(start, sides, 0, 0, BLOCK_LEN, flags | PARENT, pairs)
    if lanes % 2:
        shift = 64 * pairs
        result = [word | int.from_bytes(column[-1:].tobytes(), "little")
                  << shift for word, column in zip(result, columns)]
    return result, lanes - pairs


def _group(data, first, key, flags):
    """The chaining values of at most BATCH chunks, and their count."""
    lanes = len(data) // CHUNK_LEN
    cvs = _whole_chunks(data[:lanes * CHUNK_LEN], first, key, flags) \
        if lanes else [0] * 8
    if len(data) % CHUNK_LEN:
        tail = _last_chunk(data[lanes * CHUNK_LEN:], first + lanes, key,
                           flags, 0)
        cvs = [word | last << 64 * lanes for word, last in zip(cvs, tail)]
        lanes += 1
    return cvs, lanes


def _reduce(cvs, lanes, target, key, flags):
    """Merges level by level until at most `target` values are left."""
    while lanes > target:
        cvs, lanes = _parents(cvs, lanes, key, flags)
    return cvs, lanes


def _tree(data, key, flags):
    """The root's first 8 words.

    BATCH is a power of two, so every group but the last is a whole subtree.
    """
    if len(data) <= CHUNK_LEN:
        return _last_chunk(data, 0, key, flags, ROOT)
    step = BATCH * CHUNK_LEN
    if len(data) <= step:
        cvs, lanes = _group(data, 0, key, flags)
    else:
        cvs, lanes = [0] * 8, 0
        for start in range(0, len(data), step):
            group = _group(data[start:start + step], start // CHUNK_LEN,
                           key, flags)
            one = _reduce(*group, 1, key, flags)[0]
            cvs = [word | new << 64 * lanes for word, new in zip(cvs, one)]
            lanes += 1
    cvs, _ = _reduce(cvs, lanes, 2, key, flags)
    return _parents(cvs, 2, key, flags | ROOT)[0]


def _digest(data, key, flags):
    """32 bytes of output; `data` is any object of bytes."""
    words = _tree(memoryview(data), key, flags)
    return b"".join(word.to_bytes(4, "little") for word in words)


def blake3(data):
    """The unkeyed hash."""
    return _digest(data, IV, 0)


def keyed(key, data):
    """The hash of `data` under a key of 32 bytes."""
    if len(key) != 32:
        raise ValueError("a BLAKE3 key has 32 bytes")
    return _digest(data, tuple(_words(key)), KEYED_HASH)


def derive_key(context, material):
    """The key derivation mode: 32 bytes for an ASCII context string."""
    context_key = _digest(context.encode("ascii"), IV, DERIVE_KEY_CONTEXT)
    return _digest(material, tuple(_words(context_key)), DERIVE_KEY_MATERIAL)
