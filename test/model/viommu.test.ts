import { describe, expect, test } from 'vitest';
import {
  chooseProfile,
  createKernel,
  execute,
  predictedRead,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import {
  buildStruct,
  CMD,
  ERRNO,
  type FieldValue,
  IOMMU_DESTROY,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_TEST_OP,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
} from '../../src/uapi/index.ts';
import { buffer, PID, type Session, startSession, u32At, u64At } from '../support/session.ts';

const PROFILE = chooseProfile('7.3', 4096).profile;
const SELFTEST = 0xdeadbeef;
const QUEUE_TYPE = 0xbeefbeef;
const DATA = 0x7ffc00002000n;
const U64_MAX = 2n ** 64n - 1n;

/** IOAS 1, selftest object 2, device 3, automatic HWPT 4, nest parent 5, vIOMMU 6. */
function startWithViommu(): Session {
  const session = startSession(createKernel(PROFILE));
  session.open(3);
  session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN, 1);
  hwptAlloc(session, { flags: 1, dev_id: 3, pt_id: 1 });
  expect(viommuAlloc(session, {})).toMatchObject({ errno: 0 });
  return session;
}

function hwptAlloc(session: Session, fields: Readonly<Record<string, FieldValue>>) {
  return session.ioctl(3, CMD.IOMMU_HWPT_ALLOC, buildStruct(IOMMU_HWPT_ALLOC, fields));
}

function viommuAlloc(session: Session, fields: Readonly<Record<string, FieldValue>>, data?: Uint8Array) {
  const request = buildStruct(IOMMU_VIOMMU_ALLOC, { type: SELFTEST, dev_id: 3, hwpt_id: 5, ...fields });
  const mem = data === undefined ? [] : [buffer(DATA, data, 'inout')];
  return session.ioctl(3, CMD.IOMMU_VIOMMU_ALLOC, request, mem);
}

function nestedAlloc(session: Session) {
  const fields = { dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4, data_uptr: DATA };
  const request = buildStruct(IOMMU_HWPT_ALLOC, fields);
  return session.ioctl(3, CMD.IOMMU_HWPT_ALLOC, request, [buffer(DATA, new Uint8Array(4))]);
}

function vdeviceAlloc(session: Session, virtId: bigint, device = 3) {
  const fields = { viommu_id: 6, dev_id: device, virt_id: virtId };
  return session.ioctl(3, CMD.IOMMU_VDEVICE_ALLOC, buildStruct(IOMMU_VDEVICE_ALLOC, fields));
}

function veventqAlloc(session: Session, fields: Readonly<Record<string, FieldValue>> = {}) {
  const request = buildStruct(IOMMU_VEVENTQ_ALLOC, {
    viommu_id: 6,
    type: QUEUE_TYPE,
    veventq_depth: 2,
    ...fields,
  });
  return session.ioctl(3, CMD.IOMMU_VEVENTQ_ALLOC, request);
}

function destroy(session: Session, id: number): number {
  return session.ioctl(3, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id })).errno;
}

function replace(session: Session, ptId: number): number {
  return session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 2, { pt_id: ptId }).errno;
}

function read(session: Session, fd: number, length: number): { result: [number, number]; bytes: string } {
  const { ret, errno } = execute(session.kernel, {
    op: 'read',
    ...{ seq: 0, pid: PID, tid: null, tNs: null, extra: null, replied: true, ret: 0, errno: 0 },
    ...{ fd, kind: 'veventq', addr: DATA, len: length, off: null, out: null },
  });
  return { result: [ret, errno], bytes: Buffer.from(predictedRead(session.kernel)).toString('hex') };
}

