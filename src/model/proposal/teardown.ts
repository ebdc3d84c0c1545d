import { pasidTeardownLifecycle, REFUSED } from '../../../machines/index.ts';
import { findIoasid, flushNumber, SYSTEM } from '../ioasid/index.ts';
import type { PasidChangeKind } from '../pasid-change.ts';
import {
  coreOf,
  DONE,
  numberArg,
  type ProposalAnswer,
  type ProposalCall,
  type ProposalHandler,
  textArg,
} from './call.ts';
import { ARGUMENT_BAD } from './reasons.ts';

/**
 * The order in which a PASID is taken out of use: stop, clear the entry, invalidate, drain, flush, put. A
 * step out of order is no refusal, since the kernel does not check it: it is a finding.
 */

const { state: STATE, event: EVENT, initial } = pasidTeardownLifecycle;

/** Where a step leads when it is made, whatever was left out before. */
const AFTER: Readonly<Record<keyof typeof EVENT, number>> = {
  USE: STATE.inUse,
  STOP: STATE.stopped,
  CLEAR: STATE.cleared,
  INVALIDATE: STATE.invalidated,
  DRAIN: STATE.drained,
  FLUSH: STATE.flushed,
  PUT: STATE.clean,
};

/** A flush of one device is none of the number while another one uses it. */
const STEPS = {
  USE: 'use',
  STOP: 'stop',
  CLEAR: 'clear',
  INVALIDATE: 'invalidate',
  DRAIN: 'drain',
  FLUSH: 'flush-device',
} as const satisfies Record<string, PasidChangeKind>;

const nameOf = (state: number): string => Object.entries(STATE).find(([, number]) => number === state)![0];

function advance({ state, seq }: ProposalCall, key: string, event: keyof typeof EVENT): void {
  const from = state.teardowns[key] ?? initial;
  const next = pasidTeardownLifecycle.step(from, EVENT[event]);
  if (next === REFUSED) {
    const says = `${event.toLowerCase()} of ${key} while it is ${nameOf(from)}`;
    state.findings.push({ id: 'pasid-teardown-order', seq, says });
  }
  const to = next === REFUSED ? AFTER[event] : next;
  if (to === STATE.clean) delete state.teardowns[key];
  else state.teardowns[key] = to;
}

/** One step on one device, told by the kernel or by the device's driver. */
export function teardownStep(event: Exclude<keyof typeof EVENT, 'PUT'>): ProposalHandler {
  return (call): ProposalAnswer => {
    const [device, id] = [textArg(call, 'device'), numberArg(call, 'id')];
    if (device === null || id === null) return ARGUMENT_BAD;
    advance(call, `${device}/${id}`, event);
    const core = coreOf(call);
    const ioasid = findIoasid(core.core, id, SYSTEM);
    if (event === 'USE' && ioasid !== undefined) ioasid.isCached = true;
    call.kernel.effects.pasidChanged({
      what: STEPS[event],
      scope: SYSTEM,
      pasid: id,
      context: 0,
      target: { device, file: 0, ioas: 0 },
    });
    if (event === 'FLUSH' && users(call, id).every(([, state]) => state === STATE.flushed))
      flushNumber(core, id);
    return DONE;
  };
}

/** A number that the allocator has back: what every device that used it must have done before. */
export function numberReturned(call: ProposalCall, id: number): void {
  for (const [key] of users(call, id)) advance(call, key, 'PUT');
}

/** Devices that use a number or did, with where they are. */
function users({ state }: ProposalCall, id: number): [string, number][] {
  return Object.entries(state.teardowns).filter(([key]) => key.endsWith(`/${id}`));
}

/** The IOMMU driver's worker took a number out of use on all devices, after CPU and devices were told. */
export function tornDown(call: ProposalCall, id: number): void {
  for (const [key] of users(call, id)) delete call.state.teardowns[key];
}
