import type { DriverName } from './machine.ts';
import type { ObjectBase } from './object-base.ts';

/** Control state of the virtual IOMMU and what belongs to it: see state.ts. */

export interface Viommu extends ObjectBase {
  readonly type: 'viommu';
  readonly driver: DriverName;
  /** IOMMU whose slice it is; empty for the mock one. */
  readonly iommu: string;
  /** Its nest parent. */
  readonly hwpt: number;
  /** vDEVICEs by virtual id in hex. */
  readonly vdevices: Record<string, number>;
  /** vEVENTQs by event type. */
  readonly veventqs: Record<number, number>;
  /** HW queues by index. */
  readonly hwQueues: Record<number, number>;
  /** Page of the file offset at which its window may be mapped; 0 when it has none. */
  readonly window: number;
}

export interface Vdevice extends ObjectBase {
  readonly type: 'vdevice';
  readonly viommu: number;
  readonly device: number;
  /** Virtual id, a u64. */
  readonly virtPage: number;
  readonly virtOffset: number;
}

export interface Veventq extends ObjectBase {
  readonly type: 'veventq';
  readonly viommu: number;
  readonly eventType: number;
  readonly depth: number;
  /** Sequence number of the latest event, also of one that was dropped. */
  sequence: number;
  /**
   * Events not yet read, oldest first; `data` null is the header that tells of lost events, always the last.
   */
  events: Vevent[];
}

export interface Vevent {
  readonly sequence: number;
  /** The event as bytes; null for lost events. */
  readonly data: readonly number[] | null;
}

export interface HwQueue extends ObjectBase {
  readonly type: 'hw-queue';
  readonly viommu: number;
  readonly index: number;
  /** Hidden access object that pins the queue's pages. */
  readonly access: number;
}
