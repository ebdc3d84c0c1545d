import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BACKEND_EVENTS } from '../../../src/trace/importers/qemu/backend-events.ts';
import { CONTAINER_EVENTS } from '../../../src/trace/importers/qemu/container-events.ts';
import { DEVICE_EVENTS } from '../../../src/trace/importers/qemu/device-events.ts';
import { LISTENER_EVENTS } from '../../../src/trace/importers/qemu/listener.ts';
import { DECLARATIONS } from '../../../src/trace/importers/qemu/simple-events.ts';
import { type Call, readTrace, TraceError } from '../../../src/trace/index.ts';

/** As scripts/simpletrace.py prints them. */
const LINES = [
  "iommufd_cdev_getfd 0.000 pid=267 dev=b'/dev/vfio/devices/vfio0' devfd=0xb",
  'iommufd_backend_connect 3.250 pid=267 fd=0xa owned=0x1 users=0x1',
  'vfio_unknown_event 1.000 pid=267',
  "iommufd_cdev_connect_and_bind 9.000 pid=267 iommufd=0xa name=b'0000:01:00.0' devfd=0xb devid=0x1",
  'iommufd_backend_alloc_ioas 1.500 pid=267 iommufd=0xa ioas=0x2',
  "iommufd_cdev_attach_ioas_hwpt 1.000 pid=267 iommufd=0xa name=b'0000:01:00.0' devfd=0xb id=0x2",
  "vfio_iommu_map_notify 1.000 pid=267 op=b'MAP' iova_start=0x0 iova_end=0xfff",
  'iommufd_backend_map_dma 2.000 pid=267 iommufd=0xa ioas=0x2 iova=0x0 size=0x8000000 vaddr=0x7f0000000000 readonly=0x0 ret=0xffffffffffffffff',
  'iommufd_backend_get_dirty_bitmap 2.000 pid=267 iommufd=0xa hwpt_id=0x3 iova=0x0 size=0x1000 flags=0x1 page_size=0x1000 ret=0x0',
  'iommufd_backend_get_dirty_bitmap 2.000 pid=267 iommufd=0xa hwpt_id=0x3 iova=0x0 size=0x1000 page_size=0x1000 ret=0x0',
  'iommufd_backend_disconnect 2.000 pid=267 fd=0xffffffffffffffff users=0x0',
];

const u64 = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u32(value.length), Buffer.from(value)]);

const header = (version: number): Buffer => Buffer.concat([u64(-1), u64(0xf2b177cb0aa429b4n), u64(version)]);

/** The lines as the records that trace/simple.c writes for them. */
function pack(lines: readonly string[], extra: Buffer = Buffer.alloc(0)): Buffer {
  const names = [...new Set(lines.map((line) => line.split(' ')[0]!))];
  const mappings = names.map((name, id) => Buffer.concat([u64(0), u64(id), text(name)]));
  let ns = 5_000_000_000_000n;
  const events = lines.map((line) => {
    const [name, passed, pid, ...values] = line.split(' ');
    ns += BigInt(Math.round(Number(passed) * 1000));
    const content = Buffer.concat(
      values.map((pair) => {
        const value = pair.slice(pair.indexOf('=') + 1);
        return value.startsWith('b') ? text(value.slice(2, -1)) : u64(BigInt(value));
      }),
    );
    const head = [
      u64(1),
      u64(names.indexOf(name!)),
      u64(ns),
      u32(24 + content.length),
      u32(Number(pid!.slice(4))),
    ];
    return Buffer.concat([...head, content]);
  });
  return Buffer.concat([header(4), ...mappings, ...events, extra]);
}

async function read(bytes: Buffer, pieceBytes = 1 << 20) {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) pieces.push(bytes.subarray(at, at + pieceBytes));
  const calls: Call[] = [];
  const summary = await readTrace(
    '-',
    { calls: (batch) => calls.push(...batch) },
    { stdin: Readable.from(pieces) },
  );
  return { calls, summary };
}

describe("the binary trace of QEMU's simple backend", () => {
  test('is the calls that simpletrace.py shows of it', async () => {
    const printed = await read(Buffer.from(`${LINES.join('\n')}\n`));
    expect(printed.calls.length).toBeGreaterThan(8);
    expect(printed.summary.skipped).toMatchObject({ vfio_unknown_event: 1 });
    for (const pieceBytes of [1, 7, 1 << 20]) expect(await read(pack(LINES), pieceBytes)).toEqual(printed);
  });

  test('says how many events QEMU dropped', async () => {
    const dropped = Buffer.concat([u64(1), u64(-2), u64(1), u32(32), u32(267), u64(12)]);
    const { calls, summary } = await read(pack(LINES, dropped));
    expect(summary.lost).toBe(12);
    expect(calls.at(-1)).toMatchObject({ op: 'note', kind: 'lost', fields: { events: 12 } });
  });

  test('is refused in versions that do not name their events, and where it is damaged', async () => {
    await expect(read(header(3))).rejects.toThrow(/version 3, .* scripts\/simpletrace\.py, and import that/);
    const wild = Buffer.concat([pack(LINES), u64(1), u64(0), u64(0), u32(3), u32(0)]);
    await expect(read(wild)).rejects.toThrow(/:\d+: the binary trace is damaged: a record length/);
    const cut = await read(pack(LINES).subarray(0, -3));
    expect(cut.summary.skipped['message']).toBe(1);
  });

  test('with flipped bits is read or refused', async () => {
    const whole = pack(LINES);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(whole.length * 8 - 1), { maxLength: 12 }), async (flips) => {
        const bytes = Buffer.from(whole);
        for (const bit of flips) bytes[bit >> 3]! ^= 1 << (bit & 7);
        // Where the header is hit it is a file like any other.
        bytes.set(whole.subarray(0, 24));
        await read(bytes).catch((error: unknown) => {
          if (!(error instanceof TraceError)) throw error;
        });
      }),
      { numRuns: 200 },
    );
  });

  test('has a declaration for every event that is read', () => {
    const read = [BACKEND_EVENTS, DEVICE_EVENTS, CONTAINER_EVENTS].flatMap((events) => Object.keys(events));
    expect([...read, ...LISTENER_EVENTS].filter((name) => DECLARATIONS[name] === undefined)).toEqual([]);
  });
});
