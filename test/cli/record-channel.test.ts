import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { drainChannel, openChannel, skipUnfinished } from '../../src/cli/record/channel.ts';
import {
  CHANNEL_MAGIC,
  HEADER,
  HEADER_BYTES,
  RECORD,
  readCount,
  tagOf,
} from '../../src/cli/record/channel-layout.ts';
import { openSpool } from '../../src/cli/record/spool.ts';
import { readTopologyOf } from '../../src/cli/record/sysfs-topology.ts';

const root = mkdtempSync(join(tmpdir(), 'ioasis-channel-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A ring of 1 KiB that a process would have written. */
const RING = 1024;
let image: Buffer;
let path: string;
let head = 0;

beforeEach(() => {
  image = Buffer.alloc(HEADER_BYTES + RING);
  image.write(CHANNEL_MAGIC, 'latin1');
  image.writeUInt32LE(1, HEADER.version);
  image.writeUInt32LE(4321, HEADER.pid);
  image.writeBigUInt64LE(BigInt(RING), HEADER.dataBytes);
  head = 0;
  path = join(root, `${readdirSync(root).length}.ring`);
  writeFileSync(path, image);
});

/** Reserves a record and, when it is to be whole, tags it. `fd` tells them apart. */
function put(fd: number, isWhole = true): void {
  const record = Buffer.alloc(RECORD.size);
  record.writeUInt32LE(isWhole ? tagOf(head) : tagOf(head - RING), 0);
  record.writeUInt32LE(RECORD.size, RECORD.bytes);
  record.writeInt32LE(fd, RECORD.fd);
  record.forEach((byte, index) => {
    image[HEADER_BYTES + ((head + index) % RING)] = byte;
  });
  head += RECORD.size;
  image.writeBigUInt64LE(BigInt(head), HEADER.head);
}

function save(): void {
  const tail = readFileSync(path).subarray(HEADER.tail, HEADER.tail + 32);
  tail.copy(image, HEADER.tail);
  writeFileSync(path, image);
}

function drain(channel: ReturnType<typeof openChannel>): { fds: number[]; isComplete: boolean } {
  const fds: number[] = [];
  const isComplete = drainChannel(channel, (_, bytes) => {
    for (let at = 0; at < bytes.length; at += RECORD.size) fds.push(bytes.readInt32LE(at + RECORD.fd));
  });
  return { fds, isComplete };
}

describe('a channel', () => {
  test('gives its records once and in order, over many rounds of the ring', () => {
    save();
    const channel = openChannel(path, 0);
    const seen: number[] = [];
    for (let fd = 0; fd < 100; ) {
      for (let burst = 0; burst < 1 + (fd % 9); burst += 1) put(fd++);
      save();
      const { fds, isComplete } = drain(channel);
      expect(isComplete).toBe(true);
      seen.push(...fds);
      const tail = readFileSync(path);
      expect(readCount(tail, HEADER.tail)).toBe(head);
      expect(tail.readBigUInt64LE(HEADER.tail + 8)).toBe(BigInt.asUintN(64, ~BigInt(head)));
    }
    expect(seen).toEqual(seen.map((_, index) => index));
  });

  test('waits for an unfinished record, and finds the next one when it is given up', () => {
    put(1);
    put(2, false);
    put(3);
    save();
    const channel = openChannel(path, 0);
    expect(drain(channel)).toEqual({ fds: [1], isComplete: false });
    expect(drain(channel)).toEqual({ fds: [], isComplete: false });
    skipUnfinished(channel);
    expect(drain(channel)).toEqual({ fds: [3], isComplete: true });
  });

  test('takes no record of an earlier round for one of this', () => {
    for (let fd = 0; fd < 10; fd += 1) put(fd);
    save();
    const channel = openChannel(path, 0);
    drain(channel);
    put(10, false);
    save();
    expect(drain(channel)).toEqual({ fds: [], isComplete: false });
  });

  test('of another version is refused', () => {
    image.writeUInt32LE(2, HEADER.version);
    save();
    expect(() => openChannel(path, 0)).toThrow('npm run build:recorder');
  });
});

test('the spool gives back what was put in, and leaves no file', () => {
  const folder = mkdtempSync(join(root, 'spool-'));
  const spool = openSpool(folder, folder);
  expect(spool.take()).toBeNull();
  const frames = [
    Buffer.from('one'),
    Buffer.alloc(0),
    Buffer.alloc(70 * 1024 * 1024, 7),
    Buffer.from('four'),
  ];
  for (const [index, bytes] of frames.entries()) spool.append(index, bytes);
  expect(readdirSync(folder)).toHaveLength(2);
  frames.forEach((bytes, index) => {
    const frame = spool.take()!;
    expect(frame.index).toBe(index);
    expect(frame.bytes.equals(bytes)).toBe(true);
  });
  expect(spool.take()).toBeNull();
  spool.close();
  expect(readdirSync(folder)).toEqual([]);
});

describe('the topology of sysfs', () => {
  const put = (sys: string, name: string, text: string): void => {
    mkdirSync(dirname(join(sys, name)), { recursive: true });
    writeFileSync(join(sys, name), text);
  };

  test('names the devices of VFIO with group, IOMMU and reserved regions', () => {
    const sys = mkdtempSync(join(root, 'sys-'));
    put(sys, 'class/iommu/dmar0/intel-iommu/cap', 'd2008c222f0686\n');
    put(sys, 'class/iommu/dmar0/intel-iommu/ecap', 'f00f4a\n');
    const regions = '0x00000000fee00000 0x00000000feefffff msi\n';
    put(sys, 'kernel/iommu_groups/7/reserved_regions', regions);
    put(sys, 'kernel/iommu_groups/8/reserved_regions', regions);
    put(sys, 'kernel/iommu_groups/7/devices/0000:01:00.0/vfio-dev/vfio0/dev', '1:2\n');
    put(sys, 'kernel/iommu_groups/8/devices/0000:02:00.0/vendor', '0x8086\n');
    symlinkSync('/x/drivers/vfio-pci', join(sys, 'kernel/iommu_groups/7/devices/0000:01:00.0/driver'));
    symlinkSync('/x/iommu/dmar0', join(sys, 'kernel/iommu_groups/7/devices/0000:01:00.0/iommu'));
    symlinkSync('/x/drivers/nvme', join(sys, 'kernel/iommu_groups/8/devices/0000:02:00.0/driver'));
    expect(readTopologyOf(sys)).toEqual({
      iommu: 'vtd',
      instances: [{ name: 'dmar0', cap: '0xd2008c222f0686', ecap: '0xf00f4a' }],
      devices: [
        {
          path: '/dev/vfio/devices/vfio0',
          bdf: '0000:01:00.0',
          group: 7,
          instance: 'dmar0',
          driver: 'vfio-pci',
          reserved: [['0xfee00000', '0xfeefffff', 'msi']],
        },
      ],
    });
  });

  test('is none where there is no IOMMU', () => {
    expect(readTopologyOf(mkdtempSync(join(root, 'sys-')))).toBeNull();
  });
});
