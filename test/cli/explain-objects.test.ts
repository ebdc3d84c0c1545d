import { join } from 'node:path';
import picocolors from 'picocolors';
import { describe, expect, test } from 'vitest';
import { explainCall } from '../../replay/index.ts';
import { printExplanation } from '../../src/cli/explain-report.ts';
import { chooseProfile, createKernel, execute, predictedRead } from '../../src/model/index.ts';
import type { ReadCall, WriteCall } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  type FieldValue,
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_TEST_OP,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
} from '../../src/uapi/index.ts';
import { buffer, PID, type Session, startSession } from '../support/session.ts';
import { withStored } from '../support/stored.ts';

/** Explanations of calls on every kind of object that 7.3 has, as a person reads them. */

const ROOT = join(import.meta.dirname, '../..');
const DATA = 0x7ffc00002000n;
const PAGES = 0x7ffc00100000n;
const SELFTEST = 0xdeadbeef;
const QUEUE_TYPE = 0xbeefbeef;

const COLORLESS = picocolors.createColors(false);

/** What `ioasis explain` prints for each call of a session after the first ones. */
function explained({ calls }: Session, from: number): string {
  const header = { ...startSession().recording().header, kernel: '7.3' };
  return withStored({ header, calls }, (store, trace) => {
    const lines: string[] = [];
    for (const { seq } of calls.slice(from)) {
      printExplanation(
        { print: (line) => lines.push(line), colors: COLORLESS },
        explainCall(store, trace, seq)!,
      );
      lines.push('', '='.repeat(40), '');
    }
    return `${lines.join('\n')}\n`;
  });
}

type Fields = Readonly<Record<string, FieldValue>>;

/** IOAS 1, selftest object 2, device 3, automatic HWPT 4, nest parent 5. */
function start(): Session {
  const session = startSession(createKernel(chooseProfile('7.3', 4096).profile));
  session.open(3);
  session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS, 1, { dev_flags: 4 });
  hwptAlloc(session, { flags: 1, pt_id: 1 });
  return session;
}

function hwptAlloc(session: Session, fields: Fields): void {
  const data = { data_type: 0xdead, data_len: 4, data_uptr: DATA };
  const request = buildStruct(IOMMU_HWPT_ALLOC, {
    dev_id: 3,
    ...(fields['pt_id'] === 1 ? {} : data),
    ...fields,
  });
  session.ioctl(3, CMD.IOMMU_HWPT_ALLOC, request, [buffer(DATA, new Uint8Array(4))]);
}

function viommuAlloc(session: Session, fields: Fields): void {
  const request = { type: SELFTEST, dev_id: 3, hwpt_id: 5, ...fields };
  session.ioctl(3, CMD.IOMMU_VIOMMU_ALLOC, buildStruct(IOMMU_VIOMMU_ALLOC, request), [
    buffer(DATA, new Uint8Array(24), 'inout'),
  ]);
}

function vdeviceAlloc(session: Session, fields: Fields): void {
  const request = { viommu_id: 6, dev_id: 3, ...fields };
  session.ioctl(3, CMD.IOMMU_VDEVICE_ALLOC, buildStruct(IOMMU_VDEVICE_ALLOC, request));
}

function veventqAlloc(session: Session): void {
  const request = { viommu_id: 6, type: QUEUE_TYPE, veventq_depth: 1 };
  session.ioctl(3, CMD.IOMMU_VEVENTQ_ALLOC, buildStruct(IOMMU_VEVENTQ_ALLOC, request));
}

function hwQueueAlloc(session: Session, index: number): void {
  const place = { nesting_parent_iova: 0x1000000n, length: 4096n };
  const request = { viommu_id: 6, type: SELFTEST, index, ...place };
  session.ioctl(3, CMD.IOMMU_HW_QUEUE_ALLOC, buildStruct(IOMMU_HW_QUEUE_ALLOC, request));
}

function destroy(session: Session, id: number): void {
  session.ioctl(3, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id }));
}

/** Reads or writes a descriptor and records what the model answers. */
function transfer(
  session: Session,
  call: Pick<ReadCall | WriteCall, 'op' | 'fd' | 'kind' | 'len'>,
  arg?: Uint8Array,
) {
  const seq = session.calls.length;
  const base = {
    ...call,
    seq,
    pid: PID,
    tid: null,
    tNs: null,
    extra: null,
    replied: true,
    addr: DATA,
    off: null,
  };
  const asked = { ...base, ret: 0, errno: 0, out: null, arg: arg ?? null } as unknown as ReadCall | WriteCall;
  const { ret, errno } = execute(session.kernel, asked);
  const out = call.op === 'read' ? Uint8Array.from(predictedRead(session.kernel)) : null;
  session.calls.push({ ...asked, ret, errno, out } as ReadCall | WriteCall);
}

async function matches(session: Session, from: number, name: string): Promise<void> {
  await expect(explained(session, from)).toMatchFileSnapshot(join(ROOT, `test/golden/explain/${name}.txt`));
}

