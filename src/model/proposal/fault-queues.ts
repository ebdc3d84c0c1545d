import { DONE, type ProposalAnswer, type ProposalCall, type ProposalHandler, textArg } from './call.ts';
import { requesterOf } from './faults.ts';
import { ARGUMENT_BAD } from './reasons.ts';
import { FAULT_NO_QUEUE, FAULT_QUEUED } from './reasons-memory.ts';

/** Queues of page requests, as the IOMMU driver keeps them: V12 of the page fault handler. */

/** A function that has a queue or loses it. One that no record speaks of is in that of its IOMMU. */
function onQueue(run: (call: ProposalCall, rid: string) => ProposalAnswer): ProposalHandler {
  return (call) => {
    const name = textArg(call, 'device');
    const rid = name === null ? null : requesterOf(call, name);
    if (name === null) return ARGUMENT_BAD;
    return rid === null ? FAULT_NO_QUEUE : run(call, rid);
  };
}

/** `iopf_queue_add_device`. */
export const addToQueue = onQueue(({ state }, rid) => {
  if (state.queued[rid] === true) return FAULT_QUEUED;
  state.queued[rid] = true;
  return DONE;
});

/** `iopf_queue_remove_device`: unfinished groups go with it. */
export const removeFromQueue = onQueue(({ state }, rid) => {
  if (state.queued[rid] === false) return FAULT_NO_QUEUE;
  state.queued[rid] = false;
  delete state.partialFaults[rid];
  return DONE;
});

/**
 * The queue of the IOMMU overflowed: all groups in it of which the last request is missing are dropped,
 * whichever device they are from.
 */
export function faultOverflow(call: ProposalCall): ProposalAnswer {
  const name = textArg(call, 'device');
  if (name === null) return ARGUMENT_BAD;
  const { partialFaults } = call.state;
  let dropped = 0;
  for (const device of Object.keys(partialFaults)) {
    dropped += partialFaults[device]!.length;
    delete partialFaults[device];
  }
  return { ret: 0, out: { dropped } };
}

/** A device says that it stopped using a PASID: needs no answer, its requests were flushed before. */
export function stopMarker(call: ProposalCall): ProposalAnswer {
  return textArg(call, 'device') === null ? ARGUMENT_BAD : { ret: 0, out: { answered: false } };
}
