import { describe, expect, test } from 'vitest';
import {
  buildStruct,
  CMD,
  IOMMU_GPASID_BIND_DATA_2021,
  SVA_2020_CMD,
  VFIO_IOMMU_TYPE1_PASID_REQUEST,
} from '../../../src/uapi/index.ts';
import { deviceAt, type ProposalSession, startProposal } from '../../support/proposal-session.ts';

/** PASIDs of VFIO containers, 2020: each check of the posted code and of what VT-d makes of a bind. */

const [CONTAINER, GROUP] = [5, 6];
const NESTING_IOMMU = 6n;
const [ALLOC, FREE] = [1, 2];

/** A container, with the group of the device in it, under a nesting IOMMU. */
function start(more: { nests?: boolean; iommu?: string } = {}): ProposalSession {
  const { nests = true, iommu = 'vtd' } = more;
  const session = startProposal('ioasid-v4', [deviceAt('0000:01:00.0', 12, 'nic', { pasid: true })], iommu);
  session.open(CONTAINER, 'container', '/dev/vfio/vfio');
  session.open(GROUP, 'group', '/dev/vfio/12');
  session.ioctl(GROUP, 'group', CMD.VFIO_GROUP_SET_CONTAINER, Uint8Array.of(CONTAINER, 0, 0, 0));
  if (nests) session.ioctl(CONTAINER, 'container', CMD.VFIO_SET_IOMMU, null, NESTING_IOMMU);
  return session;
}

const request = (session: ProposalSession, flags: number, min: number, max: number, argsz = 16) =>
  session.ioctl(
    CONTAINER,
    'container',
    SVA_2020_CMD.VFIO_IOMMU_PASID_REQUEST,
    buildStruct(VFIO_IOMMU_TYPE1_PASID_REQUEST, { argsz, flags, min, max }),
  );

const VTD_BIND = { argsz: 72, version: 1, format: 1, addr_width: 48, gpgd: 0x200000n };
type BindFields = Readonly<Record<string, number | bigint>>;

function nesting(session: ProposalSession, flags: number, fields: BindFields, argsz = 80) {
  const data = buildStruct(IOMMU_GPASID_BIND_DATA_2021, { ...VTD_BIND, ...fields });
  const bytes = new Uint8Array(8 + data.length);
  new DataView(bytes.buffer).setUint32(0, argsz, true);
  new DataView(bytes.buffer).setUint32(4, flags, true);
  bytes.set(data, 8);
  return session.ioctl(CONTAINER, 'container', SVA_2020_CMD.VFIO_IOMMU_NESTING_OP, bytes);
}
const bind = (session: ProposalSession, fields: BindFields) => nesting(session, 0, fields);
const unbind = (session: ProposalSession, fields: BindFields) => nesting(session, 1, fields);

describe('VFIO_IOMMU_PASID_REQUEST', () => {
  test('gives the lowest number of the range, and takes a range back', () => {
    const session = start();
    expect([1, 2, 3].map(() => request(session, ALLOC, 1, 100).ret)).toEqual([1, 2, 3]);
    expect(request(session, ALLOC, 2, 2)).toMatchObject({ errno: 28, reason: 'vfio-sva-none' });
    expect(request(session, FREE, 2, 3)).toMatchObject({ ret: 0, errno: 0 });
    expect(request(session, ALLOC, 1, 100).ret).toBe(2);
    expect(request(session, FREE, 50, 60)).toMatchObject({ ret: 0 });
  });

  test.each([
    ['argsz', ALLOC, 1, 2, 15, 22, 'vfio-sva-request-arguments'],
    ['an unknown flag', 4, 1, 2, 16, 22, 'vfio-sva-request-arguments'],
    ['no operation', 0, 1, 2, 16, 22, 'vfio-sva-request-arguments'],
    ['both operations', 3, 1, 2, 16, 22, 'vfio-sva-request-arguments'],
    ['min above max', ALLOC, 3, 2, 16, 22, 'vfio-sva-request-arguments'],
    ['more than 31 bits', ALLOC, 1, 0x80000001, 16, 22, 'vfio-sva-request-arguments'],
  ] as const)('refuses %s', (_, flags, min, max, argsz, errno, reason) => {
    expect(request(start(), flags, min, max, argsz)).toMatchObject({ ret: -1, errno, reason });
  });

  test('lets 2^31 through, as the posted comparison does', () => {
    expect(request(start(), ALLOC, 7, 0x80000000).ret).toBe(7);
  });

  test('needs a nesting IOMMU with PASIDs of the system', () => {
    expect(request(start({ nests: false }), ALLOC, 1, 2)).toMatchObject({
      errno: 95,
      reason: 'vfio-sva-no-pasids',
    });
    expect(request(start({ iommu: 'smmuv3' }), ALLOC, 1, 2)).toMatchObject({ errno: 95 });
    // The range is looked at before, the operation afterwards.
    expect(request(start({ nests: false }), ALLOC, 3, 2)).toMatchObject({ errno: 22 });
    expect(request(start({ nests: false }), 0, 1, 2)).toMatchObject({ errno: 95 });
  });

  test('has a quota of 1000 for each process', () => {
    const session = start();
    for (let nth = 1; nth <= 1000; nth += 1) expect(request(session, ALLOC, 1, 0xfffff).ret).toBe(nth);
    expect(request(session, ALLOC, 1, 0xfffff)).toMatchObject({ errno: 28, reason: 'vfio-sva-none' });
  });

  test('gives all back with the last container', () => {
    const session = start();
    request(session, ALLOC, 1, 9);
    bind(session, { hpasid: 1 });
    session.close(CONTAINER, 'container');
    expect(Object.keys(session.kernel.state.proposal!.core.spaces['system']!.ids)).toEqual([]);
    expect(session.kernel.state.proposal!.core.available).toBe(0x100000);
  });
});

