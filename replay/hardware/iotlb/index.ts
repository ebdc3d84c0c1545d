/** IOTLBs, context and PASID caches, paging-structure caches and device TLBs, followed through a replay. */
export type { AccessAnswer, AccessRequest } from './access.ts';
export type { CachedSlot } from './caches.ts';
export type { DmaDifference } from './dma-differences.ts';
export { deviceNamed } from './dma-records.ts';
export { type Entry, isSamePage, type PageIdentity, type Staleness } from './entry.ts';
export type { FaultRecord, PageRequest, PageResponse } from './fault-records.ts';
export { type Geometry, parseGeometry } from './geometry.ts';
export type { CacheKind, Cause, Certainty, Granularity, Invalidation, Tag } from './invalidation.ts';
export { type IotlbLookOptions, type IotlbView, lookAtIotlb } from './look.ts';
export { type IotlbOptions, type IotlbProjection, type IotlbStep, watchIotlb } from './projection.ts';
