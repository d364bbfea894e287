"""Decompresses one Zstandard frame (RFC 8878) with the standard library alone.

For chunks of archives: frames that name their content size, without dictionary and checksum. It is
slow, some hundred kilobytes a second, and it trusts nothing: whatever is not exactly a frame of the
size that was asked for is an error, and no more than that size is ever produced.
"""

MAGIC = bytes.fromhex("28B52FFD")
BLOCK_MAX = 1 << 17

# (baseline, extra bits) of every code.
LITERAL_LENGTHS = [(code, 0) for code in range(16)] + [
    (16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4), (64, 6),
    (128, 7), (256, 8), (512, 9), (1024, 10), (2048, 11), (4096, 12), (8192, 13), (16384, 14),
    (32768, 15), (65536, 16)]
MATCH_LENGTHS = [(code + 3, 0) for code in range(32)] + [
    (35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4), (83, 4),
    (99, 5), (131, 7), (259, 8), (515, 9), (1027, 10), (2051, 11), (4099, 12), (8195, 13),
    (16387, 14), (32771, 15), (65539, 16)]


class Malformed(Exception):
    """The bytes are no such frame."""


def need(holds, what):
    if not holds:
        raise Malformed(what)


class Backward:
    """Reads bits from the end of some bytes to their beginning, and zeros beyond it."""

    def __init__(self, data):
        need(data and data[-1], "a bit stream without its end mark")
        self.data = data
        # Bits before the mark, which is the highest one that is set.
        self.at = 8 * len(data) - 9 + data[-1].bit_length()

    def bits(self, count):
        self.at -= count
        if self.at >= 0:
            first = self.at >> 3
            window = int.from_bytes(self.data[first:first + 8], "little")
            return (window >> (self.at & 7)) & ((1 << count) - 1)
        there = count + self.at
        if there <= 0:
            return 0
        return (int.from_bytes(self.data[:8], "little") & ((1 << there) - 1)) << -self.at


class Fse:
    """A table of finite state entropy: symbol, bits to read and base of the next state."""

    def __init__(self, counts, log):
        size = 1 << log
        need(sum(abs(count) for count in counts) == size, "counts do not fill the table")
        self.log = log
        self.symbols = [0] * size
        nexts = [abs(count) for count in counts]
        high = size
        for symbol, count in enumerate(counts):
            if count == -1:
                high -= 1
                self.symbols[high] = symbol
        at, step = 0, (size >> 1) + (size >> 3) + 3
        for symbol, count in enumerate(counts):
            for _ in range(count):
                self.symbols[at] = symbol
                at = (at + step) & (size - 1)
                while at >= high:
                    at = (at + step) & (size - 1)
        need(at == 0, "symbols do not fill the table")
        self.bits, self.bases = [0] * size, [0] * size
        for state, symbol in enumerate(self.symbols):
            number = nexts[symbol]
            nexts[symbol] += 1
            self.bits[state] = log - number.bit_length() + 1
            self.bases[state] = (number << self.bits[state]) - size

    @classmethod
    def single(cls, symbol):
        """The table of one symbol, which reads no bits."""
        return cls([0] * symbol + [1], 0)

    @classmethod
    def read(cls, data, log_max, symbols_max):
        """Reads a table's description; gives it and the bytes that it took."""
        value, at = int.from_bytes(data[:512], "little"), 4
        need(data, "a table without a description")
        log = (value & 15) + 5
        need(log <= log_max, "a table that is too large")
        counts, left = [], 1 << log
        while left > 0:
            need(len(counts) < symbols_max, "a table of too many symbols")
            width = (left + 1).bit_length()
            found = (value >> at) & ((1 << width) - 1)
            low, short = (1 << (width - 1)) - 1, (1 << width) - 2 - left
            if found & low < short:
                found &= low
                at += width - 1
            else:
                at += width
                if found > low:
                    found -= short
            count = found - 1
            left -= abs(count)
            counts.append(count)
            while count == 0:
                zeros = (value >> at) & 3
                at += 2
                counts += [0] * zeros
                if zeros < 3:
                    break
        need(left == 0 and len(counts) <= symbols_max, "counts do not fill the table")
        taken = (at + 7) // 8
        need(taken <= len(data), "a table that ends too early")
        return cls(counts, log), taken


LITERALS_TABLE = Fse(
    [4, 3] + [2] * 11 + [1] * 3 + [2] * 9 + [3, 2] + [1] * 5 + [-1] * 4, 6)
