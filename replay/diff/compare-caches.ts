import type { Call } from '../../src/trace/index.ts';
import { type Entry, type IotlbProjection, watchIotlb } from '../hardware/index.ts';
import { type MemoryRoles, roleOfIdentity, roleText, type Timeline } from '../timeline/index.ts';
import type { ListDifference } from './list-difference.ts';
import { compareLists } from './list-difference.ts';

/**
 * What the IOTLBs and the TLBs of devices hold in the end. Paging-structure caches are left out: what is in
 * them depends on the sizes of leaves, and so on where physical memory happens to lie.
 */

export interface CacheDifference extends ListDifference {
  readonly device: string;
  readonly pasid: number;
  readonly cache: 'iotlb' | 'device-tlb';
}

/** A record that tells of an access of a device, which may leave something in a cache. */
export function isAccess(call: Call): boolean {
  return call.op === 'dma' || (call.op === 'note' && call.kind === 'edu_dma');
}

/** A trace, or the part of one up to a call. */
interface CachePoint {
  readonly timeline: Timeline;
  readonly untilSeq: number;
}

/** Replays both and compares what is cached in the end, device by device and PASID by PASID. */
export function compareCaches(a: CachePoint, b: CachePoint): CacheDifference[] {
  const [one, other] = [entriesOf(a), entriesOf(b)];
  const keys = [...new Set([...one.keys(), ...other.keys()])].sort();
  return keys.flatMap((key): CacheDifference[] => {
    const [heldA, heldB] = [one.get(key), other.get(key)];
    const { device, pasid, cache } = (heldA ?? heldB)!;
    const found = compareLists(heldA?.texts ?? [], heldB?.texts ?? []);
    return found === null ? [] : [{ device, pasid, cache, ...found }];
  });
}

interface Held extends Pick<CacheDifference, 'device' | 'pasid' | 'cache'> {
  readonly texts: string[];
}

function entriesOf({ timeline, untilSeq }: CachePoint): ReadonlyMap<string, Held> {
  let projection: IotlbProjection | null = null;
  const stepper = timeline.fresh(undefined, (kernel) => {
    projection = watchIotlb(kernel);
    return projection;
  });
  stepper.advance(untilSeq);
  const followed = projection as IotlbProjection | null;
  if (followed === null) throw new Error('a replay began without a watcher');
  followed.finish();
  const { machine } = stepper.kernel;
  const held = new Map<string, Held>();
  for (const entry of followed.entries()) {
    const { cache, pasid } = entry;
    if (cache === 'walk') continue;
    const physical = machine.devices[entry.device];
    const device = physical?.bdf || physical?.path || `device ${entry.device}`;
    const key = `${device} ${pasid} ${cache}`;
    const own = held.get(key) ?? { device, pasid, cache, texts: [] };
    own.texts.push(entryText(entry, stepper.tracker.roles));
    held.set(key, own);
  }
  return held;
}

const READ = 1;
const WRITE = 2;

function entryText({ firstPage, lastPage, prot, to, stale }: Entry, roles: MemoryRoles): string {
  const range = `${address(firstPage)}-${address(lastPage + 1, -1n)}`;
  const access = `${(prot & READ) === 0 ? '' : 'r'}${(prot & WRITE) === 0 ? '' : 'w'}`;
  const [object, page] = (to?.memory ?? '').split(':');
  const where =
    object === undefined || page === undefined
      ? 'memory that the trace does not tell'
      : roleText(roleOfIdentity(roles, Number(object), Number(page)));
  const state = stale === null ? '' : `, stale: a walk gives ${stale.now}`;
  return `${range} ${access === '' ? 'nothing' : access} to ${where}${state}`;
}

function address(page: number, add = 0n): string {
  return `0x${(BigInt(page) * 4096n + add).toString(16)}`;
}
