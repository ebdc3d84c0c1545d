import type { JsonValue } from '../trace/index.ts';
import { type EffectSink, NO_EFFECTS } from './effects.ts';
import { createIovaSpace, type IovaSpace } from './iova-space.ts';
import { type Machine, MOCK_MACHINE } from './machine.ts';
import { createPagesTable, type PagesTable } from './pages-table.ts';
import type { Profile } from './profile.ts';
import { isGeneration } from './proposal/generation.ts';
import type { Reason, Refusal } from './reason.ts';
import { type Context, type ControlState, createControlState, type Ioas } from './state.ts';
import { createUserCall, type UserCall } from './user-call.ts';
import { layoutOf } from './user-layout.ts';
import { createUserMemory, type UserMemory } from './user-memory.ts';

/** The executable kernel: everything that a trace has built up so far. */
export interface Kernel {
  readonly profile: Profile;
  /** Control state; replaced as a whole when a call runs on an Immer draft. */
  state: ControlState;
  /** Areas and merged ranges by `Ioas.space`. */
  readonly spaces: Map<number, IovaSpace>;
  readonly pages: PagesTable;
  readonly memory: UserMemory;
  /** Dirty half pages by `PagingDomain.key`, for domains that track: see dirty-bits.ts. */
  readonly dirty: Map<number, Set<number>>;
  readonly call: UserCall;
  readonly reply: Reply;
  /** The machine it runs on. */
  readonly machine: Machine;
  /** Process of the previous record: the parent of one never seen before. */
  lastPid: number;
  /** iommufd serves /dev/vfio/vfio (CONFIG_IOMMUFD_VFIO_CONTAINER), not the classic type1 driver. */
  readonly servesContainers: boolean;
  /** One of the generations of 2020 and 2021 rather than a release of Linux. */
  readonly isProposal: boolean;
  /** Who is told what the calls caused. */
  effects: EffectSink;
}

/** What the model answers to one call. One object per kernel, valid until the next call. */
export interface Reply {
  /** False when the model does not know the answer: nothing else here counts then. */
  modelled: boolean;
  ret: number;
  errno: number;
  reason: Reason | null;
  /** Results by name of a call without a binary layout. */
  out?: Readonly<Record<string, JsonValue>> | undefined;
}

export function createKernel(
  profile: Profile,
  servesContainers = true,
  effects: EffectSink = NO_EFFECTS,
  machine: Machine = MOCK_MACHINE,
): Kernel {
  return {
    profile,
    state: createControlState(1 + Math.max(0, ...machine.devices.map(({ group }) => group))),
    spaces: new Map(),
    pages: createPagesTable(),
    memory: createUserMemory(layoutOf(machine.arch)),
    dirty: new Map(),
    call: createUserCall(),
    reply: { modelled: true, ret: 0, errno: 0, reason: null },
    machine,
    lastPid: 0,
    servesContainers,
    isProposal: isGeneration(profile.name),
    effects,
  };
}

/** The areas of an IOAS. */
export function spaceOf(kernel: Kernel, ioas: Ioas): IovaSpace {
  const space = kernel.spaces.get(ioas.space);
  if (space === undefined) throw new Error(`IOAS ${ioas.id} has no IOVA space ${ioas.space}`);
  return space;
}

export function createSpaceFor(kernel: Kernel): number {
  const key = kernel.state.nextSpace;
  kernel.state.nextSpace += 1;
  kernel.spaces.set(key, createIovaSpace());
  return key;
}

/** What the model says of a command: a refusal, success (null), or that it does not know. */
export type Answer = Refusal | 'not-modelled';

/** Handler of one ioctl; what it answers goes into `kernel.call`. */
export type Handler = (kernel: Kernel, context: Context) => Answer;
