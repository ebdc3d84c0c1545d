/** What syzkaller's programs look like for iommufd and VFIO: shared by their importer and exporter. */
export { SYZ_CALLS } from './calls.ts';
export { chooseSyzCall, findSyzCall, type KnownHandles, readNumber, syzCallsOf } from './choose.ts';
export {
  bytesOf,
  offsetsIn,
  type SyzCall,
  type SyzField,
  type SyzResource,
  type SyzTarget,
} from './types.ts';
