import { expect, test } from 'vitest';
import { execute } from '../../src/model/index.ts';
import { recordToCall } from '../../src/trace/index.ts';
import { buildStruct, CMD, IOMMU_IOAS_ALLOC } from '../../src/uapi/index.ts';
import { PID, startSession, u32At } from '../support/session.ts';

/** What a recorder tells of dup(3) = 4. */
const DUP = {
  op: 'open',
  pid: PID,
  fd: 4,
  kind: 'iommufd',
  path: '/dev/iommu',
  flags: '0x2',
  ret: 4,
  errno: 0,
};

const alloc = (): Uint8Array => buildStruct(IOMMU_IOAS_ALLOC, { size: 12 });

test('a descriptor made by dup is the same context, and keeps it after the first is closed', () => {
  const session = startSession();
  session.open(3);
  expect(u32At(session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, alloc()).out, 8)).toBe(1);
  execute(session.kernel, recordToCall({ ...DUP, via: 'dup', of: 3 }, 0)!);
  expect(u32At(session.ioctl(4, CMD.IOMMU_IOAS_ALLOC, alloc()).out, 8)).toBe(2);
  session.close(3);
  expect(u32At(session.ioctl(4, CMD.IOMMU_IOAS_ALLOC, alloc()).out, 8)).toBe(3);
  expect(Object.keys(session.kernel.state.contexts)).toHaveLength(1);
  session.close(4);
  expect(Object.keys(session.kernel.state.contexts)).toHaveLength(0);
});

test('an open of the same path is another context', () => {
  const session = startSession();
  session.open(3);
  session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, alloc());
  execute(session.kernel, recordToCall(DUP, 0)!);
  expect(u32At(session.ioctl(4, CMD.IOMMU_IOAS_ALLOC, alloc()).out, 8)).toBe(1);
});