describe('a vIOMMU', () => {
  test('is refused for a type nobody knows before its page table is looked at', () => {
    const session = startWithViommu();
    expect(viommuAlloc(session, { type: 7, hwpt_id: 99 }).errno).toBe(ERRNO.EOPNOTSUPP);
    expect(viommuAlloc(session, { hwpt_id: 99 }).errno).toBe(ERRNO.ENOENT);
    expect(viommuAlloc(session, { hwpt_id: 4 }).errno).toBe(ERRNO.EINVAL);
    expect(viommuAlloc(session, { __reserved: 77 }).errno).toBe(0);
  });

  test('and what belongs to it are not made when their struct can not be written', () => {
    const session = startWithViommu();
    session.mmap(0x7ffc00001000n, 4096n, 1);
    const before = serializeKernel(session.kernel);
    const { EFAULT } = ERRNO;
    expect(viommuAlloc(session, {}).errno).toBe(EFAULT);
    expect(vdeviceAlloc(session, 1n).errno).toBe(EFAULT);
    expect(veventqAlloc(session).errno).toBe(EFAULT);
    expect(serializeKernel(session.kernel)).toEqual(before);
  });

  test('gives its data back and the lowest free window', () => {
    const session = startWithViommu();
    const data = new Uint8Array(24).fill(7, 0, 4);
    viommuAlloc(session, { data_len: 24, data_uptr: DATA }, data);
    const call = session.calls.at(-1);
    const after = call?.op === 'ioctl' ? call.mem[0]?.after : null;
    if (!(after instanceof Uint8Array)) throw new Error('nothing was written');
    expect(u32At(after, 4)).toBe(0x07070707);
    expect([u64At(after, 8), u64At(after, 16)]).toEqual([0x1000n, 0x2000n]);
  });

  test('is busy while a nested page table, a vDEVICE or a queue uses it', () => {
    const session = startWithViommu();
    nestedAlloc(session);
    vdeviceAlloc(session, 0x99n);
    veventqAlloc(session);
    for (const id of [7, 8]) {
      expect(destroy(session, 6)).toBe(ERRNO.EBUSY);
      expect(destroy(session, id)).toBe(0);
    }
    expect(destroy(session, 9)).toBe(ERRNO.EBUSY);
    session.close(4, 'veventq');
    expect([destroy(session, 9), destroy(session, 6), destroy(session, 5)]).toEqual([0, 0, 0]);
  });

  test('is busy while its window is mapped, also by a child', () => {
    const session = startWithViommu();
    viommuAlloc(session, { data_len: 24, data_uptr: DATA }, new Uint8Array(24));
    const base = { seq: 0, tid: null, tNs: null, extra: null, replied: true, ret: 0, errno: 0 } as const;
    const at = { addr: 0x7ffc00400000n, len: 0x2000n };
    const mapped = at.addr;
    const file = { fd: 3, kind: 'iommufd', prot: 3, flags: 1n, off: 0x1000n } as const;
    execute(session.kernel, { ...base, ...at, ...file, op: 'mmap', pid: PID, mapped });
    execute(session.kernel, { ...base, op: 'fork', pid: PID, child: PID + 1, ret: PID + 1 });
    expect(destroy(session, 7)).toBe(ERRNO.EBUSY);
    execute(session.kernel, { ...base, ...at, op: 'munmap', pid: PID });
    expect(destroy(session, 7)).toBe(ERRNO.EBUSY);
    execute(session.kernel, { ...base, op: 'waitpid', pid: PID, child: PID + 1, status: 0 });
    expect(destroy(session, 7)).toBe(0);
  });

  test('survives a snapshot with all that hangs on it', () => {
    const session = startWithViommu();
    nestedAlloc(session);
    vdeviceAlloc(session, 0x99n);
    veventqAlloc(session);
    replace(session, 7);
    const bytes = serializeKernel(session.kernel);
    expect(serializeKernel(restoreKernel(bytes, PROFILE))).toEqual(bytes);
  });
});

describe('a vDEVICE', () => {
  test('is what attaching to a nested page table of the vIOMMU needs', () => {
    const session = startWithViommu();
    expect(u32At(nestedAlloc(session).out, 16)).toBe(7);
    expect(replace(session, 7)).toBe(ERRNO.ENOENT);
    expect(u32At(vdeviceAlloc(session, 0x99n).out, 12)).toBe(8);
    expect(vdeviceAlloc(session, 0x98n).errno).toBe(ERRNO.EEXIST);
    expect(replace(session, 7)).toBe(0);
    expect(destroy(session, 8)).toBe(0);
  });

  test('names one device only', () => {
    const session = startWithViommu();
    vdeviceAlloc(session, 0x99n);
    session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN, 1);
    expect(vdeviceAlloc(session, 0x99n, 9).errno).toBe(ERRNO.EEXIST);
    expect(vdeviceAlloc(session, 0x9_0000_0099n, 9).errno).toBe(0);
  });

  test('leaves its id taken when its device goes first', () => {
    const session = startWithViommu();
    vdeviceAlloc(session, 0x99n);
    expect([destroy(session, 2), destroy(session, 7)]).toEqual([0, ERRNO.ENOENT]);
    for (const id of [6, 5, 1]) expect(destroy(session, id)).toBe(0);
    const option = buildStruct(IOMMU_OPTION, { option_id: 0, op: 0, val64: 1n });
    expect(session.ioctl(3, CMD.IOMMU_OPTION, option).errno).toBe(ERRNO.EBUSY);
    const ids = [1, 2, 3, 4, 5, 6, 8, 9];
    const made = ids.map(() => {
      return u32At(session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})).out, 8);
    });
    expect(made).toEqual(ids);
    session.close(3);
    expect(Object.keys(session.kernel.state.contexts)).toEqual([]);
  });

  test('is how an invalidation names the device', () => {
    const session = startWithViommu();
    vdeviceAlloc(session, 0x99n);
    const entries = new Uint8Array(24);
    const view = new DataView(entries.buffer);
    for (const [at, value] of [
      [4, 0x99],
      [8, 2],
      [16, 0x98],
    ] as const)
      view.setUint32(at, value, true);
    const fields = { hwpt_id: 6, data_uptr: DATA, data_type: SELFTEST, entry_len: 12, entry_num: 2 };
    const request = buildStruct(IOMMU_HWPT_INVALIDATE, fields);
    const answer = session.ioctl(3, CMD.IOMMU_HWPT_INVALIDATE, request, [buffer(DATA, entries)]);
    expect([answer.errno, u32At(answer.out, 24)]).toEqual([ERRNO.EINVAL, 1]);
    const cache = [0, 1, 2, 3].map((id) => {
      const expected = { id, cache: id === 2 ? 0 : 0xbaddad };
      return session.selftest(3, IOMMU_TEST_OP.DEV_CHECK_CACHE, 3, expected).errno;
    });
    expect(cache).toEqual([0, 0, 0, 0]);
  });
});

