import { OUTPUT_BITS } from './formats/arm-lpae.ts';

/** What the registers of an SMMUv3 say of it, as far as tables and commands depend on it. */
export interface SmmuFeatures {
  readonly stage1: boolean;
  readonly stage2: boolean;
  /** Table walks snoop the caches (IDR0.COHACC). */
  readonly coherent: boolean;
  /** It can stall, and therefore has to be told not to (IDR0.STALL_MODEL). */
  readonly stalls: boolean;
  readonly ats: boolean;
  /** Context descriptor tables of two levels (IDR0.CD2L). */
  readonly twoLevelContexts: boolean;
  /** Bits of a substream id (IDR1.SSIDSIZE). */
  readonly substreamBits: number;
  /** The stream table may override attributes (IDR1.ATTR_TYPES_OVR). */
  readonly overridesAttributes: boolean;
  /** Commands that invalidate a range (IDR3.RIL). */
  readonly invalidatesRanges: boolean;
  /** Stage 2 can force write-back (IDR3.FWB). */
  readonly forcesWriteBack: boolean;
  /** Bits of a physical address (IDR5.OAS). */
  readonly outputBits: number;
}

/** struct iommu_hw_info_arm_smmuv3: flags, a reserved word, IDR0..IDR5, IIDR, AIDR; 32 bits each. */
const IDR0_WORD = 2;
const STALL_MODEL_STALL = 0;
const STALL_MODEL_FORCE = 2;

/**
 * arm_smmu_device_hw_probe, from the bytes of GET_HW_INFO; null when they are too short. That the kernel runs
 * at EL2 with the SMMU's E2H in use is in no register that user space sees: EL1 is assumed.
 */
export function smmuFeatures(hwInfo: Uint8Array): SmmuFeatures | null {
  if (hwInfo.length < 4 * (IDR0_WORD + 6)) return null;
  const view = new DataView(hwInfo.buffer, hwInfo.byteOffset, hwInfo.length);
  const idr = (register: number): number => view.getUint32(4 * (IDR0_WORD + register), true);
  return featuresOf([0, 1, 2, 3, 4, 5].map(idr));
}

/** The same from IDR0..IDR5. */
export function featuresOf(idr: readonly number[]): SmmuFeatures {
  const bit = (register: number, at: number): boolean => ((idr[register]! >>> at) & 1) === 1;
  const stallModel = (idr[0]! >>> 24) & 3;
  return {
    stage1: bit(0, 1),
    stage2: bit(0, 0),
    coherent: bit(0, 4),
    stalls: stallModel === STALL_MODEL_STALL || stallModel === STALL_MODEL_FORCE,
    ats: bit(0, 10),
    twoLevelContexts: bit(0, 19),
    substreamBits: (idr[1]! >>> 6) & 0x1f,
    overridesAttributes: bit(1, 27),
    invalidatesRanges: bit(3, 10),
    forcesWriteBack: bit(3, 8),
    outputBits: OUTPUT_BITS[idr[5]! & 7] ?? 52,
  };
}