describe('VFIO_IOMMU_NESTING_OP', () => {
  test('binds a guest page table to a PASID of the process, once, and unbinds it', () => {
    const session = start();
    request(session, ALLOC, 1, 9);
    expect(bind(session, { hpasid: 1, flags: 1n, gpasid: 77n })).toMatchObject({ ret: 0 });
    const { core } = session.kernel.state.proposal!;
    expect(core.spaces['system']!.ids[1]).toMatchObject({
      spid: 77,
      refs: 2,
      data: { devices: ['0000:01:00.0'] },
    });
    expect(bind(session, { hpasid: 1 })).toMatchObject({ errno: 16, reason: 'vfio-sva-bound' });
    expect(unbind(session, { hpasid: 1 })).toMatchObject({ ret: 0 });
    expect(core.spaces['system']!.ids[1]).toMatchObject({ spid: null, refs: 1, data: null });
    expect(unbind(session, { hpasid: 1 })).toMatchObject({ ret: 0 });
  });

  test('a PASID that is freed while it is bound waits for the unbind', () => {
    const session = start();
    request(session, ALLOC, 1, 9);
    bind(session, { hpasid: 1 });
    request(session, FREE, 1, 1);
    expect(request(session, ALLOC, 1, 1)).toMatchObject({ errno: 28 });
    unbind(session, { hpasid: 1 });
    expect(request(session, ALLOC, 1, 1).ret).toBe(1);
  });

  test.each([
    ['a PASID that nobody has', { hpasid: 5 }, 2, 'ioasid-absent'],
    ['PASID 0', { hpasid: 0 }, 22, 'vfio-sva-bind-pasid'],
    ['a PASID of 21 bits', { hpasid: 0x100000 }, 22, 'vfio-sva-bind-pasid'],
    ['a short argsz', { hpasid: 1, argsz: 55 }, 22, 'vfio-sva-bind-arguments'],
    ['no part of VT-d', { hpasid: 1, argsz: 56 }, 22, 'vfio-sva-bind-arguments'],
    ['another version', { hpasid: 1, version: 2 }, 22, 'vfio-sva-bind-arguments'],
    ['another format', { hpasid: 1, format: 2 }, 22, 'vfio-sva-bind-arguments'],
    ['an unknown flag', { hpasid: 1, flags: 2n }, 22, 'vfio-sva-bind-arguments'],
    ['an unknown flag of VT-d', { hpasid: 1, vtd_flags: 0x80n }, 22, 'vfio-sva-bind-arguments'],
  ] as const)('refuses to bind %s', (_, fields, errno, reason) => {
    const session = start();
    request(session, ALLOC, 1, 1);
    expect(bind(session, fields)).toMatchObject({ ret: -1, errno, reason });
  });

  test.each([
    ['argsz', 0, 7],
    ['a flag above the operation', 0x10000, 80],
    ['an unknown operation', 2, 80],
  ] as const)('refuses %s', (_, flags, argsz) => {
    const answer = nesting(start(), flags, { hpasid: 1 }, argsz);
    expect(answer).toMatchObject({ errno: 22, reason: 'vfio-sva-nesting-arguments' });
  });

  test('needs a nesting IOMMU', () => {
    expect(bind(start({ nests: false }), { hpasid: 1 })).toMatchObject({
      errno: 95,
      reason: 'vfio-sva-no-nesting',
    });
  });
});
