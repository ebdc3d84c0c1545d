import type { Kernel } from '../kernel.ts';
import type { HwInfo, Iommu } from '../machine.ts';
import { type Refusal, reason } from '../reason.ts';
import type { Refused } from './driver.ts';

/** GET_HW_INFO's part of a driver: `hw_info`. */

const TYPE_UNSUPPORTED = reason(
  'hw-info-type-unsupported',
  'EOPNOTSUPP',
  'selftest.c mock_domain_hw_info; hw_info of each driver',
  'the IOMMU driver does not have information of the type asked for',
);

/**
 * A driver without `hw_info`: type and length are 0, whatever was asked for. Only a driver can refuse a type.
 */
export const NO_HW_INFO: HwInfo = { type: 0, bytes: new Uint8Array(0) };

/** Bytes of each type, where the topology does not give them. */
const BYTES_BY_TYPE: Readonly<Record<number, number>> = { 1: 24, 2: 40, 4: 16 };

/** What a driver with one type of its own answers; `asked` is 0 for whatever it has. */
export function hwInfoOf(kernel: Kernel, iommu: Iommu, type: number, asked: number): HwInfo | Refused {
  if (asked !== 0 && asked !== type) return { refusal: TYPE_UNSUPPORTED };
  if (iommu.hwInfo?.type === type) return iommu.hwInfo;
  const known = kernel.state.learned[iommu.name]?.hwInfo;
  if (known !== undefined) return { type, bytes: new Uint8Array(Buffer.from(known, 'hex')) };
  kernel.call.rests.push({ owner: iommu.name, fact: 'hw info' });
  return { type, bytes: new Uint8Array(BYTES_BY_TYPE[type] ?? 0) };
}

/** `hw_info` of the mock driver, whose bytes are known. */
export function refuseHwInfoType(type: number, asked: number): Refusal {
  return asked !== 0 && asked !== type ? TYPE_UNSUPPORTED : null;
}
