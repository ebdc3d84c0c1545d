import { isPredicted, type Outcome, replayTrace } from '../replay/index.ts';
import { type Call, readCapture } from '../src/trace/index.ts';
import { findIoctl } from '../src/uapi/index.ts';
import { openTemporaryStore, type TraceWriter } from '../store/index.ts';
import type { CaptureFile } from './captures.ts';
import { type Counts, countCall, noCounts } from './counts.ts';
import type { Difference } from './difference.ts';

/** What a replay of one capture came to. */
export interface CaptureReport {
  readonly folder: string;
  readonly name: string;
  /** Kernel profile that was used. */
  readonly profile: string;
  /** False when the capture's kernel or page size is not the profile's own. */
  readonly profileExact: boolean;
  /** Calls that are inputs, such as mmap and open: there is nothing to predict of them. */
  readonly inputs: number;
  /** Counts by call, as `kind name`: `iommufd IOMMU_IOAS_MAP`. */
  readonly counts: ReadonlyMap<string, Counts>;
  /** In order. */
  readonly differences: readonly Difference[];
}

/** A call, its outcome, and how many facts were learned from its reply. */
interface Seen {
  readonly seq: number;
  readonly call: string;
  readonly outcome: Outcome;
  readonly learned: number;
}

/** Replays a capture through a temporary store, and keeps what came of each call. */
export async function replayCapture({ folder, name, path }: CaptureFile): Promise<CaptureReport> {
  const store = openTemporaryStore();
  try {
    const writers: TraceWriter[] = [];
    await readCapture(path, {
      header: (header) => void writers.push(store.beginTrace({ name, header })),
      calls: (calls) => writers[0]!.append(calls),
    });
    const { traceId } = writers[0]!;
    writers[0]!.seal();
    const seen: Seen[] = [];
    let inputs = 0;
    const { profile, profileExact, divergences } = replayTrace(store, traceId, {
      maxDivergences: Number.POSITIVE_INFINITY,
      onCall: (call, outcome, learned) => {
        if (outcome === 'matched' && isInput(call)) inputs += 1;
        else seen.push({ seq: call.seq, call: describeCall(call), outcome, learned });
      },
    });
    const diverged = new Map(divergences.map((divergence) => [divergence.seq, divergence]));
    const counts = new Map<string, Counts>();
    const differences: Difference[] = [];
    for (const { seq, call, outcome, learned } of seen) {
      const divergence = diverged.get(seq) ?? null;
      const own = counts.get(call) ?? noCounts();
      counts.set(call, own);
      countCall(own, outcome, learned, divergence?.field ?? null);
      if (outcome !== 'matched')
        differences.push({ fixture: `${folder}/${name}`, profile, seq, call, outcome, divergence });
    }
    return { folder, name, profile, profileExact, inputs, counts, differences };
  } finally {
    store.close();
  }
}

/**
 * Whether a call that matched says nothing about the model: its result is taken from the record, also that of
 * an open, which answers a number that nobody can know.
 */
function isInput(call: Call): boolean {
  return call.op === 'open' || !isPredicted(call);
}

/** Kind of the descriptor and name of the call: the same number is another call on another kind. */
function describeCall(call: Call): string {
  const kind = 'kind' in call ? call.kind : 'fields' in call ? String(call.fields['kind'] ?? '?') : '?';
  if (call.op !== 'ioctl') return `${kind} ${call.op}`;
  return `${kind} ${findIoctl(call.kind, call.cmd)?.name ?? `0x${call.cmd.toString(16)}`}`;
}
