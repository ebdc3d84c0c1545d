import { describe, expect, test } from 'vitest';
import { renderHardware } from '../../../src/model/index.ts';
import {
  buildStruct,
  RFC_ATTACH,
  RFC_BIND_DATA,
  RFC_CMD,
  RFC_DEVICE_INFO,
  RFC_IOASID_ALLOC,
  RFC_IOASID_DMA_OP,
  RFC_IOASID_FREE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../../src/uapi/index.ts';
import {
  deviceAt,
  type ProposalReply,
  type ProposalSession,
  startProposal,
} from '../../support/proposal-session.ts';

/** The code of September 2021: the reference's tables 4.2 and 4.4, one row one test. */

const IOMMU = 3;
const DEVICE = 10;
const OTHER = 11;

/** Two devices of one group, one alone, one behind a kernel driver, one that can not enforce snooping. */
const DEVICES = [
  deviceAt('0000:01:00.0', 1, 'a', { reserved: [['0xfee00000', '0xfeefffff', 'msi']] }),
  deviceAt('0000:01:00.1', 1, 'b', { driver: 'pci-stub' }),
  deviceAt('0000:02:00.0', 2, 'c', { addr_width: 39 }),
  deviceAt('0000:03:00.0', 3, 'd'),
  { bdf: '0000:03:00.1', group: 3, driver: 'e1000e' },
  deviceAt('0000:04:00.0', 4, 'e', { enforce_snoop: false }),
  deviceAt('0000:05:00.0', 5, 'f'),
  { bdf: '0000:05:00.1', group: 5, driver: 'pcieport', bridge: true },
];

type Fields = Readonly<Record<string, number | bigint>>;

function bind(s: ProposalSession, fd: number, more: Fields = {}): ProposalReply {
  const fields = { argsz: 24, iommu_fd: IOMMU, dev_cookie: BigInt(fd), ...more };
  return s.ioctl(fd, 'device', RFC_CMD.VFIO_DEVICE_BIND_IOMMUFD, buildStruct(RFC_BIND_DATA, fields));
}

function alloc(s: ProposalSession, more: Fields = {}): ProposalReply {
  const fields = { argsz: 16, flags: 1, type: 1, addr_width: 48, ...more };
  return s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_IOASID_ALLOC, buildStruct(RFC_IOASID_ALLOC, fields));
}

function attach(s: ProposalSession, fd: number, more: Fields = {}, detaches = false): ProposalReply {
  const fields = { argsz: 16, iommu_fd: IOMMU, ioasid: 0, ...more };
  const cmd = detaches ? RFC_CMD.VFIO_DEVICE_DETACH_IOASID : RFC_CMD.VFIO_DEVICE_ATTACH_IOASID;
  return s.ioctl(fd, 'device', cmd, buildStruct(RFC_ATTACH, fields));
}

function free(s: ProposalSession, ioasid: number): ProposalReply {
  return s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_IOASID_FREE, buildStruct(RFC_IOASID_FREE, { ioasid }));
}

function withPayload(head: Uint8Array, data: Uint8Array): Uint8Array {
  return Uint8Array.from([...head, ...data]);
}

function map(s: ProposalSession, more: Fields = {}, op: Fields = {}): ProposalReply {
  const head = buildStruct(RFC_IOASID_DMA_OP, { argsz: 48, ioasid: 0, ...op });
  const payload = { argsz: 32, flags: 3, vaddr: 0x10000n, iova: 0x10000n, size: 0x2000n, ...more };
  const arg = withPayload(head, buildStruct(VFIO_IOMMU_MAP_DMA, payload));
  return s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_MAP_DMA, arg);
}

function unmap(s: ProposalSession, more: Fields = {}): ProposalReply & { readonly bytes: bigint } {
  const head = buildStruct(RFC_IOASID_DMA_OP, { argsz: 40, ioasid: 0 });
  const payload = { argsz: 24, flags: 0, iova: 0x10000n, size: 0x2000n, ...more };
  const arg = withPayload(head, buildStruct(VFIO_IOMMU_UNMAP_DMA, payload));
  const reply = s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_UNMAP_DMA, arg);
  const { struct } = reply;
  return { ...reply, bytes: new DataView(struct!.buffer, struct!.byteOffset).getBigUint64(32, true) };
}

