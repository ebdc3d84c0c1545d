import { createResourceTracker, type InitialMemory, type Resource } from '../../resources/index.ts';
import type { ExportSource } from '../source.ts';

/** The variables `r0`, `r1` … of a program: only what is used later has one. */
export interface Variables {
  /** Name for what a call gives; null when nobody uses it before it is given again. */
  give(seq: number, resource: Resource | null): string | null;
  /** Name of what was given last; null when the program did not make it. */
  use(resource: Resource): string | null;
}

/** Reads the trace once, to see what is used. */
export function createVariables(source: ExportSource, memory: readonly InitialMemory[]): Variables {
  const wanted = new Set<string>();
  const lastGiven = new Map<number, number>();
  const tracker = createResourceTracker(memory);
  for (const call of source.calls()) {
    const { uses, gives } = tracker.next(call);
    for (const { resource } of uses) {
      const seq = lastGiven.get(resource.index);
      if (seq !== undefined) wanted.add(`${seq} ${resource.index}`);
    }
    for (const { resource } of gives) lastGiven.set(resource.index, call.seq);
  }
  const names = new Map<number, string>();
  let count = 0;
  return {
    give(seq, resource) {
      if (resource === null || !wanted.has(`${seq} ${resource.index}`)) return null;
      const name = `r${count}`;
      count += 1;
      names.set(resource.index, name);
      return name;
    },
    use: (resource) => names.get(resource.index) ?? null,
  };
}
