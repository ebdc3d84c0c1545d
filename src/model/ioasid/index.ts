/** Public entry of the PASID allocation core. */
export * from './allocator.ts';
export * from './capacity.ts';
export { createCgroup, moveProcess, ROOT_CGROUP, setCgroupMax } from './cgroup.ts';
export * from './core-call.ts';
export * from './data.ts';
export * from './names.ts';
export {
  eventNumber,
  findMmSet,
  registerNotifier,
  registerNotifierMm,
  unregisterNotifier,
} from './notify.ts';
export * from './numbers.ts';
export { isRefused, QUOTA_ABOVE_CAPACITY } from './reasons.ts';
export * from './scope.ts';
export { allocSet, freeSet } from './set.ts';
export * from './state.ts';
export * from './sva.ts';
export * from './vcmd.ts';
