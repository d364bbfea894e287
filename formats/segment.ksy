# Pools, archives and bars of admf for Kaitai Struct (compiler 0.11), after SEGMENT.md, which says
# what the fields mean. Kaitai computes no CRC-32C: every `crc` is read and none is compared, so
# this description suits files that `admf-tools verify` calls intact, and any study of others.
#
#   kaitai-struct-compiler -t python formats/segment.ksy
meta:
  id: segment
  title: Files of admf, version 1
  ks-version: "0.11"
  endian: le
  encoding: UTF-8
  bit-endian: le

seq:
  - id: magic
    contents: [0x89, "AD"]
  - id: file_kind
    type: u1
    enum: file_kind
    valid:
      in-enum: true
  - id: magic_rest
    contents: [0x0d, 0x0a, 0x1a, 0x0a]
  - id: version
    type: u4
    valid: 1
  - id: body
    type:
      switch-on: file_kind
      cases:
        file_kind::pool: pool
        file_kind::archive: archive
        file_kind::bars: bars

types:
  # Events

  slot_frame:
    doc: A frame of a pool's segment, or the place where its frames end.
    params:
      - id: generation
        type: u4
      - id: segment_end
        type: s4
    seq:
      - id: frame
        type: frame
        if: is_frame
    instances:
      begin:
        value: _io.pos
      has_word:
        value: begin + 48 <= segment_end
      word_generation:
        pos: begin
        type: u4
        if: has_word
      word_kind:
        pos: begin + 4
        type: u1
        if: has_word
      word_units:
        pos: begin + 5
        type: u1
        if: has_word
      word_zero:
        pos: begin + 6
        type: u2
        if: has_word
      kind_units:
        value: "[0, 3, 3, 4, 4, 5, 5, 4, 4, 4, 8, 4, 4, 4, 3, 4, 4, 5][word_kind]"
        if: has_word and word_kind <= 17
      is_frame:
        value: >-
          has_word and word_generation == generation and word_kind >= 1
          and word_kind <= 17 and word_units == kind_units and word_zero == 0
          and begin + 16 * word_units <= segment_end

  frame:
    seq:
      - id: generation
        type: u4
        doc: 0 in an archive.
      - id: kind
        type: u1
        enum: kind
      - id: units
        type: u1
        doc: Size of the frame in units of 16 bytes.
      - id: zero
        contents: [0, 0]
      - id: sequence
        type: u8
      - id: ts_ns
        type: s8
      - id: trade
        type: u4
      - id: bar
        type: u4
      - id: cause_back
        type: u4
        doc: "The cause is the event sequence - cause_back; 0 for none."
      - id: symbol
        type: u2
      - id: code
        type: u1
      - id: detail
        type: u1
      - id: payload
        size: 16 * units - 40
        type:
          switch-on: kind
          cases:
            kind::bar: bar_run
            kind::features: bar_run
            kind::signal: signal
            kind::order_request: order_request
            kind::order: order
            kind::fill: fill
            kind::portfolio_update: portfolio_update
            kind::position_update: position_update
            kind::position_open: position_open
            kind::position_close: position_close
            kind::regime_change: regime_change
            kind::classification: classification
            kind::risk_breach: risk_breach
            kind::error: error
            kind::system_start: system_start
            kind::system_stop: system_stop
            kind::accrual: accrual
    instances:
      side:
        value: code
        enum: side
        if: kind == kind::signal or kind == kind::order_request or kind == kind::fill or kind == kind::position_update or kind == kind::position_open
      status:
        value: code
        enum: order_status
        if: kind == kind::order
      exit_reason:
        value: code
        enum: exit_reason
        if: kind == kind::position_close
      exit_reason_detail:
        value: detail
        enum: exit_reason
        if: kind == kind::position_update
      rule:
        value: code
        enum: risk_rule
        if: kind == kind::risk_breach
      reason:
        value: detail
        enum: reason
        if: kind == kind::order or kind == kind::risk_breach or kind == kind::error

  bar_run:
    seq:
      - {id: bars, type: u8}
  signal:
    seq:
      - {id: price, type: f8}
      - {id: strength, type: f8}
  order_request:
    seq:
      - {id: price, type: f8}
      - {id: target, type: f8}
  order:
    seq:
      - {id: qty, type: f8}
      - {id: limit_price, type: f8}
      - {id: stop_price, type: f8}
      - {id: order_type, type: u4, enum: order_type}
      - {id: time_in_force, type: u4, enum: time_in_force}
      - {id: valid_bars, type: u4}
      - {id: exit_reason, type: u4, enum: exit_reason}
  fill:
    seq:
      - {id: qty, type: f8}
      - {id: price, type: f8}
      - {id: commission, type: f8}
      - {id: reference_price, type: f8}
      - {id: units_after, type: f8}
  portfolio_update:
    seq:
      - {id: units, type: f8}
      - {id: cash, type: f8}
      - {id: equity, type: f8}
  position_update:
    seq:
      - {id: units, type: f8}
      - {id: average_price, type: f8}
      - {id: realized_pnl, type: f8}
  position_open:
    seq:
      - {id: qty, type: f8}
      - {id: price, type: f8}
      - {id: commission, type: f8}
  position_close:
    seq:
      - {id: entry_ts_ns, type: s8}
      - {id: entry_bar, type: u4}
      - {id: fills, type: u4}
      - {id: qty, type: f8}
      - {id: entry_price, type: f8}
      - {id: exit_price, type: f8}
      - {id: pnl, type: f8}
      - {id: commission, type: f8}
      - {id: slippage, type: f8}
      - {id: borrow, type: f8}
      - {id: mae, type: f8}
      - {id: mfe, type: f8}
  regime_change:
    seq:
      - {id: regime, type: f8}
      - {id: previous, type: f8}
  classification:
    seq:
      - {id: regime, type: f8}
      - {id: confidence, type: f8}
  risk_breach:
    seq:
      - {id: limit, type: f8}
      - {id: value, type: f8}
  error:
    seq:
      - {id: value, type: f8}
  system_start:
    seq:
      - {id: capital, type: f8}
      - {id: bars, type: u8}
  system_stop:
    seq:
      - {id: equity, type: f8}
      - {id: events, type: u8}
  accrual:
    seq:
      - {id: amount, type: f8}
      - {id: units, type: f8}
      - {id: price, type: f8}
      - {id: days, type: f8}

  # Pool

  pool:
    seq:
      - {id: pool, type: u4}
      - {id: segment_bytes, type: u4}
      - {id: segments, type: u4}
      - {id: manifest_bytes, type: u4}
      - {id: manifest_crc, type: u4}
      - {id: zero, size: 4060}
      - {id: crc, type: u4, doc: The seed.}
      - id: descriptors
        type: descriptor_pair
        repeat: expr
        repeat-expr: segments
      - id: manifest
        size: manifest_bytes
        type: manifest
    instances:
      first_segment:
        value: (4096 + 128 * segments + manifest_bytes + 4095) / 4096 * 4096
      rings:
        type: ring_segment(_index)
        repeat: expr
        repeat-expr: segments
        doc: Segments in order of their number.
  descriptor_pair:
    seq:
      - id: slots
        type: descriptor
        repeat: expr
        repeat-expr: 2
    instances:
      newest:
        value: "slots[1].generation > slots[0].generation ? slots[1] : slots[0]"
        doc: Of two whole slots; a damaged one does not count, and its crc must be compared for that.
      was_used:
        value: slots[0].generation != 0 or slots[1].generation != 0
  descriptor:
    seq:
      - {id: generation, type: u4}
      - {id: owned, type: u1}
      - {id: zero, size: 3}
      - {id: owner, type: u8}
      - {id: segment, type: u4}
      - {id: crc, type: u4, doc: "Of the 20 bytes before, from the seed."}
      - {id: zero_2, size: 40}
  ring_segment:
    params:
      - id: number
        type: u4
    instances:
      pool:
        value: _parent.as<pool>
      descriptor:
        value: pool.descriptors[number].newest
      is_owned:
        value: pool.descriptors[number].was_used and descriptor.owned == 1
      content:
        pos: pool.first_segment + number * pool.segment_bytes
        size: pool.segment_bytes
        type: segment_frames(descriptor.generation)
        if: is_owned
  segment_frames:
    params:
      - id: generation
        type: u4
    seq:
      - id: places
        type: slot_frame(generation, _io.size.as<s4>)
        repeat: until
        repeat-until: not _.is_frame
        doc: Every one but the last has a frame.

  # Archive

  archive:
    seq:
      - {id: manifest_bytes, type: u4}
      - {id: range, type: u8}
      - {id: manifest_crc, type: u4}
      - {id: zero, size: 4064}
      - {id: crc, type: u4, doc: The seed.}
      - id: manifest
        size: manifest_bytes
        type: manifest
      - id: padding
        size: (4096 - manifest_bytes % 4096) % 4096
      - id: slots
        type: slot
        size: 480
        repeat: expr
        repeat-expr: 4096
      - id: seal
        type: seal
        size: 4096
      - id: pieces
        type: piece
        repeat: eos
        doc: Chunks; behind a torn one also the bytes that belong to none.
  slot:
    seq:
      - id: record
        type: record
      - id: last_chunk
        type: u8
        repeat: expr
        repeat-expr: 5
        doc: Of kind 1, 2, 3, 4, 5; 0 for none.
      - {id: zero, size: 8}
      - {id: mark, size: 4}
      - {id: crc, type: u4, doc: "Of all before, from the seed."}
    instances:
      mark_number:
        pos: 472
        type: u4be
      is_committed:
        value: mark_number == 0x534c4f54
        doc: "SLOT; all is zero until the container is committed."
  record:
    seq:
      - {id: index, type: u8}
      - {id: first_bar, type: u8}
      - {id: events, type: u8}
      - {id: first_ts_ns, type: s8}
      - {id: last_ts_ns, type: s8}
      - {id: status, type: u4, enum: container_status}
      - {id: symbol, type: u4}
      - {id: parameters, type: f8, repeat: expr, repeat-expr: 8}
      - {id: equity, type: equity_totals}
      - {id: trades, type: trades_totals}
      - {id: execution, type: execution_totals}
      - {id: ledger, type: ledger_totals}
  equity_totals:
    seq:
      - {id: bars, type: u8}
      - {id: bars_in_market, type: u8}
      - {id: return_sum, type: f8}
      - {id: return_square_sum, type: f8}
      - {id: downside_square_sum, type: f8}
      - {id: initial, type: f8}
      - {id: last, type: f8}
      - {id: peak, type: f8}
      - {id: drawdown_max, type: f8}
      - {id: units, type: f8}
      - {id: drawdowns, type: u8}
      - {id: drawdown_sum, type: f8}
      - {id: drawdown_bars_max, type: u8}
  trades_totals:
    seq:
      - {id: trades, type: u8}
      - {id: winning, type: u8}
      - {id: losing, type: u8}
      - {id: gross_profit, type: f8}
      - {id: gross_loss, type: f8}
      - {id: pnl, type: f8}
      - {id: commission, type: f8}
      - {id: pnl_square_sum, type: f8}
      - {id: bars_held, type: u8}
      - {id: mae_sum, type: f8}
      - {id: mfe_sum, type: f8}
      - {id: mae_max, type: f8}
  execution_totals:
    seq:
      - {id: fills, type: u8}
      - {id: rejected, type: u8}
      - {id: unfilled, type: u8}
      - {id: breaches, type: u8}
      - {id: turnover, type: f8}
      - {id: commission, type: f8}
      - {id: slippage, type: f8}
      - {id: borrow, type: f8}
  ledger_totals:
    seq:
      - {id: attempted, type: u8}
      - {id: retained, type: u8}
      - {id: recycled_trade_closed, type: u8}
      - {id: recycled_window, type: u8}
      - {id: dropped_without_trade, type: u8}
      - {id: dropped_at_cap, type: u8}
  seal:
    seq:
      - {id: magic, size: 4}
      - {id: zero, size: 4}
      - {id: file_bytes, type: u8}
      - {id: zero_2, size: 48}
      - id: committed
        type: b1
        repeat: expr
        repeat-expr: 4096
      - {id: zero_3, size: 3516}
      - {id: crc, type: u4, doc: "Of the bytes before, from the seed."}
    instances:
      magic_number:
        pos: 0
        type: u4be
      is_sealed:
        value: magic_number == 0x5345414c
        doc: "SEAL; all is zero while more may be written."
  piece:
    seq:
      - id: chunk
        type: chunk
        if: is_chunk
      - id: rest
        size: "_io.size - begin < 16 ? _io.size - begin : 16"
        if: not is_chunk
        doc: Where no chunk begins, the search goes on in steps of 16 bytes.
    instances:
      begin:
        value: _io.pos
      has_header:
        value: begin + 64 <= _io.size
      magic_number:
        pos: begin
        type: u4be
        if: has_header
      own_offset:
        pos: begin + 16
        type: u8
        if: has_header
      payload_bytes:
        pos: begin + 32
        type: u4
        if: has_header
      is_chunk:
        value: >-
          has_header and magic_number == 0x43484e4b and own_offset == begin
          and payload_bytes <= 1048576 and begin + 64 + (payload_bytes + 15) / 16 * 16 <= _io.size
  chunk:
    seq:
      - id: magic
        contents: CHNK
      - id: kind
        type: u1
        enum: chunk_kind
      - {id: compression, type: u1, enum: compression}
      - {id: units, type: u2, doc: "Size of the frames in units of 16 bytes, where compressed; else 0."}
      - {id: container, type: u8}
      - {id: offset, type: u8}
      - {id: previous, type: u8, doc: 0 for none.}
      - {id: bytes, type: u4}
      - {id: frames, type: u4}
      - {id: first_sequence, type: u8}
      - {id: last_sequence, type: u8}
      - {id: payload_crc, type: u4, doc: "Of the payload, from the seed."}
      - {id: crc, type: u4, doc: "Of the 60 bytes before, from the seed."}
      - id: packed
        size: bytes
        if: compression != compression::none
        doc: "One Zstandard frame of the frames, 16 * units bytes."
      - id: payload
        size: bytes
        if: compression == compression::none
        type:
          switch-on: kind
          cases:
            chunk_kind::trace: frames
            chunk_kind::trades: frames
            chunk_kind::failure: text
            chunk_kind::loss: text
            chunk_kind::kept: frames
      - id: padding
        size: (16 - bytes % 16) % 16
  frames:
    seq:
      - id: frames
        type: frame
        repeat: eos
  text:
    seq:
      - id: text
        type: str
        size-eos: true

  # Bars

  bars:
    seq:
      - {id: quantum_bars, type: u4, valid: 512}
      - {id: bars, type: u8}
      - {id: first_ts_ns, type: s8}
      - {id: last_ts_ns, type: s8}
      - {id: digest, size: 32, doc: SHA-256 over all chunks.}
      - {id: zero, size: 4020}
      - {id: crc, type: u4}
      - id: chunks
        type: bars_chunk
        repeat: eos
  bars_chunk:
    seq:
      - {id: first_bar, type: u8}
      - {id: bars, type: u4}
      - {id: crc, type: u4, doc: Of bytes 0 to 12 and 16 to the end.}
      - {id: zero, size: 48}
      - {id: ts_ns, type: s8, repeat: expr, repeat-expr: 512}
      - {id: open, type: f8, repeat: expr, repeat-expr: 512}
      - {id: high, type: f8, repeat: expr, repeat-expr: 512}
      - {id: low, type: f8, repeat: expr, repeat-expr: 512}
      - {id: close, type: f8, repeat: expr, repeat-expr: 512}
      - {id: volume, type: f8, repeat: expr, repeat-expr: 512}

  # Manifest

  manifest:
    doc: bincode 2, configuration legacy.
    seq:
      - {id: workflow, type: string}
      - {id: phase, type: string}
      - {id: strategy, type: string}
      - {id: parameter_names, type: strings}
      - {id: objective, type: string}
      - {id: num_symbols, type: u8}
      - id: symbols
        type: manifest_symbol
        repeat: expr
        repeat-expr: num_symbols
      - {id: containers, type: u8}
      - {id: initial_capital, type: f8}
      - {id: all_in, type: u1}
      - {id: settings, type: string, doc: JSON.}
      - {id: num_events, type: u8}
      - id: events
        type: manifest_event
        repeat: expr
        repeat-expr: num_events
  manifest_symbol:
    seq:
      - {id: symbol, type: string}
      - {id: bars_file, type: string}
      - {id: bars_digest, type: string}
      - {id: first_bar, type: u8}
      - {id: end_bar, type: u8}
      - {id: bars_per_year, type: f8}
  manifest_event:
    seq:
      - {id: number, type: u1}
      - {id: name, type: string}
      - {id: num_fields, type: u8}
      - id: fields
        type: manifest_field
        repeat: expr
        repeat-expr: num_fields
  manifest_field:
    seq:
      - {id: name, type: string}
      - {id: type, type: string}
  strings:
    seq:
      - {id: num_items, type: u8}
      - id: items
        type: string
        repeat: expr
        repeat-expr: num_items
  string:
    seq:
      - {id: num_bytes, type: u8}
      - {id: text, type: str, size: num_bytes}

