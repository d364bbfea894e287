#!/usr/bin/env python3
"""Decodes admf archives and pools into JSON lines, one event per line.

Written from formats/SEGMENT.md alone, with the standard library alone: a second opinion on the
files, which shares no code with the program that writes them. What it prints is byte for byte what
`admf-tools dump PATH` prints.

    python3 tools/python/admf_decode.py PATH...     archives, pools, or folders of them

Exit codes: 0 done; 1 a file is damaged; 2 bad arguments.
"""

import json
import os
import struct
import sys

import admf_zstd

POOL_MAGIC = bytes.fromhex("894144500D0A1A0A")
ARCHIVE_MAGIC = bytes.fromhex("894144410D0A1A0A")
VERSION = 1
CONTAINERS_PER_ARCHIVE = 4096
RESULT_BYTES = 424
SLOT_BYTES = RESULT_BYTES + 56
CHUNK_PAYLOAD_MAX = 1 << 20
TRACE, KEPT = 1, 5
# Kinds of chunk that hold frames.
FRAMES = (1, 2, 5)

SIDE = {0: "flat", 1: "long", 2: "short"}
ORDER_STATUS = {1: "accepted", 2: "rejected", 3: "expired", 4: "cancelled", 5: "triggered"}
REASON = {
    0: "none", 1: "insufficient_cash", 2: "zero_quantity", 3: "window_end",
    4: "equity_exhausted", 5: "panic", 6: "time_in_force", 7: "risk_limit",
    8: "superseded", 9: "size_unknown",
    10: "level_unknown",
}
EXIT_REASON = {
    1: "signal", 2: "stop_loss", 3: "take_profit", 4: "trailing_stop", 5: "time_stop",
    6: "end_of_day", 7: "close_at_end", 8: "risk",
}
RISK_RULE = {1: "position", 2: "exposure", 3: "drawdown", 4: "daily_loss", 5: "cash"}
# Kind: (key, names) of the frame's code and of its detail; kinds without an entry have neither.
CODE = {
    "SIGNAL": ("side", SIDE), "ORDER_REQUEST": ("side", SIDE), "FILL": ("side", SIDE),
    "POSITION_OPEN": ("side", SIDE), "POSITION_UPDATE": ("side", SIDE),
    "ORDER": ("status", ORDER_STATUS), "POSITION_CLOSE": ("exit_reason", EXIT_REASON),
    "RISK_BREACH": ("rule", RISK_RULE),
}
DETAIL = {"ORDER": ("reason", REASON), "RISK_BREACH": ("reason", REASON), "ERROR": ("reason", REASON),
          "POSITION_UPDATE": ("exit_reason", EXIT_REASON)}
FIELD = {"f64": ("<d", 8), "i64": ("<q", 8), "u64": ("<Q", 8), "u32": ("<I", 4)}


class Damaged(Exception):
    """The file cannot be decoded any further."""


def _table():
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        rows.append(byte)
    return rows


CRC_TABLE = _table()


