import type { Call } from '../src/trace/index.ts';
import { CMD, IOMMU_TEST_CMD, IOMMU_TEST_OP, offsetsOf } from '../src/uapi/index.ts';

/**
 * When the processes of a trace ended. A recorder of descriptors sees no exit, and it matters: memory of a
 * process that is gone can not be pinned, and its descriptors are closed. Only inputs are looked at, never an
 * answer.
 */

const OP = offsetsOf(IOMMU_TEST_CMD).op;

/** Processes that end right after the call with a `seq`. */
export type Exits = ReadonlyMap<number, readonly number[]>;

/**
 * A forked process that opened nothing itself is taken to be gone after its last record, unless a later call
 * reads or pins user memory through an access object: then somebody still counts on that memory.
 */
export function findExits(readCalls: (visit: (call: Call) => void) => void): Exits {
  const lastSeq = new Map<number, number>();
  const settled = new Set<number>();
  let lastUse = -1;
  readCalls((call) => {
    // The process that the trace begins with is nobody's child.
    if (lastSeq.size === 0) settled.add(call.pid);
    // Who begins by waiting for a child is nobody's child either.
    if (call.op === 'waitpid' && !lastSeq.has(call.pid)) settled.add(call.pid);
    lastSeq.set(call.pid, call.seq);
    // Calls by name are of the generations of 2020 and 2021: written by hand, with a record of each exit.
    if (call.op === 'open' || call.op === 'call') settled.add(call.pid);
    if (call.op === 'fork' || call.op === 'waitpid') settled.add(call.child);
    if (call.op === 'ioctl' && call.cmd === CMD.IOMMU_TEST_CMD && usesMemory(call.arg)) lastUse = call.seq;
  });
  const exits = new Map<number, number[]>();
  for (const [pid, seq] of lastSeq) {
    if (settled.has(pid) || lastUse > seq) continue;
    exits.set(seq, [...(exits.get(seq) ?? []), pid]);
  }
  return exits;
}

function usesMemory(arg: Uint8Array | null): boolean {
  const op = arg === null || arg.length < 8 ? 0 : arg[OP];
  return op === IOMMU_TEST_OP.ACCESS_RW || op === IOMMU_TEST_OP.ACCESS_PAGES;
}
