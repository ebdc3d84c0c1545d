import type { Call, JsonValue } from '../../trace/index.ts';
import {
  type CoreCall,
  type GuestPasid,
  guestPasid,
  type IoasId,
  ioasId,
  type Notification,
} from '../ioasid/index.ts';
import type { Kernel } from '../kernel.ts';
import type { Reason } from '../reason.ts';
import type { Generation } from './generation.ts';
import { tellOfCore } from './pasid-changes.ts';
import type { ProposalFile, ProposalState } from './state.ts';

export type Json = Readonly<Record<string, JsonValue>>;

/** One call of a generation as its handler sees it. */
export interface ProposalCall {
  readonly kernel: Kernel;
  readonly state: ProposalState;
  readonly generation: Generation;
  readonly pid: number;
  readonly seq: number;
  /** Behind the descriptor of the call; null for a function of the kernel or an event of the hardware. */
  readonly file: ProposalFile | null;
  readonly args: Json;
  /** Notifications of the PASID core that the call caused, in their order. */
  readonly told: Notification[];
}

/** What a handler answers: a refusal, or the return value with results by name. */
export type ProposalAnswer = Reason | { readonly ret: number; readonly out?: Json };

export type ProposalHandler = (call: ProposalCall) => ProposalAnswer;

/** The plain success of a call. */
export const DONE: ProposalAnswer = { ret: 0 };

/** A call of a process on a file, or (null) of the kernel itself, or an event of the hardware. */
export function callOf(
  kernel: Kernel,
  state: ProposalState,
  { seq, pid }: Pick<Call, 'seq' | 'pid'>,
  file: ProposalFile | null,
  args: Json,
): ProposalCall {
  const told: Notification[] = [];
  return { kernel, state, generation: kernel.profile.name as Generation, pid, seq, file, args, told };
}

/** The PASID core as this call uses it: on behalf of the calling process, for the descriptor `context`. */
export function coreOf(call: ProposalCall, context = ownContext(call)): CoreCall {
  const { state, pid, told } = call;
  return {
    core: state.core,
    mm: pid,
    tell: (notification) => void told.push(notification),
    changed: (what, ioasid, more) => tellOfCore(call, context, what, ioasid, more),
  };
}

/** The descriptor that the call is made on; 0 for the kernel itself. */
function ownContext({ file }: ProposalCall): number {
  return file?.kind === 'iommu' ? file.id : 0;
}

/** An unsigned number of at most 53 bits, given as such or in hex; null when it is something else. */
export function numberArg({ args }: ProposalCall, name: string): number | null {
  const value = args[name];
  const number = typeof value === 'string' && /^0x[0-9a-f]+$/i.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : null;
}

/** A 64-bit value; null when it is missing or something else. */
export function wideArg({ args }: ProposalCall, name: string): bigint | null {
  const value = args[name];
  if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/i.test(value)) return BigInt(value);
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : null;
}

export function textArg({ args }: ProposalCall, name: string): string | null {
  const value = args[name];
  return typeof value === 'string' ? value : null;
}

export function flagArg({ args }: ProposalCall, name: string): boolean {
  return args[name] === true;
}

/** Here a number becomes a handle of an address space: the only place. */
export function ioasArg(call: ProposalCall, name = 'ioasid'): IoasId | null {
  const value = numberArg(call, name);
  return value === null ? null : ioasId(value);
}

/** Here a number becomes a guest's PASID: the only place. */
export function guestArg(call: ProposalCall, name: string): GuestPasid | null {
  const value = numberArg(call, name);
  return value === null ? null : guestPasid(value);
}

export const hexText = (value: bigint | number): string => `0x${value.toString(16)}`;
