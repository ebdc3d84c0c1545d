import type { Call, IoctlCall } from '../../trace/index.ts';
import { findIoctl } from '../../uapi/index.ts';
import type { Kernel } from '../kernel.ts';
import { openTarget } from '../open-target.ts';
import { isGeneration } from '../proposal/generation.ts';
import type { Reason } from '../reason.ts';
import type { ObjectType } from '../state.ts';
import {
  type CallFacts,
  type Check,
  factsOf,
  fileIn,
  isAnswerUndeliverable,
  numberIn,
  objectIn,
} from './check.ts';

import { DESCRIPTOR_ORDER } from './descriptors.ts';
import { IOMMUFD_ORDER } from './iommufd.ts';
import { generationCommand, PROPOSAL_ORDER } from './proposal.ts';
import { SELFTEST_ORDER, TEST_CMD, TEST_OPERATIONS } from './selftest.ts';
import { TYPE1_ORDER } from './type1.ts';
import { VFIO_ORDER } from './vfio.ts';
import { VFIO_DEVICE_ORDER } from './vfio-devices.ts';
import { VFIO_GROUP_ORDER } from './vfio-groups.ts';
import { VFIO_PCI_ORDER } from './vfio-pci.ts';

export { type CallFacts, factsOf } from './check.ts';

/**
 * The order of checks per command: which refusals are possible, and which is told when several apply. A
 * command that does the same check twice (COPY looks for two IOASes) has it twice, told apart by `at`.
 */
export const CHECK_ORDER: Readonly<Record<string, readonly Check[]>> = {
  ...IOMMUFD_ORDER,
  ...SELFTEST_ORDER,
  ...VFIO_ORDER,
  ...VFIO_DEVICE_ORDER,
  ...VFIO_PCI_ORDER,
  ...VFIO_GROUP_ORDER,
  ...TYPE1_ORDER,
  ...DESCRIPTOR_ORDER,
  ...PROPOSAL_ORDER,
};

/**
 * What became of a check. `passed`: the call got past it. `otherWay`: the kernel does not make it for such a
 * call. `untold`: it may have refused, but the fault of the answer came on top.
 */
export type CheckStatus = 'passed' | 'refused' | 'notReached' | 'otherWay' | 'untold';

export interface CheckResult {
  readonly id: string;
  readonly at: string | null;
  readonly status: CheckStatus;
}

/** The checks of one call, looked at before it ran. */
export interface CheckPlan {
  readonly command: string;
  readonly checks: readonly PlannedCheck[];
  /** The fault of the answer hides whatever was refused before. */
  readonly isAnswerLast: boolean;
}

interface PlannedCheck {
  readonly id: string;
  readonly at: string | null;
  readonly isOnTheWay: boolean;
  /** Whether this one refuses, where the state tells it apart from its namesakes. */
  readonly refuses: boolean;
}

/** Commands that write their struct back whatever they answer. */
const ALWAYS_ANSWERED = new Set(['IOMMU_HWPT_INVALIDATE', 'VFIO_IOMMU_UNMAP_DMA']);

const QUEUES: Readonly<Record<string, string>> = { fault: 'fault queue', veventq: 'vEVENTQ' };

/** Name of a call in the order of checks; null when the model does not know such calls. */
export function commandOf(facts: CallFacts): string | null {
  const { kernel, call } = facts;
  if (isGeneration(kernel.profile.name)) return generationCommand(kernel.profile.name, call);
  const kind = fileIn(facts)?.kind ?? ('kind' in call ? call.kind : '');
  switch (call.op) {
    case 'ioctl':
      return commandOfIoctl(kernel, call, kind);
    case 'open':
      return openTarget(kernel, call).kind === 'group' ? 'open of a group' : null;
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite': {
      const isRead = call.op === 'read' || call.op === 'pread';
      const what = kind === 'device' ? 'device' : QUEUES[kind];
      return what === undefined ? null : `${isRead ? 'read of' : 'write to'} a ${what}`;
    }
    default:
      return null;
  }
}