/** Opens the IOMMU and a device. */
function opened(node = 'a', fd = DEVICE): ProposalSession {
  const s = startProposal('rfc-2021-09', DEVICES);
  s.open(IOMMU, 'iommufd', '/dev/iommu');
  s.open(fd, 'device', `/dev/vfio/devices/${node}`);
  return s;
}

/** … binds the device, and allocates and attaches an address space. */
function attached(): ProposalSession {
  const s = opened();
  bind(s, DEVICE);
  alloc(s);
  attach(s, DEVICE);
  return s;
}

const EBUSY = 16;
const EINVAL = 22;
const ENODEV = 19;
const ENOTTY = 25;
const EFAULT = 14;
const EEXIST = 17;

describe('table 4.2: opening a device', () => {
  test('that is open is EBUSY', () => {
    expect(opened().open(OTHER, 'device', '/dev/vfio/devices/a')).toMatchObject({ errno: EBUSY });
  });
  test('whose group the old container has opened is EBUSY', () => {
    const s = startProposal('rfc-2021-09', DEVICES);
    s.call('VFIO_GROUP_GET_DEVICE_FD', -1, { device: '0000:01:00.1', fd: 20 });
    expect(s.open(DEVICE, 'device', '/dev/vfio/devices/a')).toMatchObject({ reason: 'rfc-device-open' });
  });
  test('that is missing is ENODEV', () => {
    expect(opened().open(OTHER, 'device', '/dev/vfio/devices/z')).toMatchObject({ errno: ENODEV });
  });
  test('whose IOMMU can not enforce snooping is ENODEV: there is no node', () => {
    expect(opened().open(OTHER, 'device', '/dev/vfio/devices/e')).toMatchObject({ errno: ENODEV });
  });
  test('blocks access until it is bound', () => {
    const s = opened();
    expect(s.read(DEVICE, 'device')).toMatchObject({ ret: -1, errno: ENODEV });
    bind(s, DEVICE);
    expect(() => s.read(DEVICE, 'device')).toThrow('does not know');
  });
});

describe('table 4.2: BIND', () => {
  test('of a device of the old container is ENOTTY', () => {
    const s = opened();
    s.call('VFIO_GROUP_GET_DEVICE_FD', -1, { device: '0000:02:00.0', fd: 20 });
    expect(bind(s, 20)).toMatchObject({ errno: ENOTTY });
  });
  test('with a struct that can not be read is EFAULT', () => {
    expect(opened().ioctl(DEVICE, 'device', RFC_CMD.VFIO_DEVICE_BIND_IOMMUFD, null)).toMatchObject({
      errno: EFAULT,
    });
  });
  test.each([
    ['argsz below the minimum', { argsz: 20 }],
    ['a flag', { flags: 1 }],
    ['a negative descriptor', { iommu_fd: -1 }],
  ])('with %s is EINVAL', (_, fields) => {
    expect(bind(opened(), DEVICE, fields)).toMatchObject({
      errno: EINVAL,
      reason: 'rfc-argsz-flags-or-number',
    });
  });
  test('of a bound device is EBUSY, before the descriptor is looked at', () => {
    const s = opened();
    bind(s, DEVICE);
    expect(bind(s, DEVICE, { iommu_fd: 99 })).toMatchObject({
      errno: EBUSY,
      reason: 'proposal-device-bound',
    });
  });
  test('to something else than an IOMMU descriptor is EINVAL', () => {
    expect(bind(opened(), DEVICE, { iommu_fd: DEVICE })).toMatchObject({
      errno: EINVAL,
      reason: 'proposal-not-an-iommu-descriptor',
    });
  });
  test('with a cookie of another device is EBUSY', () => {
    const s = opened();
    bind(s, DEVICE);
    s.open(OTHER, 'device', '/dev/vfio/devices/c');
    expect(bind(s, OTHER, { dev_cookie: 10n })).toMatchObject({
      errno: EBUSY,
      reason: 'proposal-cookie-taken',
    });
  });
  test('of a group that another descriptor owns is EBUSY', () => {
    const s = opened();
    bind(s, DEVICE);
    s.open(OTHER, 'device', '/dev/vfio/devices/b');
    s.open(4, 'iommufd', '/dev/iommu');
    expect(bind(s, OTHER, { iommu_fd: 4 })).toMatchObject({ errno: EBUSY, reason: 'proposal-group-owned' });
  });
  test('of a second device of the group by the same owner counts', () => {
    const s = opened();
    bind(s, DEVICE);
    s.open(OTHER, 'device', '/dev/vfio/devices/b');
    expect(bind(s, OTHER).ret).toBe(0);
    expect(s.kernel.state.proposal!.groups[1]).toMatchObject({ bound: 2 });
  });
  test('of a group with a device of a kernel driver is EINVAL', () => {
    expect(bind(opened('d'), DEVICE)).toMatchObject({ errno: EINVAL, reason: 'proposal-group-not-viable' });
  });
  test('does not mind a bridge in the group', () => {
    expect(bind(opened('f'), DEVICE).ret).toBe(0);
  });
  test('blocks the DMA of the group', () => {
    const s = opened();
    bind(s, DEVICE);
    expect(renderHardware(s.kernel)).toBe('group 1 (0000:01:00.0, 0000:01:00.1): DMA blocked\n');
  });
});

