/**
 * Which process a thread belongs to. strace shows threads by their own numbers; whose they are is told by
 * the clone that made them, where that is in the log. A thread that nothing introduces is taken to be one of
 * the process that came first: strace follows what one program starts, and a filter such as `-e trace=ioctl`
 * leaves clone out.
 */
export interface Processes {
  processOf(tid: number): number;
  started(tid: number, pid: number): void;
  ended(tid: number): void;
  /** Whether a fork in the log made it. */
  isKnownChild(pid: number): boolean;
}

const THREADS_MAX = 65_536;

export function createProcesses(): Processes {
  const owners = new Map<number, number>();
  const children = new Set<number>();
  let first: number | null = null;
  return {
    processOf(tid) {
      first ??= tid;
      return owners.get(tid) ?? first;
    },
    started(tid, pid) {
      if (owners.size >= THREADS_MAX) return;
      owners.set(tid, pid);
      if (tid === pid) children.add(pid);
    },
    ended: (tid) => void owners.delete(tid),
    isKnownChild: (pid) => children.delete(pid),
  };
}
