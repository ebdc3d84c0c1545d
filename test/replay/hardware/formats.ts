import { formatOf } from '../../../replay/hardware/formats/index.ts';
import type { FormatFacts, TableFormat } from '../../../replay/hardware/table-format.ts';

/** Formats as domains of all kinds would have them, without a trace. */

const GIB = 2n ** 30n;
const X86_SIZES = 4096n + 2n ** 21n + GIB;

/** Capability register of VT-d: SAGAW in bits 8 to 12, MGAW in bits 16 to 21. */
function vtdRegisters(sagaw: number, mgaw: number, ecap: bigint): bigint[] {
  return [(BigInt(sagaw) << 8n) | (BigInt(mgaw) << 16n), ecap];
}

function facts(
  format: string,
  over: Partial<FormatFacts> = {},
  registers: bigint[] | null = null,
): FormatFacts {
  return {
    format,
    apertureLastPage: 2 ** 36 - 1,
    pageSizes: X86_SIZES,
    kernel: 703,
    dirtyTracking: false,
    nestParent: false,
    enforceCoherency: false,
    // The registers stand at bytes 8 and 16.
    hwInfoBit: (byteOffset, bit) =>
      registers === null ? null : ((registers[byteOffset / 8 - 1]! >> BigInt(bit)) & 1n) === 1n,
    stated: () => null,
    ...over,
  };
}

export function makeFormat(
  format: string,
  over: Partial<FormatFacts> = {},
  registers: bigint[] | null = null,
): TableFormat {
  const made = formatOf(facts(format, over, registers));
  if (made === null) throw new Error(`no format ${format}`);
  return made;
}

const SCALABLE = 1n << 43n;
const SCALABLE_COHERENT = SCALABLE | (1n << 48n);

/** Every format and number of levels, by a name. */
export const FORMATS: Readonly<Record<string, TableFormat>> = {
  'vtd-ss, 3 levels': makeFormat('vtd-ss', {}, vtdRegisters(2, 38, 0n)),
  'vtd-ss, 4 levels': makeFormat('vtd-ss', {}, vtdRegisters(4, 47, 1n)),
  'vtd-ss, 5 levels': makeFormat('vtd-ss', {}, vtdRegisters(12, 56, SCALABLE)),
  'vtd-ss, 6.12': makeFormat('vtd-ss', { kernel: 612 }, vtdRegisters(6, 47, 0n)),
  'vtd-ss, 4 KiB only': makeFormat('vtd-ss', { pageSizes: 4096n }),
  'vtd-ss, snooped': makeFormat('vtd-ss', { enforceCoherency: true }),
  'vtd-fs, 4 levels': makeFormat('vtd-fs', { apertureLastPage: 2 ** 35 - 1 }),
  'vtd-fs, 5 levels': makeFormat('vtd-fs', { apertureLastPage: 2 ** 44 - 1 }, [0n, SCALABLE_COHERENT]),
  amdv1: makeFormat('amdv1', { pageSizes: 2n ** 64n - 4096n, apertureLastPage: 2 ** 52 - 1 }),
  'amdv1, no huge pages': makeFormat('amdv1', { pageSizes: 4096n, apertureLastPage: 2 ** 52 - 1 }),
  'amdv2, 4 levels': makeFormat('amdv2', { apertureLastPage: 2 ** 35 - 1 }),
  'amdv2, 5 levels': makeFormat('amdv2', { apertureLastPage: 2 ** 44 - 1 }),
  'riscv-sv39': makeFormat('riscv-sv39', { pageSizes: X86_SIZES + 65536n }),
  'riscv-sv48': makeFormat('riscv-sv48', { pageSizes: X86_SIZES + 65536n + 512n * GIB }),
  'riscv-sv39x4': makeFormat('riscv-sv39x4', { pageSizes: X86_SIZES + 65536n }),
  'riscv-sv48x4': makeFormat('riscv-sv48x4', { pageSizes: X86_SIZES + 512n * GIB }),
  'riscv-sv57x4': makeFormat('riscv-sv57x4'),
  'riscv-sv57': makeFormat('riscv-sv57', { pageSizes: X86_SIZES + 65536n + 512n * GIB + 2n ** 48n }),
};
