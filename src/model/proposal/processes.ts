import type { Call } from '../../trace/index.ts';
import { endProcess, forkProcess } from '../descriptors.ts';
import type { Kernel } from '../kernel.ts';
import type { Process } from '../state.ts';
import { callOf } from './call.ts';
import { closeFile, endBonds, tellOrphans } from './closing.ts';
import { dropDescriptor, forkFiles } from './files.ts';
import type { ProposalState } from './state.ts';

/** Processes of the generations: how they come, and what goes with them. */

/**
 * The process of a record. One never seen before is a child of the last one, unless it begins with an open,
 * or waits for a child of its own.
 */
export function meetProcess(kernel: Kernel, state: ProposalState, { op, pid }: Call): Process {
  const known = kernel.state.processes[pid];
  if (known !== undefined) return known;
  const isChild = op !== 'open' && op !== 'waitpid';
  if (isChild) forkFiles(state, kernel.lastPid, pid);
  else state.descriptors[pid] = {};
  return forkProcess(kernel, pid, isChild ? kernel.lastPid : NO_PROCESS);
}

/** Parent of a process whose parent is not known. */
const NO_PROCESS = -1;

/**
 * A process is gone, as waitpid tells or lifetimes.ts: the bonds of its address space end first
 * (`exit_mm`), then its descriptors close, the newest first (`task_work_run`).
 */
export function exitProposalProcess(kernel: Kernel, pid: number, seq: number): void {
  const { proposal: state, processes } = kernel.state;
  if (state === undefined || processes[pid] === undefined) return;
  const call = callOf(kernel, state, { seq, pid }, null, {});
  endBonds(call);
  for (const fd of Object.keys(state.descriptors[pid] ?? {}).reverse()) {
    const gone = dropDescriptor(state, pid, Number(fd));
    if (gone !== null) closeFile({ ...call, file: gone }, gone);
  }
  tellOrphans(call);
  delete state.descriptors[pid];
  endProcess(kernel, pid, () => {});
}
