import { callName, objectsNamed } from '../../../replay/index.ts';
import { contextOf } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

/** Refusals because no object has an id. */
const NOT_FOUND = [
  'attach-target-not-found',
  'device-not-found',
  'fault-queue-not-found',
  'hwpt-not-found',
  'hwpt-parent-not-found',
  'ioas-not-found',
  'object-not-found',
  'viommu-not-found',
] as const;

export const unknownObject: Rule = {
  id: 'unknown-object',
  severity: 'warning',
  title: 'A call names an object that there never was in its context',
  doc: {
    detects: text(
      'A call that is refused because no object has the id that it gives, where no object of the',
      'context ever had that id. (An id whose object was destroyed is told as use-after-destroy.)',
    ),
    why: text(
      'The id is of another open of /dev/iommu, of another kind of number (a descriptor, a device id',
      'where an IOAS is asked for), or was never filled in: the call that should have made the object',
      'failed, or its answer was not looked at. What the call was to do is not done.',
    ),
    fix: text(
      'Take ids from the answers of the calls that make objects, on the same descriptor, and stop when',
      'such a call fails.',
    ),
    falseAlarms: text(
      'Tests that ask for what is not there. A trace that begins after the object was made: then every',
      'call on it is told.',
    ),
    source: 'main.c iommufd_get_object; reference 1.2',
  },
  start: (world, report) => ({
    refused: Object.fromEntries(NOT_FOUND.map((id) => [id, () => lookAt(world, report)])),
  }),
};

function lookAt(world: LintWorld, report: Report): void {
  const { kernel, call, lives } = world;
  const context = contextOf(kernel, call);
  const objects = kernel.state.contexts[context]?.objects;
  const unknown = objectsNamed(call.record, 'arg').find(
    ({ id, dir }) => dir !== 'out' && objects?.[id] === undefined && lives.find(context, id) === undefined,
  );
  if (unknown === undefined) return;
  const { field, id } = unknown;
  const name = callName(call.record);
  report({
    message: `${name} names object ${id} as ${field}, and context ${context} never had one with that id`,
    chain: [hereLink(world, 'refused', `${name} asks for object ${id}`)],
  });
}