enums:
  file_kind:
    0x41: archive
    0x42: bars
    0x50: pool
  kind:
    1: bar
    2: features
    3: signal
    4: order_request
    5: order
    6: fill
    7: portfolio_update
    8: position_update
    9: position_open
    10: position_close
    11: regime_change
    12: classification
    13: risk_breach
    14: error
    15: system_start
    16: system_stop
    17: accrual
  side:
    0: flat
    1: long
    2: short
  order_status:
    1: accepted
    2: rejected
    3: expired
    4: cancelled
    5: triggered
  reason:
    0: none
    1: insufficient_cash
    2: zero_quantity
    3: window_end
    4: equity_exhausted
    5: panic
    6: time_in_force
    7: risk_limit
    8: superseded
    9: size_unknown
    10: level_unknown
  exit_reason:
    1: signal
    2: stop_loss
    3: take_profit
    4: trailing_stop
    5: time_stop
    6: end_of_day
    7: close_at_end
    8: risk
  risk_rule:
    1: position
    2: exposure
    3: drawdown
    4: daily_loss
    5: cash
  order_type:
    1: market
    2: limit
    3: stop
    4: stop_limit
  time_in_force:
    1: gtc
    2: day
    3: bars
  container_status:
    1: completed
    2: failed
  compression:
    0: none
    1: zstd
  chunk_kind:
    1: trace
    2: trades
    3: failure
    4: loss
    5: kept