MATCHES_TABLE = Fse([1, 4, 3] + [2] * 6 + [1] * 37 + [-1] * 7, 6)
OFFSETS_TABLE = Fse([1] * 6 + [2] * 3 + [1] * 15 + [-1] * 5, 5)


class Huffman:
    """A table from the next bits to a symbol and the bits that it takes."""

    def __init__(self, weights):
        total = sum((1 << weight) >> 1 for weight in weights)
        need(0 < total, "no weight is above zero")
        self.log = total.bit_length()
        need(self.log <= 11, "codes that are too long")
        left = (1 << self.log) - total
        need(left & (left - 1) == 0, "weights do not add up")
        weights = weights + [left.bit_length()]
        need(len(weights) <= 256, "too many symbols")
        self.symbols, self.bits = [], []
        # The longest codes come first, equal ones by symbol.
        for weight in range(1, self.log + 1):
            for symbol, own in enumerate(weights):
                if own == weight:
                    self.symbols += [symbol] * (1 << (weight - 1))
                    self.bits += [self.log + 1 - weight] * (1 << (weight - 1))
        need(len(self.symbols) == 1 << self.log, "weights do not fill the table")

    @classmethod
    def read(cls, data):
        need(data, "no tree")
        head = data[0]
        if head >= 128:
            count = head - 127
            taken = 1 + (count + 1) // 2
            need(taken <= len(data), "a tree that ends too early")
            pairs = data[1:taken]
            weights = [half for pair in pairs for half in (pair >> 4, pair & 15)][:count]
            need(max(weights) <= 12, "a weight that is too large")
            return cls(weights), taken
        need(1 + head <= len(data), "a tree that ends too early")
        body = data[1:1 + head]
        table, taken = Fse.read(body, 6, 13)
        source = Backward(body[taken:])
        states = [source.bits(table.log), source.bits(table.log)]
        need(source.at >= 0, "a tree without weights")
        weights, turn = [], 0
        while True:
            state = states[turn]
            weights.append(table.symbols[state])
            need(len(weights) < 256, "too many weights")
            states[turn] = table.bases[state] + source.bits(table.bits[state])
            turn = 1 - turn
            if source.at < 0:
                weights.append(table.symbols[states[turn]])
                return cls(weights), 1 + head

    def stream(self, data, count):
        """Exactly `count` symbols of a stream."""
        source, out, mask = Backward(data), bytearray(), (1 << self.log) - 1
        state = source.bits(self.log)
        while source.at > -self.log:
            need(len(out) < count, "a stream with too many literals")
            out.append(self.symbols[state])
            width = self.bits[state]
            state = ((state << width) & mask) + source.bits(width)
        need(source.at == -self.log and len(out) == count, "a stream of another length")
        return out


