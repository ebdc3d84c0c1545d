import type { Store, TraceInfo } from '../../store/index.ts';
import type { Comparison } from './compare-dump.ts';
import { compareSmmu } from './smmu-compare.ts';
import type { Driver, DriverStream } from './smmu-driver.ts';
import { type DumpedStream, parseSmmuDump, type SmmuDump } from './smmu-dump.ts';
import { lookAtSmmu, type OwnIds, type SmmuLookOptions, streamIdOf } from './smmu-look.ts';

/** Dumps of an SMMU against a trace with all of its history: ids of tags, commands, tables of guests. */

export interface SmmuPoint {
  /** Marker of the dump. */
  readonly seq: number;
  readonly dump: SmmuDump;
}

export interface SmmuComparison extends Comparison {
  /**
   * Ids that the kernel's own domains hold, as this dump tells; null where it shows no domain of user space.
   */
  readonly ownIds: OwnIds;
}

/**
 * Compares dumps, ascending. The commands of each are those queued since the one before; the first may begin
 * with some of before the trace. Null when the trace has no SMMUv3 whose registers it tells.
 */
export function compareSmmuPoints(
  store: Store,
  trace: TraceInfo,
  points: readonly SmmuPoint[],
  options: Omit<SmmuLookOptions, 'ownIds'> = {},
): SmmuComparison[] | null {
  const learned = new Map<number, OwnIds>();
  const dumps = new Map(points.map(({ seq, dump }) => [seq, dump]));
  let known: OwnIds = { asids: null, vmids: null };
  const ownIds = (driver: Driver, seq: number): OwnIds => {
    const ids = learnIds(driver, dumps.get(seq)!);
    learned.set(seq, ids);
    // What one dump told holds for those after it.
    known = { asids: ids.asids ?? known.asids, vmids: ids.vmids ?? known.vmids };
    return known;
  };
  const at = points.map(({ seq }) => seq);
  const expected = lookAtSmmu(store, trace, at, { ...options, ownIds });
  if (expected === null) return null;
  return points.map(({ seq, dump }, index) => ({
    ...compareSmmu(dump, expected[index]!),
    ownIds: learned.get(seq)!,
  }));
}

/**
 * The same for one dump as text. What was queued since the dump before is known where the trace has a marker
 * of one (`dump …`). Null when the text is no dump of an SMMU, or the trace has none.
 */
export function compareSmmuAt(
  store: Store,
  trace: TraceInfo,
  seq: number,
  text: string,
  options: Omit<SmmuLookOptions, 'ownIds'> = {},
): SmmuComparison | null {
  const dump = parseSmmuDump(text);
  if (dump === null) return null;
  const before = markerBefore(store, trace, seq);
  const points = [...(before === null ? [] : [{ seq: before, dump }]), { seq, dump }];
  return compareSmmuPoints(store, trace, points, options)?.at(-1) ?? null;
}

/** Number of the last marker of a dump before a record. */
function markerBefore(store: Store, trace: TraceInfo, seq: number): number | null {
  let before: number | null = null;
  store.readCalls(trace.id, { toSeq: seq - 1 }, (call) => {
    if (call.op !== 'note' || call.kind !== 'marker') return;
    const { text } = call.fields;
    if (typeof text === 'string' && text.startsWith('dump ')) before = call.seq;
  });
  return before;
}

const VMID = 0xffffn;

/** The kernel takes the lowest free id: its own domains, made before, have those below all of user space. */
function learnIds(driver: Driver, { streams }: SmmuDump): OwnIds {
  let asids: number | null = null;
  let vmids: number | null = null;
  for (const stream of streams) {
    const domain = streamIn(driver, stream)?.domains.get(0);
    if (domain === undefined || domain.rank === 0) continue;
    const first = stream.contexts[0]?.words?.[0];
    if (domain.facts.stage === 2) {
      const id = Number((stream.entry[2] ?? 0n) & VMID);
      if (id > 0) vmids ??= id - domain.rank;
    } else if (first !== undefined) asids ??= Number(first >> 48n) - domain.rank;
  }
  return { asids, vmids };
}

function streamIn(driver: Driver, { bdf }: DumpedStream): DriverStream | undefined {
  return [...driver.streams.values()].find(({ streamId }) => streamId === streamIdOf(bdf));
}
