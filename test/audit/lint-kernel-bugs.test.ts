import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CMD, IOMMU_TEST_OP as OP } from '../../src/uapi/index.ts';
import { accepted, badAlloc, edit, failed, out, pinsOfDmabuf, refused } from '../support/answer-edits.ts';
import { withNumber } from '../support/edit.ts';
import { readFixture } from '../support/fixtures.ts';
import { lint, spaced } from '../support/lint.ts';
import {
  type Change,
  type Finds,
  insertBefore,
  ioctl,
  moveBefore,
  testOp,
  twice,
} from '../support/trace-edits.ts';

/**
 * Bugs that kernels had (section 5 of the reference), as far as they show in a call sequence. The captures
 * are of kernels without them: the answers that a kernel with the bug gives are written over the real ones.
 * Where the mistake is the program's, or the kernel still has the bug, the capture is as recorded.
 */

interface Bug {
  /** Number in the reference, and what it was. */
  readonly bug: string;
  readonly rule: string;
  readonly capture: string;
  /** Null where the capture has it as recorded; `instead` is like it without, then. */
  readonly change: Change | null;
  readonly instead?: string;
}

const LINT = 'lint';
const FAULTS = `${LINT}/fault-several-good`;
const NESTED = 'linux-7.3-selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested';
const VERDICT_EINVAL = 22;
const VERDICT_EBUSY = 16;

const isRead: Finds = (call) => call.op === 'read' && call.ret > 0;
const isWrite: Finds = ({ op }) => op === 'write';
const isDestroy = ioctl(CMD.IOMMU_DESTROY);

