import type { Tag } from './invalidation.ts';

/** `struct cache_tag` of intel/iommu.h: a cache that has to hear of changes of a domain. */
export interface CacheTag {
  readonly kind: 'iotlb' | 'device-tlb' | 'nested-iotlb' | 'nested-device-tlb';
  readonly iommu: string;
  /** Tag that the hardware has for it. */
  readonly tag: Tag;
  readonly pasid: number;
  /** Of a device TLB. */
  readonly device: number | null;
  /** Its translations are cached for the PASID alone. */
  readonly perPasid: boolean;
}

/** The cache tags of all domains. */
export interface TagList {
  /** Tags of a domain, in the order of their first user. */
  of(owner: Tag): readonly CacheTag[];
  assign(owner: Tag, tag: CacheTag, device: number): void;
  /** Takes away a slot's uses of all tags. */
  unassign(iommu: string, device: number, pasid: number): void;
}

interface Counted extends CacheTag {
  /** Devices that use it. */
  readonly users: number[];
}

const NONE: readonly CacheTag[] = [];

export function createTagList(): TagList {
  const owners = new Map<Tag, Counted[]>();
  return {
    of: (owner) => owners.get(owner) ?? NONE,
    assign(owner, tag, device) {
      const tags = owners.get(owner) ?? [];
      owners.set(owner, tags);
      const known = tags.find((each) => isSame(each, tag));
      if (known === undefined) tags.push({ ...tag, users: [device] });
      else known.users.push(device);
    },
    unassign(iommu, device, pasid) {
      for (const tags of owners.values()) {
        for (let at = tags.length - 1; at >= 0; at -= 1) {
          const tag = tags[at]!;
          const user = tag.users.indexOf(device);
          if (tag.iommu !== iommu || tag.pasid !== pasid || user < 0) continue;
          tag.users.splice(user, 1);
          if (tag.users.length === 0) tags.splice(at, 1);
        }
      }
    },
  };
}

/** cache_tage_match. */
function isSame(one: CacheTag, other: CacheTag): boolean {
  return (
    one.kind === other.kind &&
    one.iommu === other.iommu &&
    one.tag === other.tag &&
    one.pasid === other.pasid &&
    one.device === other.device
  );
}