function commandOfIoctl(kernel: Kernel, call: IoctlCall, kind: string): string {
  if (kind === 'access' || kind === 'fault') return 'ioctl of another descriptor';
  const name = findIoctl(call.kind, call.cmd)?.name;
  if (call.kind !== 'iommufd' && !(call.kind === 'container' && kernel.servesContainers)) {
    // Others serve these descriptors: VFIO itself, its type1 driver, vfio-pci.
    const command = `${name} on a ${call.kind}`;
    return CHECK_ORDER[command] === undefined ? `another ioctl of a ${call.kind}` : command;
  }
  if (name === TEST_CMD) return testCommand(call);
  return name !== undefined && CHECK_ORDER[name] !== undefined ? name : 'ioctl of another number';
}

function testCommand({ arg }: { readonly arg: Uint8Array | null }): string {
  if (arg === null || arg.length < 8) return TEST_CMD;
  const op = TEST_OPERATIONS.get(new DataView(arg.buffer, arg.byteOffset).getUint32(4, true));
  return op === undefined ? TEST_CMD : `${TEST_CMD} ${op}`;
}

/** Looks at a call that has not run yet; null when its command has no order. */
export function planChecks(kernel: Kernel, call: Call, facts = factsOf(kernel, call)): CheckPlan | null {
  const command = commandOf(facts);
  const order = command === null ? undefined : CHECK_ORDER[command];
  if (command === null || order === undefined) return null;
  const checks = order.map(({ id, at, when, isIt }) => ({
    id,
    at,
    isOnTheWay: when.every((holds) => holds(facts)),
    refuses: at === null || (isIt === null ? refusesAt(facts, id, at) : isIt(facts)),
  }));
  return { command, checks, isAnswerLast: ALWAYS_ANSWERED.has(command) };
}

const TYPES: Readonly<Record<string, ObjectType>> = { 'ioas-not-found': 'ioas' };

/** Which of several checks with the same reason it is that refuses. */
function refusesAt(facts: CallFacts, id: string, at: string): boolean {
  const { call } = facts;
  if (id === 'struct-unreadable') {
    const isShort = call.op === 'ioctl' && (call.arg === null || call.arg.length < 4);
    return isShort === (at === 'size');
  }
  const type = TYPES[id];
  if (type !== undefined) return objectIn(facts, at)?.type !== type;
  if (at === 'answer') return isAnswerUndeliverable(facts);
  // A buffer without a recorded fault can fault all the same when nobody recorded it.
  return !isAnswerUndeliverable(facts) || hasFault(facts, at);
}

function hasFault(facts: CallFacts, field: string): boolean {
  const { call } = facts;
  const address = numberIn(facts, field);
  return call.op === 'ioctl' && call.mem.some(({ addr, fault }) => fault && Number(addr) === address);
}

/** What became of each check, once the answer is known. */
export function markChecks({ checks, isAnswerLast }: CheckPlan, reason: Reason | null): CheckResult[] {
  const refused = reason === null ? checks.length : refusedAt(checks, reason.id);
  const hides = isAnswerLast && checks[refused]?.at === 'answer';
  return checks.map(({ id, at, isOnTheWay }, index) => {
    if (index === refused) return { id, at, status: 'refused' };
    if (!isOnTheWay) return { id, at, status: 'otherWay' };
    if (index > refused) return { id, at, status: 'notReached' };
    return { id, at, status: hides ? 'untold' : 'passed' };
  });
}

/** Index of the check that refused: the first that can have, or -1 when the order lacks the reason. */
function refusedAt(checks: readonly PlannedCheck[], id: string): number {
  const known = checks.findIndex((check) => check.id === id && check.isOnTheWay && check.refuses);
  return known >= 0 ? known : checks.findIndex((check) => check.id === id && check.isOnTheWay);
}

/** The commands that may be refused for each reason, in the order of the tables. */
export function commandsByReason(): ReadonlyMap<string, readonly string[]> {
  const commands = new Map<string, string[]>();
  for (const [command, checks] of Object.entries(CHECK_ORDER)) {
    for (const { id } of checks) {
      const known = commands.get(id) ?? [];
      if (!known.includes(command)) known.push(command);
      commands.set(id, known);
    }
  }
  return commands;
}
