// segment.ksy, compiled by the real Kaitai Struct compiler, reads every golden file, and what it
// reads is what their .jsonl says: containers, sequences, kinds, times, trades and payloads. Kaitai
// knows no Zstandard: compressed chunks are unpacked by another program (fzstd), then read by
// segment.ksy like any others.
//
//   npm install --no-save kaitai-struct-compiler kaitai-struct yaml fzstd
//   node formats/kaitai/check.cjs
"use strict";
const fs = require("fs");
const path = require("path");
const compiler = require("kaitai-struct-compiler");
const { KaitaiStream } = require("kaitai-struct");
const yaml = require("yaml");
const fzstd = require("fzstd");

const formats = path.join(__dirname, "..");
const snake = (name) => name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());

async function main() {
  const specification = yaml.parse(fs.readFileSync(path.join(formats, "segment.ksy"), "utf8"));
  const files = await compiler.compile("javascript", specification, null, false);
  const loaded = { exports: {} };
  new Function("exports", "module", "require", files["Segment.js"])(
    loaded.exports, loaded, require);
  const Segment = loaded.exports.Segment ?? loaded.exports;
  const kinds = Segment.Kind;

  // The fields of a frame that a line has too.
  const told = (container, frame) => {
    const payload = {};
    for (const [name, value] of Object.entries(frame.payload)) {
      if (!name.startsWith("_")) payload[name] = value;
    }
    return {
      container,
      event_id: frame.sequence,
      event_type: kinds[frame.kind],
      bar: frame.bar,
      correlation_id: frame.trade || null,
      payload,
    };
  };

  let compared = 0;
  const same = (file, ours, line) => {
    const fail = (what) => {
      throw new Error(`${file}: ${what}\n${JSON.stringify(ours)}\n${JSON.stringify(line)}`);
    };
    if (ours.container + 1 !== Number(line.container.replace("portfolio_", ""))) fail("container");
    for (const field of ["event_id", "event_type", "bar", "correlation_id"]) {
      if (ours[field] !== line[field]) fail(field);
    }
    for (const [name, value] of Object.entries(ours.payload)) {
      const text = line.payload[name === "entryTsNs" ? "entry_time" : snake(name)];
      if (name === "entryTsNs" || typeof text === "string") continue;
      // A number that is not finite is null in a line.
      const expected = Number.isFinite(value) ? value : null;
      if (text !== expected) fail(`payload ${name}`);
      compared += 1;
    }
  };

  let events = 0;
  const golden = path.join(formats, "golden");
  const versions = fs.readdirSync(golden).filter((name) => /^v\d+$/.test(name));
  for (const version of versions.flatMap((name) => [name, path.join(name, "zstd")])) {
    const folder = path.join(golden, version);
    if (!fs.existsSync(folder)) continue;
    for (const name of fs.readdirSync(folder).sort()) {
      if (!/\.(admf|pool)$/.test(name)) continue;
      const file = path.join(folder, name);
      const segment = new Segment(new KaitaiStream(fs.readFileSync(file)));
      const lines = fs.readFileSync(file.replace(/\.\w+$/, ".jsonl"), "utf8")
        .trim().split("\n").map((line) => JSON.parse(line));
      const found = segment.fileKind === Segment.FileKind.POOL
        ? pool(segment.body, told) : archive(segment.body, told, Segment);
      if (found.length !== lines.length) {
        throw new Error(`${file}: ${found.length} events, ${lines.length} lines`);
      }
      found.forEach((ours, at) => same(file, ours, lines[at]));
      events += found.length;
      console.log(`${path.relative(formats, file)}: ${found.length} events as its lines say`);
    }
  }
  if (events === 0 || unpacked === 0) throw new Error("no golden file was read, or none compressed");
  console.log(`${events} events, ${compared} numbers of payloads compared, ${unpacked} chunks unpacked`);
}

// Compressed chunks that were read.
let unpacked = 0;

// Containers by index, each one's frames by sequence; one that stands twice counts once.
function pool(body, told) {
  const found = new Map();
  for (const ring of body.rings) {
    if (!ring.isOwned) continue;
    for (const place of ring.content.places) {
      if (!place.isFrame) continue;
      const ours = told(ring.descriptor.owner, place.frame);
      found.set(`${ours.container} ${ours.event_id}`, ours);
    }
  }
  return [...found.values()].sort(
    (one, other) => one.container - other.container || one.event_id - other.event_id);
}

// Committed containers by index, kept trades before the trace; then what no slot leads to, in the order of the file.
function archive(body, told, Segment) {
  const chunks = body.pieces.filter((piece) => piece.isChunk).map((piece) => piece.chunk);
  const { TRACE, KEPT } = Segment.ChunkKind;
  const told_of = chunks.filter((chunk) => chunk.kind === TRACE || chunk.kind === KEPT);
  const isCommitted = (container) => body.slots[container % 4096].isCommitted;
  const isLast = (chunk) => (chunk.kind === KEPT ? 0 : 1);
  const place = (chunk) =>
    isCommitted(chunk.container) ? 2 * chunk.container + isLast(chunk) : Infinity;
  const plain = (chunk) => {
    if (chunk.compression === Segment.Compression.NONE) return chunk.payload;
    const frames = fzstd.decompress(chunk.packed);
    if (frames.length !== 16 * chunk.units) throw new Error(`chunk at ${chunk.offset}: units`);
    unpacked += 1;
    return new Segment.Frames(new KaitaiStream(frames));
  };
  const frames = (chunk) => plain(chunk).frames.map((frame) => told(chunk.container, frame));
  return told_of
    .map((chunk, at) => ({ chunk, at }))
    .sort((one, other) =>
      place(one.chunk) === place(other.chunk) ? one.at - other.at : place(one.chunk) - place(other.chunk))
    .flatMap(({ chunk }) => frames(chunk));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
