import { argU32, contextOf } from '../lint/lint-call.ts';
import { bornLink, diedLinks } from '../lint/object-lives.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

/** Offset of the id in struct iommu_destroy. */
const ID = 4;

export const doubleDestroy: Rule = {
  id: 'double-destroy',
  severity: 'error',
  title: 'An object is destroyed twice',
  doc: {
    detects: text(
      'IOMMU_DESTROY of an id that names nothing any more, because its object is gone: by an earlier',
      'IOMMU_DESTROY, or by the kernel, which takes an automatic page table with its last device and',
      'a vDEVICE with its device.',
    ),
    why: text(
      'Ids are used again at once. The second destroy hits nothing only as long as nobody has made a',
      'new object in between; after that it destroys the object of somebody else.',
    ),
    fix: text(
      'Give each object one owner that destroys it once. Do not destroy page tables that an attach',
      'has made.',
    ),
    falseAlarms: 'A program that tries what the kernel does; selftests and random runs do.',
    source: 'main.c iommufd_object_remove; hw_pagetable.c, device.c iommufd_hw_pagetable_put',
  },
  start: (world, report) => ({ refused: { 'object-not-found': () => tellTwice(world, report) } }),
};

function tellTwice({ kernel, call, lives }: LintWorld, report: Report): void {
  const id = argU32(call, ID);
  const life = lives.find(contextOf(kernel, call), id);
  if (life === undefined || life.diedSeq === null) return;
  const name = label(life.type, id);
  const how = life.diedBy === 'IOMMU_DESTROY' ? 'was destroyed' : `went with ${life.diedBy}`;
  report({
    message: `${name} is destroyed again: it ${how} in call ${life.diedSeq}`,
    chain: [
      bornLink(life),
      ...diedLinks(life),
      { seq: call.seq, role: 'destroyed again', says: `IOMMU_DESTROY of ${id} is refused` },
    ],
  });
}