class Frame:
    """What goes on from block to block."""

    def __init__(self, size):
        self.size = size
        self.out = bytearray()
        self.huffman = None
        self.tables = [None, None, None]
        self.offsets = [1, 4, 8]

    def put(self, data):
        need(len(self.out) + len(data) <= self.size, "more content than the frame names")
        self.out += data

    def literals(self, data):
        """Literals of a block, and where its sequences begin."""
        need(data, "a block without literals")
        kind, form = data[0] & 3, data[0] >> 2 & 3
        if kind < 2:
            head = (1, 2, 1, 3)[form]
            size = int.from_bytes(data[:head], "little") >> (3 if head == 1 else 4)
            need(len(data) >= head and size <= BLOCK_MAX, "literals of a wrong size")
            end = head + (size if kind == 0 else 1)
            need(len(data) >= end, "literals that end too early")
            return (data[head:end] if kind == 0 else data[head:end] * size), end
        head, width = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        need(len(data) >= head, "literals that end too early")
        sizes = int.from_bytes(data[:head], "little") >> 4
        size, packed = sizes & ((1 << width) - 1), sizes >> width
        end = head + packed
        need(len(data) >= end and size <= BLOCK_MAX, "literals that end too early")
        body = data[head:end]
        if kind == 2:
            self.huffman, taken = Huffman.read(body)
            body = body[taken:]
        need(self.huffman is not None, "literals of a tree that is not there")
        if form == 0:
            return self.huffman.stream(body, size), end
        need(len(body) > 6, "streams that end too early")
        each, out, at = (size + 3) // 4, bytearray(), 6
        for stream in range(4):
            length = int.from_bytes(body[2 * stream:2 * stream + 2], "little")
            stop = len(body) if stream == 3 else at + length
            need(stop <= len(body), "streams that end too early")
            out += self.huffman.stream(body[at:stop], size - 3 * each if stream == 3 else each)
            at = stop
        return out, end

    def sequences(self, data):
        """(literals, match length, offset code value) of a block."""
        need(data, "a block without sequences")
        count, at = data[0], 1
        if count == 0:
            need(len(data) == 1, "bytes behind a block")
            return
        if count >= 128:
            wide = 2 if count == 255 else 1
            need(len(data) > wide, "sequences that end too early")
            more = int.from_bytes(data[1:1 + wide], "little")
            count = more + 0x7F00 if wide == 2 else ((count - 128) << 8) + more
            at += wide
        need(len(data) > at and data[at] & 3 == 0, "sequences of an unknown form")
        modes = data[at]
        at += 1
        kinds = ((6, LITERALS_TABLE, 9, 36), (4, OFFSETS_TABLE, 8, 32), (2, MATCHES_TABLE, 9, 53))
        for place, (shift, usual, log_max, symbols) in enumerate(kinds):
            mode = modes >> shift & 3
            if mode == 0:
                self.tables[place] = usual
            elif mode == 1:
                need(len(data) > at and data[at] < symbols, "an unknown symbol")
                self.tables[place] = Fse.single(data[at])
                at += 1
            elif mode == 2:
                self.tables[place], taken = Fse.read(data[at:], log_max, symbols)
                at += taken
            need(self.tables[place] is not None, "sequences of a table that is not there")
        source = Backward(data[at:])
        lengths, offsets, matches = self.tables
        states = [source.bits(table.log) for table in self.tables]
        for left in range(count, 0, -1):
            code = offsets.symbols[states[1]]
            value = (1 << code) + source.bits(code)
            base, extra = MATCH_LENGTHS[matches.symbols[states[2]]]
            match = base + source.bits(extra)
            base, extra = LITERAL_LENGTHS[lengths.symbols[states[0]]]
            yield base + source.bits(extra), match, value
            for place in (0, 2, 1) if left > 1 else ():
                table, state = self.tables[place], states[place]
                states[place] = table.bases[state] + source.bits(table.bits[state])
            need(source.at >= 0, "sequences that end too early")
        need(source.at == 0, "bits behind the last sequence")

    def offset(self, value, has_literals):
        """The offset that a value means; the last three are remembered."""
        recent = self.offsets
        place = value - 1 if has_literals else value
        if value > 3:
            offset = value - 3
        elif place == 0:
            return recent[0]
        else:
            offset = recent[place] if place < 3 else recent[0] - 1
        if value > 3 or place > 1:
            recent[2] = recent[1]
        recent[1], recent[0] = recent[0], offset
        return offset

    def block(self, data):
        literals, end = self.literals(data)
        at = 0
        for count, match, value in self.sequences(data[end:]):
            need(at + count <= len(literals), "more literals than there are")
            self.put(literals[at:at + count])
            at += count
            offset = self.offset(value, count > 0)
            need(0 < offset <= len(self.out), "a match before the beginning")
            start = len(self.out) - offset
            piece = bytes(self.out[start:start + match])
            if len(piece) < match:
                piece = (piece * (match // len(piece) + 1))[:match]
            self.put(piece)
        self.put(literals[at:])


def decompress(data, size):
    """The content of a frame that is all of `data`, which has exactly `size` bytes."""
    need(len(data) >= 6 and data[:4] == MAGIC, "no Zstandard frame")
    head = data[4]
    need(head & 0b1111 == 0, "a frame with a dictionary or checksum")
    is_single = head >> 5 & 1
    at = 5 + (0 if is_single else 1)
    width = (is_single, 2, 4, 8)[head >> 6]
    need(width > 0 and len(data) >= at + width, "a frame that does not name its size")
    content = int.from_bytes(data[at:at + width], "little") + (256 if width == 2 else 0)
    need(content == size, "a frame of %d bytes, where %d were expected" % (content, size))
    at += width
    frame, is_last = Frame(size), False
    while not is_last:
        need(len(data) >= at + 3, "a frame that ends too early")
        block = int.from_bytes(data[at:at + 3], "little")
        at += 3
        is_last, kind, length = block & 1, block >> 1 & 3, block >> 3
        need(kind < 3 and length <= BLOCK_MAX, "a block of an unknown form")
        taken = 1 if kind == 1 else length
        need(len(data) >= at + taken, "a block that ends too early")
        body = data[at:at + taken]
        at += taken
        if kind == 2:
            frame.block(body)
        else:
            frame.put(body * length if kind == 1 else body)
    need(at == len(data), "bytes behind the frame")
    need(len(frame.out) == size, "less content than the frame names")
    return bytes(frame.out)
