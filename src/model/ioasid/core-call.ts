import type { GuestPasid, HostPasid } from './names.ts';
import type { IoasidCore, Priority } from './state.ts';

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

/** One operation on the core: its state, who calls, and where notifications are told in their order. */
export interface CoreCall {
  readonly core: IoasidCore;
  /** Address space of the caller; 0 for the kernel itself. */
  readonly mm: number;
  readonly tell: (notification: Notification) => void;
}
