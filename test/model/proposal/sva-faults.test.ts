import { describe, expect, test } from 'vitest';
import type { JsonRecord } from '../../../src/trace/index.ts';
import { deviceAt, type ProposalSession, startProposal } from '../../support/proposal-session.ts';

/** Page requests of processes, which the kernel handles: the reference's section 8.3, row by row. */

const NIC = '0000:01:00.0';
const [READ, WRITE] = [1, 2];
const [SUCCESS, INVALID] = [0, 1];
const [PROT_READ, PROT_WRITE] = [1, 2];

/** Process 200 with two pages that it may read, and one behind them that it may write. */
function bound(): ProposalSession {
  const s = startProposal('ioasid-v4', [deviceAt(NIC, 1, 'nic', { pasid: true })]);
  const mmap = { op: 'mmap', fd: -1, kind: 'anon', flags: '0x22', off: '0x0', errno: 0 };
  const map = (ret: string, len: number, prot: number): void =>
    void s.record({ ...mmap, addr: ret, ret, len, prot }, 200);
  map('0x7f0000000000', 0x2000, PROT_READ);
  map('0x7f0000002000', 0x1000, PROT_READ | PROT_WRITE);
  s.record({ op: 'munmap', addr: '0x7f0000003000', len: 0x1000, ret: 0, errno: 0 }, 200);
  s.call('ioasid_set_alloc', -1, { token: 0, quota: 8, type: 1 });
  s.call('iommu_sva_alloc_pasid', -1, { set: 1, mm: 200, min: 1, max: 0xfffff });
  return s;
}

/** Without a PASID where it is null. */
function request(s: ProposalSession, more: JsonRecord = {}) {
  const { pasid = 1, ...rest } = more;
  const base = { device: NIC, grpid: 1, addr: '0x7f0000000000', perm: READ, last: true };
  return s.call('iommu_page_request', -1, { ...base, ...(pasid === null ? {} : { pasid }), ...rest });
}
const codeOf = (s: ProposalSession, more: JsonRecord = {}): number =>
  (request(s, more).out['response'] as { code: number }).code;

describe('a page request of a process', () => {
  test.each([
    ['a page that may be read', {}, SUCCESS],
    ['a page that may be written', { addr: '0x7f0000002000', perm: READ | WRITE }, SUCCESS],
    ['a write to a page that may only be read', { perm: WRITE }, INVALID],
    ['a page without a mapping', { addr: '0x7f0000003000' }, INVALID],
    ['another PASID', { pasid: 2 }, INVALID],
    ['no PASID', { pasid: null }, INVALID],
  ])('for %s', (_, more: JsonRecord, code) => {
    expect(codeOf(bound(), more)).toBe(code);
  });
  test('is answered once for its group, which one bad member makes invalid', () => {
    const s = bound();
    expect(request(s, { last: false, perm: WRITE }).out).toEqual({ waits: true });
    expect(request(s, { addr: '0x7f0000002000' }).out).toEqual({
      response: { rid: NIC, pasid: 1, grpid: 1, code: INVALID },
    });
    expect(codeOf(s)).toBe(SUCCESS);
  });
  test('is answered without the PASID where the device does not need it', () => {
    expect(request(bound(), { response_needs_pasid: false }).out).toEqual({
      response: { rid: NIC, grpid: 1, code: SUCCESS },
    });
  });
  test('finds nobody after the process has exited', () => {
    const s = bound();
    s.record({ op: 'waitpid', child: 200, status: 0, ret: 200, errno: 0 }, 1);
    expect(codeOf(s)).toBe(INVALID);
  });
  test('of a process that no record speaks of finds all memory there', () => {
    const s = bound();
    s.call('iommu_sva_alloc_pasid', -1, { set: 1, mm: 300, min: 1, max: 0xfffff });
    expect(codeOf(s, { pasid: 2, perm: WRITE })).toBe(SUCCESS);
  });
});

describe('queues of page requests', () => {
  const queue = (s: ProposalSession, verb: 'add' | 'remove') =>
    s.call(`iopf_queue_${verb}_device`, -1, { device: NIC });
  test('a device added twice is EBUSY', () => {
    const s = bound();
    expect(queue(s, 'add').ret).toBe(0);
    expect(queue(s, 'add')).toMatchObject({ errno: 16, reason: 'iopf-queued' });
  });
  test('a fault on a device without a queue is ENODEV, and so is taking it away twice', () => {
    const s = bound();
    request(s, { last: false });
    expect(queue(s, 'remove').ret).toBe(0);
    expect(request(s)).toMatchObject({ errno: 19, reason: 'iopf-no-queue' });
    expect(queue(s, 'remove')).toMatchObject({ errno: 19 });
    queue(s, 'add');
    // What waited is gone with the queue.
    expect(s.kernel.state.proposal!.partialFaults).toEqual({});
    expect(codeOf(s)).toBe(SUCCESS);
  });
});