describe('table 4.2: DEVICE_GET_INFO', () => {
  const info = (s: ProposalSession, fields: Fields, bytes = 32): ProposalReply => {
    const head = buildStruct(RFC_DEVICE_INFO, { argsz: bytes, dev_cookie: 10n, ...fields });
    const arg = withPayload(head, new Uint8Array(Math.max(0, bytes - 32)));
    return s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_DEVICE_GET_INFO, arg);
  };
  const bound = (): ProposalSession => {
    const s = opened();
    bind(s, DEVICE);
    return s;
  };
  test('with argsz below the minimum is EINVAL', () => {
    expect(info(bound(), { argsz: 28 })).toMatchObject({
      errno: EINVAL,
      reason: 'rfc-argsz-flags-or-number',
    });
  });
  test('of an unknown cookie is EINVAL', () => {
    expect(info(bound(), { dev_cookie: 9n })).toMatchObject({
      errno: EINVAL,
      reason: 'proposal-cookie-unknown',
    });
  });
  test('says how much room the capabilities need, and gives them when there is room', () => {
    const short = info(bound(), {}).struct!;
    const needed = new DataView(short.buffer, short.byteOffset).getUint32(0, true);
    expect(needed).toBe(32 + 16 + 2 * 16);
    expect([...short.subarray(28, 32)]).toEqual([0, 0, 0, 0]);
    const whole = info(bound(), {}, needed).struct!;
    const view = new DataView(whole.buffer, whole.byteOffset);
    expect([view.getUint32(4, true), view.getUint32(24, true), view.getUint32(28, true)]).toEqual([
      15, 48, 32,
    ]);
    expect([view.getBigUint64(48, true), view.getBigUint64(56, true)]).toEqual([0n, 0xfedfffffn]);
    expect([view.getBigUint64(64, true), view.getBigUint64(72, true)]).toEqual([0xfef00000n, 1n << 48n]);
  });
});

describe('table 4.2: IOASID_ALLOC and IOASID_FREE', () => {
  test.each([
    ['argsz below the minimum', { argsz: 12 }],
    ['an address width of 0', { addr_width: 0 }],
    ['no ENFORCE_SNOOP', { flags: 0 }],
    ['another flag', { flags: 3 }],
    ['another type', { type: 2 }],
  ])('ALLOC with %s is EINVAL', (_, fields) => {
    expect(alloc(opened(), fields)).toMatchObject({ ret: -1, errno: EINVAL });
  });
  test('ALLOC answers the lowest free number', () => {
    const s = opened();
    expect([alloc(s).ret, alloc(s).ret, free(s, 0).ret, alloc(s).ret]).toEqual([0, 1, 0, 0]);
  });
  test('FREE of a negative number is EINVAL', () => {
    expect(free(opened(), -1)).toMatchObject({ errno: EINVAL, reason: 'rfc-argsz-flags-or-number' });
  });
  test('FREE of an unknown number is EINVAL: a choice', () => {
    expect(free(opened(), 5)).toMatchObject({ errno: EINVAL, reason: 'choice-rfc-free-unknown' });
  });
  test('FREE of an attached one is EBUSY', () => {
    expect(free(attached(), 0)).toMatchObject({ errno: EBUSY, reason: 'proposal-ioasid-in-use' });
  });
});

