/**
 * What the users of an open device have set up in it. Made when the device is opened first, dropped when it
 * is closed last; shared by all descriptors of the device. Plain JSON, part of the control state.
 */
export interface PciOpenState {
  /** Which kind of interrupt is in use: an index of IRQ up to MSIX, or null. */
  irqType: number | null;
  /** MSI or MSI-X vectors allocated. */
  vectors: number;
  /** An eventfd unmasks INTx. It may have been closed since, which drops it. */
  unmaskEvent: boolean;
  errorEvent: boolean;
  requestEvent: boolean;
  ioeventfds: Ioeventfd[];
  lowPower: 'off' | 'on' | 'until-wakeup';
  /** What the user wrote last to the memory bit of the command register; on after the open. */
  memory: boolean;
  /** A write to config space put the device to sleep, or may have: in D3 its memory does not answer. */
  asleep: boolean;
}

export interface Ioeventfd {
  readonly bar: number;
  /** Offset in the BAR; below 2^40. */
  readonly at: number;
  /** Value written, in hex. */
  readonly data: string;
  readonly bytes: number;
}

export function createPciOpenState(): PciOpenState {
  return {
    irqType: null,
    vectors: 0,
    unmaskEvent: false,
    errorEvent: false,
    requestEvent: false,
    ioeventfds: [],
    lowPower: 'off',
    memory: true,
    asleep: false,
  };
}
