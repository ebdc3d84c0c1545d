import type { GuestPasid, HostPasid } from './names.ts';
import type { Ioasid, IoasidCore, Priority } from './state.ts';

/** What a change of a number's life is called by the notifier chains: `enum ioasid_notify_val`. */
export const IOASID_EVENT = { ALLOC: 1, FREE: 2, BIND: 3, UNBIND: 4 } as const;
export type IoasidEvent = keyof typeof IOASID_EVENT;

/** One event as one subscriber gets it: `struct ioasid_nb_args`. */
export interface Notification {
  readonly event: IoasidEvent;
  readonly subscriber: string;
  readonly priority: Priority;
  readonly id: HostPasid;
  readonly scope: string;
  readonly spid: GuestPasid | null;
  readonly set: number;
}

/** What a step meant for one number, beside the notifications: the audit is told of it. */
export type CoreChange = (
  what:
    | 'alloc'
    | 'free-pending'
    | 'free'
    | 'attach'
    | 'detach'
    | 'bind'
    | 'unbind'
    | 'clear'
    | 'drain'
    | 'flush'
    | 'orphan'
    | 'fault'
    | 'fault-answer',
  ioasid: Ioasid,
  more?: {
    /** Device that is concerned. */
    readonly device?: string;
    readonly process?: number;
    readonly flushes?: boolean;
    readonly vpasid?: number;
    /** Code of the answer to a fault. */
    readonly reason?: string;
  },
) => void;

/** One operation on the core: its state, who calls, and where notifications are told in their order. */
export interface CoreCall {
  readonly core: IoasidCore;
  /** Address space of the caller; 0 for the kernel itself. */
  readonly mm: number;
  readonly tell: (notification: Notification) => void;
  /** Who is told what happened to numbers. */
  readonly changed?: CoreChange;
}
