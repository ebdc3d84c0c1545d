import type { FirstStageFault } from './faults.ts';
import { hasAccessFlag } from './formats/arm-stage1.ts';
import { type GuestMemory, readGuest, recordedAt } from './guest-memory.ts';
import type { PageTable, WalkFault } from './page-table.ts';
import { type Access, READ, type TableFormat, UNKNOWN_FRAME, WRITE } from './table-format.ts';
import { levelSteps, type TranslationStep } from './translation.ts';

/**
 * Walks of tables that a guest keeps in its own memory: every address in them is translated by the second
 * stage first, and what stands there is known only where the trace recorded it.
 */

/** What is below a guest's tables. */
export interface SecondStage {
  readonly table: PageTable;
  readonly memory: GuestMemory;
}

export type FirstStageResult =
  /** What the guest's tables make of the address; `shift`: of the guest's page. */
  | { readonly kind: 'ipa'; readonly ipa: bigint; readonly shift: number }
  | { readonly kind: 'fault'; readonly fault: FirstStageFault }
  /**
   * The second stage does not let the walk read an entry (or mark it as used), of the guest's top table or
   * below.
   */
  | { readonly kind: 'second-stage'; readonly fault: WalkFault; readonly isTop: boolean }
  | { readonly kind: 'missing'; readonly ipa: bigint };

/** How a format's entries are judged, beside what `parse` tells. */
export interface FirstStageRules {
  readonly format: TableFormat;
  readonly levels: number;
  /** Whether the address is one that the table spans. */
  spans(iova: bigint): boolean;
  /** What an entry that points at a table takes away from all below it: READ, WRITE or both. */
  denies(word: bigint): number;
  /** Whether an unprivileged access may pass; of a leaf, where `parse` does not tell it. */
  isUser(word: bigint, isLeaf: boolean): boolean;
  /** Bits that the hardware sets in an entry it uses, so that the second stage must let it write. */
  marks(word: bigint, isLeaf: boolean, access: Access): boolean;
  /** A leaf that faults until software sets its access flag. */
  needsAccessFlag(word: bigint): boolean;
}

/** Reads eight bytes of the guest on behalf of the IOMMU, and tells how. */
export function readThrough(
  { table, memory }: SecondStage,
  ipa: bigint,
  steps: TranslationStep[],
): { readonly word: bigint } | { readonly fault: WalkFault } | 'missing' {
  const walk = table.walk(Number(ipa >> 12n), 'r');
  const word = walk.fault === null ? readGuest(memory, ipa) : null;
  if (typeof word === 'bigint') return { word };
  // Where the walk ends, the second stage's own way is shown.
  steps.push(...levelSteps(walk, `second stage of 0x${ipa.toString(16)}, `));
  return walk.fault === null ? 'missing' : { fault: walk.fault };
}

/** Where an entry of the guest stands: its own address, the physical one, and the record that told of it. */
export function placeOf({ table, memory }: SecondStage, ipa: bigint): string {
  const { frame } = table.walk(Number(ipa >> 12n), 'r');
  const physical =
    frame === null || frame === UNKNOWN_FRAME
      ? ''
      : ` = 0x${(BigInt(frame) * 4096n + (ipa & 4095n)).toString(16)}`;
  const seq = recordedAt(memory, ipa);
  return `at 0x${ipa.toString(16)} of the guest${physical}${seq === null ? '' : `, recorded at ${seq}`}`;
}