describe('table 4.2: ATTACH', () => {
  test('of a device of the old container is ENOTTY', () => {
    const s = opened();
    s.call('VFIO_GROUP_GET_DEVICE_FD', -1, { device: '0000:02:00.0', fd: 20 });
    expect(attach(s, 20)).toMatchObject({ errno: ENOTTY });
  });
  test.each([
    ['argsz below the minimum', { argsz: 8 }],
    ['a flag', { flags: 1 }],
    ['a negative number', { ioasid: -1 }],
  ])('with %s is EINVAL', (_, fields) => {
    const s = opened();
    bind(s, DEVICE);
    expect(attach(s, DEVICE, fields)).toMatchObject({ errno: EINVAL, reason: 'rfc-argsz-flags-or-number' });
  });
  test('of a device that is not bound is EINVAL', () => {
    const s = opened();
    alloc(s);
    expect(attach(s, DEVICE)).toMatchObject({ errno: EINVAL, reason: 'rfc-other-descriptor' });
  });
  test('with another descriptor is EINVAL', () => {
    const s = opened();
    bind(s, DEVICE);
    s.open(4, 'iommufd', '/dev/iommu');
    expect(attach(s, DEVICE, { iommu_fd: 4 })).toMatchObject({ reason: 'rfc-other-descriptor' });
  });
  test('of an attached device is EBUSY, before the number is looked at', () => {
    expect(attach(attached(), DEVICE, { ioasid: 9 })).toMatchObject({
      errno: EBUSY,
      reason: 'rfc-device-attached',
    });
  });
  test('to an unknown number is EINVAL', () => {
    const s = opened();
    bind(s, DEVICE);
    expect(attach(s, DEVICE)).toMatchObject({ errno: EINVAL, reason: 'proposal-ioasid-not-found' });
  });
  test('of a device with a smaller address width is EINVAL', () => {
    const s = opened('c');
    bind(s, DEVICE);
    alloc(s);
    expect(attach(s, DEVICE)).toMatchObject({ errno: EINVAL, reason: 'rfc-address-width' });
  });
  test('while the group is attached to another address space is EBUSY, to the same one counts', () => {
    const s = attached();
    alloc(s);
    s.open(OTHER, 'device', '/dev/vfio/devices/b');
    bind(s, OTHER);
    expect(attach(s, OTHER, { ioasid: 1 })).toMatchObject({ errno: EBUSY, reason: 'rfc-group-elsewhere' });
    expect(attach(s, OTHER)).toMatchObject({ ret: 0 });
    expect(s.kernel.state.proposal!.groups[1]).toMatchObject({ attached: 2 });
  });
});

describe('table 4.2: DETACH, close', () => {
  test('DETACH of a device that is not attached is EINVAL', () => {
    const s = opened();
    bind(s, DEVICE);
    alloc(s);
    expect(attach(s, DEVICE, {}, true)).toMatchObject({
      errno: EINVAL,
      reason: 'proposal-not-attached-here',
    });
  });
  test('DETACH from another address space is EINVAL', () => {
    const s = attached();
    alloc(s);
    expect(attach(s, DEVICE, { ioasid: 1 }, true)).toMatchObject({ errno: EINVAL });
  });
  test('DETACH of the last device blocks DMA again, and frees the domain with its mappings', () => {
    const s = attached();
    map(s);
    expect(attach(s, DEVICE, {}, true).ret).toBe(0);
    expect(renderHardware(s.kernel)).toContain('DMA blocked');
    attach(s, DEVICE);
    expect(map(s).ret).toBe(0);
  });
  test('closing the device detaches and unbinds it; the last of its group goes back to the default domain', () => {
    const s = attached();
    s.close(DEVICE, 'device');
    expect(renderHardware(s.kernel)).toBe('group 1 (0000:01:00.0, 0000:01:00.1): DMA default\n');
    expect(free(s, 0).ret).toBe(0);
  });
  test('closing the descriptor keeps it alive while devices are bound', () => {
    const s = attached();
    s.close(IOMMU, 'iommufd');
    expect(renderHardware(s.kernel)).toContain('DMA attached');
    s.close(DEVICE, 'device');
    expect(s.kernel.state.proposal!.files).toEqual({});
  });
});

