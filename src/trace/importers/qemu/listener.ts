import type { ImportSink } from '../importer.ts';
import { type EventRange, isMappable, mapDma, rangeIn, rangeOf, unmapDma } from './container-events.ts';
import type { QemuSession } from './session.ts';
import { readPairs } from './values.ts';

/**
 * The events that tell what is to be mapped: of the memory listener, and of the notifier of a vIOMMU. On a
 * VFIO container the ioctl follows and no event tells it, so the event stands for the call. Under iommufd an
 * `iommufd_backend_*` event follows that tells the call itself.
 */
const ADD_RAM = 'vfio_listener_region_add_ram';
const DELETE = 'vfio_listener_region_del';
const NOTIFY = 'vfio_iommu_map_notify';
/** Comes after ADD_RAM of a region of a device that is not in whole pages: nothing is mapped. */
const NOT_MAPPED: ReadonlySet<string> = new Set([
  'vfio_listener_region_add_no_dma_map',
  'vfio_listener_region_skip_dma_map',
]);
const LISTENER: ReadonlySet<string> = new Set([ADD_RAM, DELETE, NOTIFY]);
/** Events that only QEMU's container code has. */
const LEGACY: ReadonlySet<string> = new Set(['vfio_realize', 'vfio_attach_device', 'vfio_device_attach']);

/** Events of the listener by name. */
export const LISTENER_EVENTS: readonly string[] = [...LISTENER];

export function isListenerEvent(name: string): boolean {
  return LISTENER.has(name);
}

/** Names under which its events are counted where another event tells the call. */
const TOLD_BY_BACKEND: Readonly<Record<string, string>> = Object.fromEntries(
  [...LISTENER].map((name) => [name, `${name} (told by iommufd_backend_*)`]),
);

export interface Listener {
  event(name: string, text: string, isSimple: boolean): void;
  /** Counts an event that the backend's events tell of; false where it is one of its own. */
  countTold(name: string): boolean;
  /** Another event comes: what waited for it is decided. */
  before(name: string): void;
  end(): void;
}

/** What an event asks for. */
interface Wish extends EventRange {
  readonly name: string;
  readonly op: 'map' | 'unmap';
  readonly va: bigint | null;
}

export function createListener(session: QemuSession, sink: ImportSink): Listener {
  let hasIommufd = false;
  let hasContainer = false;
  let waiting: Wish | null = null;

  /** The call that the event stood for. */
  const settle = (): void => {
    if (waiting === null) return;
    const { op, start, size, va } = waiting;
    waiting = null;
    if (op === 'map') mapDma(session, start, size, va);
    else unmapDma(session, start, size);
  };

  const drop = (why: string): void => {
    if (waiting === null) return;
    sink.skip(`${waiting.name} (${why})`);
    waiting = null;
  };

  const countTold = (name: string): boolean => {
    if (!hasIommufd || hasContainer) return false;
    settle();
    sink.skip(TOLD_BY_BACKEND[name]!);
    return true;
  };

  return {
    countTold,
    event(name, text, isSimple) {
      if (countTold(name)) return;
      settle();
      const wish = wishOf(name, text, isSimple);
      if (wish === null) {
        sink.skip(`${name} (damaged)`);
        return;
      }
      waiting = wish;
      if (wish.op === 'unmap' && !isMappable(wish.start, wish.size)) drop('not in whole pages');
    },
    before(name) {
      if (waiting === null && (hasIommufd || hasContainer)) return;
      if (name.startsWith('iommufd_')) {
        hasIommufd = true;
        if (name.startsWith('iommufd_backend_')) drop('told by iommufd_backend_*');
      } else if (LEGACY.has(name)) hasContainer = true;
      if (NOT_MAPPED.has(name)) drop('of a device, not mapped');
      settle();
    },
    end: settle,
  };
}

function wishOf(name: string, text: string, isSimple: boolean): Wish | null {
  const values = isSimple ? readPairs(text) : null;
  const range =
    values === null
      ? rangeIn(text)
      : rangeOf(values.wide('iova_start', 'start'), values.wide('iova_end', 'end'));
  if (range === null) return null;
  if (name === DELETE) return { name, op: 'unmap', va: null, ...range };
  if (name === NOTIFY) {
    const word = values === null ? /^\s*iommu (MAP|UNMAP) /.exec(text)?.[1] : values.text('op');
    if (word !== 'MAP' && word !== 'UNMAP') return null;
    return { name, op: word === 'MAP' ? 'map' : 'unmap', va: null, ...range };
  }
  const address = /\[(0x[0-9a-f]{1,16}|\(nil\))\]\s*$/.exec(text)?.[1];
  const va =
    values === null
      ? address === undefined
        ? null
        : BigInt(address.replace('(nil)', '0'))
      : values.wide('vaddr');
  return va === null ? null : { name, op: 'map', va, ...range };
}
