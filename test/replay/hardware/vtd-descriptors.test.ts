import { describe, expect, it } from 'vitest';
import { parseVtdLog } from '../../../replay/hardware/vtd-log/parse.ts';

/** Events of QEMU's VT-d, in the forms that its releases print; descriptors by VT-d 6.5.2. */

const EVENTS = [
  {
    line: 'vtd_inv_desc invalidate desc type p-iotlb high 0x0 low 0x500050026',
    event: { event: 'piotlb', did: 5, pasid: 5 },
  },
  {
    line: 'vtd_inv_desc invalidate desc type p-iotlb high 0x12345043 low 0x500040036',
    event: { event: 'piotlb-pages', did: 4, pasid: 5, page: 0x12345, order: 3, leafOnly: true },
  },
  {
    line: 'vtd_inv_desc invalidate desc type pasid-cache high 0x0 low 0x300080017',
    event: { event: 'pasid', did: 8, pasid: 3 },
  },
  {
    line: 'vtd_inv_desc invalidate desc type pasid-cache high 0x0 low 0x37',
    event: { event: 'pasid-global' },
  },
  {
    line: 'vtd_inv_desc invalidate desc type device high 0x7fffffffffffffff low 0x1800000003',
    event: { event: 'device-tlb', sid: 0x18, pasid: null, page: 0, order: 52 },
  },
  {
    line: 'vtd_inv_desc invalidate desc type device high 0x5000 low 0x1800000003',
    event: { event: 'device-tlb', sid: 0x18, pasid: null, page: 5, order: 0 },
  },
  {
    // Type 8 has its highest bit in bits 3:0; source id in 31:16, PASID in 51:32, size bit 11.
    line: 'vtd_inv_desc invalidate desc type device-piotlb high 0x7800 low 0x700200008',
    event: { event: 'device-tlb', sid: 0x20, pasid: 7, page: 0, order: 4 },
  },
  {
    line: 'vtd_inv_desc_iotlb_pasid_pages iotlb invalidate domain 0x4 addr 0x2000 mask 0x1 pasid 0x6',
    event: { event: 'piotlb-pages', did: 4, page: 2, order: 1, pasid: 6, leafOnly: null },
  },
  {
    line: 'vtd_pasid_cache_psi PASID selective PC invalidation domain 0x2 pasid 0x9',
    event: { event: 'pasid', did: 2, pasid: 9 },
  },
] as const;

describe('a line of a VT-d log', () => {
  it.each(EVENTS)('$line', ({ line, event }) => {
    expect(parseVtdLog(`12@1795169952.5:${line}\n`)).toEqual([
      { at: 0, line: 1, seconds: 1795169952.5, ...event },
    ]);
  });

  it('that tells again what the descriptor before it says is one event with it', () => {
    const log = [
      '7@1.0:vtd_inv_desc invalidate desc type iotlb high 0xc0400049 low 0x400f2',
      '8@1.0:vtd_reg_read addr 0x0 size 0x4',
      '7@1.0:vtd_inv_desc_iotlb_pages iotlb invalidate domain 0x4 addr 0xc0400000 mask 0x9',
    ];
    expect(parseVtdLog(log.join('\n'))).toMatchObject([
      { event: 'iotlb-pages', did: 4, page: 0xc0400, order: 9, leafOnly: true, line: 3 },
    ]);
  });

  it('of nothing that concerns a cache is none', () => {
    expect(parseVtdLog('vtd_inv_desc invalidate desc type wait high 0x1 low 0x200000025\n')).toEqual([]);
    expect(parseVtdLog('something else\n')).toBeNull();
  });
});
