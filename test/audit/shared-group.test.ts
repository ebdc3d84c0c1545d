import { expect, test } from 'vitest';
import { buildPasidHistory, findHolders, findTenures } from '../../src/audit/index.ts';
import { chooseProfile, createKernel, execute, machineOf, NO_EFFECTS } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { EMPTY_HEADER, parseTopology } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../../src/uapi/index.ts';
import { startSession } from '../support/session.ts';
import { withStored } from '../support/stored.ts';

/** Two functions of one group share its attachment slots: replacing one table moves both. */

const device = (index: number) => ({
  path: `/dev/vfio/devices/vfio${index}`,
  bdf: `0000:00:05.${index}`,
  group: 4,
  instance: 'vtd0',
  max_pasids: 1024,
});
const header = {
  ...EMPTY_HEADER,
  kernel: '7.3.0-rc7',
  arch: 'x86_64',
  topology: parseTopology({
    iommu: 'vtd',
    instances: [{ name: 'vtd0', table_format: 'vtd-fs', aperture: ['0x0', '0xffffffffffff'] }],
    devices: [device(0), device(1)],
  }),
};

test('a PASID of a group with two functions is told of each of them', () => {
  const kernel = createKernel(chooseProfile('7.3', 4096).profile, true, NO_EFFECTS, machineOf(header));
  const session = startSession(kernel);
  session.open(3);
  for (const index of [0, 1]) openDevice(session.calls, index, (call) => execute(kernel, call));
  const attach = (fd: number, pt_id: number, pasid?: number) => {
    const fields = { argsz: 16, flags: pasid === undefined ? 0 : 1, pt_id, pasid: pasid ?? 0 };
    const request = buildStruct(VFIO_DEVICE_ATTACH_IOMMUFD_PT, fields);
    expect(session.ioctl(fd, CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT, request)).toMatchObject({ errno: 0 });
  };
  for (const fd of [5, 6]) {
    const request = buildStruct(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, flags: 0, iommufd: 3 });
    expect(session.ioctl(fd, CMD.VFIO_DEVICE_BIND_IOMMUFD, request).errno).toBe(0);
  }
  expect(session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})).errno).toBe(0);
  for (const made of [4, 5]) {
    const table = buildStruct(IOMMU_HWPT_ALLOC, { flags: 8, dev_id: 1, pt_id: 3 });
    expect(session.ioctl(3, CMD.IOMMU_HWPT_ALLOC, table)).toMatchObject({ errno: 0 });
    expect(kernel.state.contexts[1]!.objects[made]?.type).toBe('hwpt-paging');
  }
  for (const fd of [5, 6]) attach(fd, 4);
  for (const fd of [5, 6]) attach(fd, 4, 9);
  const before = session.calls.length - 1;
  // Asked through one descriptor.
  attach(5, 5, 9);
  const after = session.calls.length - 1;
  session.close(5, 'device');

  withStored({ header, calls: session.calls }, (store, traceId) => {
    const { diverged } = buildPasidHistory(store, traceId);
    expect(diverged).toBe(0);
    const tables = (at: number) =>
      findHolders(store, traceId, at, { pasid: 9 }).map(({ scope, hwpt }) => `${scope} ${hwpt}`);
    expect(tables(before)).toEqual(['0000:00:05.0 4', '0000:00:05.1 4']);
    expect(tables(after)).toEqual(['0000:00:05.0 5', '0000:00:05.1 5']);
    expect(tables(after + 1)).toEqual(['0000:00:05.1 5']);
    const leaked = findTenures(store, 'test', {}, 'leaked', 10).rows;
    expect(leaked.map(({ scope }) => scope)).toEqual(['0000:00:05.1']);
    // The RID takes one of what the device has.
    expect(store.query(`SELECT quota FROM pasid_scopes WHERE kind = 'function'`)).toEqual([
      { quota: 1023 },
      { quota: 1023 },
    ]);
  });
});

function openDevice(calls: Call[], index: number, run: (call: Call) => unknown): void {
  const fd = 5 + index;
  const path = `/dev/vfio/devices/vfio${index}`;
  const call: Call = {
    ...{ op: 'open', seq: calls.length, pid: 1000, tid: null, tNs: null, extra: null },
    ...{ replied: true, ret: fd, errno: 0, fd, kind: 'device', path, flags: 2n },
  };
  run(call);
  calls.push(call);
}
