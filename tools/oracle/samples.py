#!/usr/bin/env python3
"""Samples of a parameter space, after the description in src/sweep/sampler.rs alone.

usage: samples.py METHOD SAMPLES SEED PARAMETERS NUMBER...
Prints the shares of these samples; the golden figures of the tests were checked with it.
"""
import struct
import sys

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1


def chacha8_block(key, counter, nonce):
    state = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    state += [counter & MASK32, counter >> 32, nonce & MASK32, nonce >> 32]
    work = state[:]

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            work[x] = (work[x] + work[y]) & MASK32
            mixed = work[z] ^ work[x]
            work[z] = (mixed << turn | mixed >> (32 - turn)) & MASK32

    for _ in range(4):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for place in range(4):
            quarter(place, (place + 1) % 4 + 4, (place + 2) % 4 + 8, (place + 3) % 4 + 12)
    return struct.pack("<16I", *((a + b) & MASK32 for a, b in zip(state, work)))


def chacha(seed, stream, sample):
    key = struct.pack("<Q", seed) + bytes(24)
    blocks = chacha8_block(key, 2 * sample, stream) + chacha8_block(key, 2 * sample + 1, stream)
    return struct.unpack("<16Q", blocks)


def mix(value):
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK64
    return value ^ value >> 31


def permuted(place, count, keys):
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    while True:
        left, right = place >> half, place & (1 << half) - 1
        for key in keys:
            left, right = right, left ^ mix(right ^ key) & (1 << half) - 1
        place = left << half | right
        if place < count:
            return place


def sobol(number, side):
    if side == 0:
        directions = [1 << 31 - bit for bit in range(32)]
    else:
        degree, inner, initial = [(1, 0, [1]), (2, 1, [1, 3]), (3, 1, [1, 3, 1])][side - 1]
        # m_k = 2 a_1 m_(k-1) xor 4 a_2 m_(k-2) xor ... xor 2^s m_(k-s) xor m_(k-s)
        m = initial[:]
        for k in range(degree, 32):
            new = m[k - degree] ^ m[k - degree] << degree
            for i in range(1, degree):
                if inner >> (degree - 1 - i) & 1:
                    new ^= m[k - i] << i
            m.append(new)
        directions = [m[bit] << 31 - bit for bit in range(32)]
    point = 0
    for bit in range(32):
        if number >> bit & 1:
            point ^= directions[bit]
    return point


def share(method, samples, seed, side, number):
    unit = (chacha(seed, 0, number)[side] >> 11) / 2**53
    if method == "random":
        return unit
    if method == "latin_hypercube":
        return (permuted(number, samples, chacha(seed, 1, side)[:6]) + unit) / samples
    return ((sobol(number, side) ^ chacha(seed, 2, 0)[side] >> 32) + 0.5) / 2**32


if __name__ == "__main__":
    method, samples, seed, parameters = sys.argv[1], *map(int, sys.argv[2:5])
    for number in map(int, sys.argv[5:]):
        print(number, [share(method, samples, seed, side, number) for side in range(parameters)])
