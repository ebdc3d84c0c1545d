import type { Store, TraceInfo } from '../../../store/index.ts';
import { replayTrace } from '../../replayer.ts';
import type { AccessAnswer, AccessRequest } from './access.ts';
import type { CachedSlot } from './caches.ts';
import type { DmaDifference } from './dma-differences.ts';
import type { Entry } from './entry.ts';
import type { Geometry } from './geometry.ts';
import { type IotlbProjection, type IotlbStep, watchIotlb } from './projection.ts';

/** The caches at a point of a trace. */
export interface IotlbView {
  /** Last record that was applied. */
  readonly seq: number;
  /** Entries that are held, by IOMMU, cache, tag, PASID and page. */
  readonly entries: readonly Entry[];
  /** What context and PASID caches hold. */
  readonly slots: readonly CachedSlot[];
  /** What records `dma` say of accesses, and can not be. */
  readonly differences: readonly DmaDifference[];
  /** What the wanted accesses met, in their order; they come after the point. */
  readonly answers: readonly AccessAnswer[];
  readonly projection: IotlbProjection;
}

export interface IotlbLookOptions {
  /** Kernel release or profile name; the trace's own by default. */
  readonly kernel?: string | null;
  readonly geometry?: Geometry | null;
  /** Accesses to make at the point. */
  readonly accesses?: (projection: IotlbProjection) => Iterable<AccessRequest>;
  readonly onStep?: (step: IotlbStep) => void;
}

/** Follows the caches up to a record; null for the end of the trace. */
export function lookAtIotlb(
  store: Store,
  trace: TraceInfo,
  atSeq: number | null,
  { kernel = null, geometry = null, accesses, onStep }: IotlbLookOptions = {},
): IotlbView {
  let projection: IotlbProjection | null = null;
  const differences: DmaDifference[] = [];
  const options = {
    geometry,
    onStep: (step: IotlbStep): void => {
      differences.push(...step.differences);
      onStep?.(step);
    },
  };
  replayTrace(store, trace.id, {
    kernel,
    maxDivergences: 0,
    ...(atSeq === null ? {} : { untilSeq: atSeq }),
    watch: (started) => {
      projection = watchIotlb(started, options);
      return projection;
    },
  });
  const followed = projection as IotlbProjection | null;
  if (followed === null) throw new Error('a replay began without a watcher');
  followed.finish();
  const answers = [...(accesses?.(followed) ?? [])].map((request) => followed.access(request));
  return {
    seq: followed.state.seq,
    entries: followed.entries(),
    slots: followed.slots(),
    differences,
    answers,
    projection: followed,
  };
}
