import { callName, type NamedObject, objectsNamed } from '../../../replay/index.ts';
import { contextOf } from '../lint/lint-call.ts';
import { bornLink, diedLinks, type Life } from '../lint/object-lives.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

/** What the kernel says of an id that names nothing, or something of another type. */
const NOT_FOUND = [
  'ioas-not-found',
  'device-not-found',
  'hwpt-not-found',
  'viommu-not-found',
  'fault-queue-not-found',
  'selftest-object-not-found',
  'hwpt-parent-not-found',
  'hwpt-parent-of-wrong-type',
  'attach-target-not-found',
  'attach-target-of-wrong-type',
  'invalidate-target-of-wrong-type',
  'check-pasid-target-not-found',
  'check-pasid-target-of-wrong-type',
] as const;

export const useAfterDestroy: Rule = {
  id: 'use-after-destroy',
  severity: 'error',
  title: 'An id is used after its object was destroyed',
  doc: {
    detects: text(
      'A call that is refused because an id names no object, or one of another type, although it',
      'named an object before: the object was destroyed by IOMMU_DESTROY, with its last attachment,',
      'or with its device. Where the number has a new owner meanwhile, the finding names both.',
    ),
    why: text(
      'Ids are the lowest free numbers, so a stale one soon names another object: what is refused',
      'today changes the wrong object tomorrow.',
    ),
    fix: text(
      'Forget an id in the call that destroys its object. A page table that an attach to an IOAS made',
      'goes with the last detach: its id is not the program\u2019s to keep.',
    ),
    falseAlarms: text(
      'A program that tries what the kernel does; selftests and random runs use stale ids on purpose.',
    ),
    source: 'main.c iommufd_get_object, iommufd_object_remove',
  },
  start: (world, report) => ({
    refused: Object.fromEntries(NOT_FOUND.map((id) => [id, () => tellStale(world, report)])),
  }),
};

function tellStale(world: LintWorld, report: Report): void {
  const { call, lives, kernel } = world;
  const context = contextOf(kernel, call);
  const name = callName(call.record);
  for (const named of objectsNamed(call.record, 'arg')) {
    if (named.dir === 'out' || named.id === 0) continue;
    const stale = staleLife(lives.find(context, named.id), named);
    if (stale === null) continue;
    const { old, owner } = stale;
    const now = owner === null ? '' : `, and ${label(owner.type, owner.id)} has the number now`;
    report({
      message:
        `${name} uses ${named.field} ${named.id} after ${label(old.type, old.id)} ` +
        `was destroyed by call ${old.diedSeq}${now}`,
      chain: [
        bornLink(old),
        ...diedLinks(old),
        ...(owner === null ? [] : [{ ...bornLink(owner), role: 'number used again' }]),
        {
          seq: call.seq,
          role: 'used after',
          says: `${name} names ${named.field} ${named.id} and is refused`,
        },
      ],
    });
    return;
  }
}

/** Types that a field of the user API can name; others can name anything. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  ioas_id: ['ioas'],
  dst_ioas_id: ['ioas'],
  src_ioas_id: ['ioas'],
  dev_id: ['device'],
  hwpt_id: ['hwpt-paging', 'hwpt-nested', 'viommu'],
  viommu_id: ['viommu'],
  fault_id: ['fault'],
  pt_id: ['ioas', 'hwpt-paging', 'hwpt-nested', 'viommu'],
};

function staleLife(life: Life | undefined, { field }: NamedObject): { old: Life; owner: Life | null } | null {
  if (life === undefined) return null;
  const types = TYPES[field];
  const fits = (type: string): boolean => types === undefined || types.includes(type);
  if (life.diedSeq !== null) return fits(life.type) ? { old: life, owner: null } : null;
  // It lives: the id is stale only when it has another type now than the one that is meant.
  const { before } = life;
  if (before === null || types === undefined || fits(life.type) || !fits(before.type)) return null;
  return { old: before, owner: life };
}