/** From a guest's top table to its leaf. */
export function walkFirstStage(
  below: SecondStage,
  rules: FirstStageRules,
  root: bigint,
  iova: bigint,
  access: Access,
  steps: TranslationStep[],
): FirstStageResult {
  const { format, levels } = rules;
  if (!rules.spans(iova)) return { kind: 'fault', fault: 'not-canonical' };
  let base = root;
  let allowed = READ | WRITE;
  for (let level = levels; level >= 1; level -= 1) {
    const shift = BigInt(format.itemShift(level));
    const index = (iova >> shift) % (1n << BigInt(format.indexBits(level)));
    const at = base + index * 8n;
    const isTop = level === levels;
    const read = readThrough(below, at, steps);
    if (read === 'missing') return { kind: 'missing', ipa: at };
    if ('fault' in read) return { kind: 'second-stage', fault: read.fault, isTop };
    const { word } = read;
    const parsed = format.parse(word, level);
    const says =
      parsed.kind === 'empty' ? 'not present' : parsed.kind === 'reserved' ? parsed.why : parsed.kind;
    steps.push({
      at: `first stage level ${level}`,
      index: Number(index),
      word: { value: word, unknown: [] },
      says: `${says}, ${placeOf(below, at)}`,
    });
    if (parsed.kind === 'empty') return { kind: 'fault', fault: 'not-present' };
    if (parsed.kind === 'reserved') return { kind: 'fault', fault: 'reserved' };
    const isLeaf = parsed.kind === 'leaf';
    if (!rules.isUser(word, isLeaf)) return { kind: 'fault', fault: 'supervisor' };
    const fault = isLeaf ? leafFault(rules, word, parsed.prot & allowed, access) : null;
    if (fault !== null) return { kind: 'fault', fault };
    if (rules.marks(word, isLeaf, access)) {
      const marking = below.table.walk(Number(at >> 12n), 'w').fault;
      if (marking !== null) return { kind: 'second-stage', fault: marking, isTop };
    }
    if (isLeaf) {
      const inside = iova & ((1n << BigInt(parsed.shift)) - 1n);
      return { kind: 'ipa', ipa: (BigInt(parsed.frame) << 12n) + inside, shift: parsed.shift };
    }
    allowed &= ~rules.denies(word);
    base = format.tableAddress(word, level);
  }
  throw new Error(`${format.name} has a table below its last level`);
}

function leafFault(
  rules: FirstStageRules,
  word: bigint,
  prot: number,
  access: Access,
): FirstStageFault | null {
  if (rules.needsAccessFlag(word)) return 'access-flag';
  if (access === 'w') return (prot & WRITE) === 0 ? 'not-writable' : null;
  return (prot & READ) === 0 ? 'not-readable' : null;
}

const P_RW = 1n << 1n;
const P_US = 1n << 2n;
const P_ACCESSED = 1n << 5n;
const P_DIRTY = 1n << 6n;

/** The CPU's format in guest memory: VT-d's first stage (4 or 5 levels), and AMD's version 2. */
export function x86Rules(format: TableFormat, levels: number): FirstStageRules {
  const bits = BigInt(9 * levels + 12);
  return {
    format,
    levels,
    spans(iova) {
      // The upper half begins where the top bit of the table is copied to all above it.
      const upper = iova >> (bits - 1n);
      return upper === 0n || upper === (1n << (64n - bits + 1n)) - 1n;
    },
    denies: (word) => ((word & P_RW) === 0n ? WRITE : 0),
    isUser: (word) => (word & P_US) !== 0n,
    marks: (word, isLeaf, access) =>
      (word & P_ACCESSED) === 0n || (isLeaf && access === 'w' && (word & P_DIRTY) === 0n),
    needsAccessFlag: () => false,
  };
}

const AP_TABLE_READ_ONLY = 1n << 62n;
const AP_TABLE_PRIVILEGED = 1n << 61n;

/** Arm's stage 1 in guest memory. `setsAccessFlag`: by hardware, or it is not asked for at all. */
export function armRules(format: TableFormat, inputBits: number, setsAccessFlag: boolean): FirstStageRules {
  return {
    format,
    levels: format.levels,
    spans: (iova) => iova >> BigInt(inputBits) === 0n,
    denies: (word) => ((word & AP_TABLE_READ_ONLY) === 0n ? 0 : WRITE),
    isUser: (word, isLeaf) => isLeaf || (word & AP_TABLE_PRIVILEGED) === 0n,
    marks: () => false,
    needsAccessFlag: (word) => !setsAccessFlag && !hasAccessFlag(word),
  };
}
