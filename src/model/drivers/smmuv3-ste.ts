import { type Refusal, reason } from '../reason.ts';

/** Stream table entries that user space gives for nested page tables: arm_smmu_validate_vste. */

/** struct iommu_hwpt_arm_smmuv3: the first two words. */
export const STE_BYTES = 16;

const VALID = 1n;
/** V, Config, S1Fmt, S1ContextPtr, S1CDMax. */
const ALLOWED_0 = 0xfn | 0x30n | (((1n << 52n) - 1n) & ~0x3fn) | (0x1fn << 59n);
/** S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS. */
const ALLOWED_1 = 0xffn | (1n << 27n) | (3n << 28n);
const ABORT = 0;
const BYPASS = 4;
const STAGE_1 = 5;

const BAD_STE = reason(
  'smmuv3-bad-ste',
  'EIO',
  'arm-smmu-v3-iommufd.c arm_smmu_validate_vste',
  'the stream table entry sets a bit that nesting does not allow, or a configuration or EATS that it does not know',
);

export function refuseSte(bytes: Uint8Array): Refusal {
  const view = new DataView(bytes.buffer, bytes.byteOffset, STE_BYTES);
  const first = view.getBigUint64(0, true);
  const second = view.getBigUint64(8, true);
  if ((first & VALID) === 0n) return null;
  if ((first & ~ALLOWED_0) !== 0n || (second & ~ALLOWED_1) !== 0n) return BAD_STE;
  const config = Number((first >> 1n) & 7n);
  if (config !== ABORT && config !== BYPASS && config !== STAGE_1) return BAD_STE;
  return ((second >> 28n) & 3n) > 1n ? BAD_STE : null;
}

/** Whether an accepted entry translates: an invalid one, abort and bypass need no vDEVICE. */
export function translates(hex: string): boolean {
  const first = Buffer.from(hex, 'hex').readBigUInt64LE(0);
  return (first & VALID) !== 0n && Number((first >> 1n) & 7n) === STAGE_1;
}
