import type { DriverOp } from '../driver-op.ts';
import type { Invalidation, Tag } from '../iotlb/invalidation.ts';
import { nestedTag, ownTag, pagingTag } from '../iotlb/live-state.ts';

/**
 * For how long a domain has one domain id: from the first device that gets it to the last one that loses it
 * (domain_attach_iommu, domain_detach_iommu). Another use may have another number.
 */
export interface TagUse {
  readonly tag: Tag;
  /** Ops of the driver log before which it began and after which it ended; infinite when it goes on. */
  readonly from: number;
  until: number;
}

/** Where an invalidation comes from. */
export interface Origin {
  /** Index in the driver log. */
  readonly op: number;
  /** Null where the invalidation has no tag. */
  readonly use: TagUse | null;
}

export interface TagUses {
  readonly all: TagUse[];
  /** Before an op is executed: the tags that devices are about to get are in use from here on. */
  begin(op: DriverOp, place: number): void;
  /** After it: those that the last device lost are not. */
  end(place: number): void;
  /** The use that a tag is in now. */
  of(tag: Tag | null): TagUse | null;
}

export function createTagUses(devices: readonly number[]): TagUses {
  const all: TagUse[] = [];
  const now = new Map<Tag, { readonly use: TagUse; users: number }>();
  const slots = new Map<string, Tag>();
  const lost: Tag[] = [];
  const take = (slot: string, tag: Tag | null, place: number): void => {
    const before = slots.get(slot);
    if (before !== undefined) lost.push(before);
    slots.delete(slot);
    if (tag === null) return;
    slots.set(slot, tag);
    let held = now.get(tag);
    if (held === undefined) {
      held = { use: { tag, from: place, until: Number.POSITIVE_INFINITY }, users: 0 };
      now.set(tag, held);
      all.push(held.use);
    }
    held.users += 1;
  };
  for (const device of devices) take(`${device}/0`, ownTag(device), -1);
  return {
    all,
    begin(op, place) {
      switch (op.op) {
        case 'claim':
          for (const device of op.devices) take(`${device}/0`, null, place);
          return;
        case 'release':
          for (const device of op.devices) take(`${device}/0`, ownTag(device), place);
          return;
        case 'detach':
          for (const device of op.devices) take(`${device}/${op.pasid}`, null, place);
          return;
        case 'attach': {
          const tag = op.to.kind === 'paging' ? pagingTag(op.to.domain) : nestedTag(op.to.nested);
          for (const device of op.devices) take(`${device}/${op.pasid}`, tag, place);
        }
      }
    },
    end(place) {
      for (const tag of lost.splice(0)) {
        const held = now.get(tag);
        if (held === undefined) continue;
        held.users -= 1;
        if (held.users > 0) continue;
        held.use.until = place;
        now.delete(tag);
      }
    },
    of: (tag) => (tag === null ? null : (now.get(tag)?.use ?? null)),
  };
}

/** Two uses that are at some time both there can not have the same number. */
export function overlap(one: TagUse, other: TagUse): boolean {
  return one.from < other.until && other.from < one.until;
}

export type Origins = ReadonlyMap<Invalidation, Origin>;
