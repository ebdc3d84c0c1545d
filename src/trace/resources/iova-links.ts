import {
  CMD,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FLAGS,
  IOMMU_IOAS_UNMAP,
  offsetsOf,
} from '../../uapi/index.ts';
import type { IoctlCall } from '../call.ts';
import type { Link, Resource } from './resource.ts';
import { type Site, valueAt, wordAt } from './site.ts';
import { chosenIovasOf, newResource, type World } from './world.ts';

/**
 * IOVAs that the kernel chose (a MAP or COPY without FIXED_IOVA) are numbers like ids: another kernel, or the
 * same one after fewer calls, chooses others. What a later call says of such a range is counted from its
 * start. Addresses that the caller chose stay as they are.
 */

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const COPY = offsetsOf(IOMMU_IOAS_COPY);
const UNMAP = offsetsOf(IOMMU_IOAS_UNMAP);

/** Links of the IOVAs of a call that were, or are, chosen by the kernel. `sites`: all of its struct. */
export function linksOfIovas(
  world: World,
  call: IoctlCall,
  objects: readonly Link[],
  sites: readonly Site[],
  succeeded: boolean,
): { readonly uses: readonly Link[]; readonly gives: readonly Link[] } {
  const uses: Link[] = [];
  const gives: Link[] = [];
  const { arg } = call;
  if (arg === null) return { uses, gives };
  for (const site of sites) {
    if (site.role !== 'iova') continue;
    const owner = ownerOf(objects, site);
    if (owner === null) continue;
    const iovas = chosenIovasOf(world, owner);
    const place = { at: 'struct', site } as const;
    if (site.dir === 'inout') {
      // A fixed one is the caller's own choice, wherever it lies.
      if (isFixed(call, arg) || !succeeded || call.out === null) continue;
      const lengthBytes = lengthOf(call, arg);
      const iova = newResource(world, 'iova', 'iova', valueAt(call.out, site), call.seq, lengthBytes);
      iovas.map(iova.recorded, lengthBytes, iova);
      gives.push({ resource: iova, place, delta: 0n });
      continue;
    }
    const value = valueAt(arg, site);
    const found = iovas.find(value);
    if (found !== null) uses.push({ resource: found.memory, place, delta: found.delta });
    if (call.cmd === CMD.IOMMU_IOAS_UNMAP && succeeded) iovas.unmap(value, unmappedBytes(call, arg));
  }
  return { uses, gives };
}

/** The IOAS, HWPT or access whose IOVA stands at the site: of a COPY, the field of the same side. */
function ownerOf(objects: readonly Link[], site: Site): Resource | null {
  const side = /^(dst|src)_/.exec(site.field)?.[1];
  const named = objects.find(
    ({ resource, place }) =>
      place.at === 'struct' &&
      (resource.kind === 'ioas' || resource.kind === 'hwpt' || resource.kind === 'access') &&
      (side === undefined || place.site.field.startsWith(side)),
  );
  return named?.resource ?? null;
}

function isFixed({ cmd }: IoctlCall, arg: Uint8Array): boolean {
  const chooses =
    cmd === CMD.IOMMU_IOAS_MAP || cmd === CMD.IOMMU_IOAS_MAP_FILE || cmd === CMD.IOMMU_IOAS_COPY;
  return !chooses || (wordAt(arg, MAP.flags, 4) & IOMMU_IOAS_MAP_FLAGS.FIXED_IOVA) !== 0;
}

function lengthOf({ cmd }: IoctlCall, arg: Uint8Array): bigint {
  return u64At(arg, cmd === CMD.IOMMU_IOAS_COPY ? COPY.length : MAP.length);
}

/** An unmap of everything is asked with a length that no range has. */
function unmappedBytes({ out }: IoctlCall, arg: Uint8Array): bigint {
  const asked = u64At(arg, UNMAP.length);
  const done = out === null ? asked : u64At(out, UNMAP.length);
  return asked > done ? asked : done;
}

function u64At(bytes: Uint8Array, offset: number): bigint {
  return BigInt(wordAt(bytes, offset, 4)) | (BigInt(wordAt(bytes, offset + 4, 4)) << 32n);
}
