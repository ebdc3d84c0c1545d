import { describe, expect, test } from 'vitest';
import { type LintFinding, RULES } from '../../src/audit/index.ts';
import { watchForLint } from '../../src/audit/lint/watch.ts';
import { chooseProfile, createKernel, execute } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  type StructLayout,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../../src/uapi/index.ts';
import { machineFor } from '../support/random-hardware.ts';
import { buffer, PID, startSession, u32At } from '../support/session.ts';

/** A guest with tables of its own behind VT-d, of which notes tell every word, and the DMA of its device. */

const [IOMMUFD, DEVICE] = [3, 4];
const MEMORY = 0x10_0000_0000n;
const PAGE = 4096n;
/** Guest-physical pages of the guest's tables and of its data; the IOVA that they translate from. */
const TABLES = 0x100n;
const DATA = 0x200n;
const IOVA = 0x1_2345_6000n;
const LEVELS = 4n;
const PRESENT = 7n;
const { profile } = chooseProfile('7.3', 4096);
const machine = machineFor('vtd', '7.3');

interface Guest {
  /** Page `index` of the guest's table leads to data page `to` from now on. */
  set(index: bigint, to: bigint): void;
  invalidate(index: bigint, pages: bigint): void;
  unmapAll(): void;
  dma(index: bigint, result?: 'hit' | 'miss' | 'fault'): void;
  findings(): readonly LintFinding[];
}

function startGuest(): Guest {
  const session = startSession(createKernel(profile, false, undefined, machine));
  const { calls, kernel } = session;
  const base = () => ({ seq: calls.length, pid: PID, tid: null, tNs: null, extra: null });
  const record = (call: Call): void => {
    execute(kernel, call);
    calls.push(call);
  };
  const ask = <const L extends StructLayout>(
    cmd: number,
    layout: L,
    fields: Parameters<typeof buildStruct<L>>[1],
    data: Uint8Array | null = null,
    kind: 'iommufd' | 'device' = 'iommufd',
  ): Uint8Array => {
    const mem = data === null ? [] : [buffer(MEMORY + 0x300_0000n, data)];
    const fd = kind === 'device' ? DEVICE : IOMMUFD;
    const { errno, out } = session.ioctl(fd, cmd, buildStruct(layout, fields), mem, PID, kind);
    expect(errno).toBe(0);
    return out;
  };
  const write = (page: bigint, at: bigint, bytes: Uint8Array): void => {
    const va = `0x${(MEMORY + page * PAGE + at).toString(16)}`;
    session.note('usermem', { va, len: bytes.length, hex: Buffer.from(bytes).toString('hex') });
  };
  const word = (value: bigint): Uint8Array => new Uint8Array(new BigUint64Array([value]).buffer);
  session.open(IOMMUFD);
  session.mmap(MEMORY, 0x400_0000n);
  const path = '/dev/vfio/devices/vfio0';
  const answer = { replied: true, ret: DEVICE, errno: 0 } as const;
  record({ op: 'open', ...base(), ...answer, fd: DEVICE, kind: 'device', flags: 2n, path });
  const bound = ask(
    CMD.VFIO_DEVICE_BIND_IOMMUFD,
    VFIO_DEVICE_BIND_IOMMUFD,
    { iommufd: IOMMUFD },
    null,
    'device',
  );
  const dev_id = u32At(bound, 12);
  const ioas_id = u32At(ask(CMD.IOMMU_IOAS_ALLOC, IOMMU_IOAS_ALLOC, {}), 8);
  const length = 0x400n * PAGE;
  ask(CMD.IOMMU_IOAS_MAP, IOMMU_IOAS_MAP, { flags: 7, ioas_id, user_va: MEMORY, length, iova: 0n });
  const parent = u32At(ask(CMD.IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC, { flags: 1, dev_id, pt_id: ioas_id }), 16);
  const indexAt = (depth: bigint): bigint => (IOVA >> (12n + 9n * (LEVELS - 1n - depth))) % 512n;
  for (let depth = 0n; depth < LEVELS; depth += 1n) {
    write(TABLES + depth, 0n, new Uint8Array(4096));
    if (depth + 1n === LEVELS) continue;
    write(TABLES + depth, indexAt(depth) * 8n, word(((TABLES + depth + 1n) * PAGE) | PRESENT));
  }
  const config = new Uint8Array(24);
  new DataView(config.buffer).setBigUint64(8, TABLES * PAGE, true);
  new DataView(config.buffer).setUint32(16, 48, true);
  const data = { data_type: 1, data_len: 24, data_uptr: MEMORY + 0x300_0000n };
  const asked = { dev_id, pt_id: parent, ...data };
  const nested = u32At(ask(CMD.IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC, asked, config), 16);
  const attach = { pt_id: nested };
  ask(CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach, null, 'device');
  return {
    set: (index, to) =>
      write(TABLES + LEVELS - 1n, (indexAt(LEVELS - 1n) + index) * 8n, word(((DATA + to) * PAGE) | PRESENT)),
    invalidate(index, pages) {
      const entry = new Uint8Array(24);
      const view = new DataView(entry.buffer);
      view.setBigUint64(0, IOVA + index * PAGE, true);
      view.setBigUint64(8, pages, true);
      view.setUint32(16, 1, true);
      const array = { data_uptr: MEMORY + 0x300_0000n, data_type: 0, entry_len: 24, entry_num: 1 };
      ask(CMD.IOMMU_HWPT_INVALIDATE, IOMMU_HWPT_INVALIDATE, { hwpt_id: nested, ...array }, entry);
    },
    unmapAll: () => void ask(CMD.IOMMU_IOAS_UNMAP, IOMMU_IOAS_UNMAP, { ioas_id, iova: 0n, length }),
    dma(index, result) {
      const where = { device: path, pasid: 0, iova: IOVA + index * PAGE, len: 64 } as const;
      record({ op: 'dma', ...base(), ...where, access: 'r', result: result ?? null, physical: null });
    },
    findings: () => lookAgain(calls),
  };
}

