import { describe, expect, test } from 'vitest';
import { faultQueueLifecycle, veventqLifecycle } from '../../machines/index.ts';
import { answerFaults, readFaults, type TransferResult } from '../../src/model/fault-queue.ts';
import { chooseProfile, createKernel } from '../../src/model/index.ts';
import type { FaultQueue, Veventq } from '../../src/model/state.ts';
import { readEvents } from '../../src/model/veventq.ts';
import {
  buildStruct,
  CMD,
  ERRNO,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_VFIO_IOAS,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../src/uapi/index.ts';
import { type Session, startSession, u32At, u64At } from '../support/session.ts';

/** A session on that kernel, with /dev/iommu open as descriptor 3 and IOAS 1. */
function sessionOf(kernel: string): Session {
  const session = startSession(createKernel(chooseProfile(kernel, 4096).profile));
  session.open(3);
  expect(session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})).errno).toBe(0);
  return session;
}

describe('the older rule and the newer one', () => {
  test.each([
    ['6.12.58', ERRNO.ENOENT],
    ['6.12.59', 0],
    ['6.17', ERRNO.ENOENT],
    ['6.17.9', 0],
    ['6.18', 0],
  ])('of the unmap of an empty VFIO range: %s', (kernel, errno) => {
    const session = sessionOf(kernel);
    const set = buildStruct(IOMMU_VFIO_IOAS, { op: 1, ioas_id: 1 });
    expect(session.ioctl(3, CMD.IOMMU_VFIO_IOAS, set).errno).toBe(0);
    const unmap = buildStruct(VFIO_IOMMU_UNMAP_DMA, { flags: 0, iova: 4096n, size: 4096n });
    const answer = session.ioctl(3, CMD.VFIO_IOMMU_UNMAP_DMA, unmap);
    expect([answer.errno, u64At(answer.out, 16)]).toEqual([errno, 0n]);
    // All of an empty IOAS was never refused.
    const all = buildStruct(VFIO_IOMMU_UNMAP_DMA, { flags: 2 });
    expect(session.ioctl(3, CMD.VFIO_IOMMU_UNMAP_DMA, all).errno).toBe(0);
  });

  test.each([
    ['6.12.95', ERRNO.ENOENT],
    ['6.12.96', ERRNO.EINVAL],
    ['7.0', ERRNO.ENOENT],
    ['7.2', ERRNO.EINVAL],
  ])('of invalidations without end: %s', (kernel, errno) => {
    const many = { hwpt_id: 9, data_uptr: 4096n, entry_len: 8, entry_num: 2 ** 20 };
    const arg = buildStruct(IOMMU_HWPT_INVALIDATE, many);
    expect(sessionOf(kernel).ioctl(3, CMD.IOMMU_HWPT_INVALIDATE, arg).errno).toBe(errno);
  });

  test.each([
    ['6.5', 68],
    ['6.6', 72],
    ['6.12', 72],
  ])('of where VFIO capabilities begin: %s', (kernel, bytes) => {
    const session = sessionOf(kernel);
    session.ioctl(3, CMD.IOMMU_VFIO_IOAS, buildStruct(IOMMU_VFIO_IOAS, { op: 1, ioas_id: 1 }));
    const { out } = session.ioctl(3, CMD.VFIO_IOMMU_GET_INFO, buildStruct(VFIO_IOMMU_GET_INFO, {}));
    expect(u32At(out, 0)).toBe(bytes);
  });

  test.each([
    ['6.11', 2n ** 30n],
    ['6.12.0', 2n ** 21n],
    ['7.3', 2n ** 21n],
  ])('of the alignment of automatic IOVAs: %s', (kernel, iova) => {
    const session = sessionOf(kernel);
    const wanted = { flags: 6, ioas_id: 1, user_va: 2n ** 32n, length: 2n ** 30n };
    const { out } = session.ioctl(3, CMD.IOMMU_IOAS_MAP, buildStruct(IOMMU_IOAS_MAP, wanted));
    expect(u64At(out, 32)).toBe(iova);
  });

  test.each([
    ['6.18', ERRNO.EBADF],
    ['6.19', ERRNO.EINVAL],
  ])('of what MAP_FILE looks at first: %s', (kernel, errno) => {
    const session = sessionOf(kernel);
    const wanted = buildStruct(IOMMU_IOAS_MAP_FILE, { flags: 6, ioas_id: 1, fd: 77, length: 0n });
    expect(session.ioctl(3, CMD.IOMMU_IOAS_MAP_FILE, wanted).errno).toBe(errno);
  });

  const fault = { flags: 2, pasid: 0, grpid: 1, perm: 1, addrPage: 1, addrOffset: 0 };
  const hasOf = (kernel: string) => chooseProfile(kernel, 4096).profile.has;
  const answerOf = ({ refusal, done }: TransferResult) => refusal?.errno ?? done;

  test.each([
    ['6.11', 0],
    ['6.12.100', 0],
    ['6.12.101', ERRNO.EINVAL],
    ['7.0', 0],
    ['7.3', ERRNO.EINVAL],
  ])('of a read too short for a group of faults: %s', (kernel, answer) => {
    const queue = emptyQueue();
    queue.deliver.push({ device: 1, group: 1, handle: 1, faults: [fault, fault] });
    const read = (bytes: number) => answerOf(readFaults(queue, bytes, () => true, hasOf(kernel)));
    expect([read(40), read(80), read(40)]).toEqual([answer, 80, 0]);
  });

  test.each([
    ['6.12.90', 3],
    ['6.12.91', ERRNO.EFAULT],
  ])('of a response that can not be read: %s', (kernel, answer) => {
    const write = answerFaults(emptyQueue(), new Uint8Array(5), 8, hasOf(kernel));
    expect(answerOf(write)).toBe(answer);
  });

  test.each([
    ['7.0', [0, 0, 12]],
    ['7.2', [ERRNO.EINVAL, ERRNO.EINVAL, 12]],
  ])('of a read too short for an event: %s', (kernel, answers) => {
    const events = [{ sequence: 0, data: [1, 2, 3, 4] }];
    const kind = { type: 'veventq', id: 1, users: 2, lifecycle: veventqLifecycle.initial } as const;
    const queue: Veventq = { ...kind, viommu: 2, eventType: 1, depth: 4, sequence: 1, events };
    expect([7, 11, 12].map((bytes) => answerOf(readEvents(queue, bytes, hasOf(kernel))))).toEqual(answers);
  });
});

function emptyQueue(): FaultQueue {
  const { initial } = faultQueueLifecycle;
  return { type: 'fault', id: 1, users: 2, lifecycle: initial, deliver: [], responses: {}, firstCookie: 1 };
}
