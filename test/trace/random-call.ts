import fc from 'fast-check';
import type { ByteString, Call, DescriptorKind, IoctlCall, JsonValue } from '../../src/trace/index.ts';

/** Small values, values around 2^53 and around 2^64: where a double goes wrong. */
export const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 0xffffn }),
  fc.bigInt({ min: 2n ** 53n - 2n, max: 2n ** 53n + 2n }),
  fc.bigInt({ min: 2n ** 63n - 2n, max: 2n ** 63n + 2n }),
  fc.bigInt({ min: 2n ** 64n - 4n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

const kinds: readonly DescriptorKind[] = ['iommufd', 'container', 'group', 'device', 'access', '?'];
const kind = fc.constantFrom(...kinds);
const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const safeInt = fc.maxSafeNat();
const text = fc.string({ unit: 'binary', maxLength: 12 });

// -0 has no text of its own in JSON, so no capture can hold it.
const json = fc
  .jsonValue({ maxDepth: 2, noUnicodeString: false })
  .map((value) => JSON.parse(JSON.stringify(value)) as JsonValue)
  .filter((value) => !/\d{16}|e\+/.test(JSON.stringify(value)));

const unknownKeys = fc
  .dictionary(
    fc.string({ minLength: 1, maxLength: 6 }).map((key) => `x_${key}`),
    json,
    { maxKeys: 2 },
  )
  .map((extra) => (Object.keys(extra).length === 0 ? null : { ...extra }));

const recorded = {
  pid: fc.nat(),
  tid: fc.option(fc.nat(), { freq: 1 }),
  tNs: fc.option(safeInt, { freq: 1 }),
  extra: unknownKeys,
};

const answer = fc.oneof(
  fc.record({ replied: fc.constant(true), ret: fc.nat(), errno: fc.constant(0) }),
  fc.record({ replied: fc.constant(true), ret: fc.constant(-1), errno: fc.integer({ min: 1, max: 133 }) }),
  fc.record({ replied: fc.constant(true), ret: int, errno: fc.nat(200) }),
  fc.constant({ replied: false, ret: 0, errno: 0 }),
);

/** Bytes that are often whole words of interesting values. */
const bytesOfLength = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc.uint8Array({ minLength: length, maxLength: length }),
    fc.array(u64, { minLength: 8, maxLength: 8 }).map((words) => {
      const bytes = new Uint8Array(64);
      words.forEach((word, index) => {
        new DataView(bytes.buffer).setBigUint64(index * 8, word, true);
      });
      return bytes.slice(0, length);
    }),
  );

const bytes = fc.integer({ min: 0, max: 48 }).chain(bytesOfLength);

const byteString: fc.Arbitrary<ByteString> = fc.oneof(
  bytes,
  fc.integer({ min: 0, max: 200 }).map((length) => new Uint8Array(length)),
  fc.record({ skip: fc.nat(), crc32: fc.stringMatching(/^[0-9a-f]{8}$/) }),
);

const transferred: fc.Arbitrary<ByteString | null> = fc.option(byteString, { freq: 4 });

const memory = fc
  .record({
    addr: u64,
    len: safeInt,
    dir: fc.constantFrom('in', 'out', 'inout'),
    before: fc.option(byteString, { freq: 4 }),
    after: fc.option(byteString, { freq: 4 }),
    fault: fc.boolean(),
    cut: fc.boolean(),
    same: fc.boolean(),
  })
  .map(({ same, ...buffer }) => (same ? { ...buffer, after: buffer.before } : buffer));

/** `arg` and an `out` that is the same, absent, or changed in some bytes. */
const structs = bytes.chain((arg) =>
  fc.oneof(
    fc.constant({ arg, out: arg }),
    fc.constant({ arg, out: null }),
    fc.array(fc.tuple(fc.nat(47), fc.nat(255)), { maxLength: 3 }).map((changes) => {
      const out = arg.slice();
      for (const [index, value] of changes) if (index < out.length) out[index] = value;
      return { arg, out };
    }),
    bytesOfLength(arg.length).map((out) => ({ arg, out })),
    bytes.map((out) => ({ arg, out })),
  ),
);

const noStructs = fc.record({ arg: fc.constant(null), out: fc.constant(null) });

/** Any ioctl. The struct may be cut: a store takes calls from importers that do not check sizes. */
export const ioctlCall: fc.Arbitrary<IoctlCall> = fc
  .tuple(
    fc.record({
      op: fc.constant('ioctl' as const),
      seq: safeInt,
      ...recorded,
      fd: int,
      kind,
      cmd: fc.oneof(fc.integer({ min: 0x3b80, max: 0x3b95 }), fc.nat(0xffffffff)),
      argp: u64,
      argFault: fc.boolean(),
      mem: fc.array(memory, { maxLength: 2 }),
      newFd: fc.option(int, { freq: 1 }),
    }),
    fc.oneof({ weight: 6, arbitrary: structs }, noStructs),
    answer,
  )
  .map(([call, bytesOf, reply]) => ({ ...call, ...bytesOf, ...reply }));

const withReply = <T extends object>(shape: fc.Arbitrary<T>) =>
  fc.tuple(shape, answer).map(([call, reply]) => ({ ...call, ...reply }));

const descriptor = { seq: safeInt, ...recorded, fd: int, kind };
const transfer = { ...descriptor, addr: u64, len: safeInt };
const fields = fc
  .dictionary(
    fc.string({ maxLength: 6 }).map((key) => `y_${key}`),
    json,
    { maxKeys: 3 },
  )
  .map((found) => ({ ...found }));

const otherCalls: fc.Arbitrary<Call>[] = [
  withReply(fc.record({ op: fc.constant('open' as const), ...descriptor, path: text, flags: u64 })),
  withReply(fc.record({ op: fc.constant('close' as const), ...descriptor })),
  withReply(
    fc.record({ op: fc.constant('munmap' as const), seq: safeInt, ...recorded, addr: u64, len: u64 }),
  ),
  withReply(
    fc.record({
      op: fc.constant('read' as const),
      ...transfer,
      off: fc.constant(null),
      out: transferred,
    }),
  ),
  withReply(fc.record({ op: fc.constant('pread' as const), ...transfer, off: u64, out: transferred })),
  withReply(fc.record({ op: fc.constant('pwrite' as const), ...transfer, off: u64, arg: transferred })),
  withReply(fc.record({ op: fc.constant('fork' as const), seq: safeInt, ...recorded, child: int })),
  withReply(
    fc.record({ op: fc.constant('waitpid' as const), seq: safeInt, ...recorded, child: int, status: int }),
  ),
  withReply(
    fc.record({
      op: fc.constant('call' as const),
      seq: safeInt,
      ...recorded,
      generation: text,
      name: text,
      fd: int,
      args: fields,
      out: fc.option(fields, { nil: null }),
    }),
  ),
  fc
    .record({
      op: fc.constant('mmap' as const),
      ...{ ...descriptor, addr: u64, len: u64, prot: int, flags: u64, off: u64 },
      mapped: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 2n })),
      errno: fc.nat(133),
    })
    .map((call) => ({ ...call, errno: call.mapped === null ? call.errno : 0 })),
  fc
    .record({ op: fc.constant('note' as const), seq: safeInt, pid: fc.nat(), kind: text, fields })
    .map((note) => ({
      ...{ ...note, kind: `n${note.kind}` },
      ...{ tid: null, tNs: null, extra: null },
    })),
  fc
    .record({
      op: fc.constant('note' as const),
      seq: safeInt,
      ...recorded,
      kind: fc.constant('marker'),
      fields,
    })
    .map((note) => ({ ...note, extra: null })),
  fc.record({ op: fc.constant('procstatus' as const), seq: safeInt, ...recorded, fields }).map((call) => ({
    ...call,
    extra: null,
  })),
];

/** Any call that a capture can hold. */
export const anyCall: fc.Arbitrary<Call> = fc.oneof({ weight: 8, arbitrary: ioctlCall }, ...otherCalls);

/** Calls with ascending `seq`. */
export const callList: fc.Arbitrary<readonly Call[]> = fc
  .array(anyCall, { maxLength: 40, size: 'medium' })
  .map((calls) => {
    let seq = -1;
    return calls.map((call) => {
      seq += 1 + (call.seq % 3);
      return { ...call, seq };
    });
  });