/** The second pass of lint over calls of this machine. */
function lookAgain(calls: readonly Call[]): readonly LintFinding[] {
  const kernel = createKernel(profile, false, undefined, machine);
  const rules = RULES.filter(({ seesCaches }) => seesCaches === true);
  const watch = watchForLint(kernel, rules, 100, () => null, 'caches');
  kernel.effects = watch.watcher.effects;
  for (const call of calls) {
    watch.watcher.before(call);
    execute(kernel, call);
    watch.watcher.after(call, 'matched');
  }
  return watch.finish([]).findings;
}

const idsOf = (guest: Guest): string[] => [...new Set(guest.findings().map(({ id }) => id))].sort();

describe('a guest that changes its table', () => {
  test('and invalidates what it changed is told of nothing', () => {
    const guest = startGuest();
    guest.set(0n, 1n);
    guest.dma(0n);
    guest.set(0n, 2n);
    guest.invalidate(0n, 1n);
    guest.dma(0n);
    expect(idsOf(guest)).toEqual([]);
  });

  test('and never invalidates is told so, and of the access that used the old page', () => {
    const guest = startGuest();
    guest.set(0n, 1n);
    guest.dma(0n);
    guest.set(0n, 2n);
    guest.dma(0n);
    expect(idsOf(guest)).toEqual(['iotlb-stale-entry', 'nested-invalidate-missing']);
    const [stale] = guest.findings().filter(({ id }) => id === 'iotlb-stale-entry');
    expect(stale!.chain.map(({ role }) => role)).toEqual(['cached', 'changed', 'used after']);
    expect(stale!.message).toContain('user space has invalidated nothing there since');
  });

  test('and never invalidates is told so, when nothing uses it to the end', () => {
    const guest = startGuest();
    guest.set(0n, 1n);
    guest.dma(0n);
    guest.set(0n, 2n);
    expect(idsOf(guest)).toEqual(['nested-invalidate-missing']);
    expect(guest.findings()[0]!.message).toContain('to the end of the trace');
  });

  test('and invalidates half of it is told how far that reached', () => {
    const guest = startGuest();
    for (const index of [0n, 1n, 2n, 3n]) guest.set(index, index);
    for (const index of [0n, 1n, 2n, 3n]) guest.dma(index);
    for (const index of [0n, 1n, 2n, 3n]) guest.set(index, index + 8n);
    guest.invalidate(0n, 2n);
    expect(idsOf(guest)).toEqual(['invalidate-too-narrow']);
    const roles = guest.findings().map(({ chain }) => chain.map(({ role }) => role));
    expect(new Set(roles.map(String))).toEqual(new Set(['cached,changed,invalidated']));
  });
});

describe('a device that goes on after an unmap', () => {
  test('meets nothing stale, because the kernel flushes, and faults', () => {
    const guest = startGuest();
    guest.set(0n, 1n);
    guest.dma(0n);
    guest.unmapAll();
    guest.dma(0n);
    expect(idsOf(guest)).toEqual(['dma-to-unmapped']);
  });

  // Bugs 27 and 28 of section 5: the IOTLB still had what was nested on the parent.
  test.each(['hit', 'miss'] as const)(
    'and was seen to get through (%s) shows what the kernel forgot',
    (result) => {
      const guest = startGuest();
      guest.set(0n, 1n);
      guest.dma(0n, 'miss');
      guest.unmapAll();
      guest.dma(0n, result);
      expect(idsOf(guest)).toEqual(['dma-to-unmapped', 'invalidation-lost']);
      const [lost] = guest.findings().filter(({ id }) => id === 'invalidation-lost');
      expect(lost!.chain.map(({ role }) => role)).toEqual(['attached', 'used after']);
    },
  );

  test('and was seen to fault shows that the kernel did not forget', () => {
    const guest = startGuest();
    guest.set(0n, 1n);
    guest.dma(0n, 'hit');
    guest.unmapAll();
    guest.dma(0n, 'fault');
    expect(idsOf(guest)).toEqual(['dma-to-unmapped']);
  });
});