describe('table 4.2: MAP and UNMAP, other commands', () => {
  test.each([
    ['argsz below the minimum', { argsz: 8 }, 'rfc-argsz-flags-or-number'],
    ['a flag', { flags: 1 }, 'rfc-argsz-flags-or-number'],
    ['a negative number', { ioasid: -1 }, 'rfc-argsz-flags-or-number'],
    ['an unknown number', { ioasid: 7 }, 'proposal-ioasid-not-found'],
  ])('MAP with %s is EINVAL', (_, op, reason) => {
    expect(map(attached(), {}, op)).toMatchObject({ errno: EINVAL, reason });
  });
  test('MAP without a device attached is EINVAL', () => {
    const s = opened();
    alloc(s);
    expect(map(s)).toMatchObject({ errno: EINVAL, reason: 'proposal-ioasid-not-attached' });
  });
  test('CHECK_EXTENSION knows TYPE1V2 only', () => {
    const s = opened();
    const ask = (value: bigint): number =>
      s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_CHECK_EXTENSION, null, value).ret;
    expect([ask(1n), ask(2n), ask(3n)]).toEqual([1, 0, 0]);
  });
  test('an unknown command is EINVAL', () => {
    expect(opened().ioctl(IOMMU, 'iommufd', 0x3b6a, null)).toMatchObject({
      errno: EINVAL,
      reason: 'rfc-unknown-command',
    });
  });
});

describe('table 4.4: type1 v2', () => {
  test.each([
    ['neither READ nor WRITE', { flags: 0 }, EINVAL, 'type1v2-permission'],
    ['size 0', { size: 0n }, EINVAL, 'type1v2-misaligned'],
    ['a size that is no multiple of the page', { size: 0x800n }, EINVAL, 'type1v2-misaligned'],
    ['an address that is no multiple of the page', { iova: 0x800n }, EINVAL, 'type1v2-misaligned'],
    ['a range that wraps', { iova: 0xfffffffffffff000n }, EINVAL, 'type1v2-misaligned'],
    ['user memory that wraps', { vaddr: 0xfffffffffffff000n }, EINVAL, 'type1v2-misaligned'],
    ['an overlap at the end', { iova: 0xf000n }, EEXIST, 'type1v2-overlap'],
    ['an overlap in the middle', { iova: 0x11000n, size: 0x1000n }, EEXIST, 'type1v2-overlap'],
    ['a reserved range', { iova: 0xfedff000n }, EINVAL, 'type1v2-not-permitted-range'],
    ['a range beyond the address width', { iova: 1n << 48n }, EINVAL, 'type1v2-not-permitted-range'],
  ])('a map with %s is refused', (_, fields, errno, reason) => {
    const s = attached();
    expect(map(s).ret).toBe(0);
    expect(map(s, fields)).toMatchObject({ errno, reason });
  });
  test('a map is refused with ENOSPC once dma_entry_limit mappings are there', () => {
    const s = attached();
    const { maps } = s.kernel.state.proposal!.files[1]!.spaces[0]!;
    for (let page = 0; page < 65_535; page += 1)
      maps.push({ iovaPage: page, pages: 1, targetPage: 0, flags: 3 });
    expect(map(s, { iova: 0x20000000n })).toMatchObject({ errno: 28, reason: 'type1v2-entry-limit' });
  });
  test.each([
    ['a misaligned address', { iova: 0x800n }, 'type1v2-misaligned'],
    ['size 0', { size: 0n }, 'type1v2-misaligned'],
    ['a range that wraps', { iova: 0xfffffffffffff000n }, 'type1v2-misaligned'],
    ['a range that begins within a mapping', { iova: 0x11000n }, 'type1v2-unmap-cuts'],
    ['a range that ends within a mapping', { iova: 0xf000n }, 'type1v2-unmap-cuts'],
    ['all, with a size', { flags: 2, iova: 0n }, 'type1v2-unmap-all-range'],
  ])('an unmap with %s is EINVAL', (_, fields, reason) => {
    const s = attached();
    map(s);
    expect(unmap(s, fields)).toMatchObject({ errno: EINVAL, reason });
  });
  test('an unmap of several whole mappings removes all, and answers their size', () => {
    const s = attached();
    map(s);
    map(s, { iova: 0x20000n });
    expect(unmap(s, { iova: 0n, size: 0x100000n })).toMatchObject({ ret: 0, bytes: 0x4000n });
  });
  test('an unmap of nothing succeeds with size 0', () => {
    expect(unmap(attached())).toMatchObject({ ret: 0, bytes: 0n });
  });
  test('an unmap of all takes neither address nor size', () => {
    const s = attached();
    map(s);
    expect(unmap(s, { flags: 2, iova: 0n, size: 0n })).toMatchObject({ ret: 0, bytes: 0x2000n });
  });
});
