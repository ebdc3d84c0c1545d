import { type ArmGeometry, indexBits, itemShift } from './formats/arm-lpae.ts';
import { armStage1, hasAccessFlag } from './formats/arm-stage1.ts';
import type { PageTable } from './page-table.ts';
import { parseContext } from './smmu-context-descriptor.ts';
import type { ExpectedStream } from './smmu-expectation.ts';
import { type GuestTables, guestGeometry } from './smmu-guest-tables.ts';
import { type Access, READ, WRITE } from './table-format.ts';

/** A nested walk: through a guest's own descriptor and tables, each of which stage 2 translates first. */

export type SmmuEvent = 'C_BAD_CD' | 'F_TRANSLATION' | 'F_ACCESS' | 'F_PERMISSION';

export interface NestedStep {
  /** Address of the entry, as the guest has it. */
  readonly at: bigint;
  readonly level: number;
  /** Null when nothing is there. */
  readonly word: bigint | null;
}

export type NestedResult =
  | { readonly kind: 'page'; readonly ipa: bigint; readonly frame: number }
  /** The event that the hardware records. Faults of stage 2 go to the host only. */
  | { readonly kind: 'fault'; readonly event: SmmuEvent; readonly stage: 1 | 2 }
  /** The trace does not hold this address of the guest's memory. */
  | { readonly kind: 'unknown'; readonly ipa: bigint };

export interface NestedWalk {
  readonly steps: readonly NestedStep[];
  readonly result: NestedResult;
}

const STAGE_2_FAULT: NestedResult = { kind: 'fault', event: 'F_TRANSLATION', stage: 2 };
const ENTRY_BYTES = 8n;

function fault(event: SmmuEvent): NestedResult {
  return { kind: 'fault', event, stage: 1 };
}

/** Null for a stream that does not translate through a guest's tables. */
export function walkNested(
  { guest, stage2, entry }: ExpectedStream,
  iova: bigint,
  access: Access,
  outputBits: number,
): NestedWalk | null {
  if (guest === null || stage2 === null) return null;
  const steps: NestedStep[] = [];
  if (guest.context === 'unmapped') return { steps, result: STAGE_2_FAULT };
  const [first, second] = guest.context;
  const pointer = (entry[0]?.value ?? 0n) & ((1n << 52n) - 1n) & ~0x3fn;
  if (first == null || second == null) return { steps, result: { kind: 'unknown', ipa: pointer } };
  const fields = parseContext(first, second);
  const geometry = guestGeometry(fields, outputBits);
  if (!fields.valid || geometry === null) return { steps, result: fault('C_BAD_CD') };
  if (fields.disabled || iova >> BigInt(geometry.inputBits) !== 0n)
    return { steps, result: fault('F_TRANSLATION') };
  const { setsAccessFlag, tableBase } = fields;
  const walk: Walk = { guest, stage2, geometry, iova, access, setsAccessFlag, steps };
  return { steps, result: descend(walk, geometry.levels, tableBase) };
}

interface Walk {
  readonly guest: GuestTables;
  readonly stage2: PageTable;
  readonly geometry: ArmGeometry;
  readonly iova: bigint;
  readonly access: Access;
  readonly setsAccessFlag: boolean;
  readonly steps: NestedStep[];
}

function descend(walk: Walk, level: number, base: bigint): NestedResult {
  const { guest, stage2, geometry, iova, steps } = walk;
  const index = (iova >> BigInt(itemShift(geometry, level))) % (1n << BigInt(indexBits(geometry, level)));
  const at = base + index * ENTRY_BYTES;
  if (stage2.walk(pageOf(at), 'r').fault !== null) return STAGE_2_FAULT;
  const found = guest.entries.find((entry) => entry.at === at && entry.level === level);
  if (found === undefined && guest.missing.includes(base)) return { kind: 'unknown', ipa: at };
  steps.push({ at, level, word: found?.word ?? null });
  const format = armStage1(geometry);
  const parsed = found === undefined ? ({ kind: 'empty' } as const) : format.parse(found.word, level);
  if (found === undefined || parsed.kind === 'empty' || parsed.kind === 'reserved')
    return fault('F_TRANSLATION');
  if (parsed.kind === 'table') return descend(walk, level - 1, format.tableAddress(found.word, level));
  if (!hasAccessFlag(found.word) && !walk.setsAccessFlag) return fault('F_ACCESS');
  const needed = walk.access === 'w' ? WRITE : READ;
  if ((parsed.prot & needed) === 0) return fault('F_PERMISSION');
  return through(walk, (BigInt(parsed.frame) << 12n) + (iova & ((1n << BigInt(parsed.shift)) - 1n)));
}

/** What stage 2 makes of the guest's address. */
function through({ stage2, access }: Walk, ipa: bigint): NestedResult {
  const { frame, fault: refused } = stage2.walk(pageOf(ipa), access);
  if (frame !== null) return { kind: 'page', ipa, frame };
  const event = refused === 'not-present' || refused === 'outside' ? 'F_TRANSLATION' : 'F_PERMISSION';
  return { kind: 'fault', event, stage: 2 };
}

function pageOf(address: bigint): number {
  return Number(address >> 12n);
}
