import { exitProcess, type Kernel } from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import type { Store } from '../store/index.ts';
import { type Exits, findExits } from './lifetimes.ts';

/** Ends processes where the trace suggests that they ended. */
export interface ExitWatch {
  before(call: Call): void;
  after(call: Call): void;
  /** What was looked for so far; null when nothing had to be. */
  known(): Exits | null;
}

/**
 * Looks for exits once a second process shows up, unless they are known; a trace of one process costs
 * nothing.
 */
export function createExitWatch(
  store: Store,
  traceId: number,
  kernel: Kernel,
  assumptions: string[],
  known: Exits | null = null,
): ExitWatch {
  const readAll = (visit: (call: Call) => void): void => void store.readCalls(traceId, {}, visit);
  const processCount = (): number => Object.keys(kernel.state.processes).length;
  // A snapshot may begin with several processes.
  let exits = known ?? (processCount() > 1 ? findExits(readAll) : null);
  let lastPid = -1;
  return {
    known: () => exits,
    before(call) {
      if (call.pid === lastPid) return;
      lastPid = call.pid;
      if (exits !== null || kernel.state.processes[call.pid] !== undefined || processCount() === 0) return;
      exits = findExits(readAll);
    },
    after(call) {
      if (exits === null || exits.size === 0) return;
      for (const pid of exits.get(call.seq) ?? []) {
        exitProcess(kernel, pid, call.seq);
        assumptions.push(`process ${pid} is taken to have exited after call ${call.seq}, its last`);
      }
    },
  };
}
