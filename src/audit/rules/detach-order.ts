import { holdersFor, objectOf } from '../lint/holders.ts';
import { argU32, contextOf } from '../lint/lint-call.ts';
import { bornLink } from '../lint/object-lives.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, listed, text } from '../lint/text.ts';

/** Offset of the id in struct iommu_destroy. */
const ID = 4;

export const detachOrder: Rule = {
  id: 'detach-order',
  severity: 'warning',
  title: 'An object is taken down before what stands on it',
  doc: {
    detects: text(
      'IOMMU_DESTROY that is refused with EBUSY, because a device is attached to the object, a page',
      'table or vIOMMU stands on it, or its descriptor is open. The finding names who holds it, and',
      'which call made the holder so.',
    ),
    why: text(
      'The object stays. A program that goes on as if it were gone leaks it, keeps its areas mapped',
      'and pinned, and meets it again as a taken address or a taken group.',
    ),
    fix: text(
      'Take down in the reverse order of setting up: detach devices, then nested page tables,',
      'vDEVICEs, queues and vIOMMUs, then page tables, then the IOAS. Close the descriptor of a queue',
      'before its object.',
    ),
    falseAlarms: 'A program that tries what the kernel does; the selftests do.',
    source: 'main.c iommufd_object_remove',
  },
  start: (world, report) => ({ refused: { 'object-in-use': () => tellBusy(world, report) } }),
};

function tellBusy(world: LintWorld, report: Report): void {
  const { kernel, call, lives } = world;
  const context = contextOf(kernel, call);
  const id = argU32(call, ID);
  const object = objectOf(kernel, context, id);
  if (object === undefined) return;
  const { texts, links } = holdersFor(world, context, object);
  const life = lives.find(context, id);
  const name = label(object.type, id);
  report({
    message: `${name} can not be destroyed yet: ${listed(texts) || 'something refers to it'}`,
    chain: [
      ...(life === undefined ? [] : [bornLink(life)]),
      ...links,
      { seq: call.seq, role: 'destroyed too early', says: `IOMMU_DESTROY of ${name} is refused` },
    ],
  });
}
