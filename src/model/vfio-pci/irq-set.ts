import { VFIO_IRQ_SET_FLAGS } from '../../uapi/index.ts';
import { type Reason, type Refusal, reason } from '../reason.ts';
import type { PciDevice } from './device.ts';
import { BAD_EVENTFD } from './reasons.ts';

/** A SET_IRQS whose form is right. */
export interface IrqSet {
  readonly index: number;
  readonly start: number;
  readonly count: number;
  /** One of DATA_NONE, DATA_BOOL, DATA_EVENTFD. */
  readonly type: number;
  /** `count` bools or descriptors. */
  readonly data: Uint8Array;
}

/** What SET_IRQS comes to: a refusal, not known, or what it does; that answers the return value. */
export type IrqDecision = Reason | 'not-modelled' | (() => number);

export const IRQ_NOT_IN_USE = reason(
  'vfio-irq-not-in-use',
  'EINVAL',
  'vfio_pci_intrs.c, each action',
  'this kind of interrupt is not switched on, or another kind is',
);

export const { DATA_NONE, DATA_BOOL, DATA_EVENTFD } = VFIO_IRQ_SET_FLAGS;

/** The descriptor at a position of the data. */
export function eventfdAt({ data }: IrqSet, position: number): number {
  return new DataView(data.buffer, data.byteOffset, data.length).getInt32(position * 4, true);
}

/**
 * `eventfd_ctx_fdget`: recorders do not see eventfds, so a number that names nothing known is taken as one.
 */
export function checkEventfd(device: PciDevice, fd: number): Refusal {
  return device.descriptorKind(fd) === null ? null : BAD_EVENTFD;
}

/** An action without any effect that a later call could tell. */
export const NOTHING = (): number => 0;
