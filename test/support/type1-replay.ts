import { compareReply } from '../../replay/index.ts';
import {
  adoptReply,
  chooseProfile,
  createKernel,
  execute,
  executeWithPatches,
  type Kernel,
  machineOf,
  NO_EFFECTS,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import { predictedStruct } from '../../src/model/outcome.ts';
import type { Call, Capture, IoctlCall } from '../../src/trace/index.ts';
import { CMD, hexOf } from '../../src/uapi/index.ts';

/** Replays a capture whose /dev/vfio/vfio is the classic driver, and compares container and group calls. */

export interface ContainerReplay {
  /** Replaced when it goes on from a snapshot. */
  kernel: Kernel;
  /** Container ioctls and SET_CONTAINERs that were compared. */
  compared: number;
  /** Answers that could be predicted in part only, by seq. */
  readonly partial: number[];
  readonly divergences: string[];
}

export interface ContainerReplayOptions {
  /** Runs each call on an Immer draft of the control state instead of in place. */
  readonly draft?: boolean;
  /** Goes on from a snapshot after this many calls, again and again. */
  readonly snapshotCalls?: number;
}

export function replayContainers(
  { header, calls }: Pick<Capture, 'header' | 'calls'>,
  { draft = false, snapshotCalls = 0 }: ContainerReplayOptions = {},
): ContainerReplay {
  const { profile } = chooseProfile(header.kernel, header.pageSizeBytes);
  const machine = machineOf(header);
  const result: ContainerReplay = {
    kernel: createKernel(profile, false, NO_EFFECTS, machine),
    compared: 0,
    partial: [],
    divergences: [],
  };
  for (const [index, call] of calls.entries()) {
    apply(result, call, draft);
    if (snapshotCalls > 0 && index % snapshotCalls === 0)
      result.kernel = restoreKernel(serializeKernel(result.kernel), profile, machine);
  }
  return result;
}

function apply(result: ContainerReplay, call: Call, draft: boolean): void {
  const { kernel } = result;
  const reply = draft ? executeWithPatches(kernel, call).reply : execute(kernel, call);
  if (call.op !== 'ioctl') return;
  if (call.kind === 'container' || call.cmd === CMD.VFIO_GROUP_SET_CONTAINER) {
    result.compared += 1;
    const verdict = compareReply(kernel, call, reply);
    if (verdict === 'partial') result.partial.push(call.seq);
    if (verdict === 'diverged') result.divergences.push(differenceOf(kernel, call));
  }
  // Numbers of device descriptors are guesses.
  adoptReply(kernel, call);
}

function differenceOf(kernel: Kernel, call: IoctlCall): string {
  const { reply } = kernel;
  const out = predictedStruct(kernel, call);
  const predicted = `${reply.ret} ${reply.errno} ${out === null ? '' : hexOf(out)} ${reply.reason?.id ?? ''}`;
  const recorded = `${call.ret} ${call.errno} ${call.out === null ? '' : hexOf(call.out)}`;
  return `${call.seq} 0x${call.cmd.toString(16)}: ${predicted}, recorded ${recorded}`;
}
