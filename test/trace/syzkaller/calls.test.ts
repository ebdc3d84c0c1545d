import { describe, expect, test } from 'vitest';
import {
  bytesOf,
  chooseSyzCall,
  findSyzCall,
  offsetsIn,
  SYZ_CALLS,
  syzCallsOf,
} from '../../../src/trace/syzkaller/index.ts';
import { CMD, findIoctl, IOMMU_TEST_OP } from '../../../src/uapi/index.ts';

describe('the calls that syzkaller describes', () => {
  test('have names of their own', () => {
    expect(new Set(SYZ_CALLS.map(({ name }) => name)).size).toBe(SYZ_CALLS.length);
    expect(findSyzCall('ioctl$IOMMU_IOAS_MAP')?.cmd).toBe(0x3b85);
    expect(findSyzCall('ioctl$KVM_RUN')).toBeUndefined();
  });

  test('have each field where the kernel has it', () => {
    for (const call of SYZ_CALLS) {
      if (call.cmd === CMD.IOMMU_TEST_CMD) continue;
      const entry =
        findIoctl(call.kind === 'container' ? 'container' : 'iommufd', call.cmd) ??
        findIoctl('container', call.cmd);
      if (call.argument !== 'struct') {
        expect(entry?.argument === 'struct', call.name).toBe(false);
        continue;
      }
      const layout = entry!.layout!;
      const offsets = offsetsIn(call.fields);
      const ours = call.fields.map(({ bytes }, index) => `${offsets[index]}+${bytes}`);
      const widths = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8 } as Record<string, number>;
      for (const [index, at] of offsets.entries()) {
        const field = layout.fields.find(({ offset }) => offset === at);
        // Two halves of one field of the kernel, or one of syzkaller's over several reserved bytes.
        if (field === undefined || /^(nth_area|__reserved)$/.test(call.fields[index]!.name)) continue;
        expect(`${at}+${widths[field.kind]}`, `${call.name} ${field.name}`).toBe(ours[index]);
      }
    }
  });

  test('of the selftest fit its struct', () => {
    const calls = syzCallsOf('iommufd', CMD.IOMMU_TEST_CMD);
    expect(calls.length).toBeGreaterThan(10);
    for (const { fields, sizeBytes } of calls) expect(bytesOf(fields)).toBeLessThanOrEqual(sizeBytes);
  });

  test('are chosen by the constants in the struct', () => {
    const unmap = new Uint8Array(24);
    const view = new DataView(unmap.buffer);
    view.setUint32(0, 24, true);
    expect(chooseSyzCall('iommufd', CMD.IOMMU_IOAS_UNMAP, unmap)?.name).toBe('ioctl$IOMMU_IOAS_UNMAP');
    view.setBigUint64(16, 0xffff_ffff_ffff_ffffn, true);
    expect(chooseSyzCall('iommufd', CMD.IOMMU_IOAS_UNMAP, unmap)?.name).toBe('ioctl$IOMMU_IOAS_UNMAP$ALL');
    const check = new Uint8Array(72);
    new DataView(check.buffer).setUint32(4, IOMMU_TEST_OP.MD_CHECK_REFS, true);
    expect(chooseSyzCall('iommufd', CMD.IOMMU_TEST_CMD, check)?.name).toBe(
      'ioctl$IOMMU_TEST_OP_MD_CHECK_REFS',
    );
    expect(chooseSyzCall('iommufd', CMD.IOMMU_TEST_CMD, new Uint8Array(72))).toBeUndefined();
    expect(chooseSyzCall('container', CMD.VFIO_SET_IOMMU, null)?.name).toBe('ioctl$VFIO_SET_IOMMU');
  });

  test('are chosen by what an id names', () => {
    const destroy = new Uint8Array([8, 0, 0, 0, 5, 0, 0, 0]);
    const known = { resourceOf: (id: number) => (id === 5 ? ('hwpt_handle' as const) : null) };
    expect(chooseSyzCall('iommufd', CMD.IOMMU_DESTROY, destroy, known)?.name).toBe(
      'ioctl$IOMMU_DESTROY$hwpt',
    );
  });
});
