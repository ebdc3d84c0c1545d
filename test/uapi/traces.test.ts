import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { decodeStruct, encodeStruct, findIoctls, renderReply, renderStruct } from '../../src/uapi/index.ts';

const TRACES = fileURLToPath(new URL('../../../shared/traces/', import.meta.url));

/** Numbers that the selftests and probes try on purpose and the kernel refuses. Ranges are inclusive. */
const INVALID: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  iommufd: [
    [0x3b10, 0x3b10],
    [0x3b60, 0x3b63],
    [0x3b67, 0x3b6f],
    [0x3b76, 0x3b7f],
    [0x3b96, 0x3b9f],
    [0x3ba1, 0x3bbf],
    [0x3bff, 0x3bff],
  ],
  device: [
    [0x3b80, 0x3b80],
    [0x3b90, 0x3b90],
  ],
  // Not of this user API: KVM_CREATE_DEVICE, KVM_SET_DEVICE_ATTR.
  kvm: [[0xc00caee0, 0xc00caee0]],
  'kvm-vfio': [[0x4018aee1, 0x4018aee1]],
};

/** ENOTTY; EFAULT where the number is a hole in the kernel's table, which reads `size` before it looks. */
const REFUSALS: ReadonlySet<number> = new Set([25, 14]);

interface IoctlLine {
  readonly kind: string;
  readonly cmd: number;
  readonly arg: Uint8Array | null;
  readonly out: Uint8Array | null;
  readonly errno: number;
}

function bytesOf(recorded: unknown): Uint8Array | null {
  if (typeof recorded === 'string') return new Uint8Array(Buffer.from(recorded, 'hex'));
  if (typeof recorded === 'object' && recorded !== null && 'zero' in recorded)
    return new Uint8Array(Number(recorded.zero));
  return null;
}

function* ioctlsOf(file: string): Generator<IoctlLine> {
  const content = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(content) : content).toString('utf8');
  for (const line of text.split('\n')) {
    if (!line.includes('"op":"ioctl"')) continue;
    const record: Record<string, unknown> = JSON.parse(line);
    const arg = bytesOf(record['arg']);
    const out = record['same'] === true ? arg : bytesOf(record['out']);
    yield {
      kind: String(record['kind']),
      cmd: Number(record['cmd']),
      arg,
      out,
      errno: Number(record['errno']),
    };
  }
}

describe.skipIf(!existsSync(TRACES))('recorded ioctls', () => {
  const files = existsSync(TRACES)
    ? readdirSync(TRACES, { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.jsonl(\.gz)?$/.test(name))
        .sort()
    : [];

  test('every argument survives decode and encode, and every number is known or listed as invalid', () => {
    const unresolved = new Map<string, number>();
    const unlisted = new Set<string>();
    const answered = new Set<string>();
    const changed: string[] = [];
    let ioctlCount = 0;
    let structCount = 0;
    for (const file of files) {
      for (const { kind, cmd, arg, out, errno } of ioctlsOf(TRACES + file)) {
        ioctlCount += 1;
        const entries = findIoctls(kind, cmd);
        const label = `${kind} 0x${cmd.toString(16)}`;
        if (entries.length === 0) {
          unresolved.set(label, (unresolved.get(label) ?? 0) + 1);
          if (!INVALID[kind]?.some(([first, last]) => cmd >= first && cmd <= last)) unlisted.add(label);
          if (!REFUSALS.has(errno) && /^(iommufd|device)$/.test(kind))
            answered.add(`${label} errno ${errno}`);
        }
        for (const { layout } of entries) {
          for (const bytes of [arg, out]) {
            if (!layout || !bytes) continue;
            structCount += 1;
            const again = encodeStruct(layout, decodeStruct(layout, bytes));
            if (Buffer.compare(again, bytes) !== 0) changed.push(`${file}: ${layout.name}`);
          }
          if (layout && arg && out) renderReply(layout, arg, out);
          if (layout && arg) renderStruct(layout, arg);
        }
      }
    }
    console.log(`${files.length} traces, ${ioctlCount} ioctls, ${structCount} structs; without a meaning:`);
    console.log([...unresolved].map(([label, count]) => `${label} (${count})`).join(', '));
    expect(ioctlCount).toBeGreaterThan(80_000);
    expect([...unlisted]).toEqual([]);
    expect(changed).toEqual([]);
    expect([...answered]).toEqual([]);
  });
});
