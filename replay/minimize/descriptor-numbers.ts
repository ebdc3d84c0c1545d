import type { Call } from '../../src/trace/index.ts';

/** Descriptor numbers of the processes of a shorter trace: those that were recorded, where they are free. */
export interface DescriptorNumbers {
  /** The process of the next record. */
  begin(call: Call): void;
  /** A number for a descriptor that the process gets. */
  take(pid: number, recorded: number): number;
  /** The number is free again. */
  free(pid: number, fd: number): void;
}

/** Standard input, output and error are open. */
const FIRST = 3;

export function createDescriptorNumbers(): DescriptorNumbers {
  const processes = new Map<number, Set<number>>();
  let lastPid: number | null = null;
  const used = (pid: number): Set<number> => processes.get(pid) ?? new Set();
  return {
    begin(call) {
      // As the model takes it: an unknown process is a copy of the one that acted last.
      if (!processes.has(call.pid)) processes.set(call.pid, new Set(lastPid === null ? [] : used(lastPid)));
      if (call.op === 'fork' && call.child > 0 && !processes.has(call.child))
        processes.set(call.child, new Set(used(call.pid)));
      lastPid = call.pid;
    },
    take(pid, recorded) {
      const numbers = used(pid);
      let fd = recorded;
      if (numbers.has(fd)) for (fd = FIRST; numbers.has(fd); fd++);
      numbers.add(fd);
      return fd;
    },
    free: (pid, fd) => void used(pid).delete(fd),
  };
}
