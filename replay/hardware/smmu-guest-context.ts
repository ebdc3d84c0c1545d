import type { SmmuEventName } from './faults.ts';
import { placeOf, readThrough, type SecondStage } from './first-stage.ts';
import { armStage1 } from './formats/arm-stage1.ts';
import type { WalkFault } from './page-table.ts';
import { parseContext } from './smmu-context-descriptor.ts';
import { guestGeometry } from './smmu-guest-tables.ts';
import type { GuestEntry } from './smmu-stream-table.ts';
import type { TableFormat } from './table-format.ts';
import type { TranslationStep } from './translation.ts';

/**
 * From a guest's stream table entry to the context descriptor of an access: SMMUv3, "Context descriptors".
 */

export type FoundContext =
  | {
      readonly kind: 'context';
      readonly format: TableFormat;
      readonly inputBits: number;
      readonly tableBase: bigint;
      readonly setsAccessFlag: boolean;
    }
  | { readonly kind: 'bypass' }
  | { readonly kind: 'event'; readonly event: SmmuEventName }
  | { readonly kind: 'second-stage'; readonly fault: WalkFault }
  | { readonly kind: 'missing'; readonly ipa: bigint };

const CONTEXT_POINTER = ((1n << 52n) - 1n) & ~0x3fn;
const LEAF_POINTER = ((1n << 52n) - 1n) & ~0xfffn;
const CONTEXT_BYTES = 64n;
/** Values of S1FMT: one table, or two levels with leaves of 4 or of 64 KiB. */
const LINEAR = 0;
const LEAF_BITS: Readonly<Record<number, bigint>> = { 1: 6n, 2: 10n };
/** Values of S1DSS: what an access without a substream gets where there are substreams. */
const TERMINATE = 0n;
const BYPASS = 1n;

/** `substream`: the PASID of the access; 0 for one without. */
export function findContext(
  below: SecondStage,
  { first, second }: GuestEntry,
  substream: number,
  outputBits: number,
  steps: TranslationStep[],
): FoundContext {
  const countBits = Number((first >> 59n) & 0x1fn);
  if (substream >= 2 ** countBits) return { kind: 'event', event: 'C_BAD_SUBSTREAMID' };
  if (countBits > 0 && substream === 0) {
    const without = second & 3n;
    if (without === TERMINATE) return { kind: 'event', event: 'F_STREAM_DISABLED' };
    if (without === BYPASS) return { kind: 'bypass' };
  }
  const at = descriptorAt(below, first, substream, steps);
  if (typeof at !== 'bigint') return at;
  const low = readThrough(below, at, steps);
  if (low === 'missing') return { kind: 'missing', ipa: at };
  if ('fault' in low) return { kind: 'second-stage', fault: low.fault };
  steps.push({
    at: `context descriptor${substream === 0 ? '' : ` ${substream}`}`,
    index: null,
    word: { value: low.word, unknown: [] },
    says: placeOf(below, at),
  });
  const high = readThrough(below, at + 8n, steps);
  if (high === 'missing') return { kind: 'missing', ipa: at + 8n };
  if ('fault' in high) return { kind: 'second-stage', fault: high.fault };
  const fields = parseContext(low.word, high.word);
  const geometry = guestGeometry(fields, outputBits);
  if (!fields.valid || geometry === null) return { kind: 'event', event: 'C_BAD_CD' };
  if (fields.disabled) return { kind: 'event', event: 'F_TRANSLATION' };
  const { tableBase, setsAccessFlag } = fields;
  const { inputBits } = geometry;
  return { kind: 'context', format: armStage1(geometry), inputBits, tableBase, setsAccessFlag };
}

function descriptorAt(
  below: SecondStage,
  first: bigint,
  substream: number,
  steps: TranslationStep[],
): bigint | Exclude<FoundContext, { kind: 'context' }> {
  const pointer = first & CONTEXT_POINTER;
  const format = Number((first >> 4n) & 3n);
  if (format === LINEAR) return pointer + BigInt(substream) * CONTEXT_BYTES;
  const bits = LEAF_BITS[format];
  if (bits === undefined) return { kind: 'event', event: 'C_BAD_CD' };
  const at = pointer + (BigInt(substream) >> bits) * 8n;
  const read = readThrough(below, at, steps);
  if (read === 'missing') return { kind: 'missing', ipa: at };
  if ('fault' in read) return { kind: 'second-stage', fault: read.fault };
  const { word } = read;
  const says = (word & 1n) === 0n ? 'not valid' : 'table of context descriptors';
  steps.push({
    at: 'context descriptor table',
    index: Number(BigInt(substream) >> bits),
    word: { value: word, unknown: [] },
    says: `${says}, ${placeOf(below, at)}`,
  });
  if ((word & 1n) === 0n) return { kind: 'event', event: 'C_BAD_SUBSTREAMID' };
  return (word & LEAF_POINTER) + (BigInt(substream) % (1n << bits)) * CONTEXT_BYTES;
}