def crc32c(data, start=0):
    """CRC-32C of `data`, continued from the checksum of what came before."""
    crc = start ^ 0xFFFFFFFF
    table = CRC_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def u16(data, at):
    return struct.unpack_from("<H", data, at)[0]


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def up_to(number, multiple):
    return -(-number // multiple) * multiple


class Bincode:
    """Reads the manifest: numbers little-endian, lengths as u64, strings as UTF-8."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Damaged("the manifest ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self):
        return u64(self.take(8), 0)

    def real(self):
        return struct.unpack("<d", self.take(8))[0]

    def byte(self):
        return self.take(1)[0]

    def text(self):
        return self.take(self.number()).decode("utf-8")

    def list(self, item):
        return [item() for _ in range(self.number())]


def read_manifest(data):
    source = Bincode(data)

    def symbol():
        names = {"symbol": source.text(), "bars_file": source.text(), "bars_digest": source.text()}
        names.update(first_bar=source.number(), end_bar=source.number(), bars_per_year=source.real())
        return names

    def field():
        return source.text(), source.text()

    def event():
        return source.byte(), source.text(), source.list(field)

    manifest = {"workflow": source.text(), "phase": source.text(), "strategy": source.text()}
    manifest["parameter_names"] = source.list(source.text)
    manifest["objective"] = source.text()
    manifest["symbols"] = source.list(symbol)
    manifest["containers"] = source.number()
    manifest["initial_capital"] = source.real()
    manifest["all_in"] = source.byte() != 0
    manifest["settings"] = source.text()
    # Number of the kind: (name, fields, size of the frame).
    manifest["events"] = {}
    for number, name, fields in source.list(event):
        payload = sum(FIELD[kind][1] for _, kind in fields)
        manifest["events"][number] = (name, fields, up_to(40 + payload, 16))
    return manifest


def commit(data, at, events):
    """Kind and size of the frame whose commit word stands at `at`; None where there is none."""
    if at + 40 > len(data):
        return None
    kind = data[at + 4]
    if kind not in events or u16(data, at + 6) != 0:
        return None
    size = events[kind][2]
    return (kind, size) if data[at + 5] * 16 == size and at + size <= len(data) else None


def timestamp(ts_ns):
    """RFC 3339 in UTC; the fraction only where it is not zero, without trailing zeros."""
    if ts_ns == -(1 << 63):
        return None
    seconds, fraction = divmod(ts_ns, 1_000_000_000)
    days, seconds = divmod(seconds, 86_400)
    # Civil date of a day count: eras of 400 years, which begin in March.
    days += 719_468
    era, day = divmod(days, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day = day - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = year + era * 400 + (1 if month <= 2 else 0)
    text = "%04d-%02d-%02dT%02d:%02d:%02d" % (
        year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60)
    if fraction:
        text += (".%09d" % fraction).rstrip("0")
    return text + "Z"


def real(value):
    """The shortest digits that read back the same."""
    if value != value or value in (float("inf"), float("-inf")):
        return "null"
    sign, text = ("-", repr(value)[1:]) if repr(value)[0] == "-" else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    leading = len(digits) - len(digits.lstrip("0"))
    digits, point = digits[leading:].rstrip("0"), point - leading
    if not digits:
        return sign + "0.0"
    if -5 < point <= 0:
        return sign + "0." + "0" * -point + digits
    if 0 < point <= 16:
        digits = digits.ljust(point, "0")
        return sign + digits[:point] + "." + (digits[point:] or "0")
    head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return "%s%se%+d" % (sign, head, point - 1)


def quoted(value):
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def line(manifest, container, frame, sealed):
    """One event as JSON; keys sorted, no spaces."""
    kind, data = frame
    name, fields, _ = manifest["events"][kind]
    sequence, trade, cause_back = u64(data, 8), u32(data, 24), u32(data, 32)
    symbol = u16(data, 36)
    payload = {}
    for table, number in ((CODE, data[38]), (DETAIL, data[39])):
        if name in table:
            key, names = table[name]
            payload[key] = quoted(names.get(number))
    at = 40
    for field, kind_of_field in fields:
        form, size = FIELD[kind_of_field]
        value = struct.unpack_from(form, data, at)[0]
        at += size
        if field == "entry_ts_ns":
            payload["entry_time"] = quoted(timestamp(value))
        else:
            payload[field] = real(value) if kind_of_field == "f64" else str(value)
    digits = max(3, len(str(manifest["containers"])))
    symbols = manifest["symbols"]
    event = {
        "bar": str(u32(data, 28)),
        "causation_id": str(max(0, sequence - cause_back)) if cause_back else "null",
        "container": quoted("portfolio_%0*d" % (digits, container + 1)),
        "correlation_id": str(trade) if trade else "null",
        "event_id": str(sequence),
        "event_type": quoted(name),
        "payload": "{%s}" % ",".join("%s:%s" % (quoted(k), payload[k]) for k in sorted(payload)),
        "symbol": quoted(symbols[symbol]["symbol"] if symbol < len(symbols) else None),
        "timestamp": quoted(timestamp(struct.unpack_from("<q", data, 16)[0])),
    }
    if not sealed:
        event["unsealed"] = "true"
    return "{%s}" % ",".join("%s:%s" % (quoted(k), event[k]) for k in sorted(event))


class File:
    """A file of which only what is asked for is read."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "rb")
        self.size = os.fstat(self.file.fileno()).st_size

    def read(self, at, count):
        self.file.seek(at)
        return self.file.read(count)

    def header(self, magic, manifest_bytes_at, manifest_crc_at):
        header = self.read(0, 4096)
        if len(header) < 4096 or header[:8] != magic:
            raise Damaged("wrong magic")
        if u32(header, 8) != VERSION:
            raise Damaged("version %d; this program reads %d" % (u32(header, 8), VERSION))
        if u32(header, 4092) != crc32c(header[:4092]):
            raise Damaged("the header's checksum does not match")
        return header, u32(header, manifest_bytes_at), u32(header, manifest_crc_at)

    def manifest(self, at, count, crc):
        data = self.read(at, count)
        if len(data) < count or crc32c(data) != crc:
            raise Damaged("the manifest's checksum does not match")
        return read_manifest(data)


class Archive(File):
    def __init__(self, path):
        super().__init__(path)
        header, count, crc = self.header(ARCHIVE_MAGIC, 12, 24)
        self.seed = u32(header, 4092)
        self.manifest = self.manifest(4096, count, crc)
        self.slots = 4096 + up_to(count, 4096)
        self.chunks = self.slots + CONTAINERS_PER_ARCHIVE * SLOT_BYTES + 4096
        first = u64(header, 16) * CONTAINERS_PER_ARCHIVE
        self.containers = range(first, min(first + CONTAINERS_PER_ARCHIVE, self.manifest["containers"]))

    def slot(self, container):
        """Offsets of the container's last kept and trace chunk; None where it is not committed."""
        if container not in self.containers:
            return None
        at = self.slots + container % CONTAINERS_PER_ARCHIVE * SLOT_BYTES
        data = self.read(at, SLOT_BYTES)
        if len(data) < SLOT_BYTES or data[-8:-4] != b"SLOT":
            return None
        if u32(data, SLOT_BYTES - 4) != crc32c(data[:-4], self.seed) or u64(data, 0) != container:
            return None
        return {kind: u64(data, RESULT_BYTES + 8 * (kind - 1)) for kind in (KEPT, TRACE)}

    def chunk(self, at):
        """Header of the chunk at `at`; None where there is none."""
        head = self.read(at, 64) if at >= self.chunks else b""
        if len(head) < 64 or head[:4] != b"CHNK" or u32(head, 60) != crc32c(head[:60], self.seed):
            return None
        if u64(head, 16) != at or u64(head, 24) >= at or u32(head, 32) > CHUNK_PAYLOAD_MAX:
            return None
        compression, units = head[5], u16(head, 6)
        is_plain = (compression, units) == (0, 0)
        if not 1 <= head[4] <= 5 or not (is_plain or compression == 1 and units and head[4] in FRAMES):
            return None
        return {
            "kind": head[4], "container": u64(head, 8), "at": at, "previous": u64(head, 24),
            "bytes": u32(head, 32), "crc": u32(head, 56), "unpacked": 16 * units,
        }

    def payload(self, chunk):
        """What the chunk holds; None where it is not what was written."""
        data = self.read(chunk["at"] + 64, chunk["bytes"])
        is_whole = len(data) == chunk["bytes"] and crc32c(data, self.seed) == chunk["crc"]
        if not is_whole or not chunk["unpacked"]:
            return data if is_whole else None
        try:
            return admf_zstd.decompress(data, chunk["unpacked"])
        except admf_zstd.Malformed as error:
            raise Damaged("at byte %d: the chunk does not decompress: %s" % (chunk["at"], error))

    def frames(self, data):
        at, events = 0, self.manifest["events"]
        while at < len(data):
            found = commit(data, at, events)
            if found is None:
                raise Damaged("no frame begins at byte %d of a chunk" % at)
            yield found[0], data[at:at + found[1]]
            at += found[1]

    def next_chunk(self, at):
        at = up_to(at, 16)
        while at < self.size:
            chunk = self.chunk(at)
            if chunk:
                return chunk
            # Nothing begins here: look for the next mark, a window at a time.
            window = self.read(at + 16, 1 << 16)
            mark = window.find(b"CHNK")
            while mark % 16 and mark >= 0:
                mark = window.find(b"CHNK", mark + 1)
            if mark < 0 and len(window) < 1 << 16:
                return None
            at += 16 + (mark if mark >= 0 else 1 << 16)
        return None

    def chain(self, container, kind, at):
        """Chunks of a container and kind, the last one, at `at`, first."""
        chain = []
        while at:
            chunk = self.chunk(at)
            if not chunk or chunk["kind"] != kind or chunk["container"] != container:
                raise Damaged("at byte %d: no chunk of container %d" % (at, container))
            chain.append(chunk)
            at = chunk["previous"]
        return chain

    def lines(self):
        for container in self.containers:
            for kind, last in (self.slot(container) or {}).items():
                for chunk in reversed(self.chain(container, kind, last)):
                    data = self.payload(chunk)
                    if data is None:
                        raise Damaged("at byte %d: the chunk's checksum does not match" % chunk["at"])
                    for frame in self.frames(data):
                        yield line(self.manifest, container, frame, True)
        chunk = self.next_chunk(self.chunks)
        while chunk:
            end = chunk["at"] + 64 + up_to(chunk["bytes"], 16)
            is_wanted = (chunk["kind"] in (KEPT, TRACE) and chunk["container"] in self.containers
                         and self.slot(chunk["container"]) is None)
            is_followed = end == self.size or self.chunk(end) is not None
            data = self.payload(chunk) if is_wanted or not is_followed else None
            if is_wanted and data is not None:
                for frame in self.frames(data):
                    yield line(self.manifest, chunk["container"], frame, False)
            # A torn chunk may claim more than was written of it.
            torn = data is None and not is_followed
            chunk = self.next_chunk(chunk["at"] + 64 if torn else end)


class Pool(File):
    def __init__(self, path):
        super().__init__(path)
        header, count, crc = self.header(POOL_MAGIC, 24, 28)
        self.seed = u32(header, 4092)
        self.segment_bytes, self.segments = u32(header, 16), u32(header, 20)
        at = 4096 + 128 * self.segments
        self.manifest = self.manifest(at, count, crc)
        self.first = up_to(at + count, 4096)

    def descriptor(self, segment):
        """(generation, owned, owner) of the newest valid one."""
        newest = None
        for slot in range(2):
            data = self.read(4096 + 128 * segment + 64 * slot, 64)
            if len(data) < 64 or u32(data, 16) != segment or u32(data, 20) != crc32c(data[:20], self.seed):
                continue
            if newest is None or 0 < (u32(data, 0) - newest[0]) % 2**32 < 2**31:
                newest = (u32(data, 0), data[4] != 0, u64(data, 8))
        return newest

    def lines(self):
        owned = []
        for segment in range(self.segments):
            if 4096 + 128 * segment >= self.size:
                break
            newest = self.descriptor(segment)
            if newest and newest[1]:
                owned.append((newest[2], segment, newest[0]))
        owned.sort()
        for container in sorted({owner for owner, _, _ in owned}):
            frames = {}
            for owner, segment, generation in owned:
                if owner != container:
                    continue
                data = self.read(self.first + segment * self.segment_bytes, self.segment_bytes)
                at = 0
                while True:
                    found = commit(data, at, self.manifest["events"])
                    if found is None or u32(data, at) != generation:
                        break
                    frames.setdefault(u64(data, at + 8), (found[0], data[at:at + found[1]]))
                    at += found[1]
            for sequence in sorted(frames):
                yield line(self.manifest, container, frames[sequence], False)


def files(path):
    """The file, or every archive and pool below the folder that has content, sorted by path."""
    if os.path.isfile(path):
        return [path]
    found = []
    for folder, _, names in os.walk(path):
        for name in names:
            if name.endswith((".admf", ".pool")):
                found.append(os.path.join(folder, name))
    found.sort(key=lambda name: name.split(os.sep))
    return [name for name in found if has_begun(name)]


def has_begun(path):
    with open(path, "rb") as file:
        blank = not file.read(4096).strip(b"\0")
    return not blank or (path.endswith(".admf") and os.path.getsize(path) > 4096)


def main(paths):
    if not paths or paths[0].startswith("-"):
        sys.stderr.write(__doc__)
        return 2
    out = sys.stdout.buffer
    for path in paths:
        found = files(path)
        if not found:
            sys.stderr.write("error: %s: no archive or pool is there\n" % path)
            return 2
        for name in found:
            try:
                with open(name, "rb") as file:
                    magic = file.read(8)
                is_pool = magic == POOL_MAGIC or (magic != ARCHIVE_MAGIC and name.endswith(".pool"))
                for text in (Pool if is_pool else Archive)(name).lines():
                    out.write(text.encode("utf-8") + b"\n")
            except (Damaged, OSError) as error:
                out.flush()
                sys.stderr.write("error: %s: %s\n" % (name, error))
                return 1
    out.flush()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.exit(0)