describe('explanations of objects of 7.3', () => {
  test('of a vIOMMU, its vDEVICE and its events', async () => {
    const session = start();
    const from = session.calls.length;
    viommuAlloc(session, { hwpt_id: 4 });
    viommuAlloc(session, { data_len: 24, data_uptr: DATA });
    hwptAlloc(session, { pt_id: 6 });
    session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 2, { pt_id: 7 });
    vdeviceAlloc(session, { virt_id: 0x99n });
    vdeviceAlloc(session, { virt_id: 0x98n });
    session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 2, { pt_id: 7 });
    session.selftest(3, IOMMU_TEST_OP.TRIGGER_VEVENT, 0, { dev_id: 3 });
    veventqAlloc(session);
    veventqAlloc(session);
    session.selftest(3, IOMMU_TEST_OP.TRIGGER_VEVENT, 0, { dev_id: 3 });
    session.selftest(3, IOMMU_TEST_OP.TRIGGER_VEVENT, 0, { dev_id: 3 });
    transfer(session, { op: 'read', fd: 4, kind: 'veventq', len: 8 });
    transfer(session, { op: 'read', fd: 4, kind: 'veventq', len: 100 });
    const fields = { hwpt_id: 6, data_uptr: DATA, data_type: SELFTEST, entry_len: 12, entry_num: 1 };
    const entry = Uint8Array.from([0, 0, 0, 0, 0x98, 0, 0, 0, 0, 0, 0, 0]);
    for (const id of [0x98, 0x99]) {
      const bytes = Uint8Array.from(entry.with(4, id));
      session.ioctl(3, CMD.IOMMU_HWPT_INVALIDATE, buildStruct(IOMMU_HWPT_INVALIDATE, fields), [
        buffer(DATA, bytes),
      ]);
    }
    for (const id of [6, 4]) destroy(session, id);
    session.close(4, 'veventq');
    for (const id of [4, 2, 8]) destroy(session, id);
    await matches(session, from, 'viommu');
  });

  test('of a HW queue and the memory under it', async () => {
    const session = start();
    viommuAlloc(session, {});
    session.mmap(PAGES, 0x2000n);
    const map = { flags: 7, ioas_id: 1, user_va: PAGES, length: 0x2000n, iova: 0x1000000n };
    session.ioctl(3, CMD.IOMMU_IOAS_MAP, buildStruct(IOMMU_IOAS_MAP, map));
    const from = session.calls.length;
    for (const index of [1, 0, 0]) hwQueueAlloc(session, index);
    const unmap = { ioas_id: 1, iova: 0x1000000n, length: 0x2000n };
    session.ioctl(3, CMD.IOMMU_IOAS_UNMAP, buildStruct(IOMMU_IOAS_UNMAP, unmap));
    for (const id of [8, 7]) destroy(session, id);
    await matches(session, from, 'hw-queue');
  });

  test('of PASIDs', async () => {
    const session = start();
    const from = session.calls.length;
    const attach = (op: 'PASID_ATTACH' | 'PASID_REPLACE', pasid: number, pt_id: number) =>
      session.selftest(3, IOMMU_TEST_OP[op], 2, { pasid, pt_id });
    attach('PASID_ATTACH', 7, 1);
    hwptAlloc(session, { flags: 8, pt_id: 1 });
    attach('PASID_ATTACH', 7, 6);
    session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 2, { pt_id: 6 });
    attach('PASID_REPLACE', 7, 6);
    attach('PASID_ATTACH', 2 ** 20, 6);
    for (let times = 0; times < 2; times += 1) attach('PASID_ATTACH', 7, 6);
    destroy(session, 6);
    session.selftest(3, IOMMU_TEST_OP.PASID_CHECK_HWPT, 2, { pasid: 7, hwpt_id: 4 });
    session.selftest(3, IOMMU_TEST_OP.PASID_CHECK_HWPT, 2, { pasid: 7, hwpt_id: 6 });
    session.selftest(3, IOMMU_TEST_OP.PASID_DETACH, 2, { pasid: 7 });
    await matches(session, from, 'pasid');
  });

  test('of a fault queue', async () => {
    const session = start();
    const from = session.calls.length;
    hwptAlloc(session, { pt_id: 5, flags: 4, fault_id: 9 });
    session.ioctl(3, CMD.IOMMU_FAULT_QUEUE_ALLOC, buildStruct(IOMMU_FAULT_QUEUE_ALLOC, {}));
    hwptAlloc(session, { pt_id: 5, flags: 4, fault_id: 6 });
    session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 2, { pt_id: 7 });
    const fault = { dev_id: 3, pasid: 0, grpid: 1, perm: 1, addr: 0x1000n };
    session.selftest(3, IOMMU_TEST_OP.TRIGGER_IOPF, 0, fault);
    transfer(session, { op: 'read', fd: 4, kind: 'fault', len: 0 });
    transfer(session, { op: 'read', fd: 4, kind: 'fault', len: 80 });
    const answer = (cookie: number) => Uint8Array.from([cookie, 0, 0, 0, 0, 0, 0, 0]);
    for (const cookie of [5, 1])
      transfer(session, { op: 'write', fd: 4, kind: 'fault', len: 8 }, answer(cookie));
    destroy(session, 6);
    await matches(session, from, 'fault-queue');
  });

  test('of two contexts', async () => {
    const session = start();
    const from = session.calls.length;
    session.open(4);
    session.ioctl(4, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
    const unmap = { ioas_id: 5, iova: 0n, length: 4096n };
    session.ioctl(4, CMD.IOMMU_IOAS_UNMAP, buildStruct(IOMMU_IOAS_UNMAP, unmap));
    session.ioctl(4, CMD.IOMMU_HWPT_ALLOC, buildStruct(IOMMU_HWPT_ALLOC, { dev_id: 3, pt_id: 1 }));
    session.selftest(4, IOMMU_TEST_OP.MOCK_DOMAIN, 1);
    session.selftest(4, IOMMU_TEST_OP.CREATE_ACCESS, 1, { flags: 1 });
    session.selftest(3, IOMMU_TEST_OP.ACCESS_PAGES, 5, { iova: 0x1000000n, length: 4096n });
    session.close(4);
    await matches(session, from, 'two-contexts');
  });
});
