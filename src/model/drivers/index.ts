import type { DriverName } from '../machine.ts';
import { AMD } from './amd.ts';
import type { IommuDriver } from './driver.ts';
import { MOCK } from './mock.ts';
import { RISCV } from './riscv.ts';
import { SMMUV3 } from './smmuv3.ts';
import { VTD } from './vtd.ts';

/** The IOMMU drivers by name. */

export type { EntryArray, Invalidated, IommuDriver, UserData } from './driver.ts';
export { NO_DATA } from './driver.ts';

export const DRIVERS: Readonly<Record<DriverName, IommuDriver>> = {
  mock: MOCK,
  vtd: VTD,
  amd: AMD,
  smmuv3: SMMUV3,
  riscv: RISCV,
};
