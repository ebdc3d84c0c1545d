/** What syzkaller's programs look like for iommufd and VFIO: shared by their importer and exporter. */
export { findSyzCall, SYZ_CALLS, syzCallsOf } from './calls.ts';
export { chooseSyzCall, type KnownHandles, readNumber } from './choose.ts';
export {
  bytesOf,
  offsetsIn,
  type SyzCall,
  type SyzField,
  type SyzResource,
  type SyzTarget,
} from './types.ts';