const BUGS: readonly Bug[] = [
  {
    bug: '1, release of an event queue',
    rule: 'event-fd-race',
    capture: FAULTS,
    change: (calls) => {
      const tids = edit(
        (call) => call.op === 'close' && call.kind === 'fault',
        0,
        () => ({ tid: 101 }),
      );
      return edit(isDestroy, 2, () => ({ tid: 102 }))(tids(calls));
    },
  },
  {
    bug: '2, ownership of fault groups: read',
    rule: 'stale-fault-delivered',
    capture: FAULTS,
    change: moveBefore(isRead, -1, isDestroy, 0),
  },
  {
    bug: '2, ownership of fault groups: write',
    rule: 'stale-fault-delivered',
    capture: FAULTS,
    change: moveBefore(isWrite, -1, isDestroy, 0),
  },
  {
    bug: '3, answers of a replace',
    rule: 'stale-fault-delivered',
    capture: NESTED,
    change: moveBefore(testOp(CMD.IOMMU_TEST_CMD, OP.MOCK_DOMAIN_REPLACE), 3, isRead, 0),
  },
  {
    bug: '6, padding of fault records',
    rule: 'fault-record-leak',
    capture: FAULTS,
    change: edit(isRead, 0, out(20, 0xdead)),
  },
  { bug: '7, a group twice', rule: 'fault-delivered-twice', capture: FAULTS, change: twice(isRead, 0) },
  {
    bug: '7, half a group',
    rule: 'fault-delivered-twice',
    capture: FAULTS,
    change: edit(isRead, 0, out(0, 0)),
  },
  {
    bug: '8, answer of a fault write',
    rule: 'fault-answer-lost',
    capture: FAULTS,
    change: edit(isWrite, -1, (call) => ({
      arg: withNumber((call as { arg: Uint8Array }).arg, 8, 99),
      ret: -1,
      errno: VERDICT_EINVAL,
    })),
  },
  {
    bug: '9, abort of an event descriptor',
    rule: 'answer-lost',
    capture: 'oracle-6.12/undeliverable',
    change: null,
    instead: FAULTS,
  },
  {
    bug: '10 and 11, aborted object',
    rule: 'id-not-returned',
    capture: `${LINT}/double-destroy-good`,
    change: (calls) =>
      insertBefore(
        ioctl(CMD.IOMMU_IOAS_ALLOC),
        1,
        badAlloc,
      )(edit(ioctl(CMD.IOMMU_IOAS_ALLOC), 1, out(8, 3))(calls)),
  },
  {
    bug: '12, replace of what is not attached',
    rule: 'kernel-accepts-unsafe',
    capture: `${LINT}/pasid-use-after-detach-bad`,
    change: edit(failed(CMD.IOMMU_TEST_CMD, OP.PASID_REPLACE), 0, accepted),
  },
  {
    bug: '13 and 33, reserved ranges of a failed replace',
    rule: 'reserved-ranges-lost',
    capture: `${LINT}/reserved-ranges-lost-bad`,
    change: null,
    instead: `${LINT}/reserved-ranges-lost-good`,
  },
  {
    bug: '14, PASID of a replace',
    rule: 'stale-fault-delivered',
    capture: 'linux-7.3-selftests/iommufd_device_pasid.has_pasid.pasid_attach',
    change: edit(isRead, 0, out(8, 100)),
  },
  {
    bug: '15, pins after a split',
    rule: 'selftest-check-failed',
    capture: `${LINT}/selftest-check-failed-good`,
    change: edit(testOp(CMD.IOMMU_TEST_CMD, OP.MD_CHECK_REFS), 0, refused(5)),
  },
  {
    bug: '16, page behind an IOVA',
    rule: 'selftest-check-failed',
    capture: `${LINT}/selftest-check-failed-good`,
    change: edit(testOp(CMD.IOMMU_TEST_CMD, OP.MD_CHECK_MAP), 0, refused(VERDICT_EINVAL)),
  },
  {
    bug: '17, destroy raises the count',
    rule: 'busy-without-holder',
    capture: `${LINT}/double-destroy-good`,
    change: edit(isDestroy, 0, refused(VERDICT_EBUSY)),
  },
  {
    bug: '18, lists of access objects',
    rule: 'access-pins-lost',
    capture: `${LINT}/access-pins-lost-good`,
    change: edit(testOp(CMD.IOMMU_TEST_CMD, OP.DESTROY_ACCESS_PAGES), 0, refused(2)),
  },
  {
    bug: '19 and 21, a lock that is kept',
    rule: 'call-never-returned',
    capture: `${LINT}/double-destroy-good`,
    change: edit(isDestroy, 1, () => ({ replied: false, ret: 0, errno: 0, out: null })),
  },
  {
    bug: '21, event of a vDEVICE that is being made',
    rule: 'vevent-of-unknown-device',
    capture: `${LINT}/vevent-lost-good`,
    change: edit(isRead, 0, out(8, 0x98)),
  },
  {
    bug: '22, pins of a dma-buf',
    rule: 'kernel-accepts-unsafe',
    capture: 'linux-7.3-dmabuf/iommufd_ioas.mock_domain.dmabuf_simple',
    change: insertBefore(testOp(CMD.IOMMU_TEST_CMD, OP.SET_TEMP_MEMORY_LIMIT), -1, pinsOfDmabuf),
  },
  {
    bug: '23, empty dirty bitmap',
    rule: 'kernel-accepts-unsafe',
    capture: `${LINT}/kernel-accepts-unsafe-bad`,
    change: null,
    instead: `${LINT}/kernel-accepts-unsafe-good`,
  },
  {
    bug: '24, unmapped bytes',
    rule: 'unmap-size-wrong',
    capture: `${LINT}/compat-ioas-swap-good`,
    change: edit(ioctl(CMD.VFIO_IOMMU_UNMAP_DMA), 0, out(16, 0)),
  },
  {
    bug: '25, nest parent with faults',
    rule: 'kernel-accepts-unsafe',
    capture: NESTED,
    change: edit(
      (call) => failed(CMD.IOMMU_HWPT_ALLOC)(call) && call.op === 'ioctl' && call.arg![4] === 5,
      0,
      accepted,
    ),
  },
  {
    bug: '26, number of invalidations',
    rule: 'kernel-accepts-unsafe',
    capture: NESTED,
    change: edit(
      (call) => failed(CMD.IOMMU_HWPT_INVALIDATE)(call) && call.op === 'ioctl' && call.arg![26] === 8,
      0,
      accepted,
    ),
  },
  {
    bug: '29, PASID after its detach',
    rule: 'pasid-use-after-detach',
    capture: `${LINT}/pasid-use-after-detach-bad`,
    change: null,
    instead: `${LINT}/pasid-use-after-detach-good`,
  },
  {
    bug: '32, answer of ACCESS_RW',
    rule: 'unexplained-answer',
    capture: 'linux-7.3-selftests/iommufd_ioas.mock_domain.access_rw',
    change: edit(testOp(CMD.IOMMU_TEST_CMD, OP.ACCESS_RW), 0, refused(14)),
  },
  {
    bug: '34, mapping without permission',
    rule: 'kernel-accepts-unsafe',
    capture: 'linux-6.12-vtd/legacy48-legacy-v2',
    change: null,
    instead: 'linux-6.12-vtd/legacy48-basic',
  },
];

const FIXTURES = join(import.meta.dirname, '../fixtures');

function read(capture: string) {
  const [folder, name] = capture.split('/') as [string, string];
  return spaced(readFixture(name, join(FIXTURES, folder)));
}

describe('a bug of a kernel', () => {
  test.each(BUGS.map((bug) => [`${bug.bug} (${bug.rule})`, bug] as const))('is found: %s', (_, bug) => {
    const { rule, capture, change, instead } = bug;
    const recording = read(capture);
    const calls = change === null ? recording.calls : change(recording.calls);
    const before = lint(read(instead ?? capture)).map(({ id }) => id);
    const after = lint({ header: recording.header, calls }).map(({ id }) => id);
    const count = (ids: readonly string[]): number => ids.filter((id) => id === rule).length;
    expect(count(after)).toBeGreaterThan(change === null ? 0 : count(before));
    if (change === null) expect(count(before)).toBe(0);
  });
});