describe('a vEVENTQ', () => {
  test('takes any type once, and some depths', () => {
    const session = startWithViommu();
    expect(veventqAlloc(session, { type: 12345 }).errno).toBe(0);
    expect(veventqAlloc(session, { type: 12345 }).errno).toBe(ERRNO.EEXIST);
    expect(veventqAlloc(session, { type: 0 }).errno).toBe(ERRNO.EOPNOTSUPP);
    expect(veventqAlloc(session, { veventq_depth: 0 }).errno).toBe(ERRNO.EINVAL);
    expect(veventqAlloc(session, { veventq_depth: 2 ** 20 }).errno).toBe(ERRNO.EINVAL);
  });

  test('tells of lost events by a header with the latest sequence number', () => {
    const session = startWithViommu();
    nestedAlloc(session);
    vdeviceAlloc(session, 0x99n);
    const trigger = () => session.selftest(3, IOMMU_TEST_OP.TRIGGER_VEVENT, 0, { dev_id: 3 }).errno;
    expect(trigger()).toBe(ERRNO.ENOENT);
    replace(session, 7);
    expect(trigger()).toBe(ERRNO.EOPNOTSUPP);
    veventqAlloc(session);
    expect([trigger(), trigger(), trigger(), trigger()]).toEqual([0, 0, 0, 0]);
    expect(read(session, 4, 7).result).toEqual([-1, ERRNO.EINVAL]);
    expect(read(session, 4, 8).result).toEqual([-1, ERRNO.EINVAL]);
    const event = (sequence: string) => `00000000${sequence}99000000`;
    expect(read(session, 4, 100)).toEqual({
      result: [32, 0],
      bytes: `${event('00000000')}${event('01000000')}0100000003000000`,
    });
    expect(read(session, 4, 100).result).toEqual([0, 0]);
  });
});

describe('a HW queue', () => {
  test('takes two ids and keeps its pages mapped', () => {
    const session = startWithViommu();
    const map = { flags: 7, ioas_id: 1, user_va: 0x7ffc00100000n, length: 0x2000n, iova: 0x1000000n };
    session.ioctl(3, CMD.IOMMU_IOAS_MAP, buildStruct(IOMMU_IOAS_MAP, map));
    const queue = (index: number, length = 4096n) => {
      const place = { nesting_parent_iova: 0x1000000n + BigInt(index) * 4096n, length };
      const fields = { viommu_id: 6, type: SELFTEST, index, ...place };
      return session.ioctl(3, CMD.IOMMU_HW_QUEUE_ALLOC, buildStruct(IOMMU_HW_QUEUE_ALLOC, fields));
    };
    expect(queue(1).errno).toBe(ERRNO.EIO);
    expect(queue(0, 0n).errno).toBe(ERRNO.EINVAL);
    expect([u32At(queue(0).out, 20), u32At(queue(1).out, 20)]).toEqual([7, 9]);
    expect(queue(1).errno).toBe(ERRNO.EEXIST);
    expect(queue(2).errno).toBe(ERRNO.ENOENT);
    const unmap = buildStruct(IOMMU_IOAS_UNMAP, { ioas_id: 1, iova: 0n, length: U64_MAX });
    expect(session.ioctl(3, CMD.IOMMU_IOAS_UNMAP, unmap).errno).toBe(ERRNO.EBUSY);
    expect([8, 7].map((id) => destroy(session, id))).toEqual([ERRNO.EBUSY, ERRNO.EBUSY]);
    expect([9, 7, 8].map((id) => destroy(session, id))).toEqual([0, 0, ERRNO.ENOENT]);
    expect(session.ioctl(3, CMD.IOMMU_IOAS_UNMAP, unmap).errno).toBe(0);
  });
});
